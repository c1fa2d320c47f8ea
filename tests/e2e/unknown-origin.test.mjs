// A page nobody has allowed: its socket opens, since a person might allow it, but nothing it sends has any
// effect. Each test waits for the runtime's own time limit of 25 s, so they run side by side.

import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import * as browsing from './support/browser.mjs';
import { Runtime } from './support/runtime.mjs';
import { startPageServer } from './support/servers.mjs';
import { SUITE_TIMEOUT } from './support/settings.mjs';
import { eventually } from './support/waiting.mjs';

const ANSWER_DEADLINE = 40_000;
const MARKERS = ['marker-fsync', 'marker-node', 'marker-python', 'marker-shell'];

// Frames that leave a file in the workspace, once they are carried out. The shell comes first, so that it has
// the first number, 1000, and `write` reaches it.
const MARKING_FRAMES = [
  { type: 'spawn', processType: 'shell', command: '/bin/bash', args: [], options: { cwd: '/' } },
  { type: 'write', pid: 1000, data: 'touch marker-shell\n' },
  spawnFrame('node', '-e', ["require('fs').writeFileSync('marker-node', '')"]),
  spawnFrame('python', '-c', ["open('marker-python', 'w')"]),
  {
    type: 'fsync',
    operation: 'push',
    files: [{ path: '/marker-fsync', kind: 'file', content: [109], mtime: 0 }],
  },
];
// The remaining message types, and one that does not exist.
const OTHER_FRAMES = [
  spawnFrame('workerd', '/workspace/hello.js', []),
  spawnFrame('openclaw', 'gateway', []),
  { type: 'attach', pid: 1000 },
  { type: 'resize', pid: 1000, cols: 80, rows: 24 },
  { type: 'list' },
  { type: 'status' },
  { type: 'ping' },
  { type: 'fsync', operation: 'pull' },
  { type: 'detach', pid: 1000 },
  { type: 'kill', pid: 1000, signal: 'SIGTERM' },
  { type: 'approve' },
];

function spawnFrame(processType, command, args) {
  return { type: 'spawn', processType, command, args, options: { cwd: '/' } };
}

function withIds(frames) {
  return frames.map((frame, index) => ({ id: `req-${index + 1}`, ...frame }));
}

// What is in the workspace but for the folder that the runtime itself keeps there.
async function namesIn(workspace) {
  return (await readdir(workspace)).filter((name) => name !== '.mhnos-sync').toSorted();
}

// Sends the frames through the page's open socket.
async function send(page, frames) {
  await page.evaluate((all) => all.forEach((frame) => window.socket.send(JSON.stringify(frame))), frames);
}

// Waits until every frame has an answer with its id, and gives all that was received.
async function untilAnswered(page, frames) {
  const ids = frames.map((frame) => frame.id);
  const allAnswered = (wanted) => wanted.every((id) => window.received.some((message) => message.id === id));
  await browsing.until(page, allAnswered, ids, ANSWER_DEADLINE);
  return page.evaluate(() => window.received);
}

