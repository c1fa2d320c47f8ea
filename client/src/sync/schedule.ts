/**
 * Carries out orders many at a time, with the same effect as one after the other.
 *
 * An order is begun when no earlier one is unfinished whose paths are the same as, above, or beneath one of its own.
 *
 * @module
 */

import { above } from './paths.ts';

/** How many orders are carried out at a time. */
const AT_ONCE = 16;

interface Task {
  paths: readonly string[];
  perform: () => Promise<void>;
  over: () => void;
}

/** A line of tasks that concern paths. */
export class Schedule {
  readonly #waiting: Task[] = [];
  #first = 0;
  /** How many running tasks concern a path. */
  readonly #busy = new Map<string, number>();
  /** How many running tasks concern a path beneath this one. */
  readonly #busyBeneath = new Map<string, number>();
  #running = 0;
  #stopped = false;
  #idle: (() => void)[] = [];

  /** Tasks that were added and are not done. */
  get size(): number {
    return this.#running + this.#waiting.length - this.#first;
  }

  /** Whether a running task concerns the path, one above, or one beneath it. */
  touches(path: string): boolean {
    return this.#busyBeneath.has(path) || this.concerns(path);
  }

  /** Whether a running task concerns the path, or one above it. */
  concerns(path: string): boolean {
    if (this.#busy.has(path)) return true;
    for (const folder of above(path)) if (this.#busy.has(folder)) return true;
    return false;
  }

  /** Adds a task; `perform` must not fail. `over` is called when it no longer is a running one. */
  add(paths: readonly string[], perform: () => Promise<void>, over: () => void = () => undefined): void {
    this.#waiting.push({ paths, perform, over });
    this.#begin();
  }

  /** When all tasks are done. */
  async idle(): Promise<void> {
    if (this.size > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  /** Forgets what was not begun. Done when what was is over. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#waiting.length = 0;
    this.#first = 0;
    await this.idle();
  }

  #begin(): void {
    while (this.#running < AT_ONCE && !this.#stopped) {
      const task = this.#waiting[this.#first];
      if (task === undefined || task.paths.some((path) => this.touches(path))) break;
      this.#first += 1;
      if (this.#first > 1024 && this.#first * 2 > this.#waiting.length) {
        this.#waiting.splice(0, this.#first);
        this.#first = 0;
      }
      this.#running += 1;
      this.#mark(task, 1);
      void task.perform().finally(() => {
        this.#running -= 1;
        this.#mark(task, -1);
        task.over();
        this.#begin();
        if (this.size === 0) for (const resolve of this.#idle.splice(0)) resolve();
      });
    }
  }

  #mark(task: Task, by: number): void {
    const count = (counts: Map<string, number>, path: string): void => {
      const now = (counts.get(path) ?? 0) + by;
      if (now === 0) counts.delete(path);
      else counts.set(path, now);
    };
    for (const path of task.paths) {
      count(this.#busy, path);
      for (const folder of above(path)) count(this.#busyBeneath, folder);
    }
  }
}
