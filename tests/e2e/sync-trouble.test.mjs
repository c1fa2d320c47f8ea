// Browsers that lack something: an observer of their disk, or room on it.

import assert from 'node:assert/strict';
import { mkdir, rename, unlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, describe, test } from 'node:test';
import * as browsing from './support/browser.mjs';
import { Runtime } from './support/runtime.mjs';
import { SUITE_TIMEOUT } from './support/settings.mjs';
import * as syncing from './support/sync.mjs';
import { eventually } from './support/waiting.mjs';

describe('sync of a browser that lacks something', { timeout: SUITE_TIMEOUT }, () => {
  let opened = [];

  afterEach(async () => {
    const ended = await Promise.allSettled(opened.reverse().map((close) => close()));
    opened = [];
    for (const { reason } of ended) if (reason) throw reason;
  });

  // A runtime, and a site that may sync with it.
  async function start() {
    const runtime = await Runtime.start();
    opened.push(() => runtime.remove());
    const site = await syncing.startSite(runtime.port);
    opened.push(() => site.close());
    await syncing.command(runtime, 'origins', 'allow', site.origin);
    return { runtime, site, onHost: (name) => path.join(runtime.workspace, name) };
  }

  // A tab of a browser that cannot be told what happens on its disk.
  async function openUnobserved(site) {
    const browser = await browsing.launchBrowser({ further: ['--disable-blink-features=FileSystemObserver'] });
    opened.push(() => browser.close());
    const page = await syncing.openTab(await browser.newContext(), site);
    assert.equal(await page.evaluate(() => 'FileSystemObserver' in window), false);
    await syncing.untilState(page, 'synced');
    return page;
  }

  test('without an observer the disk is looked at now and then, and all that was done there comes over', async () => {
    const { runtime, site, onHost } = await start();
    const page = await openUnobserved(site);
    await page.evaluate(() => window.disk.write('folder/new.txt', 'of the browser'));
    await syncing.untilOnHost(runtime.workspace, 'folder/new.txt', 'of the browser');
    await page.evaluate(() => window.disk.write('folder/new.txt', 'edited there'));
    await syncing.untilOnHost(runtime.workspace, 'folder/new.txt', 'edited there');
    await writeFile(onHost('folder/new.txt'), 'edited on the host');
    await syncing.untilOnDisk(page, 'folder/new.txt', 'edited on the host');
    await rename(onHost('folder'), onHost('renamed'));
    await syncing.untilOnDisk(page, 'renamed/new.txt', 'edited on the host');
    await page.evaluate(async () => {
      const root = await navigator.storage.getDirectory();
      await root.removeEntry('renamed', { recursive: true });
      await window.disk.write('kept.txt', 'kept');
    });
    // One of one files that is gone is no more than is done unasked, unless nothing is left.
    await syncing.untilOnHost(runtime.workspace, 'renamed/new.txt', undefined);
    assert.deepEqual(Object.keys(await syncing.untilEqual(page, runtime)), ['kept.txt']);
  });

  test('a folder is renamed although a page holds a file in it open, and no content travels', async () => {
    const { runtime, site, onHost } = await start();
    const page = await openUnobserved(site);
    const names = Array.from({ length: 60 }, (_, number) => `${number % 3}/${number}.txt`);
    for (const folder of ['0', '1', '2']) await mkdir(onHost(`old/${folder}`), { recursive: true });
    for (const name of names) await writeFile(onHost(`old/${name}`), `text of ${name}`);
    await syncing.untilEqual(page, runtime);
    await page.evaluate(async () => {
      const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('old');
      const handle = await (await folder.getDirectoryHandle('1')).getFileHandle('31.txt');
      window.held = await handle.createWritable({ keepExistingData: true });
    });
    const { bytesReceived } = await syncing.progress(page);
    await rename(onHost('old'), onHost('new'));
    for (const name of names) await syncing.untilOnDisk(page, `new/${name}`, `text of ${name}`);
    const named = async () => (await syncing.progress(page)).problems.map(({ path: name }) => name);
    await eventually('the file that is held is named', async () => (await named()).some((name) => name.endsWith('31.txt')));
    await page.evaluate(() => window.held.abort());
    const tree = await syncing.untilEqual(page, runtime);
    assert.deepEqual(Object.keys(tree).filter((name) => name.startsWith('old')), []);
    assert.equal((await syncing.progress(page)).bytesReceived, bytesReceived);
    assert.deepEqual(await named(), []);
  });

  test('what does not fit on the disk is named with its reason, everything else goes on, and it follows when there is room', async () => {
    const { runtime, site, onHost } = await start();
    // In memory, Chromium lets a file grow beyond the quota.
    const { context, close } = await browsing.launchOnDisk();
    opened.push(close);
    const page = await syncing.openTab(context, site);
    await syncing.untilState(page, 'synced');
    const session = await context.newCDPSession(page);
    const { usage } = await page.evaluate(() => navigator.storage.estimate());
    await session.send('Storage.overrideQuotaForOrigin', { origin: site.origin, quotaSize: usage + (4 << 20) });
    await writeFile(onHost('large.bin'), Buffer.alloc(16 << 20, 'content that is not all alike '));
    await writeFile(onHost('small.txt'), 'fits');
    await syncing.untilOnDisk(page, 'small.txt', 'fits');
    let last;
    const named = async () => {
      last = await syncing.progress(page);
      return last.problems.find((problem) => problem.path === 'large.bin');
    };
    const problem = await eventually('the file is named', named, 20_000).catch((error) => {
      throw new Error(`${error.message}; it is ${JSON.stringify(last)}`);
    });
    assert.match(problem.reason, /does not fit/);
    const told = async () => JSON.stringify(await syncing.command(runtime, 'sync', 'status'));
    await eventually('the host names it too', async () => /large\.bin.*does not fit/.test(await told()));
    await writeFile(onHost('later.txt'), 'goes on');
    await syncing.untilOnDisk(page, 'later.txt', 'goes on');
    await unlink(onHost('small.txt'));
    await syncing.untilOnDisk(page, 'small.txt', undefined);
    await session.send('Storage.overrideQuotaForOrigin', { origin: site.origin });
    await syncing.untilEqual(page, runtime, 60_000);
  });
});
