// The console in a browser, as a person of this machine opens it.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { runtimeBinary } from './settings.mjs';
import { eventually } from './waiting.mjs';

const run = promisify(execFile);

// What a command of this runtime prints with `--json`.
export async function command(runtime, ...words) {
  const { stdout } = await run(runtimeBinary, ['--state-dir', runtime.stateFolder, '--json', ...words]);
  return JSON.parse(stdout);
}

// Opens the console with a ticket of its own.
export async function openConsole(browser, runtime, { width = 1100, height = 720, colorScheme = 'light' } = {}) {
  const { url } = await command(runtime, 'console', '--no-open');
  const context = await browser.newContext({ viewport: { width, height }, colorScheme, reducedMotion: 'reduce' });
  const page = await context.newPage();
  page.problems = [];
  page.on('pageerror', (error) => page.problems.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && page.problems.push(message.text()));
  // What the page opened, so that a test can take its socket away.
  await page.addInitScript(() => {
    window.sockets = [];
    window.WebSocket = class extends WebSocket {
      constructor(...given) {
        super(...given);
        window.sockets.push(this);
      }
    };
  });
  await page.goto(url);
  await page.getByRole('status').filter({ hasText: /Running|Needs you/ }).waitFor();
  return page;
}

export async function go(page, name) {
  await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name }).click();
  await page.getByRole('heading', { level: 1, name }).waitFor();
}

// Starts a process with the dialog; its number, with its drawer open.
export async function startProcess(page, kind, line) {
  await page.getByRole('button', { name: 'New process' }).click();
  const dialog = page.getByRole('dialog', { name: 'New process' });
  await dialog.getByLabel('Program').selectOption(kind);
  await dialog.getByLabel('Command').fill(line);
  await dialog.getByRole('button', { name: 'Start' }).last().click();
  await dialog.waitFor({ state: 'detached' });
  const drawer = page.getByRole('region', { name: /^Process \d+$/ });
  await drawer.waitFor();
  return Number(/\d+/.exec(await drawer.getAttribute('aria-label'))[0]);
}

// What the terminal shows, once it matches.
export async function terminalText(page, pattern, deadline = 15_000) {
  const rows = page.locator('.xterm-rows');
  let shown = '';
  try {
    return await eventually(`the terminal shows ${pattern}`, async () => {
      // The terminal draws spaces as such that do not break.
      const lines = await rows.locator('> div').allTextContents();
      shown = lines.map((line) => line.replaceAll('\u00a0', ' ')).join('\n').trimEnd() + ' ';
      return pattern.test(shown) || pattern.test(shown.trimEnd()) ? shown : undefined;
    }, deadline);
  } catch (error) {
    throw new Error(`${error.message}; it shows:\n${shown}`, { cause: error.cause });
  }
}

export async function type(page, line) {
  await page.locator('.xterm-helper-textarea').focus();
  await page.keyboard.type(line);
  await page.keyboard.press('Enter');
}
