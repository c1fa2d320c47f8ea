/**
 * Two-way sync of the browser's disk (OPFS), as a page uses it.
 *
 * @module
 */

import { connect, defaultAddress, RuntimeError, type Connection } from '../connection.ts';
import { Emitter } from '../emitter.ts';
import type { Conflict, HaltAnswer, Keep } from '../generated/protocol.ts';
import { noProgress, type SyncProgress } from './status.ts';
import type { Command, Told } from './worker.ts';

/** How to sync. */
export interface SyncOptions {
  /** The folder of the browser's disk to sync, as a path such as `projects` or a handle; all of the disk if absent. It is made if it is not there. */
  directory?: string | FileSystemDirectoryHandle;
  /** Address of the runtime; if absent, where this module was loaded from, else `ws://localhost:18790/`. */
  url?: string;
  /** What this browser is called in the names of conflict copies; made from the browser's name if absent. */
  name?: string;
  /** Is told how it stands, at first and whenever that changes. */
  onProgress?: (progress: SyncProgress) => void;
  /** Whether to ask the browser never to clear this disk by itself. Yes if absent. */
  persist?: boolean;
  /**
   * Where a worker can import this module from; if absent, where it was loaded from. To be given when a bundler has put this module
   * into another file: the runtime serves it at `http://localhost:18790/client.js`.
   */
  moduleUrl?: string;
}

/** What {@link OpfsSync} tells. */
export interface SyncEvents {
  /** How it stands now. */
  progress: SyncProgress;
}

/** A disk that is being synced; see {@link syncOpfs}. */
export class OpfsSync extends Emitter<SyncEvents> {
  readonly #options: SyncOptions;
  readonly #url: string;
  #worker: Worker | undefined;
  #progress = noProgress();
  #leads = false;
  #stopped = false;

  /** @internal */
  constructor(options: SyncOptions) {
    super();
    this.#options = options;
    this.#url = options.url ?? defaultAddress();
    if (options.onProgress) this.on('progress', options.onProgress);
    void this.#start().catch((error: unknown) => this.#failed(error instanceof Error ? error.message : String(error)));
  }

  /** How it stands. */
  get progress(): SyncProgress {
    return this.#progress;
  }

  /** Whether it is this tab that does the work for all tabs of this origin. */
  get leads(): boolean {
    return this.#leads;
  }

