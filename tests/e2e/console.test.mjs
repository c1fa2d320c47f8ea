// The console, as a person of this machine uses it: programs, a terminal, pages that ask, logs, files, the doctor.

import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, beforeEach, afterEach, describe, test } from 'node:test';
import * as browsing from './support/browser.mjs';
import { command, go, openConsole, startProcess, terminalText, type } from './support/console.mjs';
import { Runtime, request } from './support/runtime.mjs';
import { startPageServer } from './support/servers.mjs';
import { SUITE_TIMEOUT } from './support/settings.mjs';
import { eventually } from './support/waiting.mjs';

const SERVER = "require('node:http').createServer((_, answer) => answer.end()).listen(0, '127.0.0.1', () => console.log('listening'));\n";
const STUBBORN =
  "for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => console.log('not yet')); setInterval(() => {}, 1000); console.log('ready');\n";

describe('console', { timeout: SUITE_TIMEOUT }, () => {
  let runtime, browser, page;

  before(async () => {
    runtime = await Runtime.start();
    browser = await browsing.launchBrowser();
    await writeFile(path.join(runtime.workspace, 'server.js'), SERVER);
    await writeFile(path.join(runtime.workspace, 'stubborn.js'), STUBBORN);
  });
  after(async () => {
    await browser?.close();
    await runtime?.remove();
  });
  beforeEach(async () => {
    page = await openConsole(browser, runtime);
  });
  afterEach(async () => {
    const { problems } = page;
    await page.context().close();
    assert.deepEqual(problems, [], 'the page had errors');
  });

  test('its page may load and run nothing but its own files', async () => {
    const { status, headers, body } = await request({ port: runtime.port, headers: { Host: `localhost:${runtime.port}` } });
    assert.equal(status, 200);
    const policy = headers['content-security-policy'];
    assert.match(policy, /default-src 'none'; script-src 'self';/);
    assert.match(policy, /frame-ancestors 'none'/);
    assert.equal(headers['x-content-type-options'], 'nosniff');
    assert.equal(headers['x-frame-options'], 'DENY');
    assert.doesNotMatch(body, /<script(?![^>]*\bsrc=)/, 'no inline script');
    const script = /src="(\/assets\/[^"]+\.js)"/.exec(body)[1];
    const answer = await request({ port: runtime.port, path: script, headers: { Host: `localhost:${runtime.port}` } });
    assert.deepEqual([answer.status, answer.headers['x-content-type-options']], [200, 'nosniff']);
    const missing = await request({ port: runtime.port, path: '/assets/none.js', headers: { Host: `localhost:${runtime.port}` } });
    assert.equal(missing.status, 404);
  });

  test('the ticket leaves the address, is good once, and a reload needs no other', async () => {
    assert.doesNotMatch(page.url(), /ticket/);
    await page.reload();
    await page.getByRole('status').filter({ hasText: /Running|Needs you/ }).waitFor();
    const stranger = await browser.newContext();
    try {
      const bare = await stranger.newPage();
      await bare.goto(`http://localhost:${runtime.port}/`);
      await bare.getByText('Open this page with a ticket').waitFor();
      assert.equal(await bare.getByRole('navigation').count(), 0);
    } finally {
      await stranger.close();
    }
  });

  test('the overview says what holds, and updates in place', async () => {
    await page.getByRole('region', { name: 'State' }).getByText('sandbox: strict').waitFor();
    const tile = page.getByRole('button', { name: /Processes \d+ running/ });
    await tile.waitFor();
    const count = async () => Number(/(\d+) running/.exec(await tile.textContent())[1]);
    const before = await count();
    const { pid } = await command(runtime, 'spawn', 'node', '-d', 'server.js');
    await eventually('the tile counts it', async () => (await count()) === before + 1);
    await page.getByRole('region', { name: 'Lately' }).getByText('node server.js started by a local program').first().waitFor();
    await command(runtime, 'kill', String(pid));
    await eventually('the tile counts it no more', async () => (await count()) === before);
  });

  test('a process is started, seen with its port, filtered, and killed', async () => {
    await go(page, 'Processes');
    const pid = await startProcess(page, 'node', 'server.js');
    const row = page.getByRole('row').filter({ hasText: String(pid) });
    await row.getByRole('link', { name: /^\d+$/ }).waitFor();
    assert.match(await terminalText(page, /listening/), /listening/);
    await page.getByRole('searchbox', { name: 'Filter processes' }).fill('no such program');
    await page.getByText('No process matches').waitFor();
    await page.getByRole('searchbox', { name: 'Filter processes' }).fill(`server ${pid}`);
    await row.getByRole('button', { name: `Kill ${pid}` }).click();
    await page.getByText(`node server.js (${pid}) was ended`).waitFor();
    const { processes } = await command(runtime, 'ps');
    assert.ok(!processes.some((process) => process.pid === pid && !process.exit), 'it is gone from the runtime');
    await page.getByRole('searchbox', { name: 'Filter processes' }).fill('');
    await page.getByRole('button', { name: /^Ended/ }).click();
    await row.getByText('it was asked to end').waitFor();
  });

  test('a program that does not end when asked is forced', async () => {
    await go(page, 'Processes');
    const pid = await startProcess(page, 'node', 'stubborn.js');
    await terminalText(page, /ready/);
    const drawer = page.getByRole('region', { name: `Process ${pid}` });
    await drawer.getByRole('button', { name: `Kill ${pid}` }).click();
    await terminalText(page, /not yet/);
    await drawer.getByRole('button', { name: `Force kill ${pid}` }).click();
    await drawer.getByText(/by SIGKILL/).first().waitFor();
  });

  test('a process is started anew with what it was started with', async () => {
    await go(page, 'Processes');
    const pid = await startProcess(page, 'node', 'server.js --port 7');
    await terminalText(page, /listening/);
    await page.getByRole('region', { name: `Process ${pid}` }).getByRole('button', { name: 'Restart' }).click();
    const next = page.getByRole('region', { name: /^Process \d+$/ }).filter({ hasNotText: String(pid) });
    await next.getByText('node server.js --port 7').waitFor();
    const { processes } = await command(runtime, 'ps');
    const running = processes.filter(({ args, exit }) => args.includes('7') && !exit);
    assert.equal(running.length, 1);
    assert.notEqual(running[0].pid, pid);
    await command(runtime, 'kill', String(running[0].pid));
  });

  test('a terminal: typing, its size, searching, and it goes on after a lost socket', async () => {
    await go(page, 'Processes');
    await page.getByRole('button', { name: 'New shell' }).first().click();
    await terminalText(page, /[$#] $/m);
    await type(page, 'echo $((6*7))');
    await terminalText(page, /^42$/m);
    await type(page, 'stty size');
    const [, columns] = /^(?:\d+) (\d+)$/m.exec(await terminalText(page, /^\d+ \d+$/m));
    assert.ok(Number(columns) > 80, `the terminal has ${columns} columns, not those it is shown with`);

    await page.evaluate(() => window.sockets.at(-1).close());
    await browsing.until(page, () => window.sockets.length > 1 && window.sockets.at(-1).readyState === WebSocket.OPEN);
    await page.getByRole('status').filter({ hasText: /Running|Needs you/ }).waitFor();
    await type(page, 'for i in 1 2 3; do echo line-$i; sleep 0.2; done');
    await terminalText(page, /^line-3$/m);
    await page.getByRole('button', { name: 'Search in the output' }).click();
    await page.getByRole('textbox', { name: 'Search in the output' }).fill('line-2');
    await page.keyboard.press('Escape');
    await page.getByRole('textbox', { name: 'Search in the output' }).waitFor({ state: 'detached' });
  });

  test('a terminal: a flood ends with all the lines it remembers, one after the other', async () => {
    const running = async () => (await command(runtime, 'ps')).processes.length;
    const before = await running();
    await go(page, 'Processes');
    await page.getByRole('button', { name: 'New shell' }).first().click();
    await terminalText(page, /[$#] $/m);
    await type(page, 'seq 3000000; echo the-end');
    await terminalText(page, /^2999998\n2999999\n3000000\nthe-end$/m, 60_000);
    for (let pages = 0; pages < 1000; pages++) await page.keyboard.press('Shift+PageUp');
    const first = await terminalText(page, /^2989\d{3}\n/);
    const numbers = first.trimEnd().split('\n').map(Number);
    assert.deepEqual(numbers, numbers.map((_, at) => numbers[0] + at));
    // Left in its midst it is drawn no more; what goes wrong then is among the page's problems.
    await type(page, 'timeout 2 yes; exit');
    await terminalText(page, /^y\ny$/m);
    await go(page, 'Overview');
    await eventually('the shell has ended', async () => (await running()) === before);
  });

  test('a page that waits is answered, limited and revoked', async () => {
    const server = await startPageServer();
    try {
      const visitor = await browsing.openPage(browser, `${server.origin}/`);
      await browsing.tryToOpen(visitor, runtime.address);
      await visitor.evaluate(() => window.socket.send(JSON.stringify({ type: 'status', id: 1 })));
      const needs = page.getByRole('region', { name: 'Needs you' });
      await needs.getByText(server.origin).waitFor();
      await needs.getByRole('button', { name: 'Allow', exact: true }).click();
      await browsing.until(visitor, () => window.received.some(({ type }) => type === 'status'));

      await go(page, 'Connections');
      const known = page.getByRole('article', { name: server.origin });
      await known.getByText('1 connection').waitFor();
      await visitor.evaluate(() =>
        window.socket.send(JSON.stringify({ type: 'spawn', id: 2, processType: 'shell', command: '/bin/sh' })),
      );
      await known.getByText(/runs sh/).waitFor();
      await known.getByRole('button', { name: 'Revoke' }).click();
      const question = page.getByRole('dialog', { name: `Revoke ${server.origin}?` });
      await question.getByText('1 program it started will be ended: sh').waitFor();
      await question.getByRole('button', { name: 'Revoke and end 1' }).click();
      await browsing.until(visitor, () => window.socket.readyState === WebSocket.CLOSED);
      // The socket is closed at once; a program is asked to end, and may take its time.
      const isOver = async () => {
        const { processes } = await command(runtime, 'ps');
        return !processes.some(({ origin, exit }) => origin === server.origin && !exit);
      };
      await eventually('what it started has ended', isOver);
      await page.getByRole('region', { name: 'Audit log' }).getByText(`revoked ${server.origin}`).waitFor();
      await visitor.context().close();
    } finally {
      await server.close();
    }
  });

  test('logs: the runtime and a program, filtered and exported', async () => {
    await go(page, 'Processes');
    const script = "for (let i = 0; i < 50; i++) console.log(`printed ${i}`); console.error('to errors'); setInterval(() => {}, 1000);\n";
    await writeFile(path.join(runtime.workspace, 'chatty.js'), script);
    const { pid } = await command(runtime, 'spawn', 'node', '-d', 'chatty.js');
    await go(page, 'Logs');
    const log = page.getByRole('log', { name: 'Log lines' });
    await page.getByRole('combobox', { name: 'Source' }).selectOption(String(pid));
    await log.getByText('printed 49', { exact: true }).waitFor();
    await page.getByRole('combobox', { name: 'Level' }).selectOption('warn');
    await log.getByText('to errors').waitFor();
    await eventually('only errors are shown', async () => (await log.getByText('printed').count()) === 0);
    await page.getByRole('combobox', { name: 'Level' }).selectOption('all');
    await page.getByRole('searchbox', { name: 'Search in the logs' }).fill('printed 7');
    await eventually('the search finds one line', async () => (await log.getByText(/printed/).count()) === 1);
    const download = page.waitForEvent('download');
    await page.getByRole('button', { name: 'Export what is shown' }).click();
    const saved = await readFile(await (await download).path(), 'utf8');
    assert.match(saved, new RegExp(`^\\S+ stdout ${pid} printed 7\\n$`));
    await page.getByRole('combobox', { name: 'Source' }).selectOption('runtime');
    await page.getByRole('searchbox', { name: 'Search in the logs' }).fill('spawned');
    await log.getByText(`pid=${pid}`).first().waitFor();
    await command(runtime, 'kill', String(pid));
  });

  test('files: what changed lately, and the rules of what is ignored', async () => {
    await writeFile(path.join(runtime.workspace, 'fresh.txt'), 'fresh\n');
    await go(page, 'Files');
    await page.getByText('fresh.txt', { exact: true }).waitFor();
    await page.getByRole('tab', { name: 'Ignored' }).click();
    await page.getByRole('textbox', { name: /Rules as in/ }).fill('*.log\n');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('The rules are saved').waitFor();
    assert.equal(await readFile(path.join(runtime.workspace, '.mhnosignore'), 'utf8'), '*.log\n');
  });

  test('the doctor says what works', async () => {
    await go(page, 'Doctor');
    await page.getByRole('listitem').filter({ hasText: 'node' }).getByText('Passed').first().waitFor({ timeout: 60_000 });
    const listed = await page.getByRole('listitem').filter({ hasText: 'workspace' }).count();
    assert.ok(listed > 0);
  });

  test('everything by keyboard: palette, filter, arrows, Esc', async () => {
    await page.keyboard.press('Control+k');
    await page.getByRole('combobox', { name: 'Search for a command' }).fill('go to proc');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { level: 1, name: 'Processes' }).waitFor();
    const { pid } = await command(runtime, 'spawn', 'node', '-d', 'server.js');
    await page.getByRole('row').filter({ hasText: String(pid) }).waitFor();
    await page.keyboard.press('/');
    await page.keyboard.type(`${pid}`);
    assert.equal(await page.getByRole('searchbox', { name: 'Filter processes' }).inputValue(), String(pid));
    await page.keyboard.press('Escape');
    assert.equal(await page.getByRole('searchbox', { name: 'Filter processes' }).inputValue(), '');
    await page.keyboard.press('ArrowDown');
    await page.getByRole('region', { name: /^Process \d+$/ }).waitFor();
    await page.getByRole('button', { name: 'Close the drawer' }).focus();
    await page.keyboard.press('Escape');
    await page.getByRole('region', { name: /^Process \d+$/ }).waitFor({ state: 'detached' });
    await page.keyboard.press('Control+k');
    await page.getByRole('combobox', { name: 'Search for a command' }).fill('kill node server');
    await page.keyboard.press('Enter');
    await page.getByText(`node server.js (${pid}) was ended`).waitFor();
  });
});
