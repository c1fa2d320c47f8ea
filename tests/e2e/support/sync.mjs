// A page of its own origin with the one line that syncs its disk, and what the tests of sync ask of it.

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import http from 'node:http';
import path from 'node:path';
import { promisify } from 'node:util';
import { listen } from './servers.mjs';
import { pageFolder, runtimeBinary } from './settings.mjs';
import { eventually } from './waiting.mjs';

const run = promisify(execFile);

// The line of the README, but for the port and that the test gets hold of what `syncOpfs` returns.
const lineFor = (port) =>
  `const sync = () => import('http://localhost:${port}/client.js').then((client) => { window.sync = client.syncOpfs(); }, () => setTimeout(sync, 5000)); sync();`;

// Gives out a page that syncs with the runtime on this port.
export async function startSite(port) {
  const disk = await readFile(path.join(pageFolder, 'browser-disk.js'));
  const server = http.createServer((incoming, response) => {
    if (incoming.url === '/disk.js') {
      response.writeHead(200, { 'Content-Type': 'text/javascript' }).end(disk);
      return;
    }
    const page = `<!doctype html><title>a page</title><link rel="icon" href="data:,">
      <script type="module">import * as disk from '/disk.js'; window.disk = disk;</script><script type="module">${lineFor(port)}</script>`;
    response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8' }).end(page);
  });
  const listening = await listen(server);
  return { ...listening, origin: `http://127.0.0.1:${listening.port}` };
}

// Opens the page in a context: one tab of one browser.
export async function openTab(context, site) {
  const page = await context.newPage();
  await page.goto(site.origin);
  await page.waitForFunction(() => window.disk !== undefined, undefined, { polling: 50 });
  return page;
}

// What the sync of a page says of itself.
export async function progress(page) {
  return page.evaluate(() => ({ ...window.sync?.progress, leads: window.sync?.leads }));
}

// Waits until the sync of a page is in a state, and gives its progress; the error says in which it is instead.
export async function untilState(page, state, deadline = 20_000) {
  let last;
  const look = async () => {
    last = await progress(page);
    return last.state === state && last;
  };
  return eventually(`the sync is ${state}`, look, deadline).catch((error) => {
    throw new Error(`${error.message}; it is ${JSON.stringify(last)}`);
  });
}

// The text of a file on the browser's disk; undefined if there is none.
export async function textOnDisk(page, name) {
  return page.evaluate(async (wanted) => {
    try {
      return new TextDecoder().decode((await window.disk.read(wanted)).bytes);
    } catch (error) {
      // `NotReadableError`: it is being replaced just now.
      if (['NotFoundError', 'TypeMismatchError', 'NotReadableError'].includes(error.name)) return undefined;
      throw error;
    }
  }, name);
}

export async function untilOnDisk(page, name, text, deadline) {
  const look = async () => (await textOnDisk(page, name)) === text;
  await eventually(`${name} is on the browser's disk as ${String(text).slice(0, 80)}`, look, deadline).catch(async (error) => {
    throw new Error(`${error.message}; ${JSON.stringify(await progress(page))}`, { cause: error });
  });
}

export async function untilOnHost(folder, name, text, deadline) {
  const look = async () => (await textOnHost(folder, name)) === text;
  await eventually(`${name} is on the host as ${text}`, look, deadline);
}

export async function textOnHost(folder, name) {
  try {
    return await readFile(path.join(folder, name), 'utf8');
  } catch (error) {
    if (['ENOENT', 'EISDIR', 'ENOTDIR'].includes(error.code)) return undefined;
    throw error;
  }
}

// All synced paths with the hash of each file's content, folders end with a slash.
export async function hostTree(folder) {
  const tree = {};
  const walk = async (inside) => {
    for (const entry of await readdir(path.join(folder, inside), { withFileTypes: true })) {
      const name = inside === '' ? entry.name : `${inside}/${entry.name}`;
      if (name === '.mhnos-sync' || entry.name === '.git') continue;
      if (entry.isDirectory()) {
        tree[`${name}/`] = '';
        await walk(name);
      } else {
        tree[name] = await hashOnHost(path.join(folder, name));
      }
    }
  };
  await walk('');
  return sorted(tree);
}

export async function hashOnHost(file) {
  const hash = createHash('sha256');
  for await (const bytes of createReadStream(file)) hash.update(bytes);
  return hash.digest('hex');
}

export async function diskTree(page) {
  const tree = await page.evaluate(async () => {
    const found = {};
    const hash = async (handle, place) => {
      const bytes = await (await handle.getFile()).arrayBuffer();
      const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
      found[place] = Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
    };
    const walk = async (folder, inside) => {
      const hashed = [];
      for await (const [name, handle] of folder) {
        const place = inside === '' ? name : `${inside}/${name}`;
        if (place === '.mhnos-sync' || name.endsWith('.crswap')) continue;
        if (handle.kind === 'file') {
          hashed.push(hash(handle, place));
        } else {
          found[`${place}/`] = '';
          await walk(handle, place);
        }
      }
      await Promise.all(hashed);
    };
    await walk(await navigator.storage.getDirectory(), '');
    return found;
  });
  return sorted(tree);
}

const sorted = (tree) => Object.fromEntries(Object.entries(tree).sort(([one], [other]) => (one < other ? -1 : 1)));

// Waits until both sides are equal and the sync says so, and gives what they have.
export async function untilEqual(page, runtime, deadline = 30_000) {
  let [host, disk] = [];
  const look = async () => {
    if ((await progress(page)).state !== 'synced') return false;
    [host, disk] = await Promise.all([hostTree(runtime.workspace), diskTree(page)]);
    return JSON.stringify(host) === JSON.stringify(disk) && host;
  };
  return eventually('both sides are equal', look, deadline).catch(async (error) => {
    const only = (one, other) => Object.keys(one ?? {}).filter((name) => one[name] !== other?.[name]).slice(0, 10);
    const state = JSON.stringify(await progress(page));
    throw new Error(`${error.message}; host: ${only(host, disk)}; disk: ${only(disk, host)}; ${state}`, { cause: error });
  });
}

// A command of a terminal on the host.
export async function command(runtime, ...words) {
  const { stdout } = await run(runtimeBinary, ['--state-dir', runtime.stateFolder, '--json', ...words]);
  return JSON.parse(stdout);
}
