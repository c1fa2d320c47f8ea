/**
 * What Chromium offers beyond the types TypeScript knows.
 *
 * @module
 */

/** A change the browser saw. */
export interface ObservedChange {
  readonly type: 'appeared' | 'disappeared' | 'modified' | 'moved' | 'unknown' | 'errored';
  readonly relativePathComponents: readonly string[];
  readonly relativePathMovedFrom: readonly string[] | null;
}

/** Tells what changes in a folder. */
export interface FolderObserver {
  observe(folder: FileSystemDirectoryHandle, options: { recursive: boolean }): Promise<void>;
  disconnect(): void;
}

interface Global {
  FileSystemObserver?: new (callback: (changes: ObservedChange[]) => void) => FolderObserver;
}

interface Movable {
  move?(folder: FileSystemDirectoryHandle, name: string): Promise<void>;
}

interface ExclusivelyWritable {
  createWritable(options: { mode: 'exclusive' }): Promise<FileSystemWritableFileStream>;
}

/** An observer, where there is such a thing. */
export function createObserver(callback: (changes: ObservedChange[]) => void): FolderObserver | undefined {
  const Observer = (globalThis as Global).FileSystemObserver;
  return Observer && new Observer(callback);
}

/** Whether files can be moved, which all of the below needs. */
export function canMove(): boolean {
  return typeof (FileSystemFileHandle.prototype as Movable).move === 'function';
}

/** Moves a file, in one step; what is there is replaced. */
export async function moveFile(file: FileSystemFileHandle, folder: FileSystemDirectoryHandle, name: string): Promise<void> {
  await (file as Movable).move?.(folder, name);
}

/** Moves a folder if the browser can do that; otherwise nothing happens. */
export async function moveFolder(
  folder: FileSystemDirectoryHandle,
  into: FileSystemDirectoryHandle,
  name: string,
): Promise<boolean> {
  const movable = folder as Movable;
  if (typeof movable.move !== 'function') return false;
  await movable.move(into, name);
  return true;
}

/** A writer that nobody else may write or replace the file beside; what it wrote appears when it is closed, all at once. */
export function createExclusiveWritable(file: FileSystemFileHandle): Promise<FileSystemWritableFileStream> {
  return (file as unknown as ExclusivelyWritable).createWritable({ mode: 'exclusive' });
}

interface SharedlyAccessible {
  createSyncAccessHandle(options: { mode: 'readwrite-unsafe' }): Promise<FileSystemSyncAccessHandle>;
}

/** Access to a file that others may have access to at the same time. */
export function openShared(file: FileSystemFileHandle): Promise<FileSystemSyncAccessHandle> {
  return (file as unknown as SharedlyAccessible).createSyncAccessHandle({ mode: 'readwrite-unsafe' });
}

/**
 * Writes all of these bytes. Where there is no room a browser may write a part of them, and only say how much.
 *
 * @throws DOMException `QuotaExceededError` when not all could be written.
 */
export function writeAll(access: FileSystemSyncAccessHandle, bytes: Uint8Array<ArrayBuffer>, at: number): void {
  for (let written = 0; written < bytes.length; ) {
    const some = access.write(bytes.subarray(written), { at: at + written });
    if (some === 0) throw new DOMException('there is no room', 'QuotaExceededError');
    written += some;
  }
}

/** The name of what a browser threw, such as `NotFoundError`. */
export function nameOfError(error: unknown): string {
  return error instanceof Error || error instanceof DOMException ? error.name : '';
}

/** What a browser's error means for a file: the end of a sentence that begins with its path. */
export function reasonOf(error: unknown): string {
  switch (nameOfError(error)) {
    case 'NoModificationAllowedError':
      return 'is open for writing in a page';
    case 'QuotaExceededError':
      return "does not fit on the browser's disk: this page's share of it is full";
    case 'TypeError':
      return "has a name the browser's disk cannot hold";
    default:
      return `was not accepted by the browser's disk: ${error instanceof Error ? error.message : String(error)}`;
  }
}