describe('unknown origin', { concurrency: true, timeout: SUITE_TIMEOUT }, () => {
  let allowedServer, unknownServer, browser;

  before(async () => {
    allowedServer = await startPageServer();
    unknownServer = await startPageServer();
    browser = await browsing.launchBrowser();
  });
  after(async () => {
    await browser?.close();
    await unknownServer?.close();
    await allowedServer?.close();
  });

  // A runtime that allows one origin, and a page of the other with an open socket.
  async function startAttack(t) {
    const runtime = await Runtime.start({ allowedOrigins: [allowedServer.origin] });
    t.after(() => runtime.remove());
    const page = await browsing.openPage(browser, unknownServer.origin);
    assert.equal(await browsing.tryToOpen(page, runtime.address), 'open');
    await browsing.until(page, () => window.received.length > 0);
    return { runtime, page };
  }

  // After the greeting there are refusals only, which say who is refused and what a person can do about it.
  function assertOnlyRefused(received) {
    assert.equal(received[0].type, 'connected');
    for (const message of received.slice(1)) {
      assert.equal(message.type, 'error', JSON.stringify(message));
      // What could not be read has no id, and may be called just that.
      if (message.id === undefined) continue;
      assert.ok(message.error.includes(unknownServer.origin), message.error);
      assert.ok(message.error.includes(`mhnos-runtime origins allow ${unknownServer.origin}`), message.error);
    }
  }

  async function assertNothingHappened(runtime) {
    const { processes } = JSON.parse((await runtime.health()).body);
    assert.deepEqual(processes, { totalSpawned: 0, totalKilled: 0, active: 0 });
    assert.deepEqual(await namesIn(runtime.workspace), []);
  }

  test('no message type starts, writes or tells anything', async (t) => {
    const { runtime, page } = await startAttack(t);
    const frames = withIds([...MARKING_FRAMES, ...OTHER_FRAMES]);
    await send(page, frames);
    await page.evaluate(() => window.socket.send('{ this is not JSON'));

    const received = await untilAnswered(page, frames);
    assertOnlyRefused(received);
    await assertNothingHappened(runtime);
    assert.equal(await page.evaluate(() => window.socket.readyState), 1, 'the socket stays, for a later approval');

    // The same frames from the allowed page do leave their files: the silence above was the gate's doing.
    const allowed = await browsing.openPage(browser, allowedServer.origin);
    assert.equal(await browsing.tryToOpen(allowed, runtime.address), 'open');
    const listFrame = { type: 'list', id: 'before' };
    await send(allowed, [listFrame]);
    const listed = (await untilAnswered(allowed, [listFrame])).find(({ id }) => id === listFrame.id);
    assert.deepEqual(listed.processes, []);
    const [shellFrame, ...furtherFrames] = withIds(MARKING_FRAMES);
    await send(allowed, [shellFrame]);
    const spawned = (await untilAnswered(allowed, [shellFrame])).find(({ id }) => id === shellFrame.id);
    assert.equal(spawned.pid, 1000, 'the attack did not start even one process');
    await send(allowed, furtherFrames);
    const allThere = async () => (await namesIn(runtime.workspace)).join() === MARKERS.join();
    await eventually('the allowed page leaves its files', allThere, 20_000);
  });

  test('what a client says of itself changes nothing', async (t) => {
    const { runtime, page } = await startAttack(t);
    const claims = {
      origin: allowedServer.origin,
      Origin: allowedServer.origin,
      token: await runtime.token(),
      authorization: `Bearer ${await runtime.token()}`,
      approved: true,
      admin: true,
    };
    const frames = withIds([
      { type: 'connected', protocolVersion: '1.0.0', ...claims },
      ...MARKING_FRAMES.map((frame) => ({ ...frame, ...claims, options: { ...frame.options, ...claims } })),
      { type: 'status', config: claims },
    ]);
    await send(page, frames);
    assertOnlyRefused(await untilAnswered(page, frames));
    await assertNothingHappened(runtime);
  });

  test('a token in the address changes nothing', async (t) => {
    const { runtime, page } = await startAttack(t);
    const token = await runtime.token();
    const claims = new URLSearchParams({ token, access_token: token, origin: allowedServer.origin });
    const frames = withIds(MARKING_FRAMES);
    if ((await browsing.tryToOpen(page, `${runtime.address}/?${claims}`)) === 'open') {
      await send(page, frames);
      assertOnlyRefused(await untilAnswered(page, frames));
    }
    await assertNothingHappened(runtime);
  });

  test('the person at the unmodified client is told what to do', async (t) => {
    const runtime = await Runtime.start({ allowedOrigins: [allowedServer.origin] });
    t.after(() => runtime.remove());
    const page = await browsing.openConnectedPage(browser, unknownServer, runtime);
    const message = await page.evaluate(() =>
      window.mhnos.client.spawn('node', '-e', ['1']).then(() => 'started', (error) => error.message),
    );
    assert.ok(message.includes(`mhnos-runtime origins allow ${unknownServer.origin}`), message);
    assert.ok(await page.evaluate(() => window.mhnos.client.connected));
    await assertNothingHappened(runtime);
  });
});
