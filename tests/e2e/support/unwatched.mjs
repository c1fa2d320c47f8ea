// A Chromium that nobody watches, for measuring and for large transfers. Playwright has the browser copy every frame of every socket to it, which costs the page more than the frame.
// What is used here of the DevTools protocol (<https://chromedevtools.github.io/devtools-protocol/>) copies nothing.

import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { once } from 'node:events';
import os from 'node:os';
import path from 'node:path';
import { ARGUMENTS } from './browser.mjs';
import { chromium } from './settings.mjs';
import { eventually, within } from './waiting.mjs';

// A page of its own browser, whose disk is on the disk and goes with it.
export async function openUnwatched(address) {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'mhnos-browser-'));
  const flags = [...ARGUMENTS, '--headless', '--window-size=1100,720', '--remote-debugging-port=0', `--user-data-dir=${folder}`];
  const child = spawn(chromium, [...flags, 'about:blank'], { stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = once(child, 'exit');
  const close = async () => {
    child.kill();
    await ended;
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    const browser = await connect(await devtoolsAddress(child));
    const { targetId } = await browser.ask('Target.createTarget', { url: address });
    const { sessionId } = await browser.ask('Target.attachToTarget', { targetId, flatten: true });
    return new Page((method, parameters) => browser.ask(method, parameters, sessionId), close);
  } catch (error) {
    await close();
    throw error;
  }
}

class Page {
  #ask;

  constructor(ask, close) {
    this.#ask = ask;
    this.close = close;
  }

  // What `script`, a function, gives in the page with this argument, as Playwright's does.
  async evaluate(script, given) {
    const expression = `(${script})(${JSON.stringify(given) ?? ''})`;
    const { result, exceptionDetails } = await this.#ask('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  // Waits until `condition`, a function run in the page, gives something truthy.
  until(what, condition, given, deadline = 60_000) {
    return eventually(what, () => this.evaluate(condition, given), deadline);
  }

  // Types a line where the keyboard is.
  async type(line) {
    await this.#ask('Input.insertText', { text: line });
    const enter = { key: 'Enter', code: 'Enter', windowsVirtualKeyCode: 13 };
    await this.#ask('Input.dispatchKeyEvent', { ...enter, type: 'keyDown', text: '\r' });
    await this.#ask('Input.dispatchKeyEvent', { ...enter, type: 'keyUp' });
  }
}

// Where the browser listens, which it says on its standard error.
async function devtoolsAddress(child) {
  let said = '';
  const address = new Promise((resolve, reject) => {
    child.stderr.setEncoding('utf8').on('data', (text) => {
      said += text;
      const found = /DevTools listening on (ws:\S+)/.exec(said);
      if (found) resolve(found[1]);
    });
    child.once('exit', () => reject(new Error(`Chromium ended: ${said}`)));
    child.once('error', reject);
  });
  return within(30_000, 'Chromium listens', address);
}

async function connect(address) {
  const socket = new WebSocket(address);
  await within(10_000, 'Chromium answers', once(socket, 'open'));
  const asked = new Map();
  socket.addEventListener('message', ({ data }) => {
    const { id, result, error } = JSON.parse(data);
    const answer = asked.get(id);
    asked.delete(id);
    if (error) answer?.reject(new Error(error.message));
    else answer?.resolve(result);
  });
  socket.addEventListener('close', () => {
    for (const { reject } of asked.values()) reject(new Error('Chromium is gone'));
  });
  let last = 0;
  return {
    ask(method, params = {}, sessionId = undefined) {
      const id = ++last;
      const { promise, resolve, reject } = Promise.withResolvers();
      asked.set(id, { resolve, reject });
      socket.send(JSON.stringify({ id, method, params, sessionId }));
      return promise;
    },
  };
}
