// A large file that is cut off on its way.

import assert from 'node:assert/strict';
import { randomFillSync } from 'node:crypto';
import { open, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, beforeEach, afterEach, describe, test } from 'node:test';
import * as browsing from './support/browser.mjs';
import { Runtime } from './support/runtime.mjs';
import { SUITE_TIMEOUT } from './support/settings.mjs';
import * as syncing from './support/sync.mjs';
import { eventually } from './support/waiting.mjs';

const LARGE_BYTES = 200 << 20;

describe('sync of a large file', { timeout: SUITE_TIMEOUT }, () => {
  let browser, runtime, site, context, page;

  before(async () => {
    browser = await browsing.launchBrowser();
  });
  after(() => browser?.close());
  beforeEach(async () => {
    runtime = await Runtime.start();
    site = await syncing.startSite(runtime.port);
    await syncing.command(runtime, 'origins', 'allow', site.origin);
    context = await browser.newContext();
  });
  afterEach(async () => {
    await context?.close();
    await runtime?.remove();
    await site?.close();
  });

  const onHost = (name) => path.join(runtime.workspace, name);

  test('a file of 200 MB that is cut off on its way to the browser goes on where it was', async () => {
    page = await syncing.openTab(context, site);
    await syncing.untilState(page, 'synced');
    await writeFile(onHost('large.bin'), randomFillSync(Buffer.alloc(LARGE_BYTES)));
    const some = async () => (await syncing.progress(page)).bytesReceived > LARGE_BYTES / 4;
    await eventually('a quarter of it came', some, 60_000);
    await runtime.kill();
    const { bytesReceived } = await syncing.untilState(page, 'offline');
    assert.ok(bytesReceived < LARGE_BYTES, 'it was cut off');
    await runtime.launch();
    await eventually('it is whole', () => same('large.bin'), 90_000);
    const all = (await syncing.untilState(page, 'synced')).bytesReceived;
    assert.ok(all < LARGE_BYTES * 1.2, `${all} bytes came in all`);

    // A small change of it is a small message.
    const handle = await open(onHost('large.bin'), 'r+');
    await handle.write(Buffer.from('changed'), 0, 7, 100 << 20);
    await handle.close();
    await eventually('the change is there', () => same('large.bin'), 60_000);
    const more = (await syncing.untilState(page, 'synced')).bytesReceived - all;
    assert.ok(more <= 2 << 20, `${more} bytes came for seven`);
  });

  test('a file of 200 MB that is cut off on its way to the host goes on where it was', async () => {
    page = await syncing.openTab(context, site);
    await syncing.untilState(page, 'synced');
    await page.evaluate(async (size) => {
      const handle = await (await navigator.storage.getDirectory()).getFileHandle('large.bin', { create: true });
      const writable = await handle.createWritable();
      const part = new Uint8Array(1 << 20);
      for (let at = 0; at < size; at += part.length) {
        for (let some = 0; some < part.length; some += 65_536) crypto.getRandomValues(part.subarray(some, some + 65_536));
        await writable.write(part);
      }
      await writable.close();
    }, LARGE_BYTES);
    const some = async () => (await syncing.progress(page)).bytesSent > LARGE_BYTES / 4;
    await eventually('a quarter of it went', some, 60_000);
    await runtime.kill();
    const { bytesSent } = await syncing.untilState(page, 'offline');
    assert.ok(bytesSent < LARGE_BYTES, 'it was cut off');
    await runtime.launch();
    await eventually('it is whole', () => same('large.bin'), 90_000);
    const all = (await syncing.untilState(page, 'synced')).bytesSent;
    assert.ok(all < LARGE_BYTES * 1.5, `${all} bytes went in all`);
  });

  async function same(name) {
    const onDisk = await page.evaluate(async (wanted) => {
      const handle = await (await navigator.storage.getDirectory()).getFileHandle(wanted);
      const digest = await crypto.subtle.digest('SHA-256', await (await handle.getFile()).arrayBuffer());
      return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
    }, name);
    return onDisk === (await syncing.hashOnHost(onHost(name)));
  }
});
