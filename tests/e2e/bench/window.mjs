// What `cargo xtask bench window` measures in a real Chromium: how fast the console's terminal takes a program's output, beside the terminal's
// library alone with the same bytes from memory. Printed as JSON, in MB/s.

import { readFile, writeFile } from 'node:fs/promises';
import http from 'node:http';
import path from 'node:path';
import { command } from '../support/console.mjs';
import { Runtime } from '../support/runtime.mjs';
import { listen } from '../support/servers.mjs';
import { repositoryRoot } from '../support/settings.mjs';
import { openUnwatched } from '../support/unwatched.mjs';

const ROUNDS = 5;
const BYTES = 64e6;
const LIBRARY = path.join(repositoryRoot, 'ui/node_modules/@xterm/xterm');

// A listing, as compilers and `ls -lR` print them, with a colour now and then.
function listing(bytes) {
  const line = (number) =>
    `-rw-r--r-- 1 mhnos mhnos ${String(number).padStart(9)} Nov 28 02:15 ${number % 8 === 0 ? '\x1b[1;34m' : ''}some-folder/file-${number}.txt\x1b[0m\n`;
  let text = '';
  for (let number = 0; text.length < bytes; number += 1) text += line(number);
  return text;
}

// The library alone, with pieces as large as the runtime's and as many unread as it grants.
async function bareRound() {
  const { Terminal } = await import('/lib/xterm.mjs');
  const terminal = new Terminal({ fontSize: 12, scrollback: 10_000, convertEol: true });
  const place = document.body.appendChild(document.createElement('div'));
  place.style.height = '280px';
  terminal.open(place);
  terminal.resize(130, 18);
  const { bytes } = window;
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
}

function press([kind, label]) {
  const found = [...document.querySelectorAll(kind)].find(({ textContent }) => textContent.trim().startsWith(label));
  found?.click();
  return found !== undefined;
}

function shows(wanted) {
  const rows = [...document.querySelectorAll('.xterm-rows > div')].map(({ textContent }) => textContent.replaceAll('\u00a0', ' ').trim());
  return rows.some((row) => new RegExp(wanted).test(row));
}

// From just before it is typed to the picture of its last line.
async function consoleRound(page, round) {
  const end = `end-of-${100 + round}`;
  const seen = page.evaluate((last) => new Promise((resolve) => {
    const began = performance.now();
    const rows = document.querySelector('.xterm-rows');
    const look = () => {
      if (![...rows.children].some(({ textContent }) => textContent.replaceAll('\u00a0', ' ').trim() === last)) return requestAnimationFrame(look);
      resolve(performance.now() - began);
    };
    requestAnimationFrame(look);
  }), end);
  await page.type(`cat listing; echo end-of-$((100+${round}))`);
  return BYTES / 1e3 / (await seen);
}

const types = { '.mjs': 'text/javascript', '.css': 'text/css' };
const library = await listen(
  http.createServer(async ({ url }, response) => {
    const type = types[path.extname(url)];
    response.writeHead(200, { 'Content-Type': type ?? 'text/html' });
    response.end(type ? await readFile(path.join(LIBRARY, url)) : '<!doctype html><link rel="stylesheet" href="/css/xterm.css">');
  }),
);
const runtime = await Runtime.start();
const pages = [];
try {
  await writeFile(path.join(runtime.workspace, 'listing'), listing(BYTES));
  const measured = { bare: [], console: [] };
  const bare = await openUnwatched(`http://127.0.0.1:${library.port}/`);
  pages.push(bare);
  await bare.until('its page is there', () => document.styleSheets.length > 0);
  await bare.evaluate(`(bytes) => { window.bytes = new TextEncoder().encode((${listing})(bytes)); }`, BYTES);
  const { url } = await command(runtime, 'console', '--no-open');
  const page = await openUnwatched(url);
  pages.push(page);
  await page.until('the list of pages', press, ['a', 'Processes']);
  await page.until('the button', press, ['button', 'New shell']);
  await page.until('a prompt', shows, ['[$#]$']);
  await page.evaluate(() => document.querySelector('.xterm-helper-textarea').focus());
  for (let round = 0; round < ROUNDS; round += 1) {
    measured.bare.push(await bare.evaluate(bareRound));
    measured.console.push(await consoleRound(page, round));
  }
  process.stdout.write(JSON.stringify(measured));
} finally {
  for (const page of pages) await page.close();
  await runtime.remove();
  await library.close();
}
