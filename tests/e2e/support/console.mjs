// The console in a browser, as a person of this machine opens it.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { runtimeBinary } from './settings.mjs';

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
  await page.goto(url);
  await page.getByRole('status').filter({ hasText: /Running|Needs you/ }).waitFor();
  return page;
}

export async function go(page, name) {
  await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name }).click();
  await page.getByRole('heading', { level: 1, name }).waitFor();
}
