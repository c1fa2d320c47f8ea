// The example client, and what guards programs without an origin: the token.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { handshakeStatus, Runtime } from './support/runtime.mjs';
import { freePort } from './support/servers.mjs';
import { repositoryRoot, SUITE_TIMEOUT } from './support/settings.mjs';
import { within } from './support/waiting.mjs';

const EXAMPLE = path.join(repositoryRoot, 'examples', 'test-client.mjs');

async function runExample(parameters, environment) {
  const child = spawn(process.execPath, [EXAMPLE, ...parameters], { env: { ...process.env, ...environment } });
  const result = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text) => (result.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (result.stderr += text));
  const [code] = await within(20_000, 'the example ends', once(child, 'close')).finally(() => child.kill());
  return { ...result, code };
}

describe('example client and token', { timeout: SUITE_TIMEOUT }, () => {
  let runtime;

  before(async () => {
    runtime = await Runtime.start();
  });
  after(() => runtime?.remove());

  const address = () => `ws://127.0.0.1:${runtime.port}`;

  test('it runs a program and prints its output', async () => {
    const expected = new RegExp(`^Hello from\nNode v\\d+\\.\\d+\\.\\d+ in\n${RegExp.escape(runtime.workspace)}\n$`);
    const found = await runExample([address()], { MHNOS_STATE_DIR: runtime.stateFolder });
    assert.deepEqual([found.code, found.stderr], [0, '']);
    assert.match(found.stdout, expected);
    const named = await runExample([address(), '--token-file', path.join(runtime.stateFolder, 'token')], {
      MHNOS_STATE_DIR: '/nowhere',
    });
    assert.equal(named.stdout, found.stdout);
  });

  test('it says in a sentence what is wrong', async () => {
    const wrongToken = path.join(runtime.folder, 'wrong-token');
    await writeFile(wrongToken, 'a'.repeat(64));
    const refused = await runExample([address(), '--token-file', wrongToken]);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /^The runtime at ws:\/\/127\.0\.0\.1:\d+ refused the connection: .*wrong-token.*\n$/);

    const nobody = `ws://127.0.0.1:${await freePort()}`;
    const unreachable = await runExample([nobody, '--token-file', wrongToken]);
    assert.equal(unreachable.code, 1);
    assert.equal(unreachable.stderr, `No runtime answers at ${nobody}: start one with mhnos-runtime serve.\n`);

    const tokenless = await runExample([address(), '--token-file', '/nowhere/token']);
    assert.equal(tokenless.code, 1);
    assert.match(tokenless.stderr, /^Cannot read the token .*--token-file\.\n$/);
  });

  test('without an origin only the token opens the door, and only as a header', async () => {
    const token = await runtime.token();
    const status = (headers) => handshakeStatus(runtime.port, { Host: `127.0.0.1:${runtime.port}`, ...headers });
    assert.equal(await status({ Authorization: `Bearer ${token}` }), 101);
    const refused = [
      {},
      { Authorization: `Bearer ${token}x` },
      { Authorization: `Bearer ${token.slice(0, -1)}` },
      { Authorization: 'Bearer ' },
      { Cookie: `token=${token}` },
      { 'Sec-WebSocket-Protocol': token },
      { Authorization: `Bearer ${token}`, Origin: 'null' },
    ];
    for (const headers of refused) {
      const answer = await status(headers);
      assert.ok(answer === 401 || answer === 403, `${answer} for ${JSON.stringify(headers)}`);
    }
  });

  test('the token is in its own file and nowhere else', async () => {
    const token = await runtime.token();
    assert.equal((await runExample([address()], { MHNOS_STATE_DIR: runtime.stateFolder })).code, 0);
    const entries = await readdir(runtime.stateFolder, { recursive: true, withFileTypes: true });
    const files = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => path.join(parentPath, name));
    const holders = [];
    for (const file of files) if ((await readFile(file)).includes(token)) holders.push(file);
    assert.deepEqual(holders, [path.join(runtime.stateFolder, 'token')]);
    assert.ok(!`${runtime.output}${runtime.reports}`.includes(token), 'not in what the runtime prints');
  });
});
