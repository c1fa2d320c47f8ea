/**
 * Looks at the disk, and says what is not as it was last told.
 *
 * Only files whose length or time of change is another are read. A file that is changed while it is read is left for a
 * later look.
 *
 * @module
 */

import { SYNC_BLOCK_BYTES } from '../generated/protocol.ts';
import { found, type Disk, type Found } from './disk.ts';
import { blocksOfFile, contentOfBlocks, type Hash } from './hash.ts';
import { above, firstProblem, join, nameProblem, outermost, pathProblem, type Ignored } from './paths.ts';
import { nameOfError } from './platform.ts';
import { Semaphore } from './pool.ts';
import { nodeOf, sameNode, UNSETTLED, type Entry, type FileEntry, type Store } from './store.ts';
import type { Touches } from './touches.ts';

/** A path that is not as it was told, or whose time of change is not. */
export interface Change {
  path: string;
  /** What is there; absent: nothing. */
  entry: Entry | undefined;
  /** When it was looked at, see {@link Touches}. */
  clock: number;
}

/** What a look brought. */
export interface Observation {
  changes: Change[];
  problems: { path: string; reason: string }[];
  /** Paths that changed while they were looked at. */
  restless: string[];
}

/** How many files and folders are looked at at a time. */
const LOOKS_AT_ONCE = 48;
/** Bytes of files that are in memory at a time. */
const READ_BYTES = 32 << 20;
/** What is in memory of a large file. */
const LARGE_READ_BYTES = 4 << 20;
/** Block hashes of large files that are kept, in blocks. */
const BLOCKS_KEPT = 200_000;

/** Looks at the disk. */
export class Scanner {
  readonly #disk: Disk;
  readonly #store: Store;
  readonly #ignored: Ignored;
  readonly #hash: Hash;
  readonly #touches: Touches;
  readonly #looks = new Semaphore(LOOKS_AT_ONCE);
  readonly #reads = new Semaphore(READ_BYTES);
  readonly #blocks = new Map<string, string[]>();
  #blocksKept = 0;

  constructor(disk: Disk, store: Store, ignored: Ignored, hash: Hash, touches: Touches) {
    this.#disk = disk;
    this.#store = store;
    this.#ignored = ignored;
    this.#hash = hash;
    this.#touches = touches;
  }

