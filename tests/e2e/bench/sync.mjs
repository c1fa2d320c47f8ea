// What `cargo xtask bench sync-browser` measures in a real Chromium; its numbers are printed as JSON.

import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Runtime } from '../support/runtime.mjs';
import * as syncing from '../support/sync.mjs';
import { openUnwatched } from '../support/unwatched.mjs';

const ROUNDS = 3;
const FILES = 10_000;
const IN_A_FOLDER = 100;
const FILE_BYTES = 4096;
const SAVES = 60;

// Runs in a worker: as many files, written, flushed and closed one after the other, in folders that are there.
const bareLoop = async ({ files, inAFolder, bytes }) => {
  const root = await (await navigator.storage.getDirectory()).getDirectoryHandle('bare', { create: true });
  const folders = [];
  for (let at = 0; at < files / inAFolder; at += 1) folders.push(await root.getDirectoryHandle(String(at), { create: true }));
  const content = crypto.getRandomValues(new Uint8Array(bytes));
  const began = performance.now();
  for (let at = 0; at < files; at += 1) {
    const handle = await folders[Math.floor(at / inAFolder)].getFileHandle(`${at}.bin`, { create: true });
    const access = await handle.createSyncAccessHandle();
    access.write(content, { at: 0 });
    access.flush();
    access.close();
  }
  const took = performance.now() - began;
  await (await navigator.storage.getDirectory()).removeEntry('bare', { recursive: true });
  return files / (took / 1000);
};

const measured = { bare: [], synced: [], fromHost: [], toHost: [] };
const pages = [];
const runtime = await Runtime.start();
const site = await syncing.startSite(runtime.port);
try {
  await syncing.command(runtime, 'origins', 'allow', site.origin);
  // In browsers of their own, so that neither has the other's files.
  const bare = await openUnwatched(`${site.origin}/disk.js`);
  pages.push(bare);
  const bareRound = () =>
    bare.evaluate(
      ([loop, options]) =>
        new Promise((resolve, reject) => {
          const text = `(${loop})(${JSON.stringify(options)}).then((rate) => postMessage(rate), (error) => postMessage(String(error)))`;
          const worker = new Worker(URL.createObjectURL(new Blob([text], { type: 'text/javascript' })));
          worker.onmessage = ({ data }) => (typeof data === 'number' ? resolve(data) : reject(new Error(data)));
        }),
      [String(bareLoop), { files: FILES, inAFolder: IN_A_FOLDER, bytes: FILE_BYTES }],
    );

  const page = await openUnwatched(site.origin);
  pages.push(page);
  await page.until('the page is there', () => window.disk !== undefined);
  await syncing.untilState(page, 'synced');
  for (let round = 0; round < ROUNDS; round += 1) {
    const prepared = path.join(runtime.folder, 'prepared');
    for (let folder = 0; folder < FILES / IN_A_FOLDER; folder += 1) {
      await mkdir(path.join(prepared, String(folder)), { recursive: true });
      const names = Array.from({ length: IN_A_FOLDER }, (_, number) => path.join(prepared, String(folder), `${number}.bin`));
      const content = () => crypto.getRandomValues(Buffer.alloc(FILE_BYTES));
      await Promise.all(names.map((name) => writeFile(name, content())));
    }
    measured.bare.push(await bareRound());
    const { received } = await syncing.progress(page);
    const done = page.evaluate(
      (wanted) =>
        new Promise((resolve) => {
          const stop = window.sync.on('progress', (now) => {
            if (now.state !== 'synced' || now.received < wanted) return;
            stop();
            resolve();
          });
        }),
      received + FILES + FILES / IN_A_FOLDER + 1,
    );
    const began = performance.now();
    await rename(prepared, path.join(runtime.workspace, `round-${round}`));
    await done;
    measured.synced.push(FILES / ((performance.now() - began) / 1000));
  }

  await writeFile(path.join(runtime.workspace, 'save.txt'), '');
  await syncing.untilEqual(page, runtime);
  for (let save = 0; save < SAVES; save += 1) {
    const text = `the host's save number ${save}`;
    const seen = page.evaluate(async (wanted) => {
      const handle = await (await navigator.storage.getDirectory()).getFileHandle('save.txt');
      for (;;) {
        const found = await handle.getFile().then((file) => file.text()).catch(() => '');
        if (found === wanted) return performance.timeOrigin + performance.now();
        await new Promise((again) => setTimeout(again, 1));
      }
    }, text);
    const began = performance.timeOrigin + performance.now();
    await writeFile(path.join(runtime.workspace, 'save.txt'), text);
    measured.fromHost.push(((await seen) - began) / 1000);
    await syncing.untilState(page, 'synced');
  }
  for (let save = 0; save < SAVES; save += 1) {
    const text = `the page's save number ${save}`;
    const begun = page.evaluate(async (wanted) => {
      await window.disk.write('save.txt', wanted);
      return performance.timeOrigin + performance.now();
    }, text);
    let seen;
    while (seen === undefined) {
      if ((await readFile(path.join(runtime.workspace, 'save.txt'), 'utf8')) === text) seen = performance.timeOrigin + performance.now();
      else await new Promise((again) => setTimeout(again, 1));
    }
    measured.toHost.push((seen - (await begun)) / 1000);
    await syncing.untilState(page, 'synced');
  }
  process.stdout.write(JSON.stringify(measured));
} finally {
  for (const page of pages) await page.close();
  await runtime.remove();
  await site.close();
}
