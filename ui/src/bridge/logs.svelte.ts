/**
 * Lines of logs, bounded: those of the runtime, and those of programs that were asked for.
 *
 * Lines are not reactive one by one, which would cost more than they do; `revision` changes when there are others.
 */

import { attach, type Connection, type RuntimeProcess } from '@mhnos/runtime-client';

/** Beyond this many, the oldest are forgotten. */
const MOST = 200_000;

/** Dropped at once, so that dropping is rare. */
const SLACK = 20_000;

/** Longest line that is kept whole; the rest of it becomes lines of its own. */
const LONGEST = 2000;

/** A line. */
export interface LogLine {
  time: number | undefined;
  level: string;
  /** `runtime`, or the number of a process. */
  source: string;
  text: string;
}

class Logs {
  /** Changes with the lines. */
  revision = $state(0);
  lines: LogLine[] = [];
  #begun: Connection | undefined;
  #followed = new Set<number>();

  /** Reads what the runtime wrote before these pages were there. */
  async begin(connection: Connection): Promise<void> {
    if (this.#begun === connection) return;
    this.#begun = connection;
    this.#followed.clear();
    const { lines } = await connection.ask({ type: 'log', tail: 2000 }, 'log');
    const earlier = lines.map(({ time, level, message }) => ({ time, level, source: 'runtime', text: message }));
    // What came live in the meantime is among them already.
    const others = this.lines.filter(({ source }) => source !== 'runtime');
    this.lines = [...earlier, ...others];
    this.revision++;
  }

  /** A line of the runtime. */
  add({ time, level, message }: { time: number; level: string; message: string }): void {
    this.push([{ time, level, source: 'runtime', text: message }]);
  }

  push(lines: LogLine[]): void {
    for (const line of lines) this.lines.push(line);
    if (this.lines.length > MOST + SLACK) this.lines = this.lines.slice(-MOST);
    this.revision++;
  }

  clear(): void {
    this.lines = [];
    this.revision++;
  }

  /** Follows the output of a process, from its start if it is still held, and is done once that runs. */
  async follow(connection: Connection, pid: number): Promise<void> {
    if (this.#followed.has(pid)) return;
    // Before the answer: who asks again meanwhile would move the view of the first.
    this.#followed.add(pid);
    try {
      const process = await attach(connection, pid);
      void this.#read(process).finally(() => this.#followed.delete(pid));
    } catch (error) {
      this.#followed.delete(pid);
      throw error;
    }
  }

  async #read(process: RuntimeProcess): Promise<void> {
    const source = String(process.pid);
    const decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
    const begun = { stdout: '', stderr: '' };
    const reader = process.output.getReader();
    for (;;) {
      const { done, value } = await reader.read().catch(() => ({ done: true as const, value: undefined }));
      if (done || !value) break;
      const { stream } = value;
      const text = begun[stream] + decoders[stream].decode(value.bytes, { stream: true });
      const parts = text.split(/\r*\n|\r(?!\r*\n)/);
      begun[stream] = parts.pop() ?? '';
      const time = Date.now();
      const level = stream === 'stderr' ? 'stderr' : 'stdout';
      const lines: LogLine[] = [];
      for (const part of parts) {
        const plain = withoutControls(part);
        for (let at = 0; at === 0 || at < plain.length; at += LONGEST) {
          lines.push({ time, level, source, text: plain.slice(at, at + LONGEST) });
        }
      }
      if (begun[stream].length > LONGEST) {
        lines.push({ time, level, source, text: withoutControls(begun[stream]) });
        begun[stream] = '';
      }
      this.push(lines);
    }
    for (const level of ['stdout', 'stderr'] as const) {
      if (begun[level] !== '') this.push([{ time: Date.now(), level, source, text: withoutControls(begun[level]) }]);
    }
  }
}

/** Without the sequences that colour a terminal and move its cursor. */
export function withoutControls(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replace(/\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])/g, '').replace(/[\x00-\x08\x0b-\x1f\x7f]/g, '');
}

/** The one store of lines. */
export const logs = new Logs();
