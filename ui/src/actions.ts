/** What more than one page does. */

import type { Process } from '@mhnos/runtime-client';
import { link } from './bridge/connection.svelte.ts';
import { runtime, title } from './bridge/runtime.svelte.ts';
import { desktop } from './desktop.ts';
import { plural } from './format.ts';
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

/** Stops the runtime; asks before, when programs end with it. */
export function stopRuntime(): void | Promise<void> {
  const running = runtime.running.length;
  if (running === 0) return desktop?.engineStop();
  shell.ask({
    title: 'Stop the runtime?',
    text: `${plural(running, 'running program')} will be ended; what they have not saved is lost.`,
    action: `Stop and end ${running}`,
    perform: () => desktop?.engineStop(),
  });
}

/** A shell in the workspace, opened in the drawer. */
export async function newShell(): Promise<void> {
  const terminal = { cols: 100, rows: 24 };
  const { pid } = await link.live.ask({ type: 'spawn', kind: 'shell', terminal }, 'spawned');
  shell.openProcess(pid);
}
