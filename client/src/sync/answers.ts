/**
 * Answers what the hub asks of the files on this disk.
 *
 * @module
 */

import { SYNC_BLOCK_BYTES } from '../generated/protocol.ts';
import type { Disk } from './disk.ts';
import { Semaphore } from './pool.ts';
import type { ReceivedRecord, SentRecord } from './records.ts';
import type { Scanner } from './scan.ts';
import type { Store } from './store.ts';

/** Hashes in one record: a frame's worth, and a bit less. */
const HASHES_AT_ONCE = 16_384;
const READS_AT_ONCE = 32;
const READ_BYTES = 16 << 20;

/** What the hub can ask. */
export type Asked = Extract<ReceivedRecord, { type: 'askBlocks' | 'read' }>;

/** Answers the hub. */
export class Answers {
  readonly #disk: Disk;
  readonly #store: Store;
  readonly #scanner: Scanner;
  readonly #send: (record: SentRecord) => void;
  readonly #look: (path: string) => void;
  readonly #turns = new Semaphore(READS_AT_ONCE);
  readonly #bytes = new Semaphore(READ_BYTES);

  /** `look` is given the path of a file that no longer has the content it was told to have. */
  constructor(
    disk: Disk,
    store: Store,
    scanner: Scanner,
    send: (record: SentRecord) => void,
    look: (path: string) => void,
  ) {
    this.#disk = disk;
    this.#store = store;
    this.#scanner = scanner;
    this.#send = send;
    this.#look = look;
  }

  /** Answers, once it is its turn. */
  async answer(asked: Asked): Promise<void> {
    const turn = await this.#turns.take(1);
    try {
      const file = await this.#file(asked.path, asked.content);
      if (file === undefined || !(asked.type === 'read' ? await this.#read(asked, file) : await this.#blocks(asked, file))) {
        this.#send({ type: 'unavailable', request: asked.request, reason: 'was changed in the browser' });
        this.#look(asked.path);
      }
    } catch (error) {
      const reason = `could not be read in the browser: ${error instanceof Error ? error.message : String(error)}`;
      this.#send({ type: 'unavailable', request: asked.request, reason });
    } finally {
      this.#turns.give(turn);
    }
  }

  /** The file, if it still has this content as far as can be seen. */
  async #file(path: string, content: string): Promise<File | undefined> {
    const told = this.#store.get(path);
    if (told?.kind !== 'file' || told.content !== content) return undefined;
    const there = await this.#disk.look(path);
    if (there?.kind !== 'file' || there.size !== told.size) return undefined;
    // Of one that was too young to tell, the hub sees by the hash whether these are the bytes.
    return told.modified === there.modified || told.modified < 0 ? there.file : undefined;
  }

  async #read({ request, offset, length }: Extract<Asked, { type: 'read' }>, file: File): Promise<boolean> {
    const taken = await this.#bytes.take(length);
    try {
      const end = Math.min(file.size, offset + length);
      const bytes = new Uint8Array(await file.slice(offset, end).arrayBuffer());
      this.#send({ type: 'data', request, offset, bytes });
      return true;
    } catch {
      return false;
    } finally {
      this.#bytes.give(taken);
    }
  }

  async #blocks({ request, content, size }: Extract<Asked, { type: 'askBlocks' }>, file: File): Promise<boolean> {
    const hashes = await this.#scanner.blocksOf(content, file);
    if (hashes?.length !== Math.max(1, Math.ceil(size / SYNC_BLOCK_BYTES))) return false;
    for (let at = 0; at < hashes.length; at += HASHES_AT_ONCE) {
      this.#send({ type: 'blocks', request, hashes: hashes.slice(at, at + HASHES_AT_ONCE) });
    }
    return true;
  }
}
