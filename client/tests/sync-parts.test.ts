// The parts of sync that need no browser's disk: hashes, paths, the schedule, what orders overtake.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { blake3 } from '@noble/hashes/blake3.js';
import { SYNC_BLOCK_BYTES } from '../src/generated/protocol.ts';
import { blocksOfFile, contentOfBlocks, contentOfBytes, createHash } from '../src/sync/hash.ts';
import { above, firstProblem, Ignored, isIn, nameProblem, outermost, pathProblem } from '../src/sync/paths.ts';
import { forEach, Semaphore } from '../src/sync/pool.ts';
import { toHexadecimal, type ReceivedRecord, type SentRecord } from '../src/sync/records.ts';
import { Remote, Unavailable } from '../src/sync/remote.ts';
import { Schedule } from '../src/sync/schedule.ts';
import { runs } from '../src/sync/staging.ts';
import { Touches } from '../src/sync/touches.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('both implementations of the hash agree', async () => {
  const fast = await createHash();
  for (const length of [0, 1, 64, 1024, 1025, 262_144]) {
    const bytes = Uint8Array.from({ length }, (_, at) => at % 251);
    assert.equal(toHexadecimal(fast(bytes)), toHexadecimal(blake3(bytes)), String(length));
  }
});

test('content is named by its blocks as the runtime does', async () => {
  const hash = await createHash();
  const small = new Uint8Array(SYNC_BLOCK_BYTES).fill(1);
  assert.equal(contentOfBytes(hash, small), toHexadecimal(hash(small)));
  const large = new Uint8Array(SYNC_BLOCK_BYTES * 17 + 5).fill(2);
  const blocks = await blocksOfFile(hash, new Blob([large]));
  assert.equal(blocks.length, 18);
  assert.equal(contentOfBlocks(blocks), contentOfBytes(hash, large));
  // Written down from the Rust side: 256 KiB and one byte of zeros.
  const zeros = new Uint8Array(SYNC_BLOCK_BYTES + 1);
  assert.equal(contentOfBytes(hash, zeros), '4a4bde33e023e987e8ff5f1775387aee570a3671756a1b6899c52395325d1933');
});

test('names and paths the host cannot hold are named with a reason', () => {
  for (const name of ['a', 'ž'.repeat(127), 'x'.repeat(255), 'a:b', '..x', 'con']) assert.equal(nameProblem(name), undefined);
  for (const name of ['', '.', '..', 'a/b', 'a\0b', 'x'.repeat(256), 'ž'.repeat(128), '\ud800']) {
    assert.ok(nameProblem(name), JSON.stringify(name));
  }
  assert.equal(pathProblem('x'.repeat(4095)), undefined);
  assert.ok(pathProblem('x'.repeat(4096)));
  const long = 'x'.repeat(256);
  assert.equal(firstProblem('a/b/c'), undefined);
  assert.equal(firstProblem(`a/${long}/c`)?.path, `a/${long}`);
  assert.equal(firstProblem(`a/${long}`)?.path, `a/${long}`);
});

test('what lies in a folder is told from what only begins like it', () => {
  assert.ok(isIn('a/b/c', 'a/b'));
  assert.ok(!isIn('a/bc', 'a/b'));
  assert.ok(!isIn('a', 'a'));
  assert.ok(isIn('a', ''));
  assert.deepEqual([...above('a/b/c')], ['a/b', 'a']);
  assert.deepEqual(outermost(['a/b/c', 'a/b', 'a/bc', 'd']).sort(), ['a/b', 'a/bc', 'd']);
  assert.deepEqual(outermost(['a', '']), ['']);
});

test('ignored names cover all that is in them, the own folder only in the root', () => {
  const ignored = new Ignored();
  ignored.set(['node_modules', '.git']);
  for (const path of ['node_modules', 'a/.git/b', '.mhnos-sync/index', 'a/b.txt.crswap']) assert.ok(ignored.covers(path), path);
  for (const path of ['a/.mhnos-sync', 'node_modules2', 'git']) assert.ok(!ignored.covers(path), path);
});

