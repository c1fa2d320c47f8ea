/**
 * One session with the hub: tells it what is on the disk, and carries out what it orders.
 *
 * What the store holds is always what the hub was told, in the order it was told: every entry is set in the same step as the
 * record that tells it is written, and the store is on the disk before the record is on the wire.
 *
 * @module
 */

import { RuntimeError, type Connection, type ReplyOf } from '../connection.ts';
import type { Frame } from '../frames.ts';
import { Answers } from './answers.ts';
import { Applier, type Applied } from './apply.ts';
import type { Disk } from './disk.ts';
import type { Hash } from './hash.ts';
import { isIn, type Ignored } from './paths.ts';
import { decodeRecords, RecordWriter, type NamedNode, type OrderRecord, type ReceivedRecord, type SentRecord } from './records.ts';
import { Remote } from './remote.ts';
import { Retries } from './retries.ts';
import { isNews, Scanner, type Observation } from './scan.ts';
import { Schedule } from './schedule.ts';
import { Staging } from './staging.ts';
import type { SyncProgress, SyncState } from './status.ts';
import { nodeOf, type Store } from './store.ts';
import { Touches } from './touches.ts';
import { Watch } from './watch.ts';

/** Bytes of content that may be on their way to this replica. */
const WINDOW_BYTES = 16 << 20;
/** Largest record of observed nodes, roughly. */
const OBSERVED_BYTES = 512 << 10;
/** Between two looks whether a person cleared the disk. */
const INDEX_LOOK = 3000;
/** While orders are carried out, what became of them is gathered for so long, in milliseconds. */
const GATHER = 4;
const MANY_ORDERS = 16;
/** Problems in a page's progress. */
const PROBLEMS_SHOWN = 100;
/** Problems the hub is told of. Nothing that is one was ever told, so leaving some out does no harm. */
const PROBLEMS_TOLD = 1000;

/** The replica's own index is gone: a person cleared the site's data. */
export class Cleared extends Error {}

/** What a session works with. */
export interface SessionParts {
  connection: Connection;
  disk: Disk;
  store: Store;
  ignored: Ignored;
  hash: Hash;
  name: string;
  progress: SyncProgress;
  /** Something in `progress` is another now. */
  report: () => void;
}

/** One session. */
export class Session {
  readonly #parts: SessionParts;
  readonly #touches = new Touches();
  readonly #schedule = new Schedule();
  readonly #scanner: Scanner;
  readonly #remote: Remote;
  readonly #staging: Staging;
  readonly #applier: Applier;
  readonly #answers: Answers;
  readonly #retries: Retries;
  readonly #watch: Watch;
  readonly #writer = new RecordWriter();
  readonly #problems = new Map<string, string>();
  /** Orders of the hub that could not be carried out here, by path: the hub knows of them. */
  readonly #failures = new Map<string, string>();
  readonly #held: OrderRecord[] = [];
  /** Paths to look at when the orders that concern them are carried out: until then a look tells nothing. */
  readonly #overtaken = new Set<string>();
  readonly #ended = Promise.withResolvers<never>();
  readonly #flusher = new MessageChannel();
  #indexLook: ReturnType<typeof setInterval> | undefined;
  #id = 0;
  #sent = 0;
  #received = 0;
  #flushing = false;
  #over = false;
  /** Whether the first observation was told: orders are held until then. */
  #told = false;
  #observing: Promise<void> = Promise.resolve();
  #synced = false;
  #halted = '';

  constructor(parts: SessionParts) {
    this.#parts = parts;
    const { disk, store, ignored, hash } = parts;
    const send = (record: SentRecord): void => this.#send(record);
    this.#scanner = new Scanner(disk, store, ignored, hash, this.#touches);
    this.#remote = new Remote(send, WINDOW_BYTES);
    this.#staging = new Staging(disk, store, this.#scanner, hash, this.#remote);
    this.#applier = new Applier(disk, store, this.#scanner, this.#staging, ignored);
    this.#watch = new Watch((paths) => this.#look(paths));
    this.#answers = new Answers(disk, store, this.#scanner, send, (path) => this.#watch.add(path));
    this.#retries = new Retries(disk, (path) => this.#tellAgain(path));
    this.#flusher.port1.onmessage = () => this.#flush();
    this.#ended.promise.catch(() => undefined);
  }

