/**
 * Carries out orders on the browser's disk.
 *
 * Each is done only if there still is what it expects, and nothing a page wrote a moment ago is lost for it:
 *
 * - A small file that is replaced is written under a lock that nobody else can write beside, and compared under it.
 * - A new file, and a large one, is staged, compared at the last moment, and moved into its place in one step.
 * - A file that is removed is moved aside first and compared there; if it was changed, it goes back.
 *
 * A browser cannot move folders: their files are moved one by one.
 *
 * @module
 */

import { SYNC_BLOCK_BYTES } from '../generated/protocol.ts';
import { found, type Disk, type Found } from './disk.ts';
import { join, nameOf, nameProblem, parentOf, pathProblem, STAGE, type Ignored } from './paths.ts';
import { createExclusiveWritable, moveFile, moveFolder, nameOfError, reasonOf, writeAll } from './platform.ts';
import { forEach } from './pool.ts';
import type { FileNode, Node, OrderRecord, OrderResult } from './records.ts';
import { Unavailable } from './remote.ts';
import type { Scanner } from './scan.ts';
import type { Staging } from './staging.ts';
import { nodeOf, sameNode, UNSETTLED, type Entry, type FileEntry, type Store } from './store.ts';

/** What became of an order, and what is at which paths now. */
export interface Applied {
  result: OrderResult;
  /** With `changed`, those beside the order's own path are to be told before the result. */
  entries: [path: string, entry: Entry | undefined][];
  /** The browser's name for why it failed. */
  cause?: string;
  /** Paths to be looked at again, together: something there is not as it was told. */
  look?: readonly string[];
}

type FoundFile = Extract<Found, { kind: 'file' }>;

/** What is at a path, and the snapshot it was made of. */
interface Current {
  entry: Entry | undefined;
  there: Found;
}

/** Files up to this size are replaced under a lock, by writing them again; larger ones by a move. */
const REPLACED_BYTES = 4 << 20;
const MOVES_AT_ONCE = 32;

/** Something was not as expected. */
class Otherwise extends Error {}

/** Carries out orders. */
export class Applier {
  readonly #disk: Disk;
  readonly #store: Store;
  readonly #scanner: Scanner;
  readonly #staging: Staging;
  readonly #ignored: Ignored;
  /** No earlier session left a file of such a name. */
  readonly #prefix = crypto.randomUUID();
  #numbers = 0;

  constructor(disk: Disk, store: Store, scanner: Scanner, staging: Staging, ignored: Ignored) {
    this.#disk = disk;
    this.#store = store;
    this.#scanner = scanner;
    this.#staging = staging;
    this.#ignored = ignored;
  }

  /** Carries out an order. Nothing is thrown: what goes wrong is its result. */
  async perform(order: OrderRecord): Promise<Applied> {
    try {
      const reason = this.#refusal(order);
      if (reason !== undefined) return failed(reason);
      switch (order.action.kind) {
        case 'makeDirectory':
          return await this.#makeDirectory(order);
        case 'put':
          return await this.#put(order, order.action.node, order.action.copyFrom);
        case 'move':
          return await this.#move(order, order.action.from, order.action.moved);
        case 'remove':
          return await this.#remove(order);
      }
    } catch (error) {
      const elsewhere = error instanceof Unavailable || error instanceof Otherwise;
      // The folder above may be gone: to the browser that is the same as the path itself.
      if (!elsewhere && !['NotFoundError', 'TypeMismatchError'].includes(nameOfError(error))) {
        return { ...failed(reasonOf(error)), cause: nameOfError(error), look: [order.path] };
      }
      return await this.#changed(order.path).catch((reason: unknown) => failed(reasonOf(reason)));
    }
  }

  #refusal({ path }: OrderRecord): string | undefined {
    if (this.#ignored.covers(path)) return 'is ignored';
    for (const name of path.split('/')) {
      const problem = nameProblem(name);
      if (problem !== undefined) return problem;
    }
    return pathProblem(path);
  }