test('orders that concern the same paths follow one another, others run together', async () => {
  const schedule = new Schedule();
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  const add = (...paths: string[]): void => {
    schedule.add(paths, () => {
      begun.push(paths.join());
      return new Promise((resolve) => ends.set(paths.join(), resolve));
    });
  };
  add('a');
  add('b');
  add('a/x');
  add('c');
  assert.deepEqual(begun, ['a', 'b'], 'a/x waits for a, and c behind it');
  assert.ok(schedule.touches('a/x/y') && schedule.touches('b') && !schedule.touches('c'));
  ends.get('a')?.();
  await turn();
  assert.deepEqual(begun, ['a', 'b', 'a/x', 'c']);
  add('d', 'a');
  assert.equal(begun.length, 4, 'a waits for what is beneath it');
  ends.get('a/x')?.();
  await turn();
  assert.equal(begun.at(-1), 'd,a');
  for (const end of ends.values()) end();
  await schedule.idle();
  assert.equal(schedule.size, 0);
  assert.ok(!schedule.touches('a'));
});

test('a stopped schedule begins nothing more', async () => {
  const schedule = new Schedule();
  let begun = 0;
  let end = (): void => undefined;
  const perform = (): Promise<void> => {
    begun += 1;
    return new Promise((resolve) => (end = resolve));
  };
  schedule.add(['a'], perform);
  schedule.add(['a'], perform);
  const stopped = schedule.stop();
  end();
  await stopped;
  assert.equal(begun, 1);
});

test('what was looked at before an order is overtaken by it', () => {
  const touches = new Touches();
  touches.begin();
  const before = touches.clock;
  touches.mark('a/b');
  assert.ok(touches.since('a/b', before) && touches.since('a/b/c', before));
  assert.ok(!touches.since('a', before) && !touches.since('a/bc', before));
  assert.ok(!touches.since('a/b', touches.clock), 'looked at afterwards');
  touches.end();
  assert.ok(!touches.since('a/b', before), 'no observation is left that could have seen it');
});

test('a semaphore serves in turn and never beyond its total', async () => {
  const semaphore = new Semaphore(10);
  const served: number[] = [];
  const take = (amount: number): Promise<number> => semaphore.take(amount).then((taken) => (served.push(amount), taken));
  const first = await take(6);
  const second = take(8);
  const third = take(2);
  await turn();
  assert.deepEqual(served, [6], 'the small one does not overtake');
  semaphore.give(first);
  await Promise.all([second, third]);
  assert.deepEqual(served, [6, 8, 2]);
  semaphore.give(10);
  assert.equal(await semaphore.take(1000), 10, 'more than there is takes all');
});

test('doing each item stops at the first failure', async () => {
  const done: number[] = [];
  const failing = forEach([1, 2, 3, 4, 5, 6], 2, async (item) => {
    await turn();
    if (item === 2) throw new Error('two');
    done.push(item);
  });
  await assert.rejects(failing, /two/);
  await turn();
  assert.ok(done.length < 5);
});

test('missing blocks are read in runs', () => {
  const at = (block: number): number => block * SYNC_BLOCK_BYTES;
  const size = at(9) + 10;
  assert.deepEqual([...runs([0, 1, 2, 3, 4, 7, 9], size, 4 * SYNC_BLOCK_BYTES)], [
    { offset: 0, length: at(4) },
    { offset: at(4), length: at(1) },
    { offset: at(7), length: at(1) },
    { offset: at(9), length: 10 },
  ]);
  assert.deepEqual([...runs([], size, at(4))], []);
});

test('reads stay within the window, and an ended session fails what is asked', async () => {
  const sent: Extract<SentRecord, { type: 'read' }>[] = [];
  const remote = new Remote((record) => void (record.type === 'read' && sent.push(record)), 100);
  const [first, second] = [remote.read('a', '', 0, 60), remote.read('a', '', 60, 60)];
  await turn();
  assert.equal(sent.length, 1);
  const answer = (request: number, offset: number, length: number): void => {
    const data: ReceivedRecord = { type: 'data', request, offset, bytes: new Uint8Array(length).fill(7) };
    remote.take(data as Extract<ReceivedRecord, { type: 'data' }>);
  };
  answer(1, 0, 40);
  answer(1, 40, 20);
  assert.deepEqual(await first, new Uint8Array(60).fill(7));
  await turn();
  assert.equal(sent.length, 2);
  remote.end('over');
  await assert.rejects(second, Unavailable);
  await assert.rejects(remote.read('a', '', 0, 1), Unavailable);
});
