/**
 * Files of the workspace on the host, one at a time. For a whole folder that stays the same on both sides, see `syncOpfs`.
 *
 * @module
 */

import { RuntimeError, type Connection } from './connection.ts';
import type { FileEntry, Reply, SkippedFile } from './generated/protocol.ts';

/** Bytes of a file that may be on their way. */
const WINDOW_BYTES = 4 << 20;

/** Largest block of a file in one frame. */
const BLOCK_BYTES = 256 << 10;

/** Blocks wait while more than this has not left the page. */
const UNSENT_BYTES = 8 << 20;

/** A file of the workspace with its content. */
export interface FileContent {
  /** What is in it. */
  bytes: Uint8Array<ArrayBuffer>;
  /** When it was changed, in milliseconds since 1970. */
  mtime: number;
  /** Whether it may be executed. */
  executable: boolean;
}

/** What {@link writeFile} may be told beside the content. */
export interface WriteOptions {
  /** When it was changed, in milliseconds since 1970; now if absent. */
  mtime?: number;
  /** Whether it may be executed; as the file it replaces if absent. */
  executable?: boolean;
}

/** Reads a file whole. */
export async function readFile(connection: Connection, path: string): Promise<FileContent> {
  return await new Promise<FileContent>((resolve, reject) => {
    let file: FileContent | undefined;
    let id = 0;
    let received = 0;
    let granted = WINDOW_BYTES;
    let stop = (): void => undefined;
    const fail = (error: RuntimeError): void => {
      stop();
      reject(error);
    };
    const finish = (): void => {
      if (file === undefined || received < file.bytes.length) return;
      stop();
      resolve(file);
    };
    const take = (reply: Reply): boolean => {
      if (reply.type !== 'file') return true;
      file = { bytes: new Uint8Array(reply.size), mtime: reply.mtime, executable: reply.executable };
      finish();
      // The blocks may still fail: an error with this number is a reply to the same request.
      return received >= reply.size;
    };
    const begun = connection.begin({ type: 'readFile', path, credit: WINDOW_BYTES }, { take, fail });
    begun.then((number) => {
      id = number;
      stop = connection.onFrames('file', id, ({ offset, payload }) => {
        file?.bytes.set(payload, offset);
        received += payload.length;
        granted -= payload.length;
        if (granted < WINDOW_BYTES / 2) {
          connection.tell({ type: 'creditFile', transfer: id, bytes: WINDOW_BYTES - granted });
          granted = WINDOW_BYTES;
        }
        finish();
      });
    }, reject);
  });
}

/** Writes a file whole; done when it is in its place and on disk. The folders above it are made. */
export async function writeFile(
  connection: Connection,
  path: string,
  content: Uint8Array | string,
  options: WriteOptions = {},
): Promise<void> {
  const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let settled = false;
  const take = (): boolean => {
    settled = true;
    resolve();
    return true;
  };
  const fail = (error: RuntimeError): void => {
    settled = true;
    reject(error);
  };
  const id = await connection.begin({ type: 'writeFile', path, size: bytes.length, ...options }, { take, fail });
  for (let at = 0; at < bytes.length && !settled; at += BLOCK_BYTES) {
    connection.sendFrame('file', id, at, bytes.subarray(at, at + BLOCK_BYTES));
    // A browser tells nobody when what waits has left.
    while (connection.unsent > UNSENT_BYTES) await new Promise((wake) => setTimeout(wake, 4));
  }
  await promise;
}

/** Makes a folder, and those above it. */
export async function makeDirectory(connection: Connection, path: string): Promise<void> {
  await connection.ask({ type: 'makeDirectory', path }, 'done');
}

/** The files and folders below a path; of the whole workspace if it is absent. */
export async function listFiles(
  connection: Connection,
  path?: string,
): Promise<{ entries: FileEntry[]; skipped: SkippedFile[] }> {
  const entries: FileEntry[] = [];
  const skipped: SkippedFile[] = [];
  await new Promise<void>((resolve, reject) => {
    const take = (reply: Reply): boolean => {
      if (reply.type !== 'files') return true;
      entries.push(...reply.entries);
      skipped.push(...reply.skipped);
      if (!reply.more) resolve();
      return !reply.more;
    };
    const request = { type: 'listFiles', ...(path === undefined ? {} : { path }) } as const;
    connection.begin(request, { take, fail: reject }).catch(reject);
  });
  return { entries, skipped };
}
