/**
 * Keeps what an observation saw before an order was carried out from being told after it.
 *
 * An observation takes time, and orders are carried out meanwhile. Each path an order changed is marked with a number that
 * grows; what was looked at under a smaller number is not believed, and looked at again.
 *
 * @module
 */

import { above } from './paths.ts';

/** Which paths orders changed while observations run. */
export class Touches {
  readonly #touched = new Map<string, number>();
  #clock = 0;
  #observations = 0;

  /** The number of what is looked at now. */
  get clock(): number {
    return this.#clock;
  }

  /** An observation begins. */
  begin(): void {
    this.#observations += 1;
  }

  /** An observation was told. */
  end(): void {
    this.#observations -= 1;
    if (this.#observations === 0) this.#touched.clear();
  }

  /** An order changed this path, and maybe what lies beneath it. */
  mark(path: string): void {
    this.#clock += 1;
    if (this.#observations > 0) this.#touched.set(path, this.#clock);
  }

  /** Whether an order changed the path after it was looked at. */
  since(path: string, clock: number): boolean {
    if ((this.#touched.get(path) ?? 0) > clock) return true;
    for (const folder of above(path)) if ((this.#touched.get(folder) ?? 0) > clock) return true;
    return false;
  }
}
