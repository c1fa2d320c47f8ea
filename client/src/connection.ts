/**
 * The connection to the runtime: one WebSocket at a time, opened again whenever it is lost.
 *
 * Requests wait until a socket is open and the page may use the runtime. That it may is found out by a `ping`: the runtime
 * greets a page that nobody has allowed yet as any other, but answers nothing else it says until a person allows it. What
 * is in flight when a socket is lost fails, because nobody knows whether it was carried out; what lasts longer than
 * a socket (output, sync) is resumed by those who own it, on the event `open`.
 *
 * @module
 */

import { Emitter } from './emitter.ts';
import { decodeFrame, encodeFrame, type Frame, type FrameKind } from './frames.ts';
import { SUBPROTOCOL, type ErrorCode, type Reply, type Request } from './generated/protocol.ts';

/** A reply of one type. */
export type ReplyOf<Type extends Reply['type']> = Extract<Reply, { type: Type }>;

/** Where a {@link Connection} stands. */
export type ConnectionState =
  /** A socket is being opened. */
  | 'connecting'
  /** The socket is open, and a person has yet to allow this page. */
  | 'waiting'
  /** Everything works. */
  | 'open'
  /** There is no socket; the next attempt comes by itself. */
  | 'offline'
  /** It was closed with {@link Connection.close}. */
  | 'closed';

/** What a {@link Connection} tells. */
export interface ConnectionEvents {
  /** Where it stands now, and why, in a sentence for a person. */
  state: {
    /** Where. */
    state: ConnectionState;
    /** Why; empty when all is well. */
    reason: string;
  };
  /** The page may use the runtime, on a new socket. */
  open: ReplyOf<'welcome'>;
  /** The socket is gone. */
  lost: undefined;
  /** The runtime was started anew: its processes and their numbers are others now. */
  instance: string;
  /** A message that answers no request: output's end, gaps, events. */
  message: Reply;
  /** A binary frame nobody had asked to be given. */
  frame: Frame;
}

/** How to connect. */
export interface ConnectOptions {
  /** Opens a socket; for programs that have none of their own. */
  webSocket?: (address: string, protocol: string) => WebSocket;
  /** Milliseconds before the second attempt; doubled for each further one. 250 if absent. */
  shortestPause?: number;
  /** Milliseconds before an attempt at most. 10,000 if absent. */
  longestPause?: number;
}

/** A request the runtime refused or could not carry out, or that was lost with its socket. */
export class RuntimeError extends Error {
  /** Why, for programs. `disconnected`: the socket was lost, and it may or may not have been carried out. */
  readonly code: ErrorCode | 'disconnected' | 'closed';

  /** @internal */
  constructor(code: RuntimeError['code'], sentence: string) {
    super(sentence);
    this.name = 'RuntimeError';
    this.code = code;
  }
}

/** What becomes of the replies to one request. */
interface Pending {
  /** Takes a reply; true if it was the last. */
  take(reply: Reply): boolean;
  fail(error: RuntimeError): void;
}

/** How long a runtime that answers nothing is taken to be waiting for a person. */
const ANSWER_TIME = 1000;

const WAITING = 'this page is not allowed to use the runtime yet; allow it there: mhnos-runtime origins allow';

/** A connection to the runtime; see {@link connect}. */
export class Connection extends Emitter<ConnectionEvents> {
  readonly #address: string;
  readonly #options: ConnectOptions;
  readonly #pending = new Map<number, Pending>();
  readonly #frames = new Map<string, (frame: Frame) => void>();
  #socket: WebSocket | undefined;
  #state: ConnectionState = 'connecting';
  #reason = '';
  #welcome: ReplyOf<'welcome'> | undefined;
  #instance: string | undefined;
  #attempts = 0;
  #nextId = 1;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @internal */
  constructor(address: string, options: ConnectOptions) {
    super();
    this.#address = address;
    this.#options = options;
    this.#dial();
  }

  /** Where it stands. */
  get state(): ConnectionState {
    return this.#state;
  }

  /** Why it stands there, in a sentence for a person; empty when all is well. */
  get reason(): string {
    return this.#reason;
  }

