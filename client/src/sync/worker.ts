/**
 * The worker each tab starts. Of all tabs of an origin that sync the same folder one leads: whose worker holds the lock. The others wait
 * for it, pass on what they are told, and hear from the leader how it stands.
 *
 * A tab that is closed or crashes gives up the lock, and the next one goes on from the index on the disk. Browsers do not freeze a
 * page that holds a lock.
 *
 * @module
 */

import { Engine, type EngineOptions } from './engine.ts';
import { noProgress, type SyncProgress } from './status.ts';

/** What a page tells its worker, and tabs tell one another. */
export type Command =
  | { type: 'start'; options: EngineOptions }
  | { type: 'pause' }
  | { type: 'resume' }
  | { type: 'hint'; path: string }
  | { type: 'ask' }
  | { type: 'stop' };

/** What a worker tells its page, and the leader the others. */
export interface Told {
  type: 'progress';
  progress: SyncProgress;
  /** Whether this tab leads. */
  leads: boolean;
}

/** Between two reports to the page, in milliseconds. */
const REPORT_INTERVAL = 50;

/** Where a worker's messages come from and go to. */
export interface Port {
  postMessage(message: Told): void;
  addEventListener(type: 'message', listener: (event: MessageEvent<Command>) => void): void;
}

/**
 * Serves as the worker behind `syncOpfs`. Only called by the worker it starts.
 *
 * @internal
 */
export function serveSync(port: Port): void {
  port.addEventListener('message', ({ data }) => {
    if (data.type === 'start') new Member(port, data.options);
  });
}

/** One tab's worker among those of the same folder. */
class Member {
  readonly #port: Port;
  readonly #options: EngineOptions;
  readonly #channel: BroadcastChannel;
  readonly #waiting = new AbortController();
  readonly #leading: Promise<void>;
  #engine: Engine | undefined;
  #paused = false;
  #progress = noProgress();
  #report: ReturnType<typeof setTimeout> | undefined;

  constructor(port: Port, options: EngineOptions) {
    this.#port = port;
    this.#options = options;
    const name = `mhnos-sync:${options.directory.join('/')}`;
    this.#channel = new BroadcastChannel(name);
    this.#channel.addEventListener('message', ({ data }: MessageEvent<Command | Told>) => {
      if (data.type !== 'progress') this.#obey(data);
      else if (this.#engine === undefined) this.#show(data.progress);
    });
    port.addEventListener('message', ({ data }) => {
      if (data.type === 'start') return;
      if (data.type === 'stop') {
        void this.#stop();
        return;
      }
      this.#obey(data);
      this.#channel.postMessage(data);
    });
    this.#channel.postMessage({ type: 'ask' } satisfies Command);
    this.#leading = this.#lead(name);
  }

  async #lead(name: string): Promise<void> {
    try {
      await navigator.locks.request(name, { signal: this.#waiting.signal }, async () => {
        this.#engine = new Engine(this.#options, this.#paused, (progress) => this.#tell(progress));
        await this.#engine.run();
      });
    } catch (error) {
      if (!this.#waiting.signal.aborted) throw error;
    }
  }

  #obey(command: Command): void {
    switch (command.type) {
      case 'pause':
        this.#paused = true;
        this.#engine?.pause();
        break;
      case 'resume':
        this.#paused = false;
        this.#engine?.resume();
        break;
      case 'hint':
        this.#engine?.hint(command.path);
        break;
      case 'ask':
        if (this.#engine) this.#tell(this.#progress);
        break;
      case 'start':
      case 'stop':
        break;
    }
  }

  /** The page ends this worker when it hears that all of it is over. */
  async #stop(): Promise<void> {
    this.#engine?.stop();
    this.#waiting.abort();
    await this.#leading;
    this.#channel.close();
    clearTimeout(this.#report);
    const progress: SyncProgress = { ...this.#progress, state: 'stopped', reason: '' };
    this.#port.postMessage({ type: 'progress', progress, leads: false });
  }

  /** Tells all tabs, at most every so often, the last state always. */
  #tell(progress: SyncProgress): void {
    this.#progress = progress;
    this.#report ??= setTimeout(() => {
      this.#report = undefined;
      this.#show(this.#progress);
      this.#channel.postMessage({ type: 'progress', progress: this.#progress, leads: true } satisfies Told);
    }, REPORT_INTERVAL);
  }

  #show(progress: SyncProgress): void {
    this.#progress = progress;
    this.#port.postMessage({ type: 'progress', progress, leads: this.#engine !== undefined });
  }
}
