/**
 * The records of a sync session; `docs/sync.md` lists their bytes, `crates/mhnos-protocol/src/sync` is the other end.
 *
 * Contents are named by 64 hexadecimal digits, because JavaScript compares and looks up text by value.
 *
 * @module
 */

import { SYNC_FRAME_BYTES } from '../generated/protocol.ts';

/** A regular file. */
export interface FileNode {
  kind: 'file';
  /** What is in it, in hexadecimal. */
  content: string;
  /** Bytes. */
  size: number;
  executable: boolean;
}

/** What is at a path; `null`: nothing. */
export type Node = { kind: 'directory' } | FileNode | null;

/** What an order asks for. */
export type Action =
  | { kind: 'makeDirectory' }
  | { kind: 'put'; node: FileNode; copyFrom: string }
  | { kind: 'move'; from: string; moved: NonNullable<Node> }
  | { kind: 'remove' };

/** Something to do. */
export interface OrderRecord {
  type: 'order';
  order: number;
  path: string;
  /** What must be there for it to be done at all. */
  expect: Node;
  action: Action;
}

/** What became of an order. */
export type OrderResult = { kind: 'done' } | { kind: 'changed'; node: Node } | { kind: 'failed'; reason: string };

/** A path and what is there. */
export interface NamedNode {
  path: string;
  node: Node;
}

/** What the replica says. */
export type SentRecord =
  | { type: 'observed'; complete: boolean; more: boolean; within: string; nodes: NamedNode[] }
  | { type: 'problems'; problems: { path: string; reason: string }[] }
  | { type: 'outcome'; order: number; result: OrderResult }
  | EitherRecord;

/** What the hub says. */
export type ReceivedRecord =
  | OrderRecord
  | { type: 'content'; content: string; bytes: Uint8Array<ArrayBuffer> }
  | { type: 'committed'; sequence: number; synced: boolean }
  | { type: 'halted'; reason: string }
  | { type: 'rescan' }
  | EitherRecord;

/** What either side says. */
export type EitherRecord =
  | { type: 'askBlocks'; request: number; path: string; content: string; size: number }
  | { type: 'blocks'; request: number; hashes: string[] }
  | { type: 'read'; request: number; path: string; content: string; offset: number; length: number }
  | { type: 'data'; request: number; offset: number; bytes: Uint8Array<ArrayBuffer> }
  | { type: 'unavailable'; request: number; reason: string };

const TYPES = {
  observed: 1,
  problems: 2,
  outcome: 3,
  order: 4,
  askBlocks: 5,
  blocks: 6,
  read: 7,
  data: 8,
  unavailable: 9,
  content: 10,
  committed: 11,
  halted: 12,
  rescan: 13,
} as const;

const LONGEST_TEXT = 0xffff;
const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

const HEXADECIMAL = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** Bytes as hexadecimal digits. */
export function toHexadecimal(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += HEXADECIMAL[byte];
  return text;
}

/** Hexadecimal digits as bytes. */
export function fromHexadecimal(text: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(text.length / 2);
  for (let at = 0; at < bytes.length; at += 1) bytes[at] = Number.parseInt(text.slice(at * 2, at * 2 + 2), 16);
  return bytes;
}

/** Writes records one after the other. */
export class RecordWriter {
  #bytes = new Uint8Array(4096);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }

  /** What was written so far; the writer begins anew. */
  take(): Uint8Array<ArrayBuffer> {
    const taken = this.#bytes.slice(0, this.#length);
    this.#length = 0;
    return taken;
  }

