// The runtime client of the published MHNOS, rebuilt for the tests.
//
// It behaves as that client does, weaknesses included, because the runtime must serve it unmodified: a test
// that passes only with a better client proves nothing. Where the behaviour looks like a mistake, a comment
// says that it is meant. What only the tests need is at the end of the class, under "for the tests".

export const DEFAULT_ADDRESS = 'ws://localhost:18790';

const OPEN_TIMEOUT = 5000;
const REQUEST_TIMEOUT = 30000;
const FILES_PER_PUSH = 5;
const LARGEST_PUSHED_FILE = 5 * 1024 * 1024;

// Replies that settle a waiting request. `fsyncResult` and `pong` are missing here, as they are there.
const SETTLING_TYPES = new Set(['spawned', 'attached', 'killed', 'processList', 'status']);

export class MhnosClient extends EventTarget {
  #socket = null;
  #waiting = new Map();
  #nextRequest = 1;
  #reconnectDelay;

  constructor({ reconnectDelay = 5000 } = {}) {
    super();
    this.#reconnectDelay = reconnectDelay;
    this.address = DEFAULT_ADDRESS;
    this.connected = false;
    this.greeting = null;
    this.processes = new Map();
  }

  connect(address = this.address) {
    this.address = address;
    const socket = new WebSocket(address);
    this.#socket = socket;
    const opened = new Promise((resolve, reject) => {
      socket.addEventListener('open', () => {
        this.connected = true;
        this.#announceChange();
        resolve();
      });
      // Giving up does not close the socket, and a refusal is not noticed before the time is over.
      setTimeout(() => {
        if (!this.connected) reject(new Error('Connection timeout'));
      }, OPEN_TIMEOUT);
    });
    socket.addEventListener('message', (event) => this.#receive(JSON.parse(event.data)));
    socket.addEventListener('close', () => this.#socketClosed());
    return opened;
  }

  #socketClosed() {
    this.connected = false;
    this.greeting = null;
    this.#socket = null;
    // Every process is forgotten, also those that go on running; waiting requests run into their timeout.
    this.processes.clear();
    this.#announceChange();
    setTimeout(() => this.connect().catch(() => {}), this.#reconnectDelay);
  }

  #receive(message) {
    if (message.type === 'connected') {
      this.greeting = message;
      this.#announceChange();
    } else if (message.type === 'stdout' || message.type === 'stderr') {
      const handler = this.processes.get(message.pid)?.onOutput;
      if (handler) handler(message.data, message.type);
      else this.#noteDroppedOutput(message);
    } else if (message.type === 'exit') {
      this.processes.get(message.pid)?.onExit?.(message.code, message.signal);
      this.processes.delete(message.pid);
    } else if (message.type === 'error') {
      this.#settle(message, (request) => request.reject(new Error(message.error)));
    } else if (SETTLING_TYPES.has(message.type)) {
      this.#settle(message, (request) => request.resolve(message));
    } else {
      this.ignored.push(message);
    }
  }

  #settle(message, outcome) {
    const request = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (request) outcome(request);
  }

  sendRequest(type, fields = {}) {
    if (!this.connected) return Promise.reject(new Error('Runtime not connected'));
    const id = `req-${this.#nextRequest++}`;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      setTimeout(() => {
        if (this.#waiting.delete(id)) reject(new Error(`Request timeout after ${REQUEST_TIMEOUT}ms`));
      }, REQUEST_TIMEOUT);
      this.#send({ type, id, ...fields });
    });
  }

  #send(message) {
    if (this.connected) this.#socket.send(JSON.stringify(message));
  }

  async spawn(processType, command, args = [], options = {}) {
    const { pid } = await this.sendRequest('spawn', { processType, command, args, options });
    // No output handler yet: what the process prints before `attach` is dropped.
    this.processes.set(pid, { pid, processType, command, onOutput: null, onExit: null });
    return pid;
  }

  // Does nothing for the output of a process that this connection did not start.
  attach(pid, onOutput, onExit) {
    const process = this.processes.get(pid);
    if (process) Object.assign(process, { onOutput, onExit });
    return this.sendRequest('attach', { pid });
  }

  // Sent without an id, like `write` and `resize`: nobody waits for an answer.
  detach(pid) {
    const process = this.processes.get(pid);
    if (process) Object.assign(process, { onOutput: null, onExit: null });
    this.#send({ type: 'detach', pid });
  }

  write(pid, data) {
    this.#send({ type: 'write', pid, data });
  }

  resize(pid, cols, rows) {
    this.#send({ type: 'resize', pid, cols, rows });
  }

  async kill(pid, signal = 'SIGTERM') {
    await this.sendRequest('kill', { pid, signal });
    this.processes.delete(pid);
  }

  async list() {
    return (await this.sendRequest('list')).processes;
  }

  status() {
    return this.sendRequest('status');
  }

  ping() {
    return this.sendRequest('ping');
  }

  // Sends the files of `disk`, five in a message, each byte as a decimal number.
  async push(disk) {
    const outcome = { synced: 0, failed: 0, errors: [], replies: [] };
    const entries = await disk.list();
    let batch = [];
    for (const [index, { path, kind }] of entries.entries()) {
      const file = await this.#fileToPush(disk, path, kind);
      if (file) {
        batch.push(file);
      } else {
        outcome.failed += 1;
        outcome.errors.push({ path, error: 'File too large (>5MB)' });
      }
      const isLast = index === entries.length - 1;
      if (batch.length === 0 || (batch.length < FILES_PER_PUSH && !isLast)) continue;
      try {
        outcome.replies.push(await this.sendRequest('fsync', { operation: 'push', files: batch }));
        // It counts what it sent; what the runtime says about each file is not read.
        outcome.synced += batch.length;
      } catch (error) {
        outcome.failed += batch.length;
        outcome.errors.push(...batch.map((sent) => ({ path: sent.path, error: error.message })));
      }
      batch = [];
    }
    return outcome;
  }

  async #fileToPush(disk, path, kind) {
    if (kind === 'directory') return { path, kind, mtime: Date.now() };
    const { bytes, mtime } = await disk.read(path);
    if (bytes.length > LARGEST_PUSHED_FILE) return null;
    return { path, kind, content: Array.from(bytes), mtime };
  }

  // Writes every file of the workspace to `disk`.
  async pull(disk) {
    const { files = [] } = await this.sendRequest('fsync', { operation: 'pull' });
    for (const { path, kind, content } of files) {
      if (kind === 'directory') await disk.makeDirectory(path);
      else await disk.write(path, new Uint8Array(content));
    }
    return files.length;
  }

  // ---- for the tests -------------------------------------------------------------------------------------

  // Messages for which the client has no handler.
  ignored = [];
  // Output dropped for want of a handler, by process.
  dropped = new Map();

  #noteDroppedOutput({ pid, data }) {
    this.dropped.set(pid, (this.dropped.get(pid) ?? '') + data);
    this.dispatchEvent(new Event('dropped'));
  }

  #announceChange() {
    this.dispatchEvent(new Event('change'));
  }
}
