// The page of an unmodified client against a container: what a new user does, from `docker up` to workerd. It needs a
// container engine with the image (`cargo xtask test --containers` has both), and the name mhnos-runtime.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chown, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import * as browsing from '../support/browser.mjs';
import { freePort, startPageServer } from '../support/servers.mjs';
import { SUITE_TIMEOUT, runtimeBinary } from '../support/settings.mjs';

const run = promisify(execFile);
const PERSON = 1000;

const HELLO_CONFIG = `using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [(name = "main", worker = .worker)],
  sockets = [(name = "http", address = "127.0.0.1:8080", http = (), service = "main")]
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

describe('a page and a container', { timeout: SUITE_TIMEOUT }, () => {
  let pageServer, browser, page, workspace, port;

  const inside = async (...words) => (await run('docker', ['exec', 'mhnos-runtime', ...words])).stdout;

  before(async () => {
    pageServer = await startPageServer();
    browser = await browsing.launchBrowser();
    workspace = await mkdtemp(path.join(os.tmpdir(), 'mhnos-e2e-'));
    if (process.getuid() === 0) await chown(workspace, PERSON, PERSON);
    port = await freePort();
    await run(runtimeBinary, ['docker', 'up', '--port', String(port), '--workspace', workspace]);
  });
  after(async () => {
    await browser?.close();
    await pageServer?.close();
    await run(runtimeBinary, ['docker', 'down']);
    assert.equal(await readFile(path.join(workspace, 'test-hello.js'), 'utf8'), 'console.log(`in ${process.cwd()}`);\n');
    await rm(workspace, { recursive: true, force: true });
  });

  test('health answers, and the page is let in as the log says', async () => {
    assert.equal((await (await fetch(`http://localhost:${port}/health`)).json()).status, 'ok');
    page = await browsing.openConnectedPage(browser, pageServer, { address: `ws://localhost:${port}` });
    assert.equal(await page.evaluate(() => window.mhnos.client.greeting.config.workspace), '/workspace');
    const status = page.evaluate(() => window.mhnos.client.status());
    assert.match(await inside('mhnos-runtime', 'origins', 'pending'), new RegExp(pageServer.origin));
    const { stdout } = await run('docker', ['logs', 'mhnos-runtime']);
    const [command] = /docker exec mhnos-runtime mhnos-runtime origins allow/.exec(stdout);
    const [program, ...words] = command.split(' ');
    await run(program, [...words, pageServer.origin]);
    assert.equal((await status).config.workspace, '/workspace', 'what waited is answered');
  });

  test('a pushed script runs, and its file is the person\'s', async () => {
    await browsing.writeFiles(page, { '/test-hello.js': 'console.log(`in ${process.cwd()}`);\n' });
    assert.deepEqual((await browsing.push(page)).errors, []);
    const { uid } = await stat(path.join(workspace, 'test-hello.js'));
    assert.equal(uid, (await stat(workspace)).uid);
    const pid = await browsing.spawnProcess(page, 'node', '/workspace/test-hello.js');
    await browsing.openTerminal(page, pid);
    await browsing.untilOutput(page, pid, /in \/workspace\n/);
    await browsing.untilExit(page, pid);
  });

  test('a shell, typed into, sees what was written outside', async () => {
    await writeFile(path.join(workspace, 'outside.txt'), 'from outside');
    const pid = await browsing.spawnProcess(page, 'shell', '/bin/bash');
    await browsing.openTerminal(page, pid);
    await page.locator('#terminal').focus();
    await page.keyboard.type('cat outside.txt; echo " $((6*7))"');
    await page.keyboard.press('Enter');
    await browsing.untilOutput(page, pid, /from outside 42\r\n/);
    await page.keyboard.type('exit');
    await page.keyboard.press('Enter');
    await browsing.untilExit(page, pid);
  });

  test('workerd serves the configuration, to programs beside it', async () => {
    await browsing.writeFiles(page, { '/hello.capnp': HELLO_CONFIG, '/hello.js': HELLO_WORKER });
    assert.deepEqual((await browsing.push(page)).errors, []);
    const worker = await browsing.spawnProcess(page, 'workerd', '/workspace/hello.capnp');
    await browsing.openTerminal(page, worker);
    const fetching = 'curl -s --retry 40 --retry-connrefused --retry-delay 1 http://127.0.0.1:8080/';
    const pid = await browsing.spawnProcess(page, 'shell', '/bin/bash', ['-c', fetching]);
    await browsing.openTerminal(page, pid);
    await browsing.untilOutput(page, pid, /Hello from Workerd!/, 60_000);
    await page.evaluate((wanted) => window.mhnos.client.kill(wanted), worker);
  });
});
