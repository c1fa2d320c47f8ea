/**
 * Paths at which an order failed for a reason that may pass: a page has the file open, or there is no room.
 *
 * When it may succeed, the path is told again, which makes the hub plan it anew.
 *
 * @module
 */

import type { Disk } from './disk.ts';
import { createExclusiveWritable } from './platform.ts';

const FIRST_LOOK = 250;
const LONGEST_LOCK_PAUSE = 2000;
const FIRST_ROOM_PAUSE = 10_000;
const LONGEST_ROOM_PAUSE = 5 * 60_000;

/** What is tried again, and when. */
export class Retries {
  readonly #disk: Disk;
  readonly #again: (path: string) => void;
  readonly #waiting = new Map<string, { timer: ReturnType<typeof setTimeout>; pause: number }>();
  readonly #pauses = new Map<string, number>();

  /** `again` is called with a path when an order for it may succeed. */
  constructor(disk: Disk, again: (path: string) => void) {
    this.#disk = disk;
    this.#again = again;
  }

  /** An order failed; `cause` is what the browser calls the reason. */
  failed(path: string, cause: string): void {
    if (this.#waiting.has(path)) return;
    if (cause === 'NoModificationAllowedError') {
      this.#wait(path, FIRST_LOOK, LONGEST_LOCK_PAUSE, async () => !(await this.#isLocked(path)));
    } else if (cause === 'QuotaExceededError') {
      // Nothing tells when there is room again, so it is tried, each time after a longer while.
      const pause = this.#pauses.get(path) ?? FIRST_ROOM_PAUSE;
      this.#pauses.set(path, Math.min(pause * 2, LONGEST_ROOM_PAUSE));
      this.#wait(path, pause, pause, () => Promise.resolve(true));
    }
  }

  /** An order succeeded. */
  succeeded(path: string): void {
    this.#pauses.delete(path);
    clearTimeout(this.#waiting.get(path)?.timer);
    this.#waiting.delete(path);
  }

  /** Nothing is tried any more. */
  end(): void {
    for (const { timer } of this.#waiting.values()) clearTimeout(timer);
    this.#waiting.clear();
  }

  #wait(path: string, pause: number, longest: number, mayTry: () => Promise<boolean>): void {
    const timer = setTimeout(() => {
      void mayTry().then((may) => {
        if (this.#waiting.get(path)?.timer !== timer) return;
        if (may) {
          this.#waiting.delete(path);
          this.#again(path);
        } else {
          this.#wait(path, Math.min(pause * 2, longest), longest, mayTry);
        }
      });
    }, pause);
    this.#waiting.set(path, { timer, pause });
  }

  async #isLocked(path: string): Promise<boolean> {
    try {
      const there = await this.#disk.look(path);
      if (there?.kind === 'file') await (await createExclusiveWritable(there.handle)).abort();
      return false;
    } catch {
      return true;
    }
  }
}