  /** Writes a record, and gives what came before it if both do not fit into one frame. */
  push(record: SentRecord): Uint8Array<ArrayBuffer> | undefined {
    const start = this.#length;
    this.record(record);
    if (start === 0 || this.#length <= SYNC_FRAME_BYTES) return undefined;
    const before = this.#bytes.slice(0, start);
    this.#bytes.copyWithin(0, start, this.#length);
    this.#length -= start;
    return before;
  }

  /** Writes an entry of a tree, as it stands in records; what digests are made of. */
  entry(path: string, node: Node): void {
    this.#text(path);
    this.#node(node);
  }

  /** Writes a record. */
  record(record: SentRecord | ReceivedRecord): void {
    this.#u8(TYPES[record.type]);
    const lengthAt = this.#length;
    this.#u32(0);
    this.#body(record);
    this.#view.setUint32(lengthAt, this.#length - lengthAt - 4, true);
  }

  #body(record: SentRecord | ReceivedRecord): void {
    switch (record.type) {
      case 'observed':
        this.#u8((record.complete ? 1 : 0) | (record.more ? 2 : 0));
        this.#text(record.within);
        this.#u32(record.nodes.length);
        for (const { path, node } of record.nodes) this.entry(path, node);
        break;
      case 'problems':
        this.#u32(record.problems.length);
        for (const { path, reason } of record.problems) {
          this.#text(path);
          this.#text(reason);
        }
        break;
      case 'outcome':
        this.#u64(record.order);
        this.#u8({ done: 0, changed: 1, failed: 2 }[record.result.kind]);
        if (record.result.kind === 'changed') this.#node(record.result.node);
        else if (record.result.kind === 'failed') this.#text(record.result.reason);
        break;
      case 'order':
        this.#u64(record.order);
        this.#u8({ makeDirectory: 1, put: 2, move: 3, remove: 4 }[record.action.kind]);
        this.#text(record.path);
        this.#node(record.expect);
        if (record.action.kind === 'put') {
          this.#node(record.action.node);
          this.#text(record.action.copyFrom);
        } else if (record.action.kind === 'move') {
          this.#text(record.action.from);
          this.#node(record.action.moved);
        }
        break;
      case 'askBlocks':
        this.#u64(record.request);
        this.#text(record.path);
        this.#content(record.content);
        this.#u64(record.size);
        break;
      case 'blocks':
        this.#u64(record.request);
        this.#u32(record.hashes.length);
        for (const hash of record.hashes) this.#content(hash);
        break;
      case 'read':
        this.#u64(record.request);
        this.#text(record.path);
        this.#content(record.content);
        this.#u64(record.offset);
        this.#u32(record.length);
        break;
      case 'data':
        this.#u64(record.request);
        this.#u64(record.offset);
        this.#put(record.bytes);
        break;
      case 'unavailable':
        this.#u64(record.request);
        this.#text(record.reason);
        break;
      case 'content':
        this.#content(record.content);
        this.#put(record.bytes);
        break;
      case 'committed':
        this.#u64(record.sequence);
        this.#u8(record.synced ? 1 : 0);
        break;
      case 'halted':
        this.#text(record.reason);
        break;
      case 'rescan':
        break;
    }
  }

  #node(node: Node): void {
    if (node === null) {
      this.#u8(0);
    } else if (node.kind === 'directory') {
      this.#u8(1);
    } else {
      this.#u8(node.executable ? 3 : 2);
      this.#u64(node.size);
      this.#content(node.content);
    }
  }

  #text(text: string): void {
    // A character is at most 3 bytes for each of its 16-bit units.
    this.#reserve(2 + Math.min(text.length * 3, LONGEST_TEXT));
    const room = this.#bytes.subarray(this.#length + 2, this.#length + 2 + LONGEST_TEXT);
    const { written } = encoder.encodeInto(text, room);
    this.#u16(written);
    this.#length += written;
  }

  #content(hexadecimal: string): void {
    this.#put(fromHexadecimal(hexadecimal));
  }

  #put(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  #u8(value: number): void {
    this.#reserve(1);
    this.#view.setUint8(this.#length, value);
    this.#length += 1;
  }

  #u16(value: number): void {
    this.#reserve(2);
    this.#view.setUint16(this.#length, value, true);
    this.#length += 2;
  }

  #u32(value: number): void {
    this.#reserve(4);
    this.#view.setUint32(this.#length, value, true);
    this.#length += 4;
  }

  #u64(value: number): void {
    this.#reserve(8);
    this.#view.setUint32(this.#length, value % 0x1_0000_0000, true);
    this.#view.setUint32(this.#length + 4, Math.floor(value / 0x1_0000_0000), true);
    this.#length += 8;
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + bytes));
    larger.set(this.#bytes);
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}

