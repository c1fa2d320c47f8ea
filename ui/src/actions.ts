/** What more than one page does. */

import type { Process } from '@mhnos/runtime-client';
import { link } from './bridge/connection.svelte.ts';
import { runtime, title } from './bridge/runtime.svelte.ts';
import { shell } from './shell.svelte.ts';

/** Ends a process, and says so; it can be started anew. */
export async function killAndSay(process: Process): Promise<void> {
  await runtime.kill(process.pid);
  shell.tell(`${title(process)} (${process.pid}) was ended`);
}

/** Asks before several processes are ended. */
export function killAll(processes: Process[]): void {
  const [first] = processes;
  if (!first) return;
  if (processes.length === 1) {
    killAndSay(first).catch((error: unknown) => shell.fail(error));
    return;
  }
  shell.ask({
    title: `Kill ${processes.length} processes?`,
    text: `What they have not saved is lost: ${processes.slice(0, 4).map(title).join(', ')}${processes.length > 4 ? ', …' : ''}`,
    action: `Kill ${processes.length} processes`,
    perform: async () => {
      await Promise.all(processes.map(({ pid }) => runtime.kill(pid)));
      shell.tell(`${processes.length} processes were ended`);
    },
  });
}

/** A shell in the workspace, opened in the drawer. */
export async function newShell(): Promise<void> {
  const terminal = { cols: 100, rows: 24 };
  const { pid } = await link.live.ask({ type: 'spawn', kind: 'shell', terminal }, 'spawned');
  shell.openProcess(pid);
}
