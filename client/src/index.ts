/**
 * The client of `mhnos-runtime` for web pages: programs on the host, files of the workspace, and the browser's disk kept the same as the
 * workspace.
 *
 * @module
 */

export * from './generated/protocol.ts';
export {
  connect,
  Connection,
  RuntimeError,
  type ConnectionEvents,
  type ConnectionState,
  type ConnectOptions,
  type ReplyOf,
} from './connection.ts';
export { Emitter, type Listener } from './emitter.ts';
export type { Frame, FrameKind } from './frames.ts';
export {
  attach,
  kill,
  listProcesses,
  RuntimeProcess,
  spawn,
  subscribe,
  type Output,
  type SpawnOptions,
} from './processes.ts';
export { listFiles, makeDirectory, readFile, writeFile, type FileContent, type WriteOptions } from './files.ts';
export { OpfsSync, syncOpfs, type SyncEvents, type SyncOptions } from './sync/opfs.ts';
export type { SyncProblem, SyncProgress, SyncState } from './sync/status.ts';
export { serveSync } from './sync/worker.ts';