/**
 * Reads all records of a frame's payload that a hub sends.
 *
 * @throws Error when one is not understood; the session cannot go on then.
 */
export function decodeRecords(payload: Uint8Array<ArrayBuffer>): ReceivedRecord[] {
  const records: ReceivedRecord[] = [];
  const outer = new Reader(payload);
  while (outer.left > 0) {
    const type = outer.u8();
    const body = new Reader(outer.bytes(outer.u32()));
    records.push(readBody(type, body));
    if (body.left > 0) throw new Error(`a sync record of type ${type} is too long`);
  }
  return records;
}

function readBody(type: number, body: Reader): ReceivedRecord {
  switch (type) {
    case TYPES.order: {
      const [order, action, path, expect] = [body.u64(), body.u8(), body.text(), body.node()];
      return { type: 'order', order, path, expect, action: readAction(action, body) };
    }
    case TYPES.askBlocks:
      return { type: 'askBlocks', request: body.u64(), path: body.text(), content: body.content(), size: body.u64() };
    case TYPES.blocks: {
      const [request, count] = [body.u64(), body.u32()];
      if (count * 32 !== body.left) throw new Error('a list of blocks is cut off');
      return { type: 'blocks', request, hashes: Array.from({ length: count }, () => body.content()) };
    }
    case TYPES.read:
      return {
        type: 'read',
        request: body.u64(),
        path: body.text(),
        content: body.content(),
        offset: body.u64(),
        length: body.u32(),
      };
    case TYPES.data:
      return { type: 'data', request: body.u64(), offset: body.u64(), bytes: body.bytes(body.left) };
    case TYPES.unavailable:
      return { type: 'unavailable', request: body.u64(), reason: body.text() };
    case TYPES.content:
      return { type: 'content', content: body.content(), bytes: body.bytes(body.left) };
    case TYPES.committed:
      return { type: 'committed', sequence: body.u64(), synced: body.u8() === 1 };
    case TYPES.halted:
      return { type: 'halted', reason: body.text() };
    case TYPES.rescan:
      return { type: 'rescan' };
    default:
      throw new Error(`a sync record of type ${type} is not known`);
  }
}

function readAction(action: number, body: Reader): Action {
  switch (action) {
    case 1:
      return { kind: 'makeDirectory' };
    case 2: {
      const node = body.node();
      if (node?.kind !== 'file') throw new Error('only a file can be put');
      return { kind: 'put', node, copyFrom: body.text() };
    }
    case 3: {
      const from = body.text();
      const moved = body.node();
      if (moved === null) throw new Error('nothing can not be moved');
      return { kind: 'move', from, moved };
    }
    case 4:
      return { kind: 'remove' };
    default:
      throw new Error(`an order of kind ${action} is not known`);
  }
}

/** Reads from bytes; going beyond their end throws. */
class Reader {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  u8(): number {
    return this.#view.getUint8(this.#skip(1));
  }

  u32(): number {
    return this.#view.getUint32(this.#skip(4), true);
  }

  u64(): number {
    const value = Number(this.#view.getBigUint64(this.#skip(8), true));
    if (!Number.isSafeInteger(value)) throw new Error('a number in a sync record is too large');
    return value;
  }

  bytes(length: number): Uint8Array<ArrayBuffer> {
    const start = this.#skip(length);
    return this.#bytes.subarray(start, start + length);
  }

  text(): string {
    const length = this.#view.getUint16(this.#skip(2), true);
    return decoder.decode(this.bytes(length));
  }

  content(): string {
    return toHexadecimal(this.bytes(32));
  }

  node(): Node {
    const kind = this.u8();
    if (kind === 0) return null;
    if (kind === 1) return { kind: 'directory' };
    if (kind > 3) throw new Error(`a node of kind ${kind} is not known`);
    const size = this.u64();
    return { kind: 'file', content: this.content(), size, executable: kind === 3 };
  }

  #skip(length: number): number {
    const at = this.#at;
    if (length > this.left) throw new Error('a sync record is cut off');
    this.#at += length;
    return at;
  }
}
