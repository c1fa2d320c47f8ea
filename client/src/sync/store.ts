/**
 * What the replica last told the hub of every path, kept in the browser's own disk.
 *
 * One file, `.mhnos-sync/index`: lines of JSON, each an entry that was set or deleted, so that a change costs one line. It is
 * written anew, beside itself and moved into place, when most of it is history. A last line that was cut off by a crash is
 * left out; the digest then differs from the hub's, which asks for everything. The tab that leads holds it open. A tab that hung while it led, and had
 * the lead taken from it, still does, and may write a little before it hears of that: which is found like a line that was cut off. A disk without
 * this file is a new replica with an id of its own.
 *
 * @module
 */

import { Digest } from './digest.ts';
import type { Hash } from './hash.ts';
import { nameOf, OWN_FOLDER, parentOf } from './paths.ts';
import { moveFile, nameOfError, openShared, writeAll } from './platform.ts';
import { toHexadecimal, type FileNode, type Node } from './records.ts';

/** A folder as it was told. */
interface FolderEntry {
  kind: 'directory';
}

/** A file as it was told, and what it looked like then. */
export interface FileEntry extends FileNode {
  /** `lastModified`, or {@link UNSETTLED}. */
  modified: number;
}

/** What was told of a path. */
export type Entry = FolderEntry | FileEntry;

/** In place of a time that does not tell whether the file was changed since, because it was so young when it was read. */
export const UNSETTLED = -1;

type Line =
  | ['replica', 1, string]
  | ['sequence', number]
  | ['folder', string]
  | ['file', string, number, string, 0 | 1, number]
  | ['gone', string];

const INDEX = 'index';
const NEW_INDEX = 'index.new';
/** History is taken out when there are this many lines more than twice what is needed. */
const HISTORY_LINES = 20_000;

/** The index of a replica. */
export class Store {
  /** 32 hexadecimal digits. */
  replica = '';

  readonly #folder: FileSystemDirectoryHandle;
  readonly #digest: Digest;
  readonly #entries = new Map<string, Entry>();
  readonly #children = new Map<string, Set<string>>();
  #sequence = 0;
  #file: FileSystemSyncAccessHandle | undefined;
  #end = 0;
  #lines = 0;
  #unwritten: Line[] = [];

  private constructor(folder: FileSystemDirectoryHandle, hash: Hash) {
    this.#folder = folder;
    this.#digest = new Digest(hash);
  }

  /** Opens the index of a folder, or begins one. */
  static async open(root: FileSystemDirectoryHandle, hash: Hash): Promise<Store> {
    const folder = await root.getDirectoryHandle(OWN_FOLDER, { create: true });
    const store = new Store(folder, hash);
    const file = await openShared(await folder.getFileHandle(INDEX, { create: true }));
    store.#file = file;
    const bytes = new Uint8Array(file.getSize());
    file.read(bytes, { at: 0 });
    store.#load(new TextDecoder().decode(bytes));
    if (store.replica === '') {
      store.replica = toHexadecimal(crypto.getRandomValues(new Uint8Array(16)));
      store.#unwritten.push(['replica', 1, store.replica]);
    }
    store.write();
    await store.compact();
    return store;
  }

  /** The last the hub told. */
  get sequence(): number {
    return this.#sequence;
  }

