/**
 * What is asked of the hub: hashes of blocks, and bytes.
 *
 * @module
 */

import { SYNC_BLOCK_BYTES } from '../generated/protocol.ts';
import { Semaphore } from './pool.ts';
import type { ReceivedRecord, SentRecord } from './records.ts';

/** The hub no longer has what was asked for, or the session is over. */
export class Unavailable extends Error {}

interface Question {
  take(record: ReceivedRecord): boolean;
  fail(error: Unavailable): void;
}

/** Asks the hub. */
export class Remote {
  readonly #send: (record: SentRecord) => void;
  readonly #window: Semaphore;
  readonly #questions = new Map<number, Question>();
  #next = 1;
  #ended: string | undefined;

  /** At most `window` bytes are asked for and not there yet. */
  constructor(send: (record: SentRecord) => void, window: number) {
    this.#send = send;
    this.#window = new Semaphore(window);
  }

  /** The hashes of all blocks of a content. */
  blocks(path: string, content: string, size: number): Promise<string[]> {
    const count = Math.max(1, Math.ceil(size / SYNC_BLOCK_BYTES));
    const hashes: string[] = [];
    const take = (record: ReceivedRecord): string[] | undefined => {
      if (record.type !== 'blocks') return undefined;
      hashes.push(...record.hashes);
      return hashes.length >= count ? hashes : undefined;
    };
    return this.#ask((request) => ({ type: 'askBlocks', request, path, content, size }), take);
  }

  /** Some bytes of a content. They are still to be compared with their hashes. */
  async read(path: string, content: string, offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    const taken = await this.#window.take(length);
    try {
      const bytes = new Uint8Array(length);
      let received = 0;
      const take = (record: ReceivedRecord): Uint8Array<ArrayBuffer> | undefined => {
        if (record.type !== 'data') return undefined;
        if (record.offset !== offset + received || received + record.bytes.length > length) {
          throw new Error('the hub sent other bytes than were asked for');
        }
        bytes.set(record.bytes, received);
        received += record.bytes.length;
        return received >= length ? bytes : undefined;
      };
      return await this.#ask((request) => ({ type: 'read', request, path, content, offset, length }), take);
    } finally {
      this.#window.give(taken);
    }
  }

  /** Takes an answer of the hub. */
  take(record: Extract<ReceivedRecord, { type: 'blocks' | 'data' | 'unavailable' }>): void {
    const question = this.#questions.get(record.request);
    if (question === undefined) return;
    if (record.type === 'unavailable') {
      this.#questions.delete(record.request);
      question.fail(new Unavailable(record.reason));
    } else if (question.take(record)) {
      this.#questions.delete(record.request);
    }
  }

  /** The session is over: nothing will be answered any more. */
  end(reason: string): void {
    this.#ended = reason;
    for (const question of this.#questions.values()) question.fail(new Unavailable(reason));
    this.#questions.clear();
  }

  #ask<Answer>(
    record: (request: number) => SentRecord,
    take: (record: ReceivedRecord) => Answer | undefined,
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) {
        reject(new Unavailable(this.#ended));
        return;
      }
      const request = this.#next++;
      this.#questions.set(request, {
        take: (received) => {
          const answer = take(received);
          if (answer !== undefined) resolve(answer);
          return answer !== undefined;
        },
        fail: reject,
      });
      this.#send(record(request));
    });
  }
}
