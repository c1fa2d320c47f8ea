/**
 * Programs on the host: starting them, their output as a stream, their input.
 *
 * Output is a log of bytes with offsets, and the runtime sends no more of it than it was granted. So a stream that nobody reads
 * costs a window's worth of memory, and one whose socket was lost goes on where it was.
 *
 * @module
 */

import { RuntimeError, type Connection, type ReplyOf } from './connection.ts';
import type { Frame } from './frames.ts';
import {
  INPUT_FRAME_BYTES,
  type Event,
  type Exit,
  type Process,
  type Reply,
  type Spawn,
  type Topic,
} from './generated/protocol.ts';

/** Bytes of output that may be on their way or unread. */
const WINDOW_BYTES = 1 << 20;

/** A piece of a program's output. */
export interface Output {
  /** Which of its outputs; a terminal has only `stdout`. */
  stream: 'stdout' | 'stderr';
  /** Position of the first byte in all of the program's output. */
  offset: number;
  /** The bytes. Characters may be cut at either end. */
  bytes: Uint8Array<ArrayBuffer>;
}

/** What to start; `credit` is the stream's own matter. */
export type SpawnOptions = Omit<Spawn, 'credit'>;

/** A program on the host that this page views. */
export class RuntimeProcess {
  /** Its number at the runtime. */
  readonly pid: number;
  /** Its output from where it was attached. It ends with the program, and fails if the runtime is started anew. */
  readonly output: ReadableStream<Output>;
  /** How it ended, once it has. Fails if the runtime is started anew before. */
  readonly exit: Promise<Exit>;

  readonly #connection: Connection;
  #next: number;
  #length: number | undefined;
  #ended: Exit | undefined;
  #granted = WINDOW_BYTES;
  #controller: ReadableStreamDefaultController<Output> | undefined;
  #stops: (() => void)[] = [];
  #settle: { resolve: (exit: Exit) => void; reject: (error: Error) => void };

  /** @internal */
  constructor(connection: Connection, pid: number, from: number) {
    this.#connection = connection;
    this.pid = pid;
    this.#next = from;
    const { promise, resolve, reject } = Promise.withResolvers<Exit>();
    this.exit = promise;
    this.#settle = { resolve, reject };
    // Who does not ask how it ended need not handle that it could not be known.
    promise.catch(() => undefined);
    this.output = new ReadableStream<Output>(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        pull: () => this.#grant(),
        cancel: () => this.detach(),
      },
      { highWaterMark: WINDOW_BYTES, size: (output) => output.bytes.length },
    );
    this.#listen();
    this.#stops.push(
      connection.on('open', () => void this.#resume()),
      connection.on('instance', () => this.#fail(new RuntimeError('ended', 'the runtime was started anew, and this program ended with it'))),
      connection.on('message', (reply) => this.#told(reply)),
    );
  }

  /** Gives bytes or text to its standard input. */
  write(input: Uint8Array | string): void {
    const bytes = typeof input === 'string' ? new TextEncoder().encode(input) : input;
    for (let at = 0; at < bytes.length; at += INPUT_FRAME_BYTES) {
      this.#connection.sendFrame('input', this.pid, 0, bytes.subarray(at, at + INPUT_FRAME_BYTES));
    }
  }

  /** Ends its standard input. */
  async closeInput(): Promise<void> {
    await this.#connection.ask({ type: 'closeInput', pid: this.pid }, 'done');
  }

  /** Tells it the new size of its terminal. */
  async resize(cols: number, rows: number): Promise<void> {
    await this.#connection.ask({ type: 'resize', pid: this.pid, cols, rows }, 'done');
  }

  /** Ends it and all it started; see {@link kill}. */
  kill(signal?: string, grace?: number): Promise<ReplyOf<'killed'>> {
    return kill(this.#connection, this.pid, signal, grace);
  }

  /** Views it no longer. It runs on. */
  async detach(): Promise<void> {
    const attached = this.#stops.length > 0;
    this.#stop();
    if (attached && this.#connection.state === 'open') {
      await this.#connection.ask({ type: 'detach', pid: this.pid }, 'done').catch(() => undefined);
    }
  }

  #listen(): void {
    this.#stops.push(this.#connection.onFrames('output', this.pid, (frame) => this.#take(frame)));
  }

  #take({ kind, offset, payload }: Frame): void {
    // What crossed an `attached` on its way is not shown twice.
    const known = Math.min(payload.length, Math.max(0, this.#next - offset));
    const bytes = payload.subarray(known);
    this.#granted -= payload.length;
    if (bytes.length > 0 && (kind === 'stdout' || kind === 'stderr')) {
      this.#next = offset + payload.length;
      this.#controller?.enqueue({ stream: kind, offset: offset + known, bytes });
    }
    this.#grant();
    this.#finish();
  }

  #grant(): void {
    const desired = this.#controller?.desiredSize ?? 0;
    const bytes = desired - this.#granted;
    // In large steps: a message for every few bytes read would cost more than they do.
    if (bytes < WINDOW_BYTES / 4) return;
    this.#granted += bytes;
    this.#connection.tell({ type: 'credit', pid: this.pid, bytes });
  }

  async #resume(): Promise<void> {
    this.#listen();
    this.#granted = Math.max(1, this.#controller?.desiredSize ?? 1);
    const request = { type: 'attach', pid: this.pid, from: this.#next, credit: this.#granted } as const;
    try {
      const attached = await this.#connection.ask(request, 'attached');
      this.#next = Math.max(this.#next, attached.from);
    } catch (error) {
      if (error instanceof RuntimeError && error.code !== 'disconnected') this.#fail(error);
    }
  }

  #told(reply: Reply): void {
    if (reply.type === 'gap' && reply.pid === this.pid) {
      this.#next = reply.to;
    } else if (reply.type === 'exit' && reply.pid === this.pid) {
      this.#length = reply.to;
      this.#ended = reply.exit;
      this.#finish();
    }
  }

