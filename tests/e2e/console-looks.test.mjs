// How the console looks: each page, light and dark, at both sizes; for those who use no eyes, too; and that much of it stays smooth.
// Makes the pictures in docs/screenshots.

import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import * as browsing from './support/browser.mjs';
import { command, go, openConsole, terminalText, type } from './support/console.mjs';
import { Runtime } from './support/runtime.mjs';
import { startPageServer } from './support/servers.mjs';
import { repositoryRoot, SUITE_TIMEOUT } from './support/settings.mjs';

const PAGES = ['Overview', 'Processes', 'Logs', 'Files', 'Connections', 'Doctor'];
const PICTURES = path.join(repositoryRoot, 'docs', 'screenshots');
const AXE = path.join(repositoryRoot, 'ui', 'node_modules', 'axe-core', 'axe.min.js');
const SERVER = "require('node:http').createServer((_, answer) => answer.end()).listen(0, '127.0.0.1', () => console.log('listening'));\n";

// What a page needs to have before it is looked at.
async function show(page, name) {
  await go(page, name);
  if (name === 'Doctor') await page.getByText('Passed').first().waitFor({ timeout: 60_000 });
  if (name === 'Logs') await page.getByRole('log', { name: 'Log lines' }).getByText(/listening/).first().waitFor();
  if (name === 'Files') await page.getByText('server.js', { exact: true }).waitFor();
}

// Everything that stands beyond the window's edge, or is wider than the window lets it be.
function cutOff() {
  const found = [];
  if (document.documentElement.scrollWidth > innerWidth) found.push('the page is wider than the window');
  for (const element of document.querySelectorAll('button, a, input, select, h1, [role=tab]')) {
    const box = element.getBoundingClientRect();
    const hidden = box.width === 0 || element.closest('.sr-only, .xterm') !== null;
    if (hidden) continue;
    if (box.left < 0 || box.right > innerWidth + 0.5) found.push(`${element.tagName} ${element.textContent.trim()} ends at ${box.right}`);
    const label = element.querySelector(':scope > .cut');
    if (element.classList.contains('button') && label && label.scrollWidth > label.clientWidth) {
      found.push(`the word on the button ${element.textContent.trim()} is cut`);
    }
  }
  return found;
}

