// Attacks by web pages that the runtime refuses at the door, in a real Chromium.
//
// Each is made twice: at a server that lets everything in, which shows that the browser itself does not stop the
// attack, and at the runtime.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import * as browsing from './support/browser.mjs';
import { handshakeStatus, request, Runtime } from './support/runtime.mjs';
import { startOpenDoor, startPageServer } from './support/servers.mjs';
import { SUITE_TIMEOUT } from './support/settings.mjs';

const REBOUND_HOST = 'evil.test';

describe('attacks refused at the door', { timeout: SUITE_TIMEOUT }, () => {
  let pageServer, openDoor, runtime, browser;

  before(async () => {
    pageServer = await startPageServer();
    openDoor = await startOpenDoor();
    runtime = await Runtime.start({ allowedOrigins: [pageServer.origin] });
    browser = await browsing.launchBrowser({
      further: [
        `--host-resolver-rules=MAP ${REBOUND_HOST} 127.0.0.1`,
        // Chromium's own guard is off: other browsers have none, and it would hide what the runtime does.
        '--disable-features=LocalNetworkAccessChecks',
      ],
    });
  });
  after(async () => {
    await browser?.close();
    await runtime?.remove();
    await openDoor?.close();
    await pageServer?.close();
  });

  // The socket opens at the open door, showing `seen` there, and does not open at the runtime.
  async function assertRefused(frame, host, seen) {
    assert.equal(await browsing.tryToOpen(frame, `ws://${host}:${openDoor.port}`), 'open');
    assert.deepEqual(openDoor.handshakes.at(-1), { host: `${host}:${openDoor.port}`, ...seen });
    assert.equal(await browsing.tryToOpen(frame, `ws://${host}:${runtime.port}`), 'closed');
    assert.deepEqual(await frame.evaluate(() => window.received), [], 'not even greeted');
    await assertAllowedPageIsServed();
  }

  // A runtime that had ended would refuse everything as well.
  async function assertAllowedPageIsServed() {
    const page = await browsing.openConnectedPage(browser, pageServer, runtime);
    await page.context().close();
  }

  test('origin null: sandboxed frame, even in an allowed page', async () => {
    const page = await browsing.openPage(browser, pageServer.origin);
    await page.evaluate(() => {
      const frame = document.createElement('iframe');
      frame.sandbox = 'allow-scripts';
      frame.srcdoc = '<title>sandboxed</title>';
      document.body.append(frame);
      return new Promise((resolve) => frame.addEventListener('load', resolve));
    });
    await assertRefused(page.frames()[1], 'localhost', { origin: 'null' });
    await page.context().close();
  });

  test('origin null: data: page', async () => {
    const page = await browsing.openPage(browser, 'data:text/html,<title>data</title>');
    await assertRefused(page, 'localhost', { origin: 'null' });
    await page.context().close();
  });

  test('origin null: file: page', async () => {
    const file = path.join(runtime.folder, 'page.html');
    await writeFile(file, '<title>file</title>');
    const page = await browsing.openPage(browser, `file://${file}`);
    await assertRefused(page, 'localhost', { origin: 'null' });
    await page.context().close();
  });

  test('DNS rebinding: a name that leads to this machine', async () => {
    const origin = `http://${REBOUND_HOST}:${pageServer.port}`;
    const page = await browsing.openPage(browser, origin);
    await assertRefused(page, REBOUND_HOST, { origin });
    // The page of the rebound name and the runtime's port would be of one origin: nothing is served there.
    const target = `http://${REBOUND_HOST}:${runtime.port}/health`;
    const answered = page.waitForResponse(target);
    // Chromium calls it a failure to navigate when a refusal has no body.
    await page.goto(target).catch(() => {});
    assert.equal((await answered).status(), 403);
    await page.context().close();
  });

  test('0.0.0.0 as the host, from an allowed page', async () => {
    const page = await browsing.openPage(browser, pageServer.origin);
    await assertRefused(page, '0.0.0.0', { origin: pageServer.origin });
    await page.context().close();
  });

  test('reading /health from a page, even an allowed one', async () => {
    const page = await browsing.openPage(browser, pageServer.origin);
    const readInPage = (url) => fetch(url).then((response) => response.text(), () => 'not readable');
    const read = (port) => page.evaluate(readInPage, `http://localhost:${port}/health`);
    assert.equal(await read(openDoor.port), 'open');
    assert.equal(await read(runtime.port), 'not readable');
    await page.context().close();

    const { status, headers } = await request({
      port: runtime.port,
      path: '/health',
      headers: { Origin: pageServer.origin },
    });
    assert.equal(status, 200);
    assert.deepEqual(Object.keys(headers).filter((name) => name.startsWith('access-control-')), []);
  });

  test('the handshakes behind these attacks are answered 403', async () => {
    const status = (host, origin) => handshakeStatus(runtime.port, { Host: host, Origin: origin });
    const ownHost = `localhost:${runtime.port}`;
    assert.equal(await status(ownHost, pageServer.origin), 101);
    assert.equal(await status(ownHost, 'null'), 403);
    assert.equal(await status(ownHost, 'file://'), 403);
    assert.equal(await status(`${REBOUND_HOST}:${runtime.port}`, pageServer.origin), 403);
    assert.equal(await status(`0.0.0.0:${runtime.port}`, pageServer.origin), 403);
    assert.equal(await status(`localhost:${pageServer.port}`, pageServer.origin), 403, 'the port of another program');
    assert.equal(await status('localhost', pageServer.origin), 403, 'no port, hence port 80');
  });
});