  /** When both sides are equal. Fails when it is stopped. */
  synced(): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = ({ state }: SyncProgress): void => {
        if (state === 'synced') resolve();
        else if (state === 'stopped') reject(new Error('the sync was stopped'));
        else return;
        stop();
      };
      const stop = this.on('progress', settle);
      settle(this.#progress);
    });
  }

  /** Does nothing any more, in any tab of this origin, until {@link resume}. */
  pause(): void {
    this.#post({ type: 'pause' });
  }

  /** Goes on. */
  resume(): void {
    this.#post({ type: 'resume' });
  }

  /** Looks at the whole disk again. Never necessary in browsers that tell what changes. */
  rescan(): void {
    this.#post({ type: 'hint', path: '' });
  }

  /** Says that a file was changed. Makes it quicker in browsers that do not tell what changes. */
  changed(path: string): void {
    this.#post({ type: 'hint', path: path.replace(/^\/+/, '') });
  }

  /** The conflicts that wait for a person. */
  async conflicts(): Promise<Conflict[]> {
    return await this.#asked(async (connection) => (await connection.ask({ type: 'syncConflicts' }, 'syncConflicts')).conflicts);
  }

  /** Settles a conflict; `path` is that of the conflict copy. */
  async resolve(path: string, keep: Keep): Promise<void> {
    await this.#asked((connection) => connection.ask({ type: 'syncResolve', path, keep }, 'done'));
  }

  /** Decides about a halt: whether what is missing was meant to be deleted, or is to be given back. */
  async confirm(halt: HaltAnswer): Promise<void> {
    await this.#asked((connection) => connection.ask({ type: 'syncConfirm', halt }, 'done'));
  }

  /** Ends it in this tab. Another tab of this origin goes on if it syncs too. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    if (this.#worker) this.#post({ type: 'stop' });
    else this.#show({ ...this.#progress, state: 'stopped', reason: '' }, false);
  }

  async #start(): Promise<void> {
    if (!('storage' in navigator) || !('getDirectory' in navigator.storage) || !('locks' in navigator)) {
      throw new Error('this page has no disk of its own: it has to be opened over https or from localhost');
    }
    // The tab that asks is the one a browser may show the question in; what it answers changes nothing here.
    if (this.#options.persist !== false) void persist().catch(() => false);
    const directory = await namesOf(this.#options.directory);
    if (this.#stopped) return;
    const worker = startWorker(this.#options.moduleUrl ?? import.meta.url);
    this.#worker = worker;
    worker.addEventListener('message', ({ data }: MessageEvent<Told>) => {
      this.#show(data.progress, data.leads);
      // The worker has let go of the disk by now.
      if (data.progress.state === 'stopped') worker.terminate();
    });
    worker.addEventListener('error', (event) => {
      const reason = event.message || 'the worker could not be loaded: see the option moduleUrl';
      this.#failed(reason);
    });
    this.#post({ type: 'start', options: { directory, url: this.#url, name: this.#options.name ?? browserName() } });
  }

  #failed(reason: string): void {
    this.#show({ ...this.#progress, state: 'failed', reason }, false);
  }

  #show(progress: SyncProgress, leads: boolean): void {
    this.#progress = progress;
    this.#leads = leads;
    this.emit('progress', progress);
  }

  #post(command: Command): void {
    this.#worker?.postMessage(command);
  }

  /** Over a connection of its own, since any tab may ask, and seldom does. */
  async #asked<Answer>(ask: (connection: Connection) => Promise<Answer>): Promise<Answer> {
    const connection = connect(this.#url);
    try {
      const waited = new Promise<never>((_, reject) => {
        connection.on('state', ({ state, reason }) => {
          if (state === 'offline' || state === 'waiting') {
            reject(new RuntimeError(state === 'waiting' ? 'notAllowed' : 'disconnected', reason));
          }
        });
      });
      return await Promise.race([ask(connection), waited]);
    } finally {
      connection.close();
    }
  }
}

/**
 * Keeps the browser's disk and the workspace on the host the same, both ways, from now on.
 *
 * ```ts
 * import { syncOpfs } from 'http://localhost:18790/client.js';
 * syncOpfs();
 * ```
 */
export function syncOpfs(options: SyncOptions = {}): OpfsSync {
  return new OpfsSync(options);
}

/** A worker may only be started from the page's own origin; so it is started from a text that imports this module. */
function startWorker(moduleUrl: string): Worker {
  const text = `import { serveSync } from ${JSON.stringify(moduleUrl)};\nserveSync(self);\n`;
  // The messages that come before the import is done wait in the port, because nothing listens to it yet.
  const source = URL.createObjectURL(new Blob([text], { type: 'text/javascript' }));
  const worker = new Worker(source, { type: 'module', name: 'mhnos-sync' });
  // Not before it was fetched, which is after this task.
  worker.addEventListener('message', () => URL.revokeObjectURL(source), { once: true });
  return worker;
}

async function namesOf(directory: SyncOptions['directory']): Promise<string[]> {
  if (directory === undefined) return [];
  if (typeof directory === 'string') return directory.split('/').filter((name) => name !== '');
  const names = await (await navigator.storage.getDirectory()).resolve(directory);
  if (names === null) throw new Error("the directory is not on the browser's own disk");
  return names;
}

async function persist(): Promise<boolean> {
  const storage = navigator.storage as StorageManager & { persist?: () => Promise<boolean> };
  return (await storage.persist?.()) ?? false;
}

interface Brands {
  userAgentData?: { brands: { brand: string }[] };
}

/** Such as `Chromium`; short, since it becomes part of the names of files. */
function browserName(): string {
  const brands = (navigator as typeof navigator & Brands).userAgentData?.brands ?? [];
  const brand = brands.find((each) => /^[A-Za-z ]+$/.test(each.brand))?.brand;
  return brand ?? (navigator.userAgent.includes('Firefox') ? 'Firefox' : 'Browser');
}
