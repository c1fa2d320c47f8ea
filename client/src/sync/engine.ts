/**
 * What runs in the worker of the tab that leads: the index, the connection, and one session after the other.
 *
 * @module
 */

import { Connection, RuntimeError, type ConnectionEvents } from '../connection.ts';
import { Disk } from './disk.ts';
import { createHash, type Hash } from './hash.ts';
import { Ignored } from './paths.ts';
import { canMove } from './platform.ts';
import { Cleared, Session } from './session.ts';
import { noProgress, type SyncProgress } from './status.ts';
import { Store } from './store.ts';

/** What a worker is told to sync. */
export interface EngineOptions {
  /** The names that lead to the folder from the root of the browser's disk; none is that root. */
  directory: string[];
  /** Of the runtime. */
  url: string;
  /** What this replica calls itself. */
  name: string;
}

const SHORTEST_PAUSE = 500;
const LONGEST_PAUSE = 30_000;
/** Before an index is begun anew: whoever cleared the disk may not be done. */
const CLEARED_PAUSE = 100;
/** Between two attempts to open an index that cannot be opened, such as when the disk is full. */
const FAILED_PAUSE = 5000;

/** Ends a session without anything being wrong. */
class Interrupted extends Error {}

/** Syncs one folder until it is stopped. */
export class Engine {
  readonly #options: EngineOptions;
  readonly #tell: (progress: SyncProgress) => void;
  readonly #progress = noProgress();
  #connection: Connection | undefined;
  #session: Session | undefined;
  #paused: boolean;
  #stopped = false;
  #changed = Promise.withResolvers<void>();

  /** `tell` is called whenever the progress has changed, with the same object. */
  constructor(options: EngineOptions, paused: boolean, tell: (progress: SyncProgress) => void) {
    this.#options = options;
    this.#paused = paused;
    this.#tell = tell;
  }

  /** Syncs, until {@link stop}. */
  async run(): Promise<void> {
    if (!('createSyncAccessHandle' in FileSystemFileHandle.prototype) || !canMove()) {
      this.#become('failed', 'this browser cannot lock and move files on its own disk; Chromium 121 and later can');
      return;
    }
    const hash = await createHash();
    this.#connection = new Connection(this.#options.url, {});
    const stop = this.#connection.on('state', (state) => this.#connectionState(state));
    try {
      while (!this.#stopped) await this.#replica(hash);
    } finally {
      stop();
      this.#connection.close();
    }
  }

  /** Does nothing until {@link resume}. */
  pause(): void {
    this.#paused = true;
    this.#interrupt();
  }

  /** Goes on. */
  resume(): void {
    this.#paused = false;
    this.#interrupt();
  }

  /** Looks at a path; the empty one is everything. */
  hint(path: string): void {
    this.#session?.hint(path);
  }

  /** Ends it. */
  stop(): void {
    this.#stopped = true;
    this.#connection?.close();
    this.#interrupt();
  }

  #interrupt(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
    this.#session?.end(new Interrupted());
  }

  /** From opening the index until it is gone. */
  async #replica(hash: Hash): Promise<void> {
    let store: Store | undefined;
    try {
      const disk = new Disk(await folder(this.#options.directory));
      store = await Store.open(disk.root, hash);
      await this.#sessions(disk, store, hash);
    } catch (error) {
      if (error instanceof Cleared) {
        this.#become('starting', error.message);
        await this.#pauseFor(CLEARED_PAUSE);
      } else {
        const reason = `the browser's disk cannot be used: ${error instanceof Error ? error.message : String(error)}`;
        this.#become('failed', reason);
        await this.#pauseFor(FAILED_PAUSE);
      }
    } finally {
      try {
        store?.close();
      } catch {
        // What could not be written is asked for again: its digest is not what the hub has.
      }
    }
  }

  async #sessions(disk: Disk, store: Store, hash: Hash): Promise<void> {
    let pause = SHORTEST_PAUSE;
    while (!this.#stopped) {
      if (this.#paused) {
        this.#become('paused', '');
        await this.#changed.promise;
        continue;
      }
      const connection = this.#connection;
      if (connection === undefined) return;
      if (connection.state !== 'open') {
        this.#connectionState({ state: connection.state, reason: connection.reason });
        await Promise.race([connection.opened().catch(() => undefined), this.#changed.promise]);
        continue;
      }
      const { name } = this.#options;
      const report = (): void => this.#tell(this.#progress);
      const parts = { connection, disk, store, ignored: new Ignored(), hash, name, progress: this.#progress, report };
      const begun = Date.now();
      this.#session = new Session(parts);
      try {
        await this.#session.run();
      } catch (error) {
        if (error instanceof Cleared) throw error;
        if (error instanceof Interrupted || (error instanceof RuntimeError && error.code === 'disconnected')) continue;
        this.#become('failed', error instanceof Error ? error.message : String(error));
        // One that worked for a while is tried again soon.
        pause = Date.now() - begun > LONGEST_PAUSE ? SHORTEST_PAUSE : Math.min(pause * 2, LONGEST_PAUSE);
        await this.#pauseFor(pause);
      } finally {
        this.#session = undefined;
      }
    }
  }

  async #pauseFor(milliseconds: number): Promise<void> {
    if (this.#stopped) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const over = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, milliseconds);
    });
    await Promise.race([over, this.#changed.promise]);
    clearTimeout(timer);
  }

  #connectionState({ state, reason }: ConnectionEvents['state']): void {
    if (this.#paused) return;
    if (state === 'connecting' && this.#progress.state === 'starting') return;
    if (state === 'offline' || state === 'connecting') this.#become('offline', reason || this.#progress.reason);
    else if (state === 'waiting') this.#become('waiting', reason);
  }

  #become(state: SyncProgress['state'], reason: string): void {
    this.#progress.state = state;
    this.#progress.reason = reason;
    this.#tell(this.#progress);
  }
}

async function folder(names: string[]): Promise<FileSystemDirectoryHandle> {
  let handle = await navigator.storage.getDirectory();
  for (const name of names) handle = await handle.getDirectoryHandle(name, { create: true });
  return handle;
}
