import { fileURLToPath } from 'node:url';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { svelteTesting } from '@testing-library/svelte/vite';
import { defineConfig } from 'vitest/config';

const client = fileURLToPath(new URL('../client/src/index.ts', import.meta.url));

export default defineConfig({
  plugins: [svelte(), svelteTesting()],
  // The client from its sources: what the pages need of it, and no more, goes into their build.
  resolve: { alias: { '@mhnos/runtime-client': client } },
  build: {
    target: 'es2022',
    // One script and one sheet: nothing is loaded later, when the runtime may be gone.
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 1500,
    modulePreload: { polyfill: false },
  },
  test: { environment: 'jsdom', include: ['tests/**/*.test.ts'], setupFiles: ['tests/setup.ts'] },
});
