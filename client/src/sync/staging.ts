/**
 * Content that is on its way into its place: bytes of small files the hub sent ahead, and large files that are put together
 * block by block, `.mhnos-sync/stage`.
 *
 * A large file is staged under the name of its content. What a cut session left of it is read again and compared
 * block by block, so that nothing has to be remembered of what was there.
 *
 * @module
 */

import { SYNC_BLOCK_BYTES, SYNC_READ_BYTES } from '../generated/protocol.ts';
import type { Disk } from './disk.ts';
import { contentOfBlocks, contentOfBytes, type Hash } from './hash.ts';
import { STAGE } from './paths.ts';
import { nameOfError, writeAll } from './platform.ts';
import { forEach } from './pool.ts';
import { toHexadecimal, type FileNode } from './records.ts';
import { Unavailable, type Remote } from './remote.ts';
import type { Scanner } from './scan.ts';
import type { Store } from './store.ts';

/** Reads of one file that are on their way at a time. */
const READS_AT_ONCE = 8;
/** What is taken at once from a file on this disk. */
const REUSED_BYTES = 4 << 20;
const REUSES_AT_ONCE = 4;

/** Content for orders. */
export class Staging {
  readonly #disk: Disk;
  readonly #store: Store;
  readonly #scanner: Scanner;
  readonly #hash: Hash;
  readonly #remote: Remote;
  readonly #received = new Map<string, { bytes: Uint8Array<ArrayBuffer>; wanted: number }>();
  readonly #large = new Map<string, Promise<unknown>>();

  constructor(disk: Disk, store: Store, scanner: Scanner, hash: Hash, remote: Remote) {
    this.#disk = disk;
    this.#store = store;
    this.#scanner = scanner;
    this.#hash = hash;
    this.#remote = remote;
  }

  /** Takes small content that the hub sent before the order that puts it. */
  receive(content: string, bytes: Uint8Array<ArrayBuffer>): void {
    const held = this.#received.get(content);
    if (held) held.bytes = bytes;
    else this.#received.set(content, { bytes, wanted: 0 });
  }

  /** An order came that puts this content. */
  want(content: string): void {
    const held = this.#received.get(content);
    if (held) held.wanted += 1;
  }

  /** It was answered. */
  release(content: string): void {
    const held = this.#received.get(content);
    if (held && --held.wanted <= 0) this.#received.delete(content);
  }

