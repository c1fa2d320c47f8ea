/** How two-way sync stands, in the words of the screen. */

import type { SyncStatus } from '@mhnos/runtime-client';
import { bytes, plural } from './format.ts';
import type { Meaning } from './meaning.ts';

/** The sync as a whole. */
export function syncWords(status: SyncStatus | undefined, problem: string): { meaning: Meaning; word: string; detail: string } {
  if (!status) return { meaning: 'idle', word: problem === '' ? 'Not known yet' : 'Off', detail: problem };
  const halted = status.halted ?? status.replicas.find((replica) => replica.halted)?.halted;
  if (halted) return { meaning: 'needs', word: 'Stopped to ask', detail: halted };
  if (status.conflicts > 0) return { meaning: 'needs', word: plural(status.conflicts, 'conflict'), detail: 'changed on both sides' };
  if (status.paused) return { meaning: 'idle', word: 'Paused', detail: 'nothing is copied until you resume' };
  const connected = status.replicas.filter((replica) => replica.connected);
  if (connected.length === 0) return { meaning: 'idle', word: 'No tab', detail: 'no page keeps its files here now' };
  const files = connected.reduce((sum, replica) => sum + replica.filesToGo, 0);
  const size = connected.reduce((sum, replica) => sum + replica.bytesToGo, 0);
  if (files > 0) return { meaning: 'busy', word: `${plural(files, 'file')} to go`, detail: bytes(size) };
  if (connected.some(({ phase }) => phase === 'observing' || phase === 'syncing')) return { meaning: 'busy', word: 'Looking', detail: 'at what changed' };
  const problems = status.problemCount + connected.reduce((sum, replica) => sum + replica.problemCount, 0);
  if (problems > 0) return { meaning: 'needs', word: `${plural(problems, 'file')} left out`, detail: 'see why' };
  return { meaning: 'good', word: 'In sync', detail: `with ${plural(connected.length, 'browser disk')}` };
}
