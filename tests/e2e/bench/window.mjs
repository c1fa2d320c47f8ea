// What `cargo xtask bench window` measures in a real Chromium: how fast the console's terminal takes a program's output, beside the terminal's
// library alone with the same bytes from memory. Printed as JSON, in MB/s.

import { readFile, writeFile } from 'node:fs/promises';
import http from 'node:http';
import path from 'node:path';
import * as browsing from '../support/browser.mjs';
import { go, openConsole, terminalText, type } from '../support/console.mjs';
import { Runtime } from '../support/runtime.mjs';
import { listen } from '../support/servers.mjs';
import { repositoryRoot } from '../support/settings.mjs';

const ROUNDS = 3;
const MEGABYTES = 64;
const LIBRARY = path.join(repositoryRoot, 'ui/node_modules/@xterm/xterm');

// A listing, as compilers and `ls -lR` print them, with a colour now and then.
const line = (number) =>
  `-rw-r--r-- 1 mhnos mhnos ${String(number).padStart(9)} Nov 28 02:15 ${number % 8 === 0 ? '\x1b[1;34m' : ''}some-folder/file-${number}.txt\x1b[0m\n`;

function listing() {
  let text = '';
  for (let number = 0; text.length < MEGABYTES * 1e6; number += 1) text += line(number);
  return text;
}

// The library alone, with pieces as large as the runtime's and as many unread as it grants.
const bareRound = async (text) => {
  const { Terminal } = await import('/lib/xterm.mjs');
  const terminal = new Terminal({ fontSize: 12, scrollback: 10_000, convertEol: true });
  const place = document.body.appendChild(document.createElement('div'));
  place.style.height = '280px';
  terminal.open(place);
  terminal.resize(130, 18);
  const bytes = new TextEncoder().encode(text);
  const began = performance.now();
  const pending = [];
  for (let at = 0; at < bytes.length; at += 65_536) {
    pending.push(new Promise((written) => terminal.write(bytes.subarray(at, at + 65_536), written)));
    if (pending.length > 16) await pending.shift();
  }
  await Promise.all(pending);
  const took = performance.now() - began;
  terminal.dispose();
  place.remove();
  return bytes.length / 1e3 / took;
};

const measured = { bare: [], console: [] };
const text = listing();
const types = { '.mjs': 'text/javascript', '.css': 'text/css' };
const library = await listen(
  http.createServer(async ({ url }, response) => {
    const type = types[path.extname(url)];
    response.writeHead(200, { 'Content-Type': type ?? 'text/html' });
    response.end(type ? await readFile(path.join(LIBRARY, url)) : '<!doctype html><link rel="stylesheet" href="/css/xterm.css">');
  }),
);
const browser = await browsing.launchBrowser();
const runtime = await Runtime.start();
try {
  await writeFile(path.join(runtime.workspace, 'listing'), text);
  const bare = await (await browser.newContext()).newPage();
  await bare.goto(`http://127.0.0.1:${library.port}/`);
  const page = await openConsole(browser, runtime);
  await go(page, 'Processes');
  await page.getByRole('button', { name: 'New shell' }).first().click();
  await terminalText(page, /[$#] $/m);
  for (let round = 0; round < ROUNDS; round += 1) {
    await bare.bringToFront();
    measured.bare.push(await bare.evaluate(bareRound, text));
    await page.bringToFront();
    const began = performance.now();
    await type(page, `cat listing; echo end-of-$((${round}+100))`);
    await terminalText(page, new RegExp(`^end-of-${round + 100}$`, 'm'), 120_000);
    measured.console.push(text.length / 1e3 / (performance.now() - began));
  }
  process.stdout.write(JSON.stringify(measured));
} finally {
  await browser.close();
  await runtime.remove();
  await library.close();
}
