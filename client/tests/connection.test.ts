// The connection against a runtime that is played by the test, socket by socket.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Connection, defaultAddress, RuntimeError } from '../src/connection.ts';
import { decodeFrame, encodeFrame } from '../src/frames.ts';
import { readFile, writeFile } from '../src/files.ts';
import { attach, spawn, type Output } from '../src/processes.ts';

type Message = Record<string, unknown> & { type: string; id?: number };

/** The runtime's end of a socket. */
class FakeSocket extends EventTarget {
  bufferedAmount = 0;
  binaryType = '';
  readonly sent: Message[] = [];
  readonly frames: ArrayBuffer[] = [];
  closed = false;

  send(data: string | Uint8Array<ArrayBuffer>): void {
    if (typeof data === 'string') this.sent.push(JSON.parse(data) as Message);
    else this.frames.push(data.buffer);
  }

  close(): void {
    this.closed = true;
  }

  say(message: object): void {
    this.dispatchEvent(new MessageEvent('message', { data: JSON.stringify(message) }));
  }

  sayFrame(...frame: Parameters<typeof encodeFrame>): void {
    this.dispatchEvent(new MessageEvent('message', { data: encodeFrame(...frame).buffer }));
  }

  lose(code = 1006): void {
    this.dispatchEvent(Object.assign(new Event('close'), { code, reason: '' }));
  }

  greet(instance = 'one'): void {
    this.say({ type: 'welcome', protocol: '2.0', version: '0', instance, workspace: '/' });
  }

  /** Greets, and answers the ping that asks whether the page may use the runtime. */
  open(instance = 'one'): void {
    this.greet(instance);
    this.say({ type: 'pong', id: this.last('ping').id, time: 0 });
  }

  last(type: string): Message {
    const found = this.sent.findLast((message) => message.type === type);
    assert.ok(found, `${type} was sent`);
    return found;
  }
}