  /** The runtime's greeting, once there was one. */
  get welcome(): ReplyOf<'welcome'> | undefined {
    return this.#welcome;
  }

  /** Bytes that were sent and have not left this page yet. */
  get unsent(): number {
    return this.#socket?.bufferedAmount ?? 0;
  }

  /** When it is open, at once if it is now. Fails only when it is closed. */
  opened(): Promise<void> {
    if (this.#state === 'open') return Promise.resolve();
    return new Promise((resolve, reject) => {
      const settle = ({ state }: ConnectionEvents['state']): void => {
        if (state === 'open') resolve();
        else if (state === 'closed') reject(closed());
        else return;
        stop();
      };
      const stop = this.on('state', settle);
      settle({ state: this.#state, reason: '' });
    });
  }

  /** Closes it for good. What is pending fails. */
  close(): void {
    if (this.#state === 'closed') return;
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#drop(closed());
    this.#become('closed', 'the connection was closed');
    socket?.close(1000);
  }

  /**
   * Asks for something that has one reply.
   *
   * @throws RuntimeError when it is refused, fails, or the socket is lost before the reply.
   */
  request(request: Request): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const take = (reply: Reply): boolean => {
        resolve(reply);
        return true;
      };
      this.begin(request, { take, fail: reject }).catch(reject);
    });
  }

  /**
   * Asks for something whose reply is of a known type.
   *
   * @throws RuntimeError as {@link Connection.request}.
   */
  async ask<Type extends Reply['type']>(request: Request, type: Type): Promise<ReplyOf<Type>> {
    const reply = await this.request(request);
    if (reply.type !== type) throw new RuntimeError('failed', `the runtime answered ${reply.type} instead of ${type}`);
    return reply as ReplyOf<Type>;
  }

  /**
   * Sends a request of which several replies, or frames with its number, are expected.
   *
   * @returns its number.
   * @internal
   */
  async begin(request: Request, pending: Pending): Promise<number> {
    while (this.#state !== 'open') await this.opened();
    const id = this.#nextId++;
    this.#pending.set(id, pending);
    this.#sendText({ ...request, id });
    return id;
  }

  /** Sends a request that has no answer; nothing happens when the connection is not open. @internal */
  tell(request: Request): void {
    if (this.#state === 'open') this.#sendText(request);
  }

  /** Sends bytes; nothing happens when the connection is not open. @internal */
  sendFrame(kind: FrameKind, channel: number, offset: number, payload: Uint8Array): void {
    if (this.#state === 'open') this.#socket?.send(encodeFrame(kind, channel, offset, payload));
  }

  /** Has the frames of one kind and channel given to `take`, until the returned function is called. @internal */
  onFrames(kind: 'output' | 'file' | 'sync', channel: number, take: (frame: Frame) => void): () => void {
    const key = `${kind}:${channel}`;
    this.#frames.set(key, take);
    return () => {
      if (this.#frames.get(key) === take) this.#frames.delete(key);
    };
  }

  #dial(): void {
    this.#become('connecting', '');
    let socket: WebSocket;
    try {
      const open = this.#options.webSocket ?? ((address, protocol) => new WebSocket(address, protocol));
      socket = open(this.#address, SUBPROTOCOL);
    } catch (error) {
      this.#lost(error instanceof Error ? error.message : String(error));
      return;
    }
    socket.binaryType = 'arraybuffer';
    this.#socket = socket;
    const current = (): boolean => this.#socket === socket;
    socket.addEventListener('message', ({ data }: MessageEvent<string | ArrayBuffer>) => {
      if (!current()) return;
      try {
        this.#take(data);
      } catch (error) {
        // What follows a message that is not understood may build on it. It begins anew, with the pauses in between.
        this.#lost(`the runtime sent what this client does not understand: ${error instanceof Error ? error.message : String(error)}`);
        socket.close(4000);
      }
    });
    socket.addEventListener('close', ({ code, reason }) => {
      if (!current()) return;
      const sentence = reason === '' ? `the runtime cannot be reached at ${this.#address}` : reason;
      this.#lost(code === 1008 ? `the runtime no longer allows this page: ${sentence}` : sentence);
    });
  }

  #lost(reason: string): void {
    this.#drop(new RuntimeError('disconnected', 'the connection was lost before the answer came'));
    const shortest = this.#options.shortestPause ?? 250;
    const longest = this.#options.longestPause ?? 10_000;
    const pause = Math.min(longest, shortest * 2 ** Math.min(this.#attempts++, 16));
    // Half of it by chance, so that many tabs do not come back all at once.
    this.#timer = setTimeout(() => this.#dial(), pause * (0.5 + Math.random() / 2));
    this.#become('offline', reason);
  }

  #drop(error: RuntimeError): void {
    const had = this.#socket !== undefined;
    this.#socket = undefined;
    clearTimeout(this.#timer);
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    this.#frames.clear();
    for (const each of pending) each.fail(error);
    if (had) this.emit('lost', undefined);
  }

  #take(data: string | ArrayBuffer): void {
    if (typeof data !== 'string') {
      const frame = decodeFrame(data);
      const kind = frame.kind === 'stdout' || frame.kind === 'stderr' ? 'output' : frame.kind;
      const take = this.#frames.get(`${kind}:${frame.channel}`);
      if (take) take(frame);
      else this.emit('frame', frame);
      return;
    }
    const reply = JSON.parse(data) as Reply;
    if (reply.type === 'welcome') {
      this.#greeted(reply);
      return;
    }
    const id = 'id' in reply && typeof reply.id === 'number' ? reply.id : undefined;
    const pending = id === undefined ? undefined : this.#pending.get(id);
    if (id === undefined || pending === undefined) {
      this.emit('message', reply);
    } else if (reply.type === 'error') {
      this.#pending.delete(id);
      pending.fail(new RuntimeError(reply.code, reply.error));
    } else if (pending.take(reply)) {
      this.#pending.delete(id);
    }
  }

  #greeted(welcome: ReplyOf<'welcome'>): void {
    this.#welcome = welcome;
    this.#timer = setTimeout(() => this.#become('waiting', WAITING), ANSWER_TIME);
    this.#probe(welcome);
  }

  /** Asks whether this page may use the runtime, again and again until it may. */
  #probe(welcome: ReplyOf<'welcome'>): void {
    const id = this.#nextId++;
    const take = (): boolean => {
      clearTimeout(this.#timer);
      this.#attempts = 0;
      const changed = this.#instance !== undefined && this.#instance !== welcome.instance;
      this.#instance = welcome.instance;
      this.#become('open', '');
      if (changed) this.emit('instance', welcome.instance);
      this.emit('open', welcome);
      return true;
    };
    const fail = (error: RuntimeError): void => {
      if (this.#socket === undefined) return;
      clearTimeout(this.#timer);
      this.#become('waiting', error.message);
      this.#probe(welcome);
    };
    this.#pending.set(id, { take, fail });
    this.#sendText({ type: 'ping', id });
  }

  #become(state: ConnectionState, reason: string): void {
    if (this.#state === state && this.#reason === reason) return;
    this.#state = state;
    this.#reason = reason;
    this.emit('state', { state, reason });
  }

  #sendText(message: object): void {
    this.#socket?.send(JSON.stringify(message));
  }
}

function closed(): RuntimeError {
  return new RuntimeError('closed', 'the connection was closed');
}

/** Where the runtime is: where this module came from if that was a runtime, else where it is by default. */
export function defaultAddress(moduleUrl: string = import.meta.url): string {
  const url = new URL(moduleUrl);
  if (!url.protocol.startsWith('http') || url.pathname !== '/client.js') return 'ws://localhost:18790/';
  return `${url.protocol === 'https:' ? 'wss:' : 'ws:'}//${url.host}/`;
}

/**
 * Connects to the runtime, and keeps connecting whenever the connection is lost.
 *
 * @param address - of the runtime, such as `ws://localhost:18790/`; if absent, where this module was loaded from.
 */
export function connect(address: string = defaultAddress(), options: ConnectOptions = {}): Connection {
  return new Connection(address, options);
}