  /** Runs until it is ended or fails; always throws, in the end. */
  async run(): Promise<never> {
    try {
      this.#become('observing');
      const opened = await this.#open();
      this.#parts.ignored.set(opened.ignored);
      // Before the first look, so that nothing falls between the two.
      await this.#watch.begin(this.#parts.disk);
      this.#look([''], opened.full);
      this.#indexLook = setInterval(() => void this.#mustBeThere(), INDEX_LOOK);
      return await this.#ended.promise;
    } finally {
      await this.#close();
    }
  }

  /** Ends it. */
  end(error: Error): void {
    this.#ended.reject(error);
  }

  /** A path to look at, because a page says so. */
  hint(path: string): void {
    this.#watch.add(path);
  }

  async #open(): Promise<ReplyOf<'syncOpened'>> {
    const { connection, store, name } = this.#parts;
    const { replica, sequence, digest } = store;
    return await new Promise<ReplyOf<'syncOpened'>>((resolve, reject) => {
      const fail = (error: RuntimeError): void => {
        reject(error);
        this.end(error);
      };
      const begun = connection.begin(
        { type: 'syncOpen', replica, name, sequence, digest, window: WINDOW_BYTES },
        {
          take: (reply) => {
            if (reply.type === 'syncOpened') {
              this.#id = Number(reply.id);
              connection.onFrames('sync', this.#id, (frame) => this.#take(frame));
              resolve(reply);
            }
            // An error that ends the session later carries the same id.
            return false;
          },
          fail,
        },
      );
      begun.catch(reject);
    });
  }