  /**
   * Small content, from wherever it is nearest.
   *
   * @throws Unavailable when nobody has it any more.
   */
  async small(path: string, node: FileNode, copyFrom: string): Promise<Uint8Array<ArrayBuffer>> {
    if (node.size === 0) return new Uint8Array();
    const held = this.#received.get(node.content)?.bytes ?? (await this.#copy(node, copyFrom));
    if (held && contentOfBytes(this.#hash, held) === node.content) return held;
    const read = await this.#remote.read(path, node.content, 0, node.size);
    if (contentOfBytes(this.#hash, read) !== node.content) throw new Unavailable('other bytes came than were asked for');
    return read;
  }

  /**
   * Gives `use` a staged file with large content. What is left of it afterwards is kept only when `use` fails.
   *
   * @throws Unavailable when nobody has it any more.
   */
  async large<Result>(
    path: string,
    node: FileNode,
    similar: readonly string[],
    use: (staged: FileSystemFileHandle) => Promise<Result>,
  ): Promise<Result> {
    // Two orders for one content: the second finds the first's place by `copyFrom`, or fetches anew.
    const earlier = this.#large.get(node.content) ?? Promise.resolve();
    const mine = earlier.then(async () => {
      const folder = await this.#disk.ownFolder(STAGE);
      const staged = await folder.getFileHandle(node.content, { create: true });
      const access = await staged.createSyncAccessHandle();
      try {
        await this.#fill(access, path, node, similar);
        access.flush();
      } catch (error) {
        // What does not fit must not take the room of what does.
        if (nameOfError(error) === 'QuotaExceededError') access.truncate(0);
        throw error;
      } finally {
        access.close();
      }
      return await use(staged);
    });
    const settled = mine.catch(() => undefined);
    this.#large.set(node.content, settled);
    try {
      return await mine;
    } finally {
      if (this.#large.get(node.content) === settled) this.#large.delete(node.content);
    }
  }

  /** Removes what is staged and wanted by nobody. Only to be called when no order is left. */
  async clear(): Promise<void> {
    this.#received.clear();
    for (const name of [STAGE, 'trash']) {
      const folder = await this.#disk.ownFolder(name);
      const names: string[] = [];
      for await (const each of folder.keys()) names.push(each);
      await forEach(names, 8, (each) => folder.removeEntry(each).catch(() => undefined));
    }
  }

  async #fill(access: FileSystemSyncAccessHandle, path: string, node: FileNode, similar: readonly string[]): Promise<void> {
    const wanted = await this.#remote.blocks(path, node.content, node.size);
    if (contentOfBlocks(wanted) !== node.content) throw new Unavailable('the hashes do not belong to this content');
    const block = new Uint8Array(SYNC_BLOCK_BYTES);
    const staged = Math.ceil(access.getSize() / SYNC_BLOCK_BYTES);
    const missing = new Map<number, string>();
    wanted.forEach((hash, at) => {
      if (at < staged) {
        const length = access.read(block, { at: at * SYNC_BLOCK_BYTES });
        if (toHexadecimal(this.#hash(block.subarray(0, length))) === hash) return;
      }
      missing.set(at, hash);
    });
    access.truncate(node.size);
    for (const from of similar) await this.#reuse(access, from, missing);
    await forEach([...runs([...missing.keys()], node.size, SYNC_READ_BYTES)], READS_AT_ONCE, async ({ offset, length }) => {
      const bytes = await this.#remote.read(path, node.content, offset, length);
      for (let at = 0; at < length; at += SYNC_BLOCK_BYTES) {
        const each = bytes.subarray(at, at + SYNC_BLOCK_BYTES);
        if (toHexadecimal(this.#hash(each)) !== wanted[(offset + at) / SYNC_BLOCK_BYTES]) {
          throw new Unavailable('was changed while it was read');
        }
      }
      writeAll(access, bytes, offset);
    });
    this.#scanner.keepBlocks(node.content, wanted);
  }

  /** Takes the blocks that a file on this disk has. */
  async #reuse(access: FileSystemSyncAccessHandle, path: string, missing: Map<number, string>): Promise<void> {
    const told = this.#store.get(path);
    if (missing.size === 0 || told?.kind !== 'file' || told.size <= SYNC_BLOCK_BYTES) return;
    const there = await this.#disk.look(path);
    if (there?.kind !== 'file' || there.size !== told.size) return;
    const blocks = await this.#scanner.blocksOf(told.content, there.file);
    const places = new Map((blocks ?? []).map((hash, at) => [hash, at]));
    // Where the file has them, in its own order, so that what lies together is read together.
    const wanted = new Map<number, number[]>();
    for (const [at, hash] of missing) {
      const place = places.get(hash);
      if (place !== undefined) wanted.set(place, [...(wanted.get(place) ?? []), at]);
    }
    const order = [...wanted.keys()].sort((one, other) => one - other);
    await forEach([...runs(order, there.size, REUSED_BYTES)], REUSES_AT_ONCE, async ({ offset, length }) => {
      const part = await there.file.slice(offset, offset + length).arrayBuffer().catch(() => undefined);
      if (part === undefined) return;
      for (let start = 0; start < length; start += SYNC_BLOCK_BYTES) {
        const bytes = new Uint8Array(part, start, Math.min(SYNC_BLOCK_BYTES, length - start));
        const hash = toHexadecimal(this.#hash(bytes));
        for (const at of wanted.get((offset + start) / SYNC_BLOCK_BYTES) ?? []) {
          if (missing.get(at) !== hash) continue;
          writeAll(access, bytes, at * SYNC_BLOCK_BYTES);
          missing.delete(at);
        }
      }
    });
  }

  async #copy(node: FileNode, from: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
    if (from === '') return undefined;
    const there = await this.#disk.look(from);
    if (there?.kind !== 'file' || there.size !== node.size) return undefined;
    return await there.file.arrayBuffer().then(
      (bytes) => new Uint8Array(bytes),
      () => undefined,
    );
  }
}

/** Blocks that follow one another, as parts of at most so many bytes. */
export function* runs(
  blocks: readonly number[],
  size: number,
  longest: number,
): Generator<{ offset: number; length: number }> {
  let start = 0;
  for (let at = 1; at <= blocks.length; at += 1) {
    const [first, last] = [blocks[start] ?? 0, blocks[at - 1] ?? 0];
    const full = (last - first + 1) * SYNC_BLOCK_BYTES >= longest;
    if (at < blocks.length && blocks[at] === last + 1 && !full) continue;
    const offset = first * SYNC_BLOCK_BYTES;
    yield { offset, length: Math.min(size, (last + 1) * SYNC_BLOCK_BYTES) - offset };
    start = at;
  }
}
