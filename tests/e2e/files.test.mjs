// Files from the page to the workspace and back, byte for byte.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, beforeEach, afterEach, describe, test } from 'node:test';
import * as browsing from './support/browser.mjs';
import { Runtime } from './support/runtime.mjs';
import { startPageServer } from './support/servers.mjs';
import { SUITE_TIMEOUT } from './support/settings.mjs';

const ALL_BYTES = [...Array(256).keys()];
const MULTI_BYTE_PATH = '/přílohy/žluťoučký kůň 🦀/日本語.txt';
const MULTI_BYTE_TEXT = 'Příliš žluťoučký kůň 🦀 日本語\n'.repeat(500);

describe('files', { timeout: SUITE_TIMEOUT }, () => {
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
    page = await browsing.openConnectedPage(browser, pageServer, runtime);
  });
  afterEach(async () => {
    await page?.context().close();
    await runtime?.remove();
  });

  const onHost = (name) => path.join(runtime.workspace, name);

  test('what was pushed comes back from a pull', async () => {
    const files = {
      '/all-bytes.bin': ALL_BYTES,
      '/empty.txt': [],
      '/a/b/c/deep.txt': [...Buffer.from('deep')],
      [MULTI_BYTE_PATH]: [...Buffer.from(MULTI_BYTE_TEXT)],
      '/second batch.txt': [...Buffer.from('the sixth file and later come in another message')],
    };
    await page.evaluate(async (wanted) => {
      const { disk } = window.mhnos;
      for (const [name, bytes] of Object.entries(wanted)) await disk.write(name, new Uint8Array(bytes));
      await disk.makeDirectory('/empty folder');
    }, files);
    const pushed = await browsing.push(page);
    assert.deepEqual([pushed.failed, pushed.errors], [0, []]);
    assert.equal(pushed.synced, 11, 'five files, and the six folders they need or are');
    assert.equal(pushed.replies.length, 3);

    for (const [name, bytes] of Object.entries(files)) {
      assert.deepEqual([...(await readFile(onHost(name)))], bytes, name);
    }
    assert.deepEqual(await readdir(onHost('/empty folder')), []);

    await writeFile(onHost('made-on-the-host.bin'), Buffer.from(ALL_BYTES.toReversed()));
    const pulled = await page.evaluate(async (names) => {
      const { client, disk } = window.mhnos;
      await disk.clear();
      await client.pull(disk);
      const contents = {};
      for (const name of names) contents[name] = [...(await disk.read(name)).bytes];
      return { contents, paths: (await disk.list()).map((entry) => entry.path) };
    }, [...Object.keys(files), '/made-on-the-host.bin']);
    assert.deepEqual(pulled.contents, { ...files, '/made-on-the-host.bin': ALL_BYTES.toReversed() });
    assert.ok(pulled.paths.includes('/empty folder'));
  });

  test('a push replaces a file that is there already', async () => {
    await mkdir(onHost('notes'));
    await writeFile(onHost('notes/today.txt'), 'a longer text than the one that replaces it');
    await browsing.writeFiles(page, { '/notes/today.txt': 'new' });
    const pushed = await browsing.push(page);
    assert.deepEqual(pushed.errors, []);
    assert.equal(await readFile(onHost('notes/today.txt'), 'utf8'), 'new');
    assert.deepEqual(await readdir(onHost('notes')), ['today.txt'], 'nothing half-written is left beside it');
  });

  test('five files of 4 MiB arrive whole in one message', async () => {
    const hashes = await page.evaluate(async () => {
      const result = {};
      for (let number = 0; number < 5; number += 1) {
        const bytes = new Uint8Array(4 * 1024 * 1024);
        for (let at = 0; at < bytes.length; at += 65536) crypto.getRandomValues(bytes.subarray(at, at + 65536));
        await window.mhnos.disk.write(`/large-${number}.bin`, bytes);
        const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
        result[`large-${number}.bin`] = Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
      }
      return result;
    });
    const pushed = await browsing.push(page);
    assert.deepEqual([pushed.synced, pushed.failed, pushed.errors], [5, 0, []]);
    assert.equal(pushed.replies.length, 1);
    assert.deepEqual(pushed.replies[0].results, { synced: 5, failed: 0, errors: [] });
    for (const [name, hash] of Object.entries(hashes)) {
      assert.equal(createHash('sha256').update(await readFile(onHost(name))).digest('hex'), hash, name);
    }
  });
});
