/**
 * The folder of the browser's disk that is synced, by paths.
 *
 * Handles of folders are kept: a browser resolves them by path each time they are used, so one that was removed and made again is
 * the same to it.
 *
 * @module
 */

import { join, nameOf, OWN_FOLDER, parentOf } from './paths.ts';
import { nameOfError } from './platform.ts';

/** What is at a path, without its content. */
export type Found =
  | { kind: 'directory' }
  /** `file` is a snapshot: reading it fails once the file was changed. */
  | { kind: 'file'; size: number; modified: number; file: File; handle: FileSystemFileHandle }
  | null;

/** Folders whose handles are kept; beyond, all are forgotten and looked up anew. */
const HANDLES_KEPT = 20_000;

/** A folder of the browser's disk. */
export class Disk {
  readonly root: FileSystemDirectoryHandle;
  readonly #own = new Map<string, FileSystemDirectoryHandle>();
  readonly #folders = new Map<string, FileSystemDirectoryHandle>();

  constructor(root: FileSystemDirectoryHandle) {
    this.root = root;
  }

  /**
   * A folder's handle. It may be one of a folder that is gone; using it says so.
   *
   * @throws DOMException `NotFoundError` or `TypeMismatchError`.
   */
  async folder(path: string): Promise<FileSystemDirectoryHandle> {
    if (path === '') return this.root;
    const kept = this.#folders.get(path);
    if (kept) return kept;
    const parent = await this.folder(parentOf(path));
    return this.keep(path, await parent.getDirectoryHandle(nameOf(path)));
  }

  /** Keeps a handle that was come by otherwise. */
  keep(path: string, handle: FileSystemDirectoryHandle): FileSystemDirectoryHandle {
    if (this.#folders.size >= HANDLES_KEPT) this.#folders.clear();
    this.#folders.set(path, handle);
    return handle;
  }

  /** A folder of the replica's own, in {@link OWN_FOLDER}; made if it is not there. */
  async ownFolder(name: string): Promise<FileSystemDirectoryHandle> {
    const kept = this.#own.get(name);
    if (kept) return kept;
    const own = await this.root.getDirectoryHandle(OWN_FOLDER, { create: true });
    const folder = await own.getDirectoryHandle(name, { create: true });
    this.#own.set(name, folder);
    return folder;
  }

  /** Looks what is at a path. */
  async look(path: string): Promise<Found> {
    try {
      const handle = await (await this.folder(parentOf(path))).getFileHandle(nameOf(path));
      return await found(handle);
    } catch (error) {
      if (nameOfError(error) === 'NotFoundError') return null;
      if (nameOfError(error) !== 'TypeMismatchError') throw error;
      // Either the path or a folder above it is of the other kind.
      return (await this.#isFolder(path)) ? { kind: 'directory' } : null;
    }
  }

  async #isFolder(path: string): Promise<boolean> {
    try {
      await (await this.folder(parentOf(path))).getDirectoryHandle(nameOf(path));
      return true;
    } catch (error) {
      if (['NotFoundError', 'TypeMismatchError'].includes(nameOfError(error))) return false;
      throw error;
    }
  }

  /** What is in a folder, by name; nothing if it is not there. */
  async list(path: string): Promise<(FileSystemDirectoryHandle | FileSystemFileHandle)[]> {
    const handles: (FileSystemDirectoryHandle | FileSystemFileHandle)[] = [];
    try {
      for await (const handle of (await this.folder(path)).values()) {
        if (handle.kind === 'directory') this.keep(join(path, handle.name), handle as FileSystemDirectoryHandle);
        handles.push(handle as FileSystemDirectoryHandle | FileSystemFileHandle);
      }
    } catch (error) {
      if (!['NotFoundError', 'TypeMismatchError'].includes(nameOfError(error))) throw error;
    }
    return handles;
  }
}

/** Looks at a file; `null` when it is gone. */
export async function found(handle: FileSystemFileHandle): Promise<Found> {
  try {
    const file = await handle.getFile();
    return { kind: 'file', size: file.size, modified: file.lastModified, file, handle };
  } catch (error) {
    if (nameOfError(error) === 'NotFoundError') return null;
    throw error;
  }
}
