// The weaknesses of the published client, and what the runtime does so that it works all the same.

import assert from 'node:assert/strict';
import { after, before, beforeEach, afterEach, describe, test } from 'node:test';
import * as browsing from './support/browser.mjs';
import { Runtime } from './support/runtime.mjs';
import { startPageServer } from './support/servers.mjs';
import { SUITE_TIMEOUT } from './support/settings.mjs';

// Prints more than one message holds, in characters of three bytes each, no two neighbours alike, so that almost
// every place where a reader may cut lies within a character. Then waits to be told to end.
const PRINTED_CHARACTERS = 70_000;
const character = (index) => String.fromCharCode(0x4e00 + (index % 20_000));
const PRINT_AND_WAIT = `const character = ${character};
process.stdout.write(Array.from({ length: ${PRINTED_CHARACTERS} }, (_, index) => character(index)).join(''));
process.stdin.once('data', (input) => {
  console.log('heard ' + String(input).trim());
  process.exit(7);
});
`;

describe('unmodified client', { timeout: SUITE_TIMEOUT }, () => {
  let pageServer, browser, runtime, page;

  before(async () => {
    pageServer = await startPageServer();
    browser = await browsing.launchBrowser();
  });
  after(async () => {
    await browser?.close();
    await pageServer?.close();
  });
  beforeEach(async () => {
    runtime = await Runtime.start({ allowedOrigins: [pageServer.origin] });
    page = await browsing.openConnectedPage(browser, pageServer, runtime, { reconnectDelay: 200 });
  });
  afterEach(async () => {
    await page?.context().close();
    await runtime?.remove();
  });

  // The documented reply, for which this client has no handler, that came before the one that settled.
  const ignoredReply = (id) =>
    page.evaluate((wanted) => window.mhnos.client.ignored.find((message) => message.id === wanted), id);

  test('a ping ends, through a status with the fields of the pong', async () => {
    const settled = await page.evaluate(() => window.mhnos.client.ping());
    assert.equal(settled.type, 'status');
    assert.equal(typeof settled.time, 'number');
    assert.deepEqual(await ignoredReply(settled.id), { ...settled, type: 'pong' });
  });

  test('a push ends, through a status with the fields of the result', async () => {
    await browsing.writeFiles(page, { '/one.txt': '1' });
    const { replies } = await browsing.push(page);
    assert.equal(replies.length, 1);
    assert.equal(replies[0].type, 'status');
    assert.equal(replies[0].operation, 'push');
    assert.deepEqual(replies[0].results, { synced: 1, failed: 0, errors: [] });
    assert.deepEqual(await ignoredReply(replies[0].id), { ...replies[0], type: 'fsyncResult' });
  });

  test('a pull ends, through a status with the files', async () => {
    await browsing.writeFiles(page, { '/one.txt': '1' });
    await browsing.push(page);
    const settled = await page.evaluate(() => window.mhnos.client.sendRequest('fsync', { operation: 'pull' }));
    assert.equal(settled.type, 'status');
    assert.deepEqual(settled.files.map(({ kind, content }) => ({ kind, content })), [{ kind: 'file', content: [49] }]);
    assert.deepEqual(await ignoredReply(settled.id), { ...settled, type: 'fsyncResult' });
  });

  test('attach gives everything that the client dropped before it', async () => {
    await browsing.writeFiles(page, { '/print.js': PRINT_AND_WAIT });
    await browsing.push(page);
    const pid = await browsing.spawnProcess(page, 'node', '/workspace/print.js');
    const printed = Array.from({ length: PRINTED_CHARACTERS }, (_, index) => character(index)).join('');
    const allDropped = ([wanted, length]) => window.mhnos.client.dropped.get(wanted)?.length >= length;
    await browsing.until(page, allDropped, [pid, printed.length]);
    await browsing.openTerminal(page, pid);
    await page.evaluate((wanted) => window.mhnos.client.write(wanted, 'the end\n'), pid);
    assert.deepEqual(await browsing.untilExit(page, pid), { code: 7, signal: null });
    const { stdout, stderr } = await browsing.session(page, pid);
    assert.equal(stderr, '');
    // Not assert.equal: nobody could read its report of a difference in 210 KB.
    const expected = `${printed}heard the end\n`;
    const wrongAt = [...expected].findIndex((letter, index) => stdout[index] !== letter);
    assert.ok(stdout === expected, `${stdout.length} of ${expected.length} characters, wrong from ${wrongAt}`);
  });

  test('a run that is over at once is seen by a client that attaches at once', async () => {
    const pid = await page.evaluate(async () => {
      const started = await window.mhnos.client.spawn('shell', '/bin/echo', ['over already']);
      await window.mhnos.openTerminal(started);
      return started;
    });
    assert.deepEqual(await browsing.untilExit(page, pid), { code: 0, signal: null });
    assert.equal((await browsing.session(page, pid)).stdout, 'over already\r\n');
  });

  test('after a detach the output is no longer sent', async () => {
    const script = "process.stdin.on('data', (input) => process.stdout.write('<' + String(input).trim() + '>'))";
    const pid = await browsing.spawnProcess(page, 'node', '-e', [script]);
    await browsing.openTerminal(page, pid);
    await page.evaluate((wanted) => window.mhnos.client.write(wanted, 'before\n'), pid);
    await browsing.untilOutput(page, pid, /<before>/);

    // Another tab, attached as well, proves that the answer went out; it did not start the process, so this
    // client drops the output there, whoever sends it.
    const otherTab = await browsing.openConnectedPage(browser, pageServer, runtime);
    await otherTab.evaluate((wanted) => window.mhnos.client.attach(wanted), pid);
    await page.evaluate((wanted) => window.mhnos.client.detach(wanted), pid);
    await otherTab.evaluate((wanted) => window.mhnos.client.write(wanted, 'after\n'), pid);
    const droppedAnswer = (wanted) => /<before><after>/.test(window.mhnos.client.dropped.get(wanted));
    await browsing.until(otherTab, droppedAnswer, pid);
    await page.evaluate(() => window.mhnos.client.ping());
    const dropped = await page.evaluate((wanted) => window.mhnos.client.dropped.get(wanted) ?? '', pid);
    assert.doesNotMatch(dropped, /<after>/);
    await otherTab.context().close();
  });

  test('a request that cannot be met is refused with a sentence', async () => {
    const requestInPage = ([type, fields]) =>
      window.mhnos.client.sendRequest(type, fields).then(() => 'granted', ({ message }) => message);
    const refusal = (type, fields) => page.evaluate(requestInPage, [type, fields]);
    assert.match(await refusal('attach', { pid: 4711 }), /4711/);
    assert.match(await refusal('kill', { pid: 4711, signal: 'SIGTERM' }), /4711/);
    assert.match(await refusal('s3Status', {}), /s3Status/);
    assert.match(await refusal('spawn', { processType: 'cobol', command: 'x', args: [] }), /cobol/);
    const openClaw = { processType: 'openclaw', command: 'gateway', args: [] };
    assert.match(await refusal('spawn', openClaw), /MHNOS_ALLOW_OPENCLAW/);
    assert.equal((await page.evaluate(() => window.mhnos.client.status())).stats.active, 0, 'the socket lives on');
  });

  test('a runtime that was away is found again, and the page starts anew', async () => {
    const pid = await browsing.spawnProcess(page, 'node', '-e', ['setInterval(() => {}, 1000)']);
    assert.equal(await page.evaluate(() => window.mhnos.client.processes.size), 1);
    await runtime.stop();
    await browsing.until(page, () => !window.mhnos.client.connected);
    assert.equal(await page.evaluate(() => window.mhnos.client.processes.size), 0);
    await page.getByText('Disconnected').waitFor();

    await runtime.launch();
    await browsing.untilGreeted(page, 20_000);
    const listed = await page.evaluate(() => window.mhnos.client.list());
    assert.deepEqual(listed, [], `process ${pid} ended with its runtime`);
    const script = "process.stdin.once('data', () => process.exit(3))";
    const next = await browsing.spawnProcess(page, 'node', '-e', [script]);
    await browsing.openTerminal(page, next);
    await page.evaluate((wanted) => window.mhnos.client.write(wanted, 'go\n'), next);
    assert.equal((await browsing.untilExit(page, next)).code, 3);
  });
});