  /** What is at a path now; a file is read if it looks different from what was told. */
  async #current(path: string): Promise<Current> {
    const there = await this.#disk.look(path);
    if (there?.kind !== 'file') return { entry: there === null ? undefined : { kind: 'directory' }, there };
    const told = this.#store.get(path);
    if (told?.kind === 'file' && told.size === there.size && told.modified === there.modified) {
      return { entry: told, there };
    }
    const entry = await this.#scanner.read(path, there);
    if (entry === undefined) throw new DOMException('', 'NoModificationAllowedError');
    return { entry, there };
  }

  async #changed(path: string): Promise<Applied> {
    const { entry } = await this.#current(path);
    const entries: Applied['entries'] = [];
    if (entry?.kind !== 'directory') {
      for (const beneath of this.#store.beneath(path)) if (beneath !== path) entries.push([beneath, undefined]);
    }
    entries.push([path, entry]);
    return { result: { kind: 'changed', node: nodeOf(entry) }, entries, look: [parentOf(path)] };
  }

  async #makeDirectory({ path, expect }: OrderRecord): Promise<Applied> {
    const { entry, there } = await this.#current(path);
    const made: Applied = { result: { kind: 'done' }, entries: [[path, { kind: 'directory' }]] };
    if (entry?.kind === 'directory') return made;
    if (!sameNode(nodeOf(entry), expect)) throw new Otherwise();
    const parent = await this.#disk.folder(parentOf(path));
    if (entry) await this.#removeFile(path, there);
    this.#disk.keep(path, await parent.getDirectoryHandle(nameOf(path), { create: true }));
    return made;
  }

  async #put({ path, expect }: OrderRecord, node: FileNode, copyFrom: string): Promise<Applied> {
    // A file that is new is looked for only once, at the last moment.
    const isNew = expect === null && this.#store.get(path) === undefined && node.size <= SYNC_BLOCK_BYTES;
    const { entry, there }: Current = isNew ? { entry: undefined, there: null } : await this.#current(path);
    if (entry?.kind === 'file' && entry.content === node.content && entry.size === node.size) {
      return { result: { kind: 'done' }, entries: [[path, { ...entry, executable: node.executable }]] };
    }
    if (!sameNode(nodeOf(entry), expect)) throw new Otherwise();
    const parent = await this.#disk.folder(parentOf(path));
    if (node.size > SYNC_BLOCK_BYTES) {
      const similar = copyFrom === '' ? [path] : [copyFrom, path];
      const modified = await this.#staging.large(path, node, similar, async (staged) => {
        return await this.#moveIntoPlace(staged, parent, path, there);
      });
      return put(path, node, modified);
    }
    const bytes = await this.#staging.small(path, node, copyFrom);
    if (there?.kind === 'file' && there.size <= REPLACED_BYTES) {
      return put(path, node, await replace(there, bytes));
    }
    const staged = await this.#stage(bytes);
    return put(path, node, await this.#moveIntoPlace(staged, parent, path, there));
  }

  async #stage(bytes: Uint8Array<ArrayBuffer>): Promise<FileSystemFileHandle> {
    const folder = await this.#disk.ownFolder(STAGE);
    this.#numbers += 1;
    const staged = await folder.getFileHandle(`${this.#prefix}-${this.#numbers}`, { create: true });
    const access = await staged.createSyncAccessHandle();
    try {
      writeAll(access, bytes, 0);
      access.flush();
    } finally {
      access.close();
    }
    return staged;
  }

  /** Moves a staged file to where `there` is, if that still is all there is. */
  async #moveIntoPlace(
    staged: FileSystemFileHandle,
    parent: FileSystemDirectoryHandle,
    path: string,
    there: Found,
  ): Promise<number> {
    if (there?.kind === 'directory') await this.#removeFolder(path);
    const now = await this.#disk.look(path);
    if (there?.kind === 'file' ? !isSame(now, there) : now !== null) throw new Otherwise();
    const begun = Date.now();
    await moveFile(staged, parent, nameOf(path));
    // The handle went along: it names the file in its place. Staged before it was moved, so if it looks younger
    // than the move, a page has written it since.
    return settled(await found(staged), begun);
  }

  async #move({ path, expect }: OrderRecord, from: string, moved: NonNullable<Node>): Promise<Applied> {
    const [source, target] = [await this.#current(from), await this.#current(path)];
    if (source.entry === undefined || !sameNode(nodeOf(source.entry), moved)) throw new Otherwise();
    if (!sameNode(nodeOf(target.entry), expect)) throw new Otherwise();
    const parent = await this.#disk.folder(parentOf(path));
    if (source.there?.kind === 'file' && source.entry.kind === 'file') {
      if (target.there?.kind === 'directory') await this.#removeFolder(path);
      const now = await this.#disk.look(from);
      if (!isSame(now, source.there)) throw new Otherwise();
      await moveFile(source.there.handle, parent, nameOf(path));
      return { result: { kind: 'done' }, entries: [[from, undefined], [path, source.entry]] };
    }
    if (target.entry) await this.#removeFile(path, target.there);
    const handle = await this.#disk.folder(from);
    try {
      if (!(await moveFolder(handle, parent, nameOf(path)))) await this.#moveContents(from, path);
    } catch (error) {
      // Some of it is here and some there: only a look at both tells which.
      return { ...failed(reasonOf(error)), cause: nameOfError(error), look: [from, path] };
    }
    const entries: Applied['entries'] = [];
    for (const beneath of this.#store.beneath(from)) {
      entries.push([beneath, undefined], [path + beneath.slice(from.length), this.#store.get(beneath)]);
    }
    return { result: { kind: 'done' }, entries };
  }

  async #moveContents(from: string, to: string): Promise<void> {
    const parent = await this.#disk.folder(parentOf(to));
    const target = this.#disk.keep(to, await parent.getDirectoryHandle(nameOf(to), { create: true }));
    const handles = await this.#disk.list(from);
    await forEach(handles, MOVES_AT_ONCE, async (handle) => {
      if (handle.kind === 'file') await moveFile(handle, target, handle.name);
      else await this.#moveContents(join(from, handle.name), join(to, handle.name));
    });
    await (await this.#disk.folder(parentOf(from))).removeEntry(nameOf(from));
  }

  async #remove({ path, expect }: OrderRecord): Promise<Applied> {
    const { entry, there } = await this.#current(path);
    const removed: Applied = { result: { kind: 'done' }, entries: [[path, undefined]] };
    if (entry === undefined) return removed;
    if (!sameNode(nodeOf(entry), expect)) throw new Otherwise();
    if (entry.kind === 'file') {
      await this.#removeFile(path, there);
      return removed;
    }
    const left = await this.#disk.list(path);
    if (left.some(({ name }) => !this.#ignored.has(path, name))) throw new Otherwise();
    if (left.length > 0) return failed('has ignored files in it, which are never deleted');
    await this.#removeFolder(path);
    return removed;
  }

  async #removeFolder(path: string): Promise<void> {
    try {
      await (await this.#disk.folder(parentOf(path))).removeEntry(nameOf(path));
    } catch (error) {
      if (nameOfError(error) === 'InvalidModificationError') throw new Otherwise();
      throw error;
    }
  }

  async #removeFile(path: string, there: Found): Promise<void> {
    if (there?.kind !== 'file') throw new Otherwise();
    const trash = await this.#disk.ownFolder('trash');
    this.#numbers += 1;
    const aside = `${this.#prefix}-${this.#numbers}`;
    await moveFile(there.handle, trash, aside);
    const now = await found(there.handle);
    if (isSame(now, there)) return await trash.removeEntry(aside);
    await moveFile(there.handle, await this.#disk.folder(parentOf(path)), nameOf(path));
    throw new Otherwise();
  }
}

/** Writes a file anew, with nobody beside, if it still is what was seen. */
async function replace(there: NonNullable<FoundFile>, bytes: Uint8Array<ArrayBuffer>): Promise<number> {
  const writable = await createExclusiveWritable(there.handle);
  try {
    if (!isSame(await found(there.handle), there)) throw new Otherwise();
    await writable.write(bytes);
  } catch (error) {
    await writable.abort();
    throw error;
  }
  const begun = Date.now();
  await writable.close();
  return settled(await found(there.handle), begun);
}

function isSame(now: Found, before: Found): boolean {
  return now?.kind === 'file' && before?.kind === 'file' && now.size === before.size && now.modified === before.modified;
}

/** The time of change to keep of a file that was written before `begun`. */
function settled(now: Found, begun: number): number {
  return now?.kind === 'file' && now.modified < begun ? now.modified : UNSETTLED;
}

function put(path: string, node: FileNode, modified: number): Applied {
  const entry: FileEntry = { ...node, modified };
  return { result: { kind: 'done' }, entries: [[path, entry]] };
}

function failed(reason: string): Applied {
  return { result: { kind: 'failed', reason }, entries: [] };
}
