// A real Chromium, and the page in it.

import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { chromium as chromiumPath, modules } from './settings.mjs';
import { within } from './waiting.mjs';

const { chromium } = createRequire(path.join(modules, 'from-here.js'))('playwright-core');

export const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-proxy-server',
];

export function launchBrowser({ further = [] } = {}) {
  return chromium.launch({ executablePath: chromiumPath, headless: true, args: [...ARGUMENTS, ...further] });
}

// A browser of which the disk is on the disk, as a person's is, and not in memory as that of other contexts here; with a function that ends it.
export async function launchOnDisk() {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'mhnos-browser-'));
  const context = await chromium.launchPersistentContext(folder, { executablePath: chromiumPath, headless: true, args: ARGUMENTS });
  const close = async () => {
    await context.close();
    await rm(folder, { recursive: true, force: true });
  };
  return { context, close };
}

// A page in a context of its own: its disk is empty, and goes with it.
export async function openPage(browser, address) {
  const context = await browser.newContext({ viewport: { width: 1100, height: 720 } });
  const page = await context.newPage();
  page.on('pageerror', (error) => {
    throw error;
  });
  await page.goto(address);
  return page;
}

// The page as a person uses it: opened, address typed, Connect pressed.
export async function openConnectedPage(browser, pageServer, runtime, { reconnectDelay = 5000 } = {}) {
  const page = await openPage(browser, `${pageServer.origin}/?reconnectDelay=${reconnectDelay}`);
  await page.getByLabel('Address of the runtime').fill(runtime.address);
  await page.getByRole('button', { name: 'Connect' }).click();
  await untilGreeted(page);
  return page;
}

export async function untilGreeted(page, deadline = 10_000) {
  await until(page, () => window.mhnos.client.greeting !== null, undefined, deadline);
}

// Waits until `condition`, a function run in the page with `argument`, gives something truthy.
export async function until(page, condition, argument, deadline = 15_000) {
  await page.waitForFunction(condition, argument, { timeout: deadline, polling: 50 });
}

// Writes text files to the browser's disk: { '/path': 'text' }.
export async function writeFiles(page, files) {
  await page.evaluate(async (wanted) => {
    for (const [name, text] of Object.entries(wanted)) await window.mhnos.disk.write(name, text);
  }, files);
}

// Pushes the browser's disk; what the page and what the runtime say of it.
export async function push(page) {
  return page.evaluate(() => window.mhnos.client.push(window.mhnos.disk));
}

export async function spawnProcess(page, processType, command, args = [], options = { cwd: '/' }) {
  return page.evaluate(
    (request) => window.mhnos.client.spawn(request.processType, request.command, request.args, request.options),
    { processType, command, args, options },
  );
}

export async function openTerminal(page, pid) {
  return page.evaluate((wanted) => window.mhnos.openTerminal(wanted), pid);
}

// Attaches the terminal as soon as the client has dropped output that contains `text`. Output on its way while the
// client attaches would be shown twice, once live and once replayed: this client cannot tell. So a test that looks
// at every character attaches while the program is silent, and the page itself, which sees it first, does so.
export async function openTerminalOnceDropped(page, pid, text) {
  const attach = ([wanted, awaited]) => {
    const { client, openTerminal } = window.mhnos;
    return new Promise((resolve) => {
      const look = () => {
        if (!client.dropped.get(wanted)?.includes(awaited)) return;
        client.removeEventListener('dropped', look);
        resolve(openTerminal(wanted));
      };
      client.addEventListener('dropped', look);
      look();
    });
  };
  return within(15_000, `process ${pid} prints ${text}`, page.evaluate(attach, [pid, text]));
}

// Waits until what the terminal received matches, and gives all of it.
export async function untilOutput(page, pid, pattern, deadline) {
  const { source, flags } = pattern;
  const matches = (wanted) => {
    const session = window.mhnos.sessions.get(wanted.pid);
    return new RegExp(wanted.source, wanted.flags).test(session.stdout);
  };
  try {
    await until(page, matches, { pid, source, flags }, deadline);
  } catch (error) {
    const { stdout, stderr } = await session(page, pid);
    throw new Error(`process ${pid} did not print ${pattern}; it printed: ${stdout}${stderr}`, { cause: error });
  }
  return (await session(page, pid)).stdout;
}

export async function untilExit(page, pid, deadline) {
  await until(page, (wanted) => window.mhnos.sessions.get(wanted).exit !== null, pid, deadline);
  return (await session(page, pid)).exit;
}

export async function session(page, pid) {
  return page.evaluate((wanted) => window.mhnos.sessions.get(wanted), pid);
}

// Opens a socket from a page or frame, as any page can: 'open' or 'closed'. An open socket stays open as
// `window.socket`, and what it receives is kept in `window.received`.
export async function tryToOpen(frame, address) {
  const open = (wanted) => {
    window.received = [];
    window.socket = new WebSocket(wanted);
    window.socket.addEventListener('message', ({ data }) => window.received.push(JSON.parse(data)));
    return new Promise((resolve) => {
      window.socket.addEventListener('open', () => resolve('open'));
      window.socket.addEventListener('close', () => resolve('closed'));
    });
  };
  return within(15_000, `${address} opens or closes`, frame.evaluate(open, address));
}