  /** Looks at these paths and all beneath them; the empty path is everything. */
  async observe(paths: Iterable<string>): Promise<Observation> {
    const into: Observation = { changes: [], problems: [], restless: [] };
    await Promise.all(outermost(paths).map((path) => this.#path(path, into)));
    keepExecutable(into.changes, this.#store);
    return into;
  }

  /** Reads a file and says what it is; `undefined` when it was changed meanwhile. */
  async read(path: string, { file }: NonNullable<Extract<Found, { kind: 'file' }>>): Promise<FileEntry | undefined> {
    const taken = await this.#reads.take(Math.min(file.size, LARGE_READ_BYTES));
    try {
      const begun = Date.now();
      const blocks = await blocksOfFile(this.#hash, file);
      const content = contentOfBlocks(blocks);
      if (file.size > SYNC_BLOCK_BYTES) this.keepBlocks(content, blocks);
      const told = this.#store.get(path);
      const executable = told?.kind === 'file' && told.executable;
      // A file changed within this same millisecond could be changed again and look the same.
      const modified = file.lastModified < begun ? file.lastModified : UNSETTLED;
      return { kind: 'file', content, size: file.size, executable, modified };
    } catch (error) {
      if (['NotReadableError', 'NotFoundError'].includes(nameOfError(error))) return undefined;
      throw error;
    } finally {
      this.#reads.give(taken);
    }
  }

  /** The hashes of the blocks of a file that has this content, if that is so. */
  async blocksOf(content: string, file: File): Promise<string[] | undefined> {
    const kept = this.#blocks.get(content);
    if (kept) return kept;
    try {
      const blocks = await blocksOfFile(this.#hash, file);
      if (contentOfBlocks(blocks) !== content) return undefined;
      this.keepBlocks(content, blocks);
      return blocks;
    } catch (error) {
      if (['NotReadableError', 'NotFoundError'].includes(nameOfError(error))) return undefined;
      throw error;
    }
  }

  /** Remembers the blocks of a large content, which may be asked for again. */
  keepBlocks(content: string, blocks: string[]): void {
    if (this.#blocks.has(content)) return;
    if (this.#blocksKept + blocks.length > BLOCKS_KEPT) {
      this.#blocks.clear();
      this.#blocksKept = 0;
    }
    this.#blocks.set(content, blocks);
    this.#blocksKept += blocks.length;
  }

  async #path(path: string, into: Observation): Promise<void> {
    if (path === '') return await this.#folder('', into);
    if (this.#ignored.covers(path)) return;
    const clock = this.#touches.clock;
    const there = await this.#limited(() => this.#disk.look(path));
    if (there === null) return this.#gone(path, clock, into);
    const problem = firstProblem(path);
    if (problem !== undefined) return void into.problems.push(problem);
    for (const folder of above(path)) this.#isFolder(folder, clock, into);
    if (there.kind === 'file') return await this.#file(path, there, clock, into);
    this.#isFolder(path, clock, into);
    await this.#folder(path, into);
  }

  async #folder(path: string, into: Observation): Promise<void> {
    const clock = this.#touches.clock;
    const seen = new Set<string>();
    const looks: Promise<void>[] = [];
    for (const handle of await this.#limited(() => this.#disk.list(path))) {
      const { name } = handle;
      if (this.#ignored.has(path, name)) continue;
      seen.add(name);
      const there = join(path, name);
      const reason = nameProblem(name) ?? pathProblem(there);
      if (reason !== undefined) {
        into.problems.push({ path: there.toWellFormed(), reason });
      } else if (handle.kind === 'directory') {
        this.#isFolder(there, clock, into);
        looks.push(this.#folder(there, into));
      } else {
        looks.push(this.#look(there, handle, into));
      }
    }
    for (const name of this.#store.names(path)) {
      if (!seen.has(name) && !this.#ignored.has(path, name)) this.#gone(join(path, name), clock, into);
    }
    await Promise.all(looks);
  }

  async #look(path: string, handle: FileSystemFileHandle, into: Observation): Promise<void> {
    const clock = this.#touches.clock;
    const there = await this.#limited(() => found(handle));
    if (there?.kind === 'file') await this.#file(path, there, clock, into);
    else into.restless.push(path);
  }

  async #file(path: string, there: Extract<Found, { kind: 'file' }>, clock: number, into: Observation): Promise<void> {
    const told = this.#store.get(path);
    if (told?.kind === 'file' && told.size === there.size && told.modified === there.modified) return;
    if (told?.kind === 'directory') this.#gone(path, clock, into);
    const entry = await this.read(path, there);
    if (entry === undefined) into.restless.push(path);
    else into.changes.push({ path, entry, clock });
  }

  #isFolder(path: string, clock: number, into: Observation): void {
    if (this.#store.get(path)?.kind !== 'directory') into.changes.push({ path, entry: { kind: 'directory' }, clock });
  }

  #gone(path: string, clock: number, into: Observation): void {
    for (const beneath of this.#store.beneath(path)) {
      if (!this.#ignored.covers(beneath)) into.changes.push({ path: beneath, entry: undefined, clock });
    }
  }

  async #limited<Result>(look: () => Promise<Result>): Promise<Result> {
    const taken = await this.#looks.take(1);
    try {
      return await look();
    } finally {
      this.#looks.give(taken);
    }
  }
}

/** A file that was renamed here may still be executed: the browser's disk does not know, and the other end does. */
function keepExecutable(changes: Change[], store: Store): void {
  const executable = new Set<string>();
  for (const { path, entry } of changes) {
    const told = store.get(path);
    if (entry === undefined && told?.kind === 'file' && told.executable) executable.add(told.content);
  }
  if (executable.size === 0) return;
  for (const { path, entry } of changes) {
    if (entry?.kind === 'file' && store.get(path) === undefined && executable.has(entry.content)) entry.executable = true;
  }
}

/** Whether a change is one the hub has to be told of. */
export function isNews(change: Change, store: Store): boolean {
  return !sameNode(nodeOf(change.entry), store.node(change.path));
}
