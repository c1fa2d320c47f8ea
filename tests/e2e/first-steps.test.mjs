// What a new user does first, in that order, with the page: health, connect, run a script, attach, a shell,
// workerd.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import * as browsing from './support/browser.mjs';
import { Runtime } from './support/runtime.mjs';
import { freePort, startPageServer } from './support/servers.mjs';
import { SUITE_TIMEOUT } from './support/settings.mjs';
import { eventually } from './support/waiting.mjs';

const TEST_HELLO = `console.log("Hello from external runtime!");
console.log("Node version:", process.version);
console.log("Working directory:", process.cwd());
setTimeout(() => console.log("Done!"), 1000);
`;

const helloConfig = (port) => `using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [(name = "main", worker = .worker)],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")]
);

const worker :Workerd.Worker = (
  compatibilityDate = "2025-01-01",
  compatibilityFlags = ["nodejs_compat"],
  modules = [(name = "main", esModule = embed "hello.js")]
);
`;

const HELLO_WORKER = `export default {
  async fetch(request) {
    return new Response("Hello from Workerd!");
  }
};
`;

describe('first steps', { timeout: SUITE_TIMEOUT }, () => {
  let pageServer, runtime, browser, page;

  before(async () => {
    pageServer = await startPageServer();
    runtime = await Runtime.start({ allowedOrigins: [pageServer.origin] });
    browser = await browsing.launchBrowser();
  });
  after(async () => {
    await browser?.close();
    await runtime?.remove();
    await pageServer?.close();
  });

  test('1. the runtime answers at /health', async () => {
    const { status, headers, body } = await runtime.health();
    assert.equal(status, 200);
    assert.match(headers['content-type'], /^application\/json/);
    const health = JSON.parse(body);
    assert.equal(health.status, 'ok');
    assert.equal(typeof health.uptime, 'number');
    assert.deepEqual(health.processes, { totalSpawned: 0, totalKilled: 0, active: 0 });
    const unknownPath = await fetch(`http://127.0.0.1:${runtime.port}/elsewhere`);
    assert.equal(unknownPath.status, 404);
  });

  test('2. the page connects and is greeted', async () => {
    page = await browsing.openConnectedPage(browser, pageServer, runtime);
    const greeting = await page.evaluate(() => window.mhnos.client.greeting);
    assert.equal(greeting.protocolVersion, '1.0.0');
    assert.equal(greeting.config.workspace, runtime.workspace);
    assert.equal(greeting.config.allowOpenClaw, false);
    assert.equal(typeof greeting.config.sandboxMode, 'string');

    const status = await page.evaluate(() => window.mhnos.client.status());
    assert.equal(status.config.workspace, runtime.workspace);
    assert.equal(status.config.maxProcesses, 50);
    assert.deepEqual(status.stats, { totalSpawned: 0, totalKilled: 0, active: 0 });
    assert.deepEqual(await page.evaluate(() => window.mhnos.client.list()), []);
  });

  test('3. and 4. a pushed script runs, and the terminal shows its output', async () => {
    await browsing.writeFiles(page, { '/test-hello.js': TEST_HELLO });
    const pushed = await browsing.push(page);
    assert.deepEqual([pushed.synced, pushed.failed, pushed.errors], [1, 0, []]);
    assert.equal(await readFile(path.join(runtime.workspace, 'test-hello.js'), 'utf8'), TEST_HELLO);

    const pid = await browsing.spawnProcess(page, 'node', '/workspace/test-hello.js');
    assert.equal(pid, 1000, 'the first process of a runtime has the number 1000');
    const listed = await page.evaluate(() => window.mhnos.client.list());
    assert.deepEqual(listed.map(({ pid, type, status }) => ({ pid, type, status })), [
      { pid, type: 'node', status: 'running' },
    ]);
    await browsing.openTerminalOnceDropped(page, pid, `Working directory: ${runtime.workspace}\n`);

    assert.deepEqual(await browsing.untilExit(page, pid), { code: 0, signal: null });
    const { stdout, stderr } = await browsing.session(page, pid);
    const lines = stdout.split('\n');
    assert.equal(lines[0], 'Hello from external runtime!');
    assert.match(lines[1], /^Node version: v\d+\.\d+\.\d+$/);
    assert.equal(lines[2], `Working directory: ${runtime.workspace}`);
    assert.deepEqual(lines.slice(3), ['Done!', '']);
    assert.equal(stderr, '');
    assert.deepEqual(await page.evaluate(() => window.mhnos.client.list()), [], 'only live processes are listed');
  });

  test('5. an interactive shell: typing, resizing, ending it', async () => {
    const pid = await browsing.spawnProcess(page, 'shell', '/bin/bash');
    await browsing.openTerminal(page, pid);
    const terminal = page.locator('#terminal');
    await terminal.focus();
    const type = async (line) => {
      await page.keyboard.type(line);
      await page.keyboard.press('Enter');
    };

    await type('echo $((6*7))');
    await browsing.untilOutput(page, pid, /(^|[\r\n])42\r?\n/);
    assert.match(await terminal.textContent(), /\b42\n/, 'the answer is to be seen');

    await type('stty size');
    await browsing.untilOutput(page, pid, /(^|[\r\n])30 100\r?\n/);
    await page.evaluate((shell) => window.mhnos.client.resize(shell, 91, 33), pid);
    await type('stty size');
    await browsing.untilOutput(page, pid, /(^|[\r\n])33 91\r?\n/);

    await type('echo shell-number-$$-');
    const output = await browsing.untilOutput(page, pid, /shell-number-\d+-/);
    const hostPid = Number(/shell-number-(\d+)-/.exec(output)[1]);
    assert.ok(isAlive(hostPid));
    await page.evaluate((shell) => window.mhnos.client.kill(shell), pid);
    await eventually('the shell is gone from the machine', () => !isAlive(hostPid), 15_000);
    await untilNotListed(pid);
  });

  test('6. workerd serves a pushed worker', async () => {
    const port = await freePort();
    await browsing.writeFiles(page, { '/hello.capnp': helloConfig(port), '/hello.js': HELLO_WORKER });
    const pushed = await browsing.push(page);
    assert.deepEqual(pushed.errors, []);

    const pid = await browsing.spawnProcess(page, 'workerd', '/workspace/hello.capnp');
    await browsing.openTerminal(page, pid);
    const greet = async () => (await fetch(`http://127.0.0.1:${port}/`)).text();
    const answer = await eventually('the worker answers', greet, 20_000).catch(async (error) => {
      const { stdout, stderr } = await browsing.session(page, pid);
      throw new Error(`${error.message}; workerd printed: ${stdout}${stderr}`, { cause: error.cause });
    });
    assert.equal(answer, 'Hello from Workerd!');

    await page.evaluate((worker) => window.mhnos.client.kill(worker), pid);
    await eventually('the port of the worker is closed', () => greet().then(() => false, () => true), 15_000);
    await untilNotListed(pid);
  });

  function untilNotListed(pid) {
    const listed = (wanted) => window.mhnos.client.list().then((all) => all.some((process) => process.pid === wanted));
    return eventually(`process ${pid} is not listed`, async () => !(await page.evaluate(listed, pid)), 15_000);
  }
});

function isAlive(hostPid) {
  try {
    process.kill(hostPid, 0);
    return true;
  } catch {
    return false;
  }
}
