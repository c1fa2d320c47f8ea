// Several tabs of one browser, several browsers, and the host.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, beforeEach, afterEach, describe, test } from 'node:test';
import * as browsing from './support/browser.mjs';
import { Runtime } from './support/runtime.mjs';
import { SUITE_TIMEOUT } from './support/settings.mjs';
import * as syncing from './support/sync.mjs';
import { eventually } from './support/waiting.mjs';

describe('sync of several tabs', { timeout: SUITE_TIMEOUT }, () => {
  let browser, runtime, site, context, leader, follower;

  before(async () => {
    browser = await browsing.launchBrowser();
  });
  after(() => browser?.close());
  beforeEach(async () => {
    runtime = await Runtime.start();
    site = await syncing.startSite(runtime.port);
    await syncing.command(runtime, 'origins', 'allow', site.origin);
    context = await browser.newContext();
    leader = await syncing.openTab(context, site);
    await syncing.untilState(leader, 'synced');
    follower = await syncing.openTab(context, site);
    await syncing.untilState(follower, 'synced');
    assert.deepEqual([(await syncing.progress(leader)).leads, (await syncing.progress(follower)).leads], [true, false]);
  });
  afterEach(async () => {
    await context?.close();
    await runtime?.remove();
    await site?.close();
  });

  const onHost = (name) => path.join(runtime.workspace, name);
  const write = (page, name, text) => page.evaluate(([place, content]) => window.disk.write(place, content), [name, text]);
  const untilLeads = (page) => eventually('the other tab leads', async () => (await syncing.progress(page)).leads, 40_000);

  async function bothDirectionsWork(page, mark) {
    await writeFile(onHost(`host-${mark}.txt`), mark);
    await syncing.untilOnDisk(page, `host-${mark}.txt`, mark);
    await write(page, `tab-${mark}.txt`, mark);
    await syncing.untilOnHost(runtime.workspace, `tab-${mark}.txt`, mark);
  }

  test('one leads, the other hears of it; when the leader is closed the other goes on as the same replica', async () => {
    const replicas = async () => (await syncing.command(runtime, 'sync', 'status')).replicas.length;
    await bothDirectionsWork(follower, 'one');
    assert.equal(await replicas(), 1);
    await leader.close();
    await untilLeads(follower);
    await bothDirectionsWork(follower, 'two');
    assert.equal(await replicas(), 1);
  });

  test('when the leading tab crashes the other goes on', async () => {
    const session = await context.newCDPSession(leader);
    void session.send('Page.crash').catch(() => undefined);
    await untilLeads(follower);
    await bothDirectionsWork(follower, 'after the crash');
  });

  test('a leading tab that the browser freezes goes on, or another does', async () => {
    const session = await context.newCDPSession(leader);
    await session.send('Page.setWebLifecycleState', { state: 'frozen' });
    await bothDirectionsWork(follower, 'while it is frozen');
    await session.send('Page.setWebLifecycleState', { state: 'active' });
    await bothDirectionsWork(leader, 'afterwards');
    await syncing.untilEqual(follower, runtime);
  });

  test('the lead is taken from a tab whose worker hangs, and nothing is lost when it wakes up', async () => {
    const [worker] = leader.workers();
    const hangs = worker.evaluate(() => {
      const end = performance.now() + 40_000;
      while (performance.now() < end);
      return true;
    });
    await writeFile(onHost('while-it-hangs.txt'), 'host');
    await untilLeads(follower);
    await syncing.untilOnDisk(follower, 'while-it-hangs.txt', 'host');
    await write(follower, 'from-the-tab.txt', 'tab');
    await syncing.untilOnHost(runtime.workspace, 'from-the-tab.txt', 'tab');
    await hangs;
    await eventually('it no longer leads', async () => !(await syncing.progress(leader)).leads);
    await bothDirectionsWork(leader, 'awake');
    assert.equal((await syncing.progress(follower)).leads, true);
    await syncing.untilEqual(follower, runtime);
  });

  test('what one tab pauses is paused in all, and stays so when the lead passes on', async () => {
    await follower.evaluate(() => window.sync.pause());
    await syncing.untilState(leader, 'paused');
    const third = await syncing.openTab(context, site);
    await syncing.untilState(third, 'paused');
    await writeFile(onHost('paused.txt'), 'host');
    await leader.close();
    await follower.close();
    await untilLeads(third);
    await syncing.untilState(third, 'paused');
    assert.equal(await syncing.textOnDisk(third, 'paused.txt'), undefined);
    await third.evaluate(() => window.sync.resume());
    await syncing.untilOnDisk(third, 'paused.txt', 'host');
  });

  test('a stopped tab leaves it to the other', async () => {
    await leader.evaluate(() => window.sync.stop());
    await untilLeads(follower);
    await syncing.untilState(leader, 'stopped');
    await bothDirectionsWork(follower, 'stopped');
  });

  test('two browsers and the host edit one file: all three texts stay, everywhere', async () => {
    const further = await browser.newContext();
    try {
      const other = await syncing.openTab(further, site);
      await syncing.untilState(other, 'synced');
      await writeFile(onHost('notes.txt'), 'base');
      await syncing.untilOnDisk(leader, 'notes.txt', 'base');
      await syncing.untilOnDisk(other, 'notes.txt', 'base');
      for (const page of [leader, other]) {
        await page.evaluate(() => window.sync.pause());
        await syncing.untilState(page, 'paused');
      }
      await writeFile(onHost('notes.txt'), 'the host');
      await write(leader, 'notes.txt', 'one browser');
      await write(other, 'notes.txt', 'another browser');
      for (const page of [leader, other]) await page.evaluate(() => window.sync.resume());
      const isWhole = async () => {
        const trees = [await syncing.untilEqual(leader, runtime), await syncing.untilEqual(other, runtime)];
        return Object.keys(trees[0]).length === 3 && JSON.stringify(trees[0]) === JSON.stringify(trees[1]) && trees[0];
      };
      const names = Object.keys(await eventually('all have three files', isWhole, 30_000));
      const texts = await Promise.all(names.map((name) => syncing.textOnHost(runtime.workspace, name)));
      assert.deepEqual(texts.toSorted(), ['another browser', 'one browser', 'the host']);
      assert.equal((await syncing.command(runtime, 'sync', 'status')).replicas.length, 2);
    } finally {
      await further.close();
    }
  });
});
