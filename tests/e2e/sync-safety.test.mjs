// What must not cost anybody a line: cleared site data, kill -9, an emptied folder, a page nobody has allowed.

import assert from 'node:assert/strict';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, beforeEach, afterEach, describe, test } from 'node:test';
import * as browsing from './support/browser.mjs';
import { Runtime } from './support/runtime.mjs';
import { SUITE_TIMEOUT } from './support/settings.mjs';
import * as syncing from './support/sync.mjs';
import { eventually } from './support/waiting.mjs';

describe('sync loses nothing', { timeout: SUITE_TIMEOUT }, () => {
  let browser, runtime, site, context, page;

  before(async () => {
    browser = await browsing.launchBrowser();
  });
  after(() => browser?.close());
  beforeEach(async () => {
    runtime = await Runtime.start();
    site = await syncing.startSite(runtime.port);
    context = await browser.newContext();
  });
  afterEach(async () => {
    await context?.close();
    await runtime?.remove();
    await site?.close();
  });

  const onHost = (name) => path.join(runtime.workspace, name);
  const write = (name, text) => page.evaluate(([place, content]) => window.disk.write(place, content), [name, text]);

  async function open() {
    await syncing.command(runtime, 'origins', 'allow', site.origin);
    page = await syncing.openTab(context, site);
    await syncing.untilState(page, 'synced');
  }

  test('the one line of a page nobody has allowed works as soon as a person allows it', async () => {
    await writeFile(onHost('secret.txt'), 'the host');
    page = await syncing.openTab(context, site);
    const waiting = async () => (await syncing.command(runtime, 'origins', 'pending')).some(({ origin }) => origin === site.origin);
    await eventually('the page is asked about', waiting);
    assert.equal(await page.evaluate(() => window.sync), undefined, 'it has not even the script');
    await syncing.command(runtime, 'origins', 'allow', site.origin);
    await syncing.untilOnDisk(page, 'secret.txt', 'the host');
  });

  test('the one line works as well when the page was denied before, or the runtime not there', async () => {
    await syncing.command(runtime, 'origins', 'deny', site.origin);
    const refused = context.waitForEvent('requestfailed');
    page = await syncing.openTab(context, site);
    await refused;
    await runtime.stop();
    await context.waitForEvent('requestfailed');
    await runtime.launch();
    await writeFile(onHost('later.txt'), 'the host');
    await syncing.command(runtime, 'origins', 'allow', site.origin);
    await syncing.untilOnDisk(page, 'later.txt', 'the host');
  });

  test('a page that is revoked is cut off, and says so', async () => {
    await open();
    await syncing.command(runtime, 'origins', 'revoke', site.origin);
    const cut = async () => ['offline', 'waiting'].includes((await syncing.progress(page)).state);
    await eventually('it is cut off', cut);
    await writeFile(onHost('secret.txt'), 'the host');
    const waits = async () => /allow/.test((await syncing.progress(page)).reason);
    await eventually('it says what to do', waits, 20_000);
    assert.equal(await syncing.textOnDisk(page, 'secret.txt'), undefined);
    await syncing.command(runtime, 'origins', 'allow', site.origin);
    await syncing.untilOnDisk(page, 'secret.txt', 'the host', 30_000);
  });

  test('cleared site data is a new replica that joins by union: nothing is deleted on the host', async () => {
    await open();
    for (let number = 0; number < 50; number += 1) await writeFile(onHost(`file-${number}.txt`), `text ${number}`);
    const tree = await syncing.untilEqual(page, runtime);
    const session = await context.newCDPSession(page);
    await session.send('Storage.clearDataForOrigin', { origin: site.origin, storageTypes: 'file_systems' });
    const isBack = async () => {
      const now = await syncing.untilEqual(page, runtime, 20_000);
      return JSON.stringify(now) === JSON.stringify(tree);
    };
    await eventually('all of it is back in the browser', isBack, 40_000);
    assert.equal((await readdir(runtime.workspace)).filter((name) => name.startsWith('file-')).length, 50);
    await write('file-7.txt', 'and it goes on');
    await syncing.untilOnHost(runtime.workspace, 'file-7.txt', 'and it goes on');
  });

  test('an emptied workspace halts it: nothing is deleted in the browser until a person says so', async () => {
    await open();
    for (let number = 0; number < 30; number += 1) await writeFile(onHost(`file-${number}.txt`), `text ${number}`);
    await syncing.untilEqual(page, runtime);
    await Promise.all(Array.from({ length: 30 }, (_, number) => rm(onHost(`file-${number}.txt`))));
    const { reason } = await syncing.untilState(page, 'halted');
    assert.ok(reason.length > 20, reason);
    assert.equal(await syncing.textOnDisk(page, 'file-29.txt'), 'text 29');
    await page.evaluate(() => window.sync.confirm('restore'));
    await syncing.untilOnHost(runtime.workspace, 'file-29.txt', 'text 29');
    assert.equal(Object.keys(await syncing.untilEqual(page, runtime)).length, 30);
  });

  test('kill -9 of the runtime at any moment, again and again, loses nothing', async () => {
    await open();
    const rounds = 6;
    const texts = new Map();
    for (let round = 0; round < rounds; round += 1) {
      await mkdir(onHost(`host-${round}`));
      const fromHost = Array.from({ length: 120 }, (_, number) => [`host-${round}/${number}.txt`, `host ${round} ${number} `.repeat(400)]);
      const fromPage = Array.from({ length: 120 }, (_, number) => [`page-${round}/${number}.txt`, `page ${round} ${number} `.repeat(400)]);
      for (const [name, text] of [...fromHost, ...fromPage]) texts.set(name, text);
      const writing = page.evaluate(async (files) => {
        for (const [name, text] of files) await window.disk.write(name, text);
      }, fromPage);
      for (const [name, text] of fromHost) await writeFile(onHost(name), text);
      // A little further each time: some of it went, some is on its way, some was not begun.
      const some = async () => Object.keys(await syncing.hostTree(runtime.workspace)).filter((name) => name.startsWith(`page-${round}/`)).length;
      await eventually('it is in the midst of it', async () => (await some()) >= round * 20, 20_000);
      await runtime.kill();
      await writing;
      await runtime.launch();
    }
    await syncing.untilEqual(page, runtime, 60_000);
    for (const [name, text] of texts) assert.equal(await syncing.textOnHost(runtime.workspace, name), text, name);
  });
});
