// The browser's disk and the workspace on the host are one folder: a page with the one line, and a terminal.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, beforeEach, afterEach, describe, test } from 'node:test';
import { promisify } from 'node:util';
import * as browsing from './support/browser.mjs';
import { Runtime } from './support/runtime.mjs';
import { startPageServer } from './support/servers.mjs';
import { SUITE_TIMEOUT } from './support/settings.mjs';
import * as syncing from './support/sync.mjs';
import { eventually } from './support/waiting.mjs';

const run = promisify(execFile);

describe('sync', { timeout: SUITE_TIMEOUT }, () => {
  let browser, runtime, site, context, page;

  before(async () => {
    browser = await browsing.launchBrowser();
  });
  after(() => browser?.close());
  beforeEach(async () => {
    runtime = await Runtime.start();
    site = await syncing.startSite(runtime.port);
    await syncing.command(runtime, 'origins', 'allow', site.origin);
    context = await browser.newContext();
    page = await syncing.openTab(context, site);
    await syncing.untilState(page, 'synced');
  });
  afterEach(async () => {
    await context?.close();
    await runtime?.remove();
    await site?.close();
  });

  const onHost = (name) => path.join(runtime.workspace, name);
  const write = (name, text) => page.evaluate(([place, content]) => window.disk.write(place, content), [name, text]);
  const remove = (name) =>
    page.evaluate(async (place) => {
      const names = place.split('/');
      let folder = await navigator.storage.getDirectory();
      for (const each of names.slice(0, -1)) folder = await folder.getDirectoryHandle(each);
      await folder.removeEntry(names.at(-1), { recursive: true });
    }, name);

  test('create, edit, rename and delete on the host', async () => {
    await mkdir(onHost('a/b'), { recursive: true });
    await mkdir(onHost('empty folder'));
    await writeFile(onHost('a/b/žluťoučký 🦀.txt'), 'one');
    await syncing.untilOnDisk(page, 'a/b/žluťoučký 🦀.txt', 'one');
    await writeFile(onHost('a/b/žluťoučký 🦀.txt'), 'two');
    await syncing.untilOnDisk(page, 'a/b/žluťoučký 🦀.txt', 'two');
    // Same size, as an editor saves: beside it, then renamed over it.
    await writeFile(onHost('a/b/.new~'), 'six');
    await rename(onHost('a/b/.new~'), onHost('a/b/žluťoučký 🦀.txt'));
    await syncing.untilOnDisk(page, 'a/b/žluťoučký 🦀.txt', 'six');
    await rename(onHost('a/b'), onHost('a/c'));
    await syncing.untilOnDisk(page, 'a/c/žluťoučký 🦀.txt', 'six');
    assert.deepEqual(Object.keys(await syncing.untilEqual(page, runtime)), [
      'a/',
      'a/c/',
      'a/c/žluťoučký 🦀.txt',
      'empty folder/',
    ]);
    await rm(onHost('a'), { recursive: true });
    assert.deepEqual(Object.keys(await syncing.untilEqual(page, runtime)), ['empty folder/']);
  });

  test('create, edit, rename and delete in the browser', async () => {
    await write('p/q/note.txt', 'one');
    await page.evaluate(() => window.disk.makeDirectory('empty folder'));
    await syncing.untilOnHost(runtime.workspace, 'p/q/note.txt', 'one');
    await write('p/q/note.txt', 'two');
    await syncing.untilOnHost(runtime.workspace, 'p/q/note.txt', 'two');
    await page.evaluate(async () => {
      const folder = await (await (await navigator.storage.getDirectory()).getDirectoryHandle('p')).getDirectoryHandle('q');
      await (await folder.getFileHandle('note.txt')).move('renamed.txt');
    });
    await syncing.untilOnHost(runtime.workspace, 'p/q/renamed.txt', 'two');
    assert.deepEqual(Object.keys(await syncing.untilEqual(page, runtime)), ['empty folder/', 'p/', 'p/q/', 'p/q/renamed.txt']);
    await remove('p');
    assert.deepEqual(Object.keys(await syncing.untilEqual(page, runtime)), ['empty folder/']);
  });

  test('an executable file stays one when the browser edits and renames it', async () => {
    await writeFile(onHost('run.sh'), '#!/bin/sh\necho one\n', { mode: 0o755 });
    await syncing.untilOnDisk(page, 'run.sh', '#!/bin/sh\necho one\n');
    await write('run.sh', '#!/bin/sh\necho two\n');
    await syncing.untilOnHost(runtime.workspace, 'run.sh', '#!/bin/sh\necho two\n');
    assert.equal((await run(onHost('run.sh'))).stdout, 'two\n');
  });

  test('both sides edit one file while they cannot talk: both texts stay, on both sides, and the conflict is listed', async () => {
    await writeFile(onHost('plan.txt'), 'base');
    await syncing.untilOnDisk(page, 'plan.txt', 'base');
    await page.evaluate(() => window.sync.pause());
    await syncing.untilState(page, 'paused');
    await writeFile(onHost('plan.txt'), 'the host');
    await write('plan.txt', 'the browser');
    await page.evaluate(() => window.sync.resume());
    const tree = await syncing.untilEqual(page, runtime);
    const names = Object.keys(tree);
    assert.equal(names.length, 2, names.join());
    const copy = names.find((name) => name !== 'plan.txt');
    assert.match(copy, /^plan\.conflict-[^/]+-\d+\.txt$/);
    const texts = [await syncing.textOnHost(runtime.workspace, 'plan.txt'), await syncing.textOnHost(runtime.workspace, copy)];
    assert.deepEqual(texts.toSorted(), ['the browser', 'the host']);

    const listed = await page.evaluate(() => window.sync.conflicts());
    assert.deepEqual(listed.map((each) => each.copy), [copy]);
    assert.equal(listed[0].path, 'plan.txt');
    const onCommandLine = JSON.stringify(await syncing.command(runtime, 'sync', 'conflicts'));
    assert.ok(onCommandLine.includes(copy), onCommandLine);

    await page.evaluate((place) => window.sync.resolve(place, 'copy'), copy);
    assert.deepEqual(Object.keys(await syncing.untilEqual(page, runtime)), ['plan.txt']);
    await syncing.untilOnDisk(page, 'plan.txt', texts[1]);
    assert.deepEqual(await page.evaluate(() => window.sync.conflicts()), []);
  });

  test('an edit beats a delete, whichever side it is on', async () => {
    await Promise.all(['one.txt', 'two.txt', 'three.txt', 'four.txt'].map((name) => writeFile(onHost(name), 'base')));
    await syncing.untilEqual(page, runtime);
    await page.evaluate(() => window.sync.pause());
    await syncing.untilState(page, 'paused');
    await rm(onHost('one.txt'));
    await write('one.txt', 'edited in the browser');
    await remove('two.txt');
    await writeFile(onHost('two.txt'), 'edited on the host');
    await page.evaluate(() => window.sync.resume());
    await syncing.untilOnHost(runtime.workspace, 'one.txt', 'edited in the browser');
    await syncing.untilOnDisk(page, 'two.txt', 'edited on the host');
    assert.deepEqual(Object.keys(await syncing.untilEqual(page, runtime)), ['four.txt', 'one.txt', 'three.txt', 'two.txt']);
  });

  test('what both sides did while the runtime was away is there when it is back', async () => {
    await writeFile(onHost('old.txt'), 'old');
    await writeFile(onHost('kept.txt'), 'kept');
    await syncing.untilEqual(page, runtime);
    // What is equal is not agreed on yet, and what is not agreed on comes back when it is deleted.
    await syncing.untilState(page, 'synced');
    await runtime.stop();
    const { reason } = await syncing.untilState(page, 'offline');
    assert.ok(reason.length > 10, reason);
    await write('from-the-browser.txt', 'browser');
    await remove('old.txt');
    await writeFile(onHost('from-the-host.txt'), 'host');
    await runtime.launch();
    const tree = await syncing.untilEqual(page, runtime);
    assert.deepEqual(Object.keys(tree), ['from-the-browser.txt', 'from-the-host.txt', 'kept.txt']);
    await page.reload();
    await syncing.untilEqual(page, runtime);
    await writeFile(onHost('after.txt'), 'a reload changes nothing');
    await syncing.untilOnDisk(page, 'after.txt', 'a reload changes nothing');
  });

  test('git clone into the workspace appears in the tab', async () => {
    const origin = path.join(runtime.folder, 'origin');
    const git = (...words) =>
      run('git', ['-c', 'user.name=a', '-c', 'user.email=a@b', ...words], { cwd: origin, env: { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null' } });
    await mkdir(path.join(origin, 'src'), { recursive: true });
    await git('init', '--quiet', '--initial-branch=main');
    for (let number = 0; number < 200; number += 1) await writeFile(path.join(origin, `src/file-${number}.js`), `export const n = ${number};\n`);
    await git('add', '.');
    await git('commit', '--quiet', '--message', 'first');
    await git('checkout', '--quiet', '-b', 'other');
    for (let number = 0; number < 100; number += 1) await writeFile(path.join(origin, `src/file-${number}.js`), `export const n = -${number};\n`);
    await git('commit', '--quiet', '--all', '--message', 'second');
    await run('git', ['clone', '--quiet', '--branch=main', origin, onHost('project')]);
    await syncing.untilOnDisk(page, 'project/src/file-199.js', 'export const n = 199;\n');
    const tree = await syncing.untilEqual(page, runtime);
    assert.equal(Object.keys(tree).filter((name) => name.endsWith('.js')).length, 200);
    assert.ok(!(await page.evaluate(() => window.disk.list())).some(({ path: name }) => name.includes('.git')));
    // A storm: every other file is another one, and back.
    await run('git', ['checkout', '--quiet', 'other'], { cwd: onHost('project') });
    await syncing.untilOnDisk(page, 'project/src/file-99.js', 'export const n = -99;\n');
    await run('git', ['checkout', '--quiet', 'main'], { cwd: onHost('project') });
    await syncing.untilOnDisk(page, 'project/src/file-99.js', 'export const n = 99;\n');
    assert.deepEqual(await syncing.untilEqual(page, runtime), tree);
    assert.equal((await run('git', ['status', '--porcelain'], { cwd: onHost('project') })).stdout, '');
    // And what is edited in the tab is a change in git.
    await write('project/src/file-7.js', 'export const n = 70;\n');
    const status = async () => (await run('git', ['status', '--porcelain'], { cwd: onHost('project') })).stdout;
    await eventually('git sees the edit', async () => (await status()) === ' M src/file-7.js\n');
  });

  test('ignored names are neither sent nor deleted', async () => {
    await mkdir(onHost('app/node_modules/x'), { recursive: true });
    await writeFile(onHost('app/node_modules/x/index.js'), 'host');
    await writeFile(onHost('app/main.js'), 'main');
    await write('app/dist/out.js', 'browser');
    await syncing.untilOnDisk(page, 'app/main.js', 'main');
    await syncing.untilState(page, 'synced');
    assert.equal(await syncing.textOnDisk(page, 'app/node_modules/x/index.js'), undefined);
    assert.equal(await syncing.textOnHost(runtime.workspace, 'app/dist/out.js'), undefined);
    assert.equal(await syncing.textOnDisk(page, 'app/dist/out.js'), 'browser');
  });

  test('a rescan that a person asks for comes to its end, and sync goes on', async () => {
    await writeFile(onHost('before.txt'), 'before');
    await syncing.untilOnDisk(page, 'before.txt', 'before');
    for (let round = 0; round < 3; round += 1) {
      await syncing.command(runtime, 'sync', 'rescan');
      await writeFile(onHost(`after-${round}.txt`), 'of the host');
      await write(`back-${round}.txt`, 'of the browser');
      await syncing.untilOnDisk(page, `after-${round}.txt`, 'of the host');
      await syncing.untilOnHost(runtime.workspace, `back-${round}.txt`, 'of the browser');
      await syncing.untilEqual(page, runtime);
    }
  });

  test('a file that a page holds open is named, and follows when it is let go', async () => {
    await writeFile(onHost('held.txt'), 'base');
    await syncing.untilOnDisk(page, 'held.txt', 'base');
    await page.evaluate(async () => {
      const handle = await (await navigator.storage.getDirectory()).getFileHandle('held.txt');
      window.held = await handle.createWritable({ keepExistingData: true });
    });
    await writeFile(onHost('held.txt'), 'from the host');
    await writeFile(onHost('other.txt'), 'everything else goes on');
    await syncing.untilOnDisk(page, 'other.txt', 'everything else goes on');
    const named = async () => (await syncing.progress(page)).problems.find(({ path: name }) => name === 'held.txt');
    const problem = await eventually('the file is named', named);
    assert.match(problem.reason, /is open for writing in a page/);
    assert.ok(JSON.stringify(await syncing.command(runtime, 'sync', 'status')).includes('held.txt'));
    assert.equal(await syncing.textOnDisk(page, 'held.txt'), 'base');
    await page.evaluate(() => window.held.abort());
    await syncing.untilOnDisk(page, 'held.txt', 'from the host');
    await eventually('it is no problem any more', async () => (await named()) === undefined);

    // What the page does write is kept, beside what the host has.
    await page.evaluate(async () => {
      const handle = await (await navigator.storage.getDirectory()).getFileHandle('held.txt');
      window.held = await handle.createWritable();
      await window.held.write('from the page');
    });
    await writeFile(onHost('held.txt'), 'from the host again');
    await eventually('the file is named', named);
    await page.evaluate(() => window.held.close());
    const tree = await syncing.untilEqual(page, runtime);
    const names = Object.keys(tree).filter((name) => name.startsWith('held'));
    const texts = await Promise.all(names.map((name) => syncing.textOnHost(runtime.workspace, name)));
    assert.deepEqual(texts.toSorted(), ['from the host again', 'from the page']);
  });

  test('a name the host cannot have is named with its reason, and everything else goes on', async () => {
    const long = `${'ž'.repeat(130)}.txt`;
    await write(long, 'too long for the host');
    await write('short.txt', 'short');
    await syncing.untilOnHost(runtime.workspace, 'short.txt', 'short');
    const named = async () => (await syncing.progress(page)).problems.find(({ path: name }) => name === long);
    assert.match((await eventually('it is named', named)).reason, /longer than the 255 bytes/);
    await remove(long);
    await eventually('it is no problem any more', async () => (await named()) === undefined);
    await syncing.untilState(page, 'synced');
  });

  test('the published client pushes and pulls beside a page that syncs', async () => {
    const pageServer = await startPageServer();
    try {
      await syncing.command(runtime, 'origins', 'allow', pageServer.origin);
      const old = await browsing.openConnectedPage(browser, pageServer, runtime);
      await writeFile(onHost('shared.txt'), 'host');
      await syncing.untilOnDisk(page, 'shared.txt', 'host');
      await browsing.writeFiles(old, { '/pushed.txt': 'from 1.x' });
      assert.deepEqual((await browsing.push(old)).errors, []);
      await syncing.untilOnDisk(page, 'pushed.txt', 'from 1.x');
      await write('synced.txt', 'from 2.0');
      await syncing.untilOnHost(runtime.workspace, 'synced.txt', 'from 2.0');
      const pulled = await old.evaluate(async () => {
        await window.mhnos.client.pull(window.mhnos.disk);
        return new TextDecoder().decode((await window.mhnos.disk.read('/synced.txt')).bytes);
      });
      assert.equal(pulled, 'from 2.0');
      // A push never deletes: what only the others have stays.
      assert.deepEqual(Object.keys(await syncing.untilEqual(page, runtime)), ['pushed.txt', 'shared.txt', 'synced.txt']);
      await old.context().close();
    } finally {
      await pageServer.close();
    }
  });
});
