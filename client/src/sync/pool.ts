/**
 * Doing many things at once, but not too many.
 *
 * @module
 */

/** Does something with each item, `limit` of them at a time. The first failure ends it. */
export async function forEach<Item>(
  items: Iterable<Item>,
  limit: number,
  perform: (item: Item) => Promise<void>,
): Promise<void> {
  const iterator = items[Symbol.iterator]();
  let failed = false;
  const work = async (): Promise<void> => {
    for (let next = iterator.next(); !next.done && !failed; next = iterator.next()) {
      try {
        await perform(next.value);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: limit }, work));
}

/** Lets so much happen at a time; what wants more waits its turn. */
export class Semaphore {
  readonly #total: number;
  #free: number;
  readonly #waiting: { amount: number; go: () => void }[] = [];

  constructor(total: number) {
    this.#total = total;
    this.#free = total;
  }

  /** Takes an amount, once there is so much; one beyond the total takes all. */
  async take(wanted: number): Promise<number> {
    const amount = Math.min(wanted, this.#total);
    if (this.#waiting.length > 0 || this.#free < amount) {
      await new Promise<void>((go) => this.#waiting.push({ amount, go }));
    } else {
      this.#free -= amount;
    }
    return amount;
  }

  /** Gives it back. */
  give(amount: number): void {
    this.#free += amount;
    for (let first = this.#waiting[0]; first && first.amount <= this.#free; first = this.#waiting[0]) {
      this.#waiting.shift();
      this.#free -= first.amount;
      first.go();
    }
  }
}
