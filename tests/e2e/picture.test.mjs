// A session as a person would have it, and a picture of it in target/e2e/page.png.

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';
import * as browsing from './support/browser.mjs';
import { Runtime } from './support/runtime.mjs';
import { startPageServer } from './support/servers.mjs';
import { repositoryRoot, SUITE_TIMEOUT } from './support/settings.mjs';

const PICTURE = path.join(repositoryRoot, 'target', 'e2e', 'page.png');
const SCRIPT = `const colours = [31, 33, 32, 36, 34, 35];
[...'MHNOS runtime'].forEach((letter, at) => process.stdout.write(\`\\x1b[\${colours[at % 6]}m\${letter}\`));
console.log('\\x1b[0m: žluťoučký kůň, Ελληνικά');
`;
const PROMPT = /\x1b\[32mmhnos/;

let pageServer, runtime, browser;

before(async () => {
  pageServer = await startPageServer();
  runtime = await Runtime.start({ allowedOrigins: [pageServer.origin] });
  browser = await browsing.launchBrowser();
});
after(async () => {
  await browser?.close();
  await runtime?.remove();
  await pageServer?.close();
});

test('a terminal session is to be seen in the page', { timeout: SUITE_TIMEOUT }, async () => {
  const page = await browsing.openConnectedPage(browser, pageServer, runtime);
  await browsing.writeFiles(page, { '/hello.js': SCRIPT, '/notes/today.txt': 'Written in the browser.\n' });
  assert.deepEqual((await browsing.push(page)).errors, []);

  const prompt = '\\[\\e[32m\\]mhnos\\[\\e[0m\\]:\\[\\e[34m\\]\\W\\[\\e[0m\\]$ ';
  const pid = await browsing.spawnProcess(page, 'shell', '/bin/bash', [], { cwd: '/' });
  await browsing.openTerminal(page, pid);
  await page.locator('#terminal').focus();
  // Typed before bash reads, a line would be echoed twice: by the terminal, then by bash.
  await browsing.untilOutput(page, pid, /\S/);
  await page.keyboard.type(`PS1='${prompt}'; clear\n`);
  await browsing.untilOutput(page, pid, PROMPT);
  const session = [
    ['ls -l', /hello\.js/],
    ['cat notes/today.txt', /Written in the browser\./],
    ['node hello.js', /Ελληνικά/],
    ['echo $((6*7))', /[\r\n]42\r?\n/],
    ['stty size', /30 100/],
  ];
  for (const [command, printed] of session) {
    await page.keyboard.type(`${command}\n`);
    await browsing.untilOutput(page, pid, new RegExp(`${printed.source}[^]*${PROMPT.source}`));
  }

  const shown = await page.locator('#terminal').textContent();
  assert.match(shown, /Written in the browser\./);
  assert.match(shown, /MHNOS runtime: žluťoučký kůň, Ελληνικά/);
  assert.match(shown, /\n42\n/);
  assert.match(await page.locator('#status').textContent(), /Connected to ws:\/\/localhost:\d+, protocol v1\.0\.0/);
  await mkdir(path.dirname(PICTURE), { recursive: true });
  await page.screenshot({ path: PICTURE });
});