/** A connection, and its sockets in the order they were opened. */
function connected(): { connection: Connection; sockets: FakeSocket[]; next: () => Promise<FakeSocket> } {
  const sockets: FakeSocket[] = [];
  const waiting: ((socket: FakeSocket) => void)[] = [];
  const webSocket = (): WebSocket => {
    const socket = new FakeSocket();
    sockets.push(socket);
    waiting.shift()?.(socket);
    return socket as unknown as WebSocket;
  };
  const connection = new Connection('ws://runtime/', { webSocket, shortestPause: 1, longestPause: 4 });
  const next = (): Promise<FakeSocket> => new Promise((resolve) => waiting.push(resolve));
  return { connection, sockets, next };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('requests wait until the page may use the runtime, and errors carry their code', async () => {
  const { connection, sockets } = connected();
  const socket = sockets[0]!;
  const asked = connection.ask({ type: 'status' }, 'status');
  const states: string[] = [];
  connection.on('state', ({ state, reason }) => states.push(`${state}: ${reason}`));
  socket.greet();
  await turn();
  assert.deepEqual(socket.sent.map(({ type }) => type), ['ping'], 'nothing before it is known');
  socket.say({ type: 'error', id: socket.last('ping').id, code: 'notAllowed', error: 'a person has to allow it' });
  assert.deepEqual(states, ['waiting: a person has to allow it']);
  socket.say({ type: 'pong', id: socket.last('ping').id, time: 0 });
  assert.equal(connection.state, 'open');
  await turn();
  socket.say({ type: 'error', id: socket.last('status').id, code: 'limit', error: 'too much' });
  await assert.rejects(asked, (error) => error instanceof RuntimeError && error.code === 'limit' && error.message === 'too much');
  connection.close();
  assert.ok(socket.closed);
  await assert.rejects(connection.request({ type: 'list' }), /closed/);
});

test('a lost socket fails what is in flight, and another is opened', async () => {
  const { connection, sockets, next } = connected();
  sockets[0]!.open();
  const asked = connection.request({ type: 'list' });
  await turn();
  const instances: string[] = [];
  connection.on('instance', (instance) => instances.push(instance));
  const second = next();
  sockets[0]!.lose();
  assert.equal(connection.state, 'offline');
  await assert.rejects(asked, (error) => error instanceof RuntimeError && error.code === 'disconnected');
  const third = next();
  (await second).lose();
  const last = await third;
  last.open('two');
  assert.equal(connection.state, 'open');
  assert.deepEqual(instances, ['two']);
  sockets[0]!.say({ type: 'event', event: { kind: 'missed', events: 1 } });
  connection.close();
});

test('output is resumed where it was, without what came twice', async () => {
  const { connection, sockets, next } = connected();
  const socket = sockets[0]!;
  socket.open();
  const spawning = spawn(connection, { kind: 'node', command: 'x.js' });
  await turn();
  const { id, credit } = socket.last('spawn');
  socket.say({ type: 'spawned', id, pid: 7 });
  socket.sayFrame('stdout', 7, 0, new TextEncoder().encode('hello '));
  const process = await spawning;
  assert.ok(Number(credit) > 0);
  const second = next();
  socket.lose();
  const again = await second;
  again.open();
  await turn();
  assert.deepEqual([again.last('attach')['pid'], again.last('attach')['from']], [7, 6]);
  again.say({ type: 'attached', id: again.last('attach').id, pid: 7, from: 6, to: 11, gap: 0 });
  again.sayFrame('stdout', 7, 4, new TextEncoder().encode('o world'));
  again.say({ type: 'exit', pid: 7, to: 11, exit: { code: 3 } });
  let text = '';
  for await (const output of process.output as ReadableStream<Output> & AsyncIterable<Output>) {
    text += new TextDecoder().decode(output.bytes);
  }
  assert.equal(text, 'hello world');
  assert.equal((await process.exit).code, 3);
  connection.close();
});

test('output that nobody reads is granted no further credit', async () => {
  const { connection, sockets } = connected();
  const socket = sockets[0]!;
  socket.open();
  const attaching = attach(connection, 7);
  await turn();
  const { id, credit } = socket.last('attach');
  socket.say({ type: 'attached', id, pid: 7, from: 0, to: 0, gap: 0 });
  const process = await attaching;
  const window = Number(credit);
  for (let at = 0; at < window; at += 65_536) socket.sayFrame('stdout', 7, at, new Uint8Array(65_536));
  await turn();
  const granted = (): number => socket.sent.reduce((sum, { type, bytes }) => sum + (type === 'credit' ? Number(bytes) : 0), 0);
  assert.ok(granted() <= window / 4, `${granted()} of ${window}`);
  const reader = process.output.getReader();
  for (let read = 0; read < window; ) read += (await reader.read()).value?.bytes.length ?? window;
  await turn();
  assert.ok(granted() >= window / 2, 'what was read is granted again');
  connection.close();
});

test('a process of an earlier instance is lost', async () => {
  const { connection, sockets, next } = connected();
  sockets[0]!.open();
  const attaching = attach(connection, 7);
  await turn();
  sockets[0]!.say({ type: 'attached', id: sockets[0]!.last('attach').id, pid: 7, from: 0, to: 0, gap: 0 });
  const process = await attaching;
  const second = next();
  sockets[0]!.lose();
  (await second).open('two');
  await assert.rejects(process.exit, /started anew/);
  await assert.rejects(process.output.getReader().read(), /started anew/);
  connection.close();
});

test('files are read and written in blocks', async () => {
  const { connection, sockets } = connected();
  const socket = sockets[0]!;
  socket.open();
  const reading = readFile(connection, 'a');
  await turn();
  const id = Number(socket.last('readFile').id);
  socket.say({ type: 'file', id, size: 5, mtime: 9, executable: true });
  socket.sayFrame('file', id, 0, Uint8Array.of(1, 2, 3));
  socket.sayFrame('file', id, 3, Uint8Array.of(4, 5));
  assert.deepEqual(await reading, { bytes: Uint8Array.of(1, 2, 3, 4, 5), mtime: 9, executable: true });
  const failing = readFile(connection, 'b');
  await turn();
  const failed = socket.last('readFile').id;
  socket.say({ type: 'file', id: failed, size: 5, mtime: 9, executable: true });
  socket.say({ type: 'error', id: failed, code: 'failed', error: 'it was changed' });
  await assert.rejects(failing, /it was changed/);
  const writing = writeFile(connection, 'c', new Uint8Array(300_000));
  await turn();
  assert.deepEqual(socket.frames.map((frame) => decodeFrame(frame).offset), [0, 262_144]);
  socket.say({ type: 'done', id: socket.last('writeFile').id });
  await writing;
  connection.close();
});

test('the runtime is where the module came from', () => {
  assert.equal(defaultAddress('http://localhost:19000/client.js'), 'ws://localhost:19000/');
  assert.equal(defaultAddress('https://example.org/assets/bundle.js'), 'ws://localhost:18790/');
  assert.equal(defaultAddress('file:///x/client.js'), 'ws://localhost:18790/');
});
