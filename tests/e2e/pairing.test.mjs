// A page that asks, and each answer a person can give in the console: no, files only, this once.

import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import * as browsing from './support/browser.mjs';
import { command, openConsole } from './support/console.mjs';
import { Runtime } from './support/runtime.mjs';
import { startPageServer } from './support/servers.mjs';
import { SUITE_TIMEOUT } from './support/settings.mjs';
import { within } from './support/waiting.mjs';

const POLICY_VIOLATION = 1008;
const SPAWN = { type: 'spawn', id: 'spawn', processType: 'node', command: '-e', args: ["require('fs').writeFileSync('ran', '')"], options: { cwd: '/' } };
const PUSH = { type: 'fsync', id: 'push', operation: 'push', files: [{ path: '/pushed', kind: 'file', content: [109], mtime: 0 }] };

describe('pairing in the console', { timeout: SUITE_TIMEOUT }, () => {
  let browser, runtime, server, consolePage, visitor;

  before(async () => {
    browser = await browsing.launchBrowser();
  });
  after(async () => {
    await browser?.close();
  });
  // Each answer on a runtime and from an origin that nothing was said about.
  beforeEach(async () => {
    runtime = await Runtime.start();
    server = await startPageServer();
    consolePage = await openConsole(browser, runtime);
    visitor = await browsing.openPage(browser, `${server.origin}/`);
    await visit();
  });
  afterEach(async () => {
    await visitor?.context().close();
    await consolePage?.context().close();
    await server?.close();
    await runtime?.remove();
  });

  // Opens a socket and asks for a file to be written, then for a program.
  async function visit() {
    assert.equal(await browsing.tryToOpen(visitor, runtime.address), 'open');
    await visitor.evaluate((frames) => {
      window.goodbye = new Promise((resolve) => window.socket.addEventListener('close', ({ code, reason }) => resolve({ code, reason })));
      for (const frame of frames) window.socket.send(JSON.stringify(frame));
    }, [PUSH, SPAWN]);
  }

  // What is in the workspace, but for the runtime's own folder.
  const files = async () => (await readdir(runtime.workspace)).filter((name) => name !== '.mhnos-sync');

  async function answer(name) {
    const needs = consolePage.getByRole('region', { name: 'Needs you' });
    await needs.getByText(server.origin).waitFor();
    assert.deepEqual(await files(), [], 'nothing is done before the answer');
    await needs.getByRole('button', { name, exact: true }).click();
    await needs.waitFor({ state: 'detached' });
  }

  async function received(id) {
    await browsing.until(visitor, (wanted) => window.received.some((message) => message.id === wanted), id);
    return visitor.evaluate((wanted) => window.received.find((message) => message.id === wanted), id);
  }

  const closed = () => within(15_000, 'the socket is closed', visitor.evaluate(() => window.goodbye));
  const standing = async () => (await command(runtime, 'origins', 'list')).find(({ origin }) => origin === server.origin);

  test('Deny: the socket is closed, what waited is dropped, and nobody is asked again', async () => {
    await answer('Deny');
    const { code, reason } = await closed();
    assert.equal(code, POLICY_VIOLATION);
    assert.match(reason, /origins allow/);
    // Coming back is no use: the handshake is all it gets.
    assert.equal(await browsing.tryToOpen(visitor, runtime.address), 'open');
    await browsing.until(visitor, () => window.socket.readyState === WebSocket.CLOSED);
    assert.deepEqual(await visitor.evaluate(() => window.received), [], 'not even greeted');
    assert.equal(await consolePage.getByRole('region', { name: 'Needs you' }).count(), 0);
    assert.equal((await standing()).state, 'denied');
    const asked = (await command(runtime, 'audit')).filter(({ event }) => event === 'asked');
    assert.equal(asked.length, 1, 'asked once');
    assert.deepEqual(await files(), []);
  });

  test('Files only: the file is written, the program is refused with what to do, also after a restart', async () => {
    await answer('Files only');
    assert.equal((await received('push')).type, 'fsyncResult');
    const refused = await received('spawn');
    assert.equal(refused.type, 'error');
    assert.ok(refused.error.includes(`origins allow ${server.origin}`), refused.error);
    assert.deepEqual(await files(), ['pushed']);
    await runtime.stop();
    await closed();
    await runtime.launch();
    await visit();
    assert.equal((await received('spawn')).type, 'error');
    const { state, access } = await standing();
    assert.deepEqual({ state, access }, { state: 'allowed', access: 'files' });
    assert.equal(JSON.parse((await runtime.health()).body).processes.totalSpawned, 0);
  });

  test('Allow once: both are done, and the next runtime asks again', async () => {
    await answer('Allow once');
    // The two are done side by side: neither waits for the other.
    assert.equal((await received('push')).type, 'fsyncResult');
    assert.equal((await received('spawn')).type, 'spawned');
    assert.equal(await readFile(path.join(runtime.workspace, 'pushed'), 'utf8'), 'm');
    assert.equal((await standing()).state, 'allowedOnce');
    await runtime.stop();
    await closed();
    await runtime.launch();
    await visit();
    await browsing.until(visitor, () => window.received.length > 0);
    assert.equal((await standing()).state, 'waiting');
    assert.equal(JSON.parse((await runtime.health()).body).processes.totalSpawned, 0);
  });
});
