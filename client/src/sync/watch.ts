/**
 * When to look at the disk again, and where.
 *
 * What is told here is only ever a hint: the browser's observer where there is one, other tabs, and what a look found restless. Hints are
 * gathered until it is quiet for a moment, so that a save in several steps is looked at once. Without an observer the whole
 * disk is looked at every few seconds; with one, now and then, for what it may have missed.
 *
 * @module
 */

import type { Disk } from './disk.ts';
import { isSwapName, OWN_FOLDER, STAGE } from './paths.ts';
import { createObserver, type FolderObserver, type ObservedChange } from './platform.ts';

const QUIET = 20;
const LONGEST = 200;
const RESTLESS = 250;
const POLL = 2000;
const FULL_LOOK = 5 * 60_000;
/** Beyond so many paths, one look at everything costs less. */
const MANY_PATHS = 50_000;

/** Gathers hints. */
export class Watch {
  readonly #look: (paths: string[]) => void;
  readonly #paths = new Set<string>();
  #observer: FolderObserver | undefined;
  #quiet: ReturnType<typeof setTimeout> | undefined;
  #longest: ReturnType<typeof setTimeout> | undefined;
  #poll: ReturnType<typeof setInterval> | undefined;
  #later = new Set<ReturnType<typeof setTimeout>>();

  /** `look` is called with the paths to look at; the empty one is everything. */
  constructor(look: (paths: string[]) => void) {
    this.#look = look;
  }

  /** Begins to watch a disk. */
  async begin(disk: Disk): Promise<void> {
    this.#observer = createObserver((changes) => this.#changed(changes));
    try {
      await this.#observer?.observe(disk.root, { recursive: true });
    } catch {
      this.#observer = undefined;
    }
    this.#poll = setInterval(() => this.add(''), this.#observer ? FULL_LOOK : POLL);
  }

  /** A path to look at. */
  add(path: string): void {
    this.#paths.add(path);
    if (this.#paths.size > MANY_PATHS) {
      this.#paths.clear();
      this.#paths.add('');
    }
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(() => this.#flush(), QUIET);
    this.#longest ??= setTimeout(() => this.#flush(), LONGEST);
  }

  /** A path to look at when it has come to rest. */
  addLater(path: string): void {
    const timer = setTimeout(() => {
      this.#later.delete(timer);
      this.add(path);
    }, RESTLESS);
    this.#later.add(timer);
  }

  /** Watches no longer. */
  end(): void {
    this.#observer?.disconnect();
    clearInterval(this.#poll);
    clearTimeout(this.#quiet);
    clearTimeout(this.#longest);
    for (const timer of this.#later) clearTimeout(timer);
  }

  #flush(): void {
    clearTimeout(this.#quiet);
    clearTimeout(this.#longest);
    this.#longest = undefined;
    const paths = [...this.#paths];
    this.#paths.clear();
    this.#look(paths);
  }

  #changed(changes: ObservedChange[]): void {
    for (const { type, relativePathComponents, relativePathMovedFrom } of changes) {
      // An order's own doing, of which the outcome tells. What a page does to the file from there on is a change of its own.
      if (type === 'moved' && relativePathMovedFrom?.[0] === OWN_FOLDER && relativePathMovedFrom[1] === STAGE) continue;
      if (type === 'unknown' || type === 'errored') this.add('');
      else this.#hint(relativePathComponents);
      if (type === 'moved' && relativePathMovedFrom) this.#hint(relativePathMovedFrom);
    }
  }

  #hint(names: readonly string[]): void {
    const last = names.at(-1);
    if (names[0] === OWN_FOLDER || (last !== undefined && isSwapName(last))) return;
    this.add(names.join('/'));
  }
}
