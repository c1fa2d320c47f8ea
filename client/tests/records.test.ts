// The codec against the bytes the Rust side writes, and what it makes of bytes that are none.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { SYNC_FRAME_BYTES } from '../src/generated/protocol.ts';
import { Digest } from '../src/sync/digest.ts';
import { createHash } from '../src/sync/hash.ts';
import {
  decodeRecords,
  fromHexadecimal,
  RecordWriter,
  toHexadecimal,
  type NamedNode,
  type Node,
  type ReceivedRecord,
  type SentRecord,
} from '../src/sync/records.ts';

type Vector = { record: Record<string, unknown>; bytes: string };
interface Vectors {
  records: Vector[];
  tree: { entries: NamedNode[]; digest: string };
}

const file = new URL('../../crates/mhnos-protocol/tests/sync-vectors.json', import.meta.url);
const vectors = JSON.parse(readFileSync(file, 'utf8')) as Vectors;

/** Bytes stand as hexadecimal digits in the file. */
function fromFile(record: Record<string, unknown>): SentRecord | ReceivedRecord {
  const { bytes } = record;
  return (typeof bytes === 'string' ? { ...record, bytes: fromHexadecimal(bytes) } : record) as never;
}

const ONLY_SENT = ['observed', 'problems', 'outcome'];

test('every record is written as the runtime writes it', () => {
  for (const { record, bytes } of vectors.records) {
    const writer = new RecordWriter();
    writer.record(fromFile(record));
    assert.equal(toHexadecimal(writer.take()), bytes, String(record['type']));
  }
});

test('every record the runtime sends is read', () => {
  const received = vectors.records.filter(({ record }) => !ONLY_SENT.includes(String(record['type'])));
  assert.ok(received.length >= 15);
  for (const { record, bytes } of received) {
    assert.deepEqual(decodeRecords(fromHexadecimal(bytes)), [fromFile(record)]);
  }
  const together = received.map(({ bytes }) => bytes).join('');
  assert.equal(decodeRecords(fromHexadecimal(together)).length, received.length);
});

test('a record that is cut anywhere is an error', () => {
  for (const { record, bytes } of vectors.records) {
    if (ONLY_SENT.includes(String(record['type']))) continue;
    const whole = fromHexadecimal(bytes);
    for (let at = 1; at < whole.length; at += 1) assert.throws(() => decodeRecords(whole.slice(0, at)));
  }
});

test('what no runtime sends is an error', () => {
  for (const bytes of ['0e00000000', '0d0000000100', '0400000000', '01']) {
    assert.throws(() => decodeRecords(fromHexadecimal(bytes)), Error, bytes);
  }
  // A put of a folder, and a number JavaScript cannot hold.
  assert.throws(() => decodeRecords(fromHexadecimal('0412000000010000000000000002010061000100000000')));
  assert.throws(() => decodeRecords(fromHexadecimal('0b09000000ffffffffffffffff01')), /too large/);
});

test('a writer gives what no longer fits beside the next record', () => {
  const writer = new RecordWriter();
  const bytes = new Uint8Array(1 << 20);
  const data = (request: number): SentRecord => ({ type: 'data', request, offset: 0, bytes });
  assert.equal(writer.push(data(1)), undefined);
  const first = writer.push(data(2));
  assert.ok(first && first.length <= SYNC_FRAME_BYTES);
  assert.deepEqual([first, writer.take()].flatMap(decodeRecords), [data(1), data(2)]);
  assert.equal(writer.length, 0);
});

test('the digest of a tree is the one the runtime has', async () => {
  const digest = new Digest(await createHash());
  const present = vectors.tree.entries as { path: string; node: NonNullable<Node> }[];
  assert.equal(digest.text, '0'.repeat(64));
  for (const { path, node } of present) digest.add(path, node);
  assert.equal(digest.text, vectors.tree.digest);
  const [first, ...others] = present;
  assert.ok(first);
  digest.subtract(first.path, first.node);
  assert.notEqual(digest.text, vectors.tree.digest);
  for (const { path, node } of others) digest.subtract(path, node);
  assert.equal(digest.text, '0'.repeat(64));
});