describe('looks', { timeout: SUITE_TIMEOUT }, () => {
  let runtime, browser, server, visitor;

  before(async () => {
    await mkdir(PICTURES, { recursive: true });
    server = await startPageServer();
    runtime = await Runtime.start({ flags: ['--max-processes', '600'] });
    browser = await browsing.launchBrowser();
    await writeFile(path.join(runtime.workspace, 'server.js'), SERVER);
    await writeFile(path.join(runtime.workspace, 'notes.md'), '# Notes\n');
    for (const line of ['server.js', 'server.js']) await command(runtime, 'spawn', 'node', '-d', line);
    visitor = await browsing.openPage(browser, `${server.origin}/`);
    await browsing.tryToOpen(visitor, runtime.address);
    await visitor.evaluate(() => window.socket.send(JSON.stringify({ type: 'status', id: 1 })));
  });
  after(async () => {
    await browser?.close();
    await runtime?.remove();
    await server?.close();
  });

  for (const colorScheme of ['light', 'dark']) {
    test(`every page, ${colorScheme}: nothing cut off, nothing an accessibility check finds serious`, async () => {
      const page = await openConsole(browser, runtime, { colorScheme });
      // Given as a function, not as a script of the page: its policy lets no such script run.
      const axe = await readFile(AXE, 'utf8');
      await page.evaluate(`${axe}; undefined`);
      await go(page, 'Processes');
      await page.getByRole('button', { name: 'New shell' }).first().click();
      await terminalText(page, /[$#] $/m);
      await type(page, 'ls -l --color');
      await terminalText(page, /notes\.md/);
      for (const name of PAGES) {
        await show(page, name);
        const background = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
        assert.equal(background, colorScheme === 'dark' ? 'rgb(24, 25, 28)' : 'rgb(255, 255, 255)');
        const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
        const serious = violations
          .filter(({ impact }) => impact === 'serious' || impact === 'critical')
          .map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join('\n')}`);
        assert.deepEqual(serious, [], `${name}, ${colorScheme}`);
        const picture = (size) => path.join(PICTURES, `${name.toLowerCase()}-${colorScheme}${size}.png`);
        assert.deepEqual(await page.evaluate(cutOff), [], `${name} at 1100 x 720`);
        await page.screenshot({ path: picture('') });
        await page.setViewportSize({ width: 760, height: 480 });
        assert.deepEqual(await page.evaluate(cutOff), [], `${name} at 760 x 480`);
        await page.screenshot({ path: picture('-small') });
        await page.setViewportSize({ width: 1100, height: 720 });
      }
      assert.deepEqual(page.problems, []);
      await page.context().close();
    });
  }

  test('100,000 lines of a log: no task of the page is long', async () => {
    const script = "const block = Array.from({ length: 1000 }, (_, i) => `line ${i} of a log that says little, again and again\\n`).join('');\n" +
      "let blocks = 0; const write = () => { while (blocks++ < 100) if (!process.stdout.write(block)) return process.stdout.once('drain', write); console.log('the end'); setInterval(() => {}, 1000); }; write();\n";
    await writeFile(path.join(runtime.workspace, 'chatty.js'), script);
    await smooth(async (page) => {
      const { pid } = await command(runtime, 'spawn', 'node', '-d', 'chatty.js');
      await go(page, 'Logs');
      await page.getByRole('combobox', { name: 'Source' }).selectOption(String(pid));
      const log = page.getByRole('log', { name: 'Log lines' });
      await log.getByText('the end', { exact: true }).waitFor({ timeout: 60_000 });
      await page.getByText('100001 lines').waitFor();
      await log.hover();
      for (let turn = 0; turn < 10; turn++) await page.mouse.wheel(0, turn % 2 === 0 ? -400_000 : 100_000);
      await page.getByRole('searchbox', { name: 'Search in the logs' }).fill('line 77 ');
      await page.getByText('100 lines of').waitFor();
      await command(runtime, 'kill', String(pid));
    });
  });

  test('500 processes: no task of the page is long', async () => {
    await smooth(async (page) => {
      await go(page, 'Processes');
      // All over the page's own socket, without waiting for one another, as fast as the runtime starts them.
      await page.evaluate(() => {
        for (let at = 0; at < 500; at++) {
          const spawn = { type: 'spawn', id: `many-${at}`, kind: 'shell', command: `sleep 1${String(at).padStart(3, '0')}` };
          window.sockets.at(-1).send(JSON.stringify(spawn));
        }
      });
      const foot = page.getByRole('status').filter({ hasText: 'at most 600' });
      await foot.getByText(/50\d running/).waitFor({ timeout: 120_000 });
      await page.getByRole('button', { name: 'Tree' }).click();
      await page.getByRole('columnheader', { name: 'Memory' }).getByRole('button').click();
      await page.getByRole('rowgroup', { name: 'Processes' }).hover();
      for (let turn = 0; turn < 10; turn++) await page.mouse.wheel(0, 3000);
      await page.getByRole('searchbox', { name: 'Filter processes' }).fill('sleep');
      await page.getByRole('button', { name: 'Kill all shown' }).click();
      await page.getByRole('dialog').getByRole('button', { name: 'Kill 500 processes' }).click();
      await page.getByText('500 processes were ended').waitFor({ timeout: 120_000 });
    });
  });

  // Does the work while the browser keeps a record of every task of the page's thread, and looks at what each took of the processor. The time on the
  // clock says less: on a machine that has more to do than it can, any task may be put off in its midst.
  async function smooth(work) {
    const page = await openConsole(browser, runtime);
    await browser.startTracing(page, { categories: ['toplevel', 'devtools.timeline', 'disabled-by-default-devtools.timeline', '__metadata'] });
    await work(page);
    const { traceEvents } = JSON.parse((await browser.stopTracing()).toString());
    await page.context().close();
    const threads = traceEvents.filter(({ name, args }) => name === 'thread_name' && args.name === 'CrRendererMain');
    const ofPages = new Set(threads.map(({ pid, tid }) => `${pid} ${tid}`));
    const tasks = traceEvents.filter(({ name, pid, tid, tdur }) => name === 'RunTask' && tdur !== undefined && ofPages.has(`${pid} ${tid}`));
    assert.ok(tasks.length > 100, `${tasks.length} tasks were recorded`);
    const long = tasks.map(({ tdur }) => tdur / 1000).filter((milliseconds) => milliseconds > 100);
    assert.deepEqual(long, [], 'milliseconds of the processor that the tasks above 100 took');
  }
});
