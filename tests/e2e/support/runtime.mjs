// A runtime of its own for a test: a child process with a temporary workspace and state folder.

import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, realpath, rm } from 'node:fs/promises';
import { once } from 'node:events';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { runtimeBinary, tools } from './settings.mjs';
import { within } from './waiting.mjs';

const START_DEADLINE = 20_000;
const STOP_DEADLINE = 20_000;

// The settings of the person who runs the tests must not reach the runtime under test.
function environment() {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('MHNOS_'));
  return { ...Object.fromEntries(kept), PATH: `${tools}${path.delimiter}${process.env.PATH}` };
}

export class Runtime {
  static async start({ allowedOrigins = [], flags = [] } = {}) {
    const runtime = new Runtime();
    // Real path: programs report the folder they run in with every symlink resolved.
    runtime.folder = await realpath(await mkdtemp(path.join(os.tmpdir(), 'mhnos-e2e-')));
    runtime.workspace = path.join(runtime.folder, 'workspace');
    runtime.stateFolder = path.join(runtime.folder, 'state');
    runtime.allowedOrigins = allowedOrigins;
    runtime.flags = flags;
    await mkdir(runtime.workspace);
    try {
      await runtime.launch();
    } catch (error) {
      await runtime.remove();
      throw error;
    }
    return runtime;
  }

  // Starts the program; again on the same port after a `stop`.
  async launch() {
    const flags = ['--workspace', this.workspace, '--state-dir', this.stateFolder, ...this.flags];
    for (const origin of this.allowedOrigins) flags.push('--allow-origin', origin);
    const port = String(this.port ?? 0);
    this.child = spawn(runtimeBinary, ['serve', '--port', port, ...flags], {
      cwd: this.folder,
      env: environment(),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.output = '';
    this.exited = once(this.child, 'exit');
    const listening = new Promise((resolve, reject) => {
      this.exited.then(([code, signal]) => reject(new Error(`the runtime ended (${code ?? signal})`)), reject);
      this.child.stdout.setEncoding('utf8').on('data', (text) => {
        this.output += text;
        const [firstLine, ...more] = this.output.split('\n');
        if (more.length > 0) resolve(firstLine);
      });
    });
    this.reports = '';
    this.child.stderr.setEncoding('utf8').on('data', (text) => (this.reports += text));
    const firstLine = await within(START_DEADLINE, 'the runtime listens', listening).catch((error) => {
      throw new Error(`${error.message}\n${this.reports}`);
    });
    const match = /^MHNOS runtime listening on ws:\/\/127\.0\.0\.1:(\d+)$/.exec(firstLine);
    if (!match) throw new Error(`the first line is not the address: ${firstLine}`);
    this.port = Number(match[1]);
  }

  // As the published client writes it.
  get address() {
    return `ws://localhost:${this.port}`;
  }

  health() {
    return request({ port: this.port, path: '/health' });
  }

  token() {
    return readFile(path.join(this.stateFolder, 'token'), 'utf8').then((text) => text.trim());
  }

  async stop() {
    this.child.kill('SIGTERM');
    try {
      return await within(STOP_DEADLINE, 'the runtime stops on SIGTERM', this.exited);
    } catch (error) {
      this.child.kill('SIGKILL');
      throw error;
    }
  }

  // As a crash or a loss of power would: nothing is written any more.
  async kill() {
    this.child.kill('SIGKILL');
    return within(STOP_DEADLINE, 'the runtime ends on SIGKILL', this.exited);
  }

  async remove() {
    try {
      if (this.child.exitCode === null && this.child.signalCode === null) await this.stop();
    } finally {
      await rm(this.folder, { recursive: true, force: true });
    }
  }
}

// One HTTP request to this machine with exactly these headers: { status, headers, body }.
export function request({ port, path: target = '/', headers = {} }) {
  return new Promise((resolve, reject) => {
    const sent = http.request({ host: '127.0.0.1', port, path: target, headers, agent: false });
    sent.on('response', async (response) => {
      let body = '';
      for await (const text of response.setEncoding('utf8')) body += text;
      resolve({ status: response.statusCode, headers: response.headers, body });
    });
    sent.on('upgrade', (response, socket) => {
      socket.destroy();
      resolve({ status: response.statusCode, headers: response.headers, body: '' });
    });
    sent.on('error', reject);
    sent.end();
  });
}

// The status of a WebSocket handshake with exactly these headers.
export async function handshakeStatus(port, headers) {
  const upgrade = {
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
  };
  return (await request({ port, headers: { ...upgrade, ...headers } })).status;
}