  async #close(): Promise<void> {
    const { connection } = this.#parts;
    this.#over = true;
    clearInterval(this.#indexLook);
    this.#watch.end();
    this.#retries.end();
    this.#remote.end('the session is over');
    this.#flusher.port1.close();
    if (this.#id !== 0 && connection.state === 'open') {
      await connection.request({ type: 'cancel', transfer: this.#id }).catch(() => undefined);
    }
    await this.#schedule.stop();
    await this.#observing;
  }

  /** A browser tells nobody that a person cleared its disk. */
  async #mustBeThere(): Promise<void> {
    if (!(await this.#parts.store.isThere())) this.end(new Cleared("the browser's disk was cleared"));
  }

  #take({ offset, payload }: Frame): void {
    if (this.#over) return;
    try {
      if (offset !== this.#received++) throw new Error('a frame of the sync session was out of turn');
      for (const record of decodeRecords(payload)) this.#act(record);
    } catch (error) {
      this.end(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #act(record: ReceivedRecord): void {
    const { store, progress } = this.#parts;
    switch (record.type) {
      case 'order':
        this.#synced = false;
        if (record.action.kind === 'put') this.#staging.want(record.action.node.content);
        if (this.#told) this.#begin(record);
        else this.#held.push(record);
        break;
      case 'content':
        progress.bytesReceived += record.bytes.length;
        // A copy of its own: the record is a part of a frame, which would be held as a whole.
        this.#staging.receive(record.content, record.bytes.slice());
        break;
      case 'askBlocks':
      case 'read':
        void this.#answers.answer(record);
        break;
      case 'data':
        progress.bytesReceived += record.bytes.length;
        this.#remote.take(record);
        break;
      case 'blocks':
      case 'unavailable':
        this.#remote.take(record);
        break;
      case 'committed':
        store.sequence = record.sequence;
        this.#synced = record.synced;
        if (record.synced) void this.#rest();
        break;
      case 'halted':
        this.#halted = record.reason;
        break;
      case 'rescan':
        // The hub plans nothing before it was told everything.
        this.#look([''], true);
        break;
    }
    this.#report();
  }

  /** Both sides are equal: what is left over can go. */
  async #rest(): Promise<void> {
    if (this.#schedule.size > 0) return;
    try {
      this.#parts.store.flush();
      // An order that comes meanwhile and misses what it staged reports a change, and is planned again.
      await this.#staging.clear();
      await this.#parts.store.compact();
    } catch {
      this.end(new Cleared("the browser's disk was cleared, or is full"));
    }
  }

  #begin(order: OrderRecord): void {
    const { action, path } = order;
    const further = action.kind === 'move' ? action.from : action.kind === 'put' ? action.copyFrom : '';
    this.#schedule.add(further === '' ? [path] : [path, further], async () => {
      const applied = await this.#applier.perform(order);
      if (this.#over) return;
      this.#answer(order, applied);
      if (action.kind === 'put') this.#staging.release(action.node.content);
    }, () => this.#lookAtOvertaken());
  }

  #lookAtOvertaken(): void {
    if (this.#over) return;
    for (const path of this.#overtaken) {
      // Also one beneath it: a folder is overtaken by an order for a file in it.
      if (this.#schedule.touches(path)) continue;
      this.#overtaken.delete(path);
      this.#watch.add(path);
    }
  }

  #answer(order: OrderRecord, { result, entries, cause, look = [] }: Applied): void {
    const { store, progress } = this.#parts;
    const before: NamedNode[] = [];
    for (const [path, entry] of entries) {
      this.#touches.mark(path);
      store.set(path, entry);
      if (result.kind === 'changed' && path !== order.path) before.push({ path, node: nodeOf(entry) });
    }
    this.#observed(before, false);
    this.#send({ type: 'outcome', order: order.order, result });
    // One that failed earlier is overtaken by this one, whatever became of it.
    this.#failures.delete(order.path);
    if (result.kind === 'done') {
      progress.received += 1;
      this.#retries.succeeded(order.path);
    } else if (result.kind === 'failed') {
      this.#failures.set(order.path, result.reason);
      if (cause !== undefined) this.#retries.failed(order.path, cause);
    }
    for (const path of look) this.#watch.add(path);
    this.#report();
  }

  #tellAgain(path: string): void {
    if (this.#over) return;
    this.#failures.delete(path);
    this.#observed([{ path, node: this.#parts.store.node(path) }], false);
    this.#report();
  }

  #look(hints: string[], whole = false): void {
    const paths: string[] = [];
    for (const path of hints) {
      if (this.#schedule.concerns(path)) this.#overtaken.add(path);
      else paths.push(path);
    }
    if (paths.length === 0) return;
    this.#observing = this.#observing.then(async () => {
      if (this.#over) return;
      this.#touches.begin();
      try {
        const observation = await this.#scanner.observe(paths);
        if (observation.changes.some(({ entry }) => entry === undefined) && !(await this.#parts.store.isThere())) {
          throw new Cleared("the browser's disk was cleared");
        }
        if (!this.#over) this.#tell(paths, observation, whole);
      } catch (error) {
        const gone = error instanceof DOMException && ['NotFoundError', 'InvalidStateError'].includes(error.name);
        this.end(gone ? new Cleared("the browser's disk was cleared") : (error as Error));
      } finally {
        this.#touches.end();
      }
    });
  }

  #tell(paths: readonly string[], observation: Observation, whole: boolean): void {
    const { store, progress } = this.#parts;
    const news: NamedNode[] = [];
    for (const change of observation.changes) {
      if (this.#schedule.touches(change.path)) {
        this.#overtaken.add(change.path);
        continue;
      }
      if (this.#touches.since(change.path, change.clock)) {
        this.#watch.add(change.path);
        continue;
      }
      if (isNews(change, store)) news.push({ path: change.path, node: nodeOf(change.entry) });
      store.set(change.path, change.entry);
    }
    for (const path of observation.restless) this.#watch.addLater(path);
    const solved = this.#noteProblems(paths, observation.problems);
    if (whole || solved) {
      const all = [...store.entries].map(([path, entry]) => ({ path, node: nodeOf(entry) }));
      this.#send({ type: 'problems', problems: shownProblems(this.#problems).slice(0, PROBLEMS_TOLD) });
      this.#observed(all, true);
    } else {
      if (observation.problems.length > 0) {
        this.#send({ type: 'problems', problems: observation.problems.slice(0, PROBLEMS_TOLD) });
      }
      this.#observed(news, false, observation.problems.length > 0);
    }
    progress.sent += news.length;
    if (news.length > 0 || whole) this.#synced = false;
    if (!this.#told) {
      this.#told = true;
      for (const order of this.#held.splice(0)) this.#begin(order);
    }
    this.#report();
  }

  /** Whether a problem that was told is none any more. */
  #noteProblems(paths: readonly string[], problems: Observation['problems']): boolean {
    const found = new Set(problems.map(({ path }) => path));
    let solved = false;
    for (const path of [...this.#problems.keys()]) {
      if (found.has(path) || !paths.some((each) => path === each || isIn(path, each))) continue;
      this.#problems.delete(path);
      solved = true;
    }
    for (const { path, reason } of problems) this.#problems.set(path, reason);
    return solved;
  }

  /** Tells nodes, in records that fit into frames; folders before what is in them. */
  #observed(nodes: NamedNode[], complete: boolean, always = complete): void {
    if (nodes.length === 0 && !always) return;
    nodes.sort((one, other) => (sortKey(one.path) < sortKey(other.path) ? -1 : 1));
    let part: NamedNode[] = [];
    let bytes = 0;
    for (const named of nodes) {
      if (bytes > OBSERVED_BYTES) {
        this.#send({ type: 'observed', complete: false, more: true, within: '', nodes: part });
        part = [];
        bytes = 0;
      }
      part.push(named);
      bytes += named.path.length * 3 + 48;
    }
    this.#send({ type: 'observed', complete, more: false, within: '', nodes: part });
  }

  #send(record: SentRecord): void {
    if (this.#over) return;
    if (record.type === 'data') this.#parts.progress.bytesSent += record.bytes.length;
    const full = this.#writer.push(record);
    if (full) this.#put(full);
    if (this.#flushing) return;
    // After what is being done now, so that what is told together travels together.
    this.#flushing = true;
    if (this.#schedule.size > MANY_ORDERS) setTimeout(() => this.#flush(), GATHER);
    else this.#flusher.port2.postMessage(undefined);
  }

  #flush(): void {
    this.#flushing = false;
    if (this.#over || this.#writer.length === 0) return;
    this.#put(this.#writer.take());
  }

  #put(payload: Uint8Array): void {
    try {
      this.#parts.store.write();
    } catch {
      this.end(new Cleared("the browser's disk was cleared, or is full"));
      return;
    }
    this.#parts.connection.sendFrame('sync', this.#id, this.#sent++, payload);
  }

  #become(state: SyncState): void {
    const { progress, report } = this.#parts;
    progress.state = state;
    progress.reason = this.#halted;
    report();
  }

  #report(): void {
    if (this.#over) return;
    const { progress } = this.#parts;
    progress.toDo = this.#schedule.size + this.#held.length;
    progress.problems = shownProblems(new Map([...this.#failures, ...this.#problems])).slice(0, PROBLEMS_SHOWN);
    const synced = this.#synced && progress.toDo === 0;
    const state = this.#halted !== '' ? 'halted' : synced ? 'synced' : this.#told ? 'syncing' : 'observing';
    this.#become(state);
  }
}

function shownProblems(problems: ReadonlyMap<string, string>): { path: string; reason: string }[] {
  return [...problems].map(([path, reason]) => ({ path, reason }));
}

/** Orders paths so that a folder is followed by all that is in it. */
function sortKey(path: string): string {
  return path.replaceAll('/', '\0');
}