  set sequence(sequence: number) {
    if (sequence === this.#sequence) return;
    this.#sequence = sequence;
    this.#unwritten.push(['sequence', sequence]);
  }

  /** The digest of all entries. */
  get digest(): string {
    return this.#digest.text;
  }

  /** All paths with their entries; in no order. */
  get entries(): ReadonlyMap<string, Entry> {
    return this.#entries;
  }

  /** What was told of a path. */
  get(path: string): Entry | undefined {
    return this.#entries.get(path);
  }

  /** What was told of a path, as it stands in records. */
  node(path: string): Node {
    return nodeOf(this.#entries.get(path));
  }

  /** The names in a folder. */
  names(folder: string): Iterable<string> {
    return this.#children.get(folder) ?? [];
  }

  /** A path, if there is an entry for it, and all beneath it. */
  *beneath(path: string): Generator<string> {
    if (path !== '' && this.#entries.has(path)) yield path;
    for (const name of [...this.names(path)]) yield* this.beneath(path === '' ? name : `${path}/${name}`);
  }

  /** Sets or deletes an entry. It is kept with the next {@link write}. */
  set(path: string, entry: Entry | undefined): void {
    this.#set(path, entry);
    this.#unwritten.push(lineOf(path, entry));
  }

  /** Writes what was set since the last time. It outlives the tab at once, and a loss of power after {@link flush}. */
  write(): void {
    if (this.#unwritten.length === 0 || this.#file === undefined) return;
    const text = this.#unwritten.map((line) => `${JSON.stringify(line)}\n`).join('');
    const bytes = new TextEncoder().encode(text);
    writeAll(this.#file, bytes, this.#end);
    this.#end += bytes.length;
    this.#lines += this.#unwritten.length;
    this.#unwritten = [];
  }

  /** Has the browser write to disk what was written. */
  flush(): void {
    this.write();
    this.#file?.flush();
  }

  /** Takes the history out, if there is much of it. */
  async compact(): Promise<void> {
    const old = this.#file;
    if (old === undefined || this.#lines < 2 * this.#entries.size + HISTORY_LINES) return;
    // What is set from here on waits in memory. What was set before may be written twice, which does no harm.
    this.#file = undefined;
    const lines: Line[] = [['replica', 1, this.replica], ['sequence', this.#sequence]];
    for (const [path, entry] of this.#entries) lines.push(lineOf(path, entry));
    const bytes = new TextEncoder().encode(lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    const handle = await this.#folder.getFileHandle(NEW_INDEX, { create: true });
    const written = await handle.createSyncAccessHandle();
    written.truncate(0);
    writeAll(written, bytes, 0);
    written.flush();
    written.close();
    old.close();
    try {
      await moveFile(handle, this.#folder, INDEX);
      this.#end = bytes.length;
      this.#lines = lines.length;
    } catch (error) {
      // A tab that hangs has it open: then it keeps its history.
      if (nameOfError(error) !== 'NoModificationAllowedError') throw error;
    }
    this.#file = await openShared(await this.#folder.getFileHandle(INDEX));
    this.write();
  }

  /** Whether the index is still on the disk: a person may have cleared it. */
  async isThere(): Promise<boolean> {
    try {
      const handle = await this.#folder.getFileHandle(INDEX);
      return (await handle.getFile()).size > 0;
    } catch {
      return false;
    }
  }

  /** Lets another tab have it. */
  close(): void {
    try {
      this.flush();
    } finally {
      this.#file?.close();
      this.#file = undefined;
    }
  }

  #load(text: string): void {
    for (let start = 0; start < text.length; ) {
      const end = text.indexOf('\n', start);
      const line = end < 0 ? undefined : parsed(text.slice(start, end));
      // What comes after a line that was cut off is of no use: it builds on that line.
      if (line === undefined) break;
      this.#apply(line);
      this.#lines += 1;
      this.#end += new TextEncoder().encode(text.slice(start, end + 1)).length;
      start = end + 1;
    }
    this.#file?.truncate(this.#end);
  }

  #apply(line: Line): void {
    switch (line[0]) {
      case 'replica':
        this.replica = line[2];
        break;
      case 'sequence':
        this.#sequence = line[1];
        break;
      case 'folder':
        this.#set(line[1], { kind: 'directory' });
        break;
      case 'file':
        this.#set(line[1], { kind: 'file', size: line[2], content: line[3], executable: line[4] === 1, modified: line[5] });
        break;
      case 'gone':
        this.#set(line[1], undefined);
        break;
    }
  }

  #set(path: string, entry: Entry | undefined): void {
    const [before, after] = [this.node(path), nodeOf(entry)];
    if (!sameNode(before, after)) {
      if (before) this.#digest.subtract(path, before);
      if (after) this.#digest.add(path, after);
    }
    const folder = parentOf(path);
    const names = this.#children.get(folder);
    if (entry === undefined) {
      this.#entries.delete(path);
      names?.delete(nameOf(path));
      if (names?.size === 0) this.#children.delete(folder);
    } else {
      this.#entries.set(path, entry);
      if (names) names.add(nameOf(path));
      else this.#children.set(folder, new Set([nameOf(path)]));
    }
  }
}

/** An entry as it stands in records. */
export function nodeOf(entry: Entry | undefined): Node {
  if (entry === undefined) return null;
  if (entry.kind === 'directory') return { kind: 'directory' };
  const { content, size, executable } = entry;
  return { kind: 'file', content, size, executable };
}

/** Whether two nodes are the same. */
export function sameNode(one: Node, other: Node): boolean {
  if (one === null || other === null) return one === other;
  if (one.kind === 'directory' || other.kind === 'directory') return one.kind === other.kind;
  return one.content === other.content && one.size === other.size && one.executable === other.executable;
}

function lineOf(path: string, entry: Entry | undefined): Line {
  if (entry === undefined) return ['gone', path];
  if (entry.kind === 'directory') return ['folder', path];
  return ['file', path, entry.size, entry.content, entry.executable ? 1 : 0, entry.modified];
}

function parsed(text: string): Line | undefined {
  try {
    return JSON.parse(text) as Line;
  } catch {
    return undefined;
  }
}
