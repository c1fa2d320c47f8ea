// Where the tests find what they need. Nothing is ever downloaded: what is missing is named, and the run stops.

import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const repositoryRoot = fileURLToPath(new URL('../../../', import.meta.url));
export const pageFolder = fileURLToPath(new URL('../page/', import.meta.url));

// Longest time for one file of tests; each wait in it has its own, shorter one.
export const SUITE_TIMEOUT = 240_000;

function existing(variable, fallback, what) {
  const named = process.env[variable] ?? fallback;
  if (!named) throw new Error(`${variable} is not set: \`cargo xtask test\` sets it, or see tests/e2e/README.md`);
  const place = path.resolve(repositoryRoot, named);
  if (!existsSync(place)) throw new Error(`${what} not found at ${place}: set ${variable}`);
  return place;
}

// The folder `node_modules` that holds playwright-core.
export const modules = existing('MHNOS_TEST_MODULES', undefined, 'test modules');
// Programs the runtime shall find first: node, workerd.
export const tools = existing('MHNOS_TEST_TOOLS', path.join(modules, '.bin'), 'folder of test tools');
export const chromium = existing('MHNOS_TEST_CHROMIUM', '/usr/bin/chromium', 'Chromium');
export const runtimeBinary = existing('MHNOS_TEST_RUNTIME', 'target/debug/mhnos-runtime', 'runtime');
