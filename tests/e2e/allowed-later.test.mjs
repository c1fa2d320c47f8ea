// A page that a person allows while it waits, and revokes again, from a terminal.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import * as browsing from './support/browser.mjs';
import { Runtime } from './support/runtime.mjs';
import { startPageServer } from './support/servers.mjs';
import { runtimeBinary, SUITE_TIMEOUT } from './support/settings.mjs';
import { eventually } from './support/waiting.mjs';

const run = promisify(execFile);

describe('allowed later', { timeout: SUITE_TIMEOUT }, () => {
  let pageServer, browser, runtime, page;

  before(async () => {
    pageServer = await startPageServer();
    browser = await browsing.launchBrowser();
    runtime = await Runtime.start();
    page = await browsing.openConnectedPage(browser, pageServer, runtime, { reconnectDelay: 200 });
  });
  after(async () => {
    await browser?.close();
    await runtime?.remove();
    await pageServer?.close();
  });

  async function origins(...words) {
    const { stdout } = await run(runtimeBinary, ['--state-dir', runtime.stateFolder, '--json', 'origins', ...words]);
    return JSON.parse(stdout);
  }

  // What a test wants to know of each page.
  async function standings() {
    return (await origins('list')).map(({ origin, state }) => ({ origin, state }));
  }

  test('what waits is carried out once the page is allowed, and nothing after it is revoked', async () => {
    assert.deepEqual(await standings(), [{ origin: pageServer.origin, state: 'waiting' }]);
    const asked = page.evaluate(() => window.mhnos.client.spawn('python', '-c', ['input()']));
    await page.evaluate(() => (window.mhnos.waitedFor = window.mhnos.client.list()) && undefined);
    await origins('allow', pageServer.origin);
    assert.equal(await asked, 1000, 'the request that waited was carried out');
    await page.evaluate(() => window.mhnos.waitedFor);
    assert.deepEqual(await standings(), [{ origin: pageServer.origin, state: 'allowed' }]);

    // A restart does not forget what a person said.
    await runtime.stop();
    await browsing.until(page, () => !window.mhnos.client.connected);
    await runtime.launch();
    await browsing.until(page, () => window.mhnos.client.connected);
    const pid = await page.evaluate(() => window.mhnos.client.spawn('python', '-c', ['input()']));
    await origins('revoke', pageServer.origin);
    // The client connects again, and waits again; what it had started is gone.
    const waitsAgain = async () => (await origins('list')).some(({ state }) => state === 'waiting');
    await eventually('the page waits again', waitsAgain, 20_000);
    const isEnded = async () => {
      const { stdout } = await run(runtimeBinary, ['--state-dir', runtime.stateFolder, '--json', 'ps', '--all']);
      return JSON.parse(stdout).processes.find((process) => process.pid === pid).exit !== null;
    };
    await eventually('what the page had started is ended', isEnded, 20_000);
  });
});
