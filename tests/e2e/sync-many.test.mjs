// Ten thousand files, in a browser that nobody watches: watching copies every frame of its sockets.

import assert from 'node:assert/strict';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Runtime } from './support/runtime.mjs';
import { SUITE_TIMEOUT } from './support/settings.mjs';
import * as syncing from './support/sync.mjs';
import { openUnwatched } from './support/unwatched.mjs';

const FILES = 10_000;

describe('sync of many files', { timeout: SUITE_TIMEOUT }, () => {
  let runtime, site, page;

  before(async () => {
    runtime = await Runtime.start();
    site = await syncing.startSite(runtime.port);
    await syncing.command(runtime, 'origins', 'allow', site.origin);
  });
  after(async () => {
    await page?.close();
    await runtime?.remove();
    await site?.close();
  });

  const onHost = (name) => path.join(runtime.workspace, name);

  test('ten thousand files go to the browser, are renamed with their folder, and half of them comes back edited', async () => {
    for (let folder = 0; folder < 100; folder += 1) {
      await mkdir(onHost(`many/${folder}`), { recursive: true });
      const names = Array.from({ length: FILES / 100 }, (_, number) => `many/${folder}/${number}.txt`);
      await Promise.all(names.map((name) => writeFile(onHost(name), `${name} `.repeat(20))));
    }
    page = await openUnwatched(site.origin);
    await page.until('the page has begun', () => window.disk !== undefined);
    await syncing.untilState(page, 'synced', 120_000);
    const tree = await syncing.untilEqual(page, runtime, 60_000);
    assert.equal(Object.keys(tree).length, FILES + 101);

    const { bytesReceived } = await syncing.progress(page);
    await rename(onHost('many'), onHost('renamed'));
    await syncing.untilOnDisk(page, 'renamed/99/99.txt', 'many/99/99.txt '.repeat(20), 120_000);
    assert.equal(Object.keys(await syncing.untilEqual(page, runtime, 120_000)).length, FILES + 101);
    assert.equal((await syncing.progress(page)).bytesReceived, bytesReceived, 'no content travels for a rename');

    await page.evaluate(async () => {
      const root = await (await navigator.storage.getDirectory()).getDirectoryHandle('renamed');
      for (let folder = 0; folder < 100; folder += 2) {
        const handle = await root.getDirectoryHandle(String(folder));
        const edit = async (number) => {
          const writable = await (await handle.getFileHandle(`${number}.txt`)).createWritable();
          await writable.write(`edited ${folder} ${number}`);
          await writable.close();
        };
        await Promise.all(Array.from({ length: 100 }, (_, number) => edit(number)));
      }
    });
    await syncing.untilOnHost(runtime.workspace, 'renamed/98/99.txt', 'edited 98 99', 120_000);
    await syncing.untilEqual(page, runtime, 120_000);
  });
});