  #finish(): void {
    if (this.#ended === undefined || this.#next < (this.#length ?? 0)) return;
    this.#settle.resolve(this.#ended);
    this.#controller?.close();
    this.#stop();
  }

  #fail(error: Error): void {
    this.#settle.reject(error);
    this.#controller?.error(error);
    this.#stop();
  }

  #stop(): void {
    this.#controller = undefined;
    for (const stop of this.#stops.splice(0)) stop();
  }
}

/** Starts a program, and views it from its first byte of output. */
export async function spawn(connection: Connection, options: SpawnOptions): Promise<RuntimeProcess> {
  return await new Promise<RuntimeProcess>((resolve, reject) => {
    const take = (reply: Reply): boolean => {
      // Made at once, so that the frames that follow find it.
      if (reply.type === 'spawned') resolve(new RuntimeProcess(connection, reply.pid, 0));
      return true;
    };
    connection.begin({ type: 'spawn', ...options, credit: WINDOW_BYTES }, { take, fail: reject }).catch(reject);
  });
}

/**
 * Views a program that runs, or one that ended a while ago.
 *
 * @param from - offset of the first byte wanted; if absent, the first one that is still held.
 */
export async function attach(connection: Connection, pid: number, from?: number): Promise<RuntimeProcess> {
  return await new Promise<RuntimeProcess>((resolve, reject) => {
    const take = (reply: Reply): boolean => {
      if (reply.type === 'attached') resolve(new RuntimeProcess(connection, pid, reply.from));
      return true;
    };
    const request = { type: 'attach', pid, credit: WINDOW_BYTES, ...(from === undefined ? {} : { from }) } as const;
    connection.begin(request, { take, fail: reject }).catch(reject);
  });
}

/**
 * Ends a program and all it started; answered when they are gone.
 *
 * @param signal - such as `SIGINT`; `SIGTERM` if absent.
 * @param grace - milliseconds until what is left is forced; 5,000 if absent.
 */
export function kill(connection: Connection, pid: number, signal?: string, grace?: number): Promise<ReplyOf<'killed'>> {
  const further = { ...(signal === undefined ? {} : { signal }), ...(grace === undefined ? {} : { grace }) };
  return connection.ask({ type: 'kill', pid, ...further }, 'killed');
}

/** All processes this page may see, ended ones that can still be attached to included. */
export async function listProcesses(connection: Connection): Promise<Process[]> {
  return (await connection.ask({ type: 'list' }, 'processes')).processes;
}

/**
 * Is told what happens from now on, over lost connections too. One subscription at a time: a further one takes its place.
 *
 * @param listener - is given each event.
 * @param present - is given the processes there are, at first and after each time the connection was lost.
 * @returns a function that ends it.
 */
export function subscribe(
  connection: Connection,
  topics: Topic[],
  listener: (event: Event) => void,
  present: (processes: Process[]) => void = () => undefined,
): () => void {
  const begin = async (): Promise<void> => {
    try {
      present((await connection.ask({ type: 'subscribe', topics }, 'processes')).processes);
    } catch (error) {
      // A lost socket is followed by another `open`; a refusal is told like an event, since nobody awaits this.
      if (!(error instanceof RuntimeError)) throw error;
      if (error.code === 'disconnected' || error.code === 'closed') return;
      listener({ kind: 'log', level: 'error', time: Date.now(), message: error.message });
    }
  };
  const stops = [
    connection.on('open', () => void begin()),
    connection.on('message', (reply) => {
      if (reply.type === 'event') listener(reply.event);
    }),
  ];
  if (connection.state === 'open') void begin();
  return () => {
    for (const stop of stops) stop();
    if (connection.state === 'open') void connection.request({ type: 'subscribe', topics: [] }).catch(() => undefined);
  };
}
