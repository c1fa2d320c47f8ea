/**
 * What the runtime is known to be doing: one subscription feeds all pages.
 *
 * Events come faster than anybody reads: they are gathered and taken over once a frame, so that a page is laid out at most once
 * for however many there were.
 */

import {
  kill,
  listProcesses,
  subscribe,
  type Connection,
  type Event,
  type KnownOrigin,
  type Process,
  type Status,
  type SyncStatus,
} from '@mhnos/runtime-client';
import { link } from './connection.svelte.ts';
import { logs } from './logs.svelte.ts';

/** Points of a sparkline. */
const HISTORY = 60;

/** Ended processes that are kept in the list. */
const ENDED_KEPT = 100;

/** What happened lately, for the overview. */
export interface Happening {
  time: number;
  text: string;
  pid?: number;
}

class RuntimeState {
  /** By their numbers. Another map when anything in it is different: hundreds change at once, and cost one update. */
  processes = $state.raw<ReadonlyMap<number, Process>>(new Map());
  status = $state.raw<Status | undefined>();
  origins = $state.raw<KnownOrigin[]>([]);
  sync = $state.raw<SyncStatus | undefined>();
  /** Why there is no two-way sync here. */
  syncProblem = $state('');
  uptime = $state(0);
  connections = $state(0);
  cpuHistory = $state.raw<number[]>([]);
  memoryHistory = $state.raw<number[]>([]);
  lately = $state.raw<Happening[]>([]);

  readonly running = $derived([...this.processes.values()].filter(({ exit }) => !exit));
  readonly waiting = $derived(this.origins.filter(({ state }) => state === 'waiting'));
  readonly needsYou = $derived(this.waiting.length + (this.sync?.conflicts ?? 0));

  #events: Event[] = [];
  #frame: number | undefined;

  constructor() {
    link.onConnection((connection) => this.#follow(connection));
  }

  #follow(connection: Connection): void {
    subscribe(
      connection,
      ['processes', 'ports', 'health', 'log', 'origins', 'sync'],
      (event) => {
        this.#events.push(event);
        // A hidden page has no frames: a timer takes their place, so that what waits there stays bounded.
        if (document.hidden) {
          if (this.#events.length > 1000) this.#take();
        }
        this.#frame ??= requestAnimationFrame(() => this.#take());
      },
      (processes) => {
        this.#events = [];
        this.#present(processes);
        void this.refresh(connection);
      },
    );
  }

  /** What no event tells. */
  async refresh(connection: Connection): Promise<void> {
    const quietly = (work: Promise<void>): Promise<void> => work.catch(() => undefined);
    await Promise.all([
      quietly(connection.ask({ type: 'status' }, 'status').then(({ status }) => void (this.status = status))),
      quietly(this.refreshOrigins(connection)),
      quietly(logs.begin(connection)),
      connection.ask({ type: 'syncStatus' }, 'syncStatus').then(
        ({ status }) => {
          this.sync = status;
          this.syncProblem = '';
        },
        (error: unknown) => {
          this.sync = undefined;
          this.syncProblem = error instanceof Error ? error.message : String(error);
        },
      ),
    ]);
  }

  async refreshOrigins(connection: Connection = link.live): Promise<void> {
    this.origins = (await connection.ask({ type: 'origins' }, 'origins')).origins;
  }

  #present(processes: Process[]): void {
    this.processes = new Map(processes.map((process) => [process.pid, process]));
  }

  #take(): void {
    if (this.#frame !== undefined) cancelAnimationFrame(this.#frame);
    this.#frame = undefined;
    const events = this.#events;
    this.#events = [];
    const changed = new Map<number, Process>();
    const known = (pid: number): Process | undefined => changed.get(pid) ?? this.processes.get(pid);
    const happened: Happening[] = [];
    let origins = false;
    for (const event of events) {
      switch (event.kind) {
        case 'processStarted':
          changed.set(event.process.pid, event.process);
          happened.push({
            time: event.process.started,
            pid: event.process.pid,
            text: `${title(event.process)} started by ${event.process.origin ?? 'a local program'}`,
          });
          break;
        case 'processEnded': {
          const { process } = event;
          changed.set(process.pid, process);
          happened.push({ time: Date.now(), pid: process.pid, text: `${title(process)} ended: ${ending(process)}` });
          break;
        }
        case 'processChanged': {
          const process = known(event.pid);
          const { cpu, memory, members } = event;
          if (process) changed.set(event.pid, { ...process, cpu, memory, members });
          break;
        }
        case 'portOpened':
        case 'portClosed': {
          const process = known(event.pid);
          if (!process) break;
          const others = process.ports.filter((port) => port !== event.port);
          const ports = event.kind === 'portOpened' ? [...others, event.port].sort((a, b) => a - b) : others;
          changed.set(event.pid, { ...process, ports });
          break;
        }
        case 'health':
          this.uptime = event.uptime;
          this.connections = event.connections;
          this.#measure();
          break;
        case 'originAsked':
        case 'originChanged':
          origins = true;
          break;
        case 'syncChanged':
          this.sync = event.status;
          break;
        case 'log':
          logs.add(event);
          break;
        case 'missed': {
          const { connection } = link;
          if (connection) void this.#catchUp(connection);
          break;
        }
      }
    }
    if (changed.size > 0) this.processes = bounded(new Map([...this.processes, ...changed]));
    if (happened.length > 0) this.lately = [...happened.reverse(), ...this.lately].slice(0, 30);
    if (origins) void this.refreshOrigins().catch(() => undefined);
  }

  /** Events were missed: what there is now is asked for. */
  async #catchUp(connection: Connection): Promise<void> {
    try {
      this.#present(await listProcesses(connection));
      await this.refresh(connection);
    } catch {
      // The socket was lost, and the next one begins anew.
    }
  }

  #measure(): void {
    let [cpu, memory] = [0, 0];
    for (const process of this.running) {
      cpu += process.cpu;
      memory += process.memory;
    }
    this.cpuHistory = [...this.cpuHistory, cpu].slice(-HISTORY);
    this.memoryHistory = [...this.memoryHistory, memory].slice(-HISTORY);
  }

  /** Ends a process; by force at once, if so wanted. */
  async kill(pid: number, force = false): Promise<void> {
    await kill(link.live, pid, force ? 'SIGKILL' : 'SIGTERM', force ? 0 : 3_600_000);
  }

  /** Starts a process anew, with what it was started with. */
  async restart(pid: number): Promise<number> {
    return (await link.live.ask({ type: 'restart', pid }, 'spawned')).pid;
  }
}

/** Without the oldest of those that ended, where there are too many. */
function bounded(processes: Map<number, Process>): Map<number, Process> {
  const ended = [...processes.values()].filter(({ exit }) => exit);
  for (const { pid } of ended.slice(0, Math.max(0, ended.length - ENDED_KEPT))) processes.delete(pid);
  return processes;
}

/** A process as people call it. */
export function title({ kind, command, args }: Process): string {
  const name = command.split('/').at(-1) ?? '';
  const line = [name, ...args].join(' ').trim();
  if (kind === 'shell') return line === '' ? 'shell' : line;
  return line === '' ? kind : `${kind} ${line}`;
}

/** How a process ended, in words. */
export function ending({ exit }: Process): string {
  if (!exit) return 'running';
  const how = exit.signal ? `by ${exit.signal.name}` : exit.code === 0 ? 'done' : `exit code ${exit.code ?? '?'}`;
  return exit.reason ? `${exit.reason} (${how})` : how;
}

/** The one state of the pages. */
export const runtime = new RuntimeState();
