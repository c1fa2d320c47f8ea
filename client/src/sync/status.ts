/**
 * What a page is told of the sync of its disk.
 *
 * @module
 */

/** Where the sync of a page's disk stands. */
export type SyncState =
  /** It begins, or another tab of this origin is about to take over. */
  | 'starting'
  /** The runtime cannot be reached; it is tried again and again. */
  | 'offline'
  /** A person has yet to allow this page at the runtime. */
  | 'waiting'
  /** The disk is looked at as a whole. */
  | 'observing'
  /** Something is on its way. */
  | 'syncing'
  /** Both sides are equal. */
  | 'synced'
  /** It was paused with `pause()`. */
  | 'paused'
  /** Too much would be deleted at once: a person has to decide at the runtime. */
  | 'halted'
  /** It cannot work here, or was refused; see the reason. It is tried again now and then. */
  | 'failed'
  /** `stop()` was called. */
  | 'stopped';

/** A file that cannot be synced. */
export interface SyncProblem {
  /** From the root of what is synced. */
  path: string;
  /** The end of a sentence that begins with the path. */
  reason: string;
}

/** How the sync of a page's disk stands. */
export interface SyncProgress {
  /** Where it stands. */
  state: SyncState;
  /** Why, in a sentence for a person; empty when there is nothing to say. */
  reason: string;
  /** Changes of the host that have yet to be made here. */
  toDo: number;
  /** Changes of the host that were made here, since the tab that does it began. */
  received: number;
  /** Changes of this disk that were told to the host. */
  sent: number;
  /** Bytes of content that came. */
  bytesReceived: number;
  /** Bytes of content that went. */
  bytesSent: number;
  /** Files that cannot be synced, the first hundred. */
  problems: SyncProblem[];
}

/** How it stands before anything is known. */
export function noProgress(): SyncProgress {
  return { state: 'starting', reason: '', toDo: 0, received: 0, sent: 0, bytesReceived: 0, bytesSent: 0, problems: [] };
}
