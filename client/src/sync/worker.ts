/**
 * The worker each tab starts. Of all tabs of an origin that sync the same folder one leads: whose worker holds the lock. The others wait
 * for it, pass on what they are told, and hear from the leader how it stands.
 *
 * A tab that is closed or crashes gives up the lock, and the next one goes on from the index on the disk. Browsers do not freeze a
 * page that holds a lock; but its process may hang. So those who wait ask the leader now and then, and when it leaves several questions
 * unanswered, one of them takes the lock from it. Should it wake up, it hears that, and waits as the others do. What it may do until then
 * does no harm: orders expect what is there, and the hub ended its session when the other one began.
 *
 * @module
 */

import { Engine, type EngineOptions } from './engine.ts';
import { nameOfError } from './platform.ts';
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
/** Between two questions to the leader, in milliseconds; longer than anything keeps a worker from answering. */
const QUESTION_INTERVAL = 5000;
/** A single one may be missed because the whole machine slept. */
const UNANSWERED_QUESTIONS = 3;

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
  readonly #name: string;
  readonly #channel: BroadcastChannel;
  readonly #leading: Promise<void>;
  readonly #questions: ReturnType<typeof setInterval>;
  #waiting = new AbortController();
  #unanswered = 0;
  #steals = false;
  #stopped = false;
  #engine: Engine | undefined;
  #running: Promise<void> = Promise.resolve();
  #paused = false;
  #progress = noProgress();
  #report: ReturnType<typeof setTimeout> | undefined;

  constructor(port: Port, options: EngineOptions) {
    this.#port = port;
    this.#options = options;
    this.#name = `mhnos-sync:${options.directory.join('/')}`;
    this.#channel = new BroadcastChannel(this.#name);
    this.#channel.addEventListener('message', ({ data }: MessageEvent<Command | Told>) => {
      if (data.type !== 'progress') this.#obey(data);
      else if (this.#engine === undefined) this.#hear(data.progress);
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
    this.#questions = setInterval(() => this.#question(), QUESTION_INTERVAL);
    this.#leading = this.#lead();
  }

  /** Waits for the lock and works while it has it, until it is stopped. */
  async #lead(): Promise<void> {
    while (!this.#stopped) {
      const how = this.#steals ? { steal: true } : { signal: this.#waiting.signal };
      try {
        await navigator.locks.request(this.#name, how, () => this.#work());
        return;
      } catch (error) {
        if (nameOfError(error) !== 'AbortError') {
          this.#tell({ ...this.#progress, state: 'failed', reason: error instanceof Error ? error.message : String(error) });
          return;
        }
        // Taken from here; or this one no longer waits, in order to take it.
        this.#engine?.stop();
        await this.#running.catch(() => undefined);
        this.#engine = undefined;
      }
    }
  }

  async #work(): Promise<void> {
    this.#steals = false;
    this.#engine = new Engine(this.#options, this.#paused, (progress) => this.#tell(progress));
    this.#running = this.#engine.run();
    await this.#running;
  }

  /** Whoever does not lead asks who does whether it is still there. */
  #question(): void {
    if (this.#engine) return;
    if (this.#unanswered < UNANSWERED_QUESTIONS) {
      this.#unanswered += 1;
      this.#channel.postMessage({ type: 'ask' } satisfies Command);
      return;
    }
    this.#unanswered = 0;
    this.#steals = true;
    this.#waiting.abort();
    this.#waiting = new AbortController();
  }

  #hear(progress: SyncProgress): void {
    this.#unanswered = 0;
    // So that it stays paused when the lead passes to this one.
    this.#paused = progress.state === 'paused';
    this.#show(progress);
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
    this.#stopped = true;
    clearInterval(this.#questions);
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
