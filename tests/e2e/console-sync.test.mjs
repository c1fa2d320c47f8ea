// The console's page Files, where sync needs a person: a conflict, an earlier version, an emptied folder.

import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, beforeEach, afterEach, describe, test } from 'node:test';
import * as browsing from './support/browser.mjs';
import { go, openConsole } from './support/console.mjs';
import { Runtime } from './support/runtime.mjs';
import { SUITE_TIMEOUT } from './support/settings.mjs';
import * as syncing from './support/sync.mjs';

describe('the console and sync', { timeout: SUITE_TIMEOUT }, () => {
  let browser, runtime, site, context, tab, page;

  before(async () => {
    browser = await browsing.launchBrowser();
  });
  after(() => browser?.close());
  beforeEach(async () => {
    runtime = await Runtime.start();
    site = await syncing.startSite(runtime.port);
    context = await browser.newContext();
    await syncing.command(runtime, 'origins', 'allow', site.origin);
    tab = await syncing.openTab(context, site);
    await syncing.untilState(tab, 'synced');
    page = await openConsole(browser, runtime);
    await go(page, 'Files');
  });
  afterEach(async () => {
    const problems = page?.problems;
    await page?.context().close();
    await context?.close();
    await runtime?.remove();
    await site?.close();
    assert.deepEqual(problems, [], 'the page had errors');
  });

  const onHost = (name) => path.join(runtime.workspace, name);
  const write = (name, text) => tab.evaluate(([place, content]) => window.disk.write(place, content), [name, text]);

  test('a conflict is compared side by side, and the side that is chosen stays', async () => {
    await writeFile(onHost('plan.txt'), 'base');
    await syncing.untilOnDisk(tab, 'plan.txt', 'base');
    await tab.evaluate(() => window.sync.pause());
    await syncing.untilState(tab, 'paused');
    await writeFile(onHost('plan.txt'), 'the host');
    await write('plan.txt', 'the browser');
    await tab.evaluate(() => window.sync.resume());

    await page.getByRole('region', { name: 'Conflicts' }).getByText('plan.txt').waitFor();
    await page.getByRole('button', { name: 'Compare' }).click();
    const sides = page.getByRole('region', { name: 'Both versions' });
    await sides.getByText('the host', { exact: true }).waitFor();
    await sides.getByText('the browser', { exact: true }).waitFor();
    const right = await sides.locator('pre').nth(1).innerText();
    await page.getByRole('button', { name: 'Keep right' }).click();

    await page.getByRole('region', { name: 'Conflicts' }).waitFor({ state: 'detached' });
    assert.deepEqual(Object.keys(await syncing.untilEqual(tab, runtime)), ['plan.txt']);
    assert.equal(await syncing.textOnHost(runtime.workspace, 'plan.txt'), right);
    assert.equal(await syncing.textOnDisk(tab, 'plan.txt'), right);
  });

  test('an earlier version is put back, on both sides', async () => {
    await writeFile(onHost('plan.txt'), 'the first');
    await syncing.untilOnDisk(tab, 'plan.txt', 'the first');
    await write('plan.txt', 'the second');
    await syncing.untilOnHost(runtime.workspace, 'plan.txt', 'the second');
    await page.getByRole('tab', { name: 'Earlier versions' }).click();
    await page.getByRole('button', { name: /^Restore plan\.txt/ }).first().click();
    await syncing.untilOnHost(runtime.workspace, 'plan.txt', 'the first');
    await syncing.untilOnDisk(tab, 'plan.txt', 'the first');
  });

  test('an emptied folder is asked about, and its files are put back', async () => {
    const names = Array.from({ length: 30 }, (_, number) => `file-${number}.txt`);
    await Promise.all(names.map((name) => writeFile(onHost(name), name)));
    await syncing.untilEqual(tab, runtime);
    await Promise.all(names.map((name) => rm(onHost(name))));
    await page.getByText('Nothing is copied until you decide.').waitFor();
    await page.getByRole('button', { name: 'Put the files back' }).click();
    await syncing.untilOnHost(runtime.workspace, 'file-29.txt', 'file-29.txt');
    await page.getByText('Nothing is copied until you decide.').waitFor({ state: 'detached' });
    assert.equal(Object.keys(await syncing.untilEqual(tab, runtime)).length, 30);
  });
});
