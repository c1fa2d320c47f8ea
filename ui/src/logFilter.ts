/**
 * Lines that match, found without looking at all of them each time: while nobody changes what is wanted, only what came since is
 * looked at.
 */

import type { LogLine } from './bridge/logs.svelte.ts';

/** What is wanted. */
export interface LogTerms {
  /** `all`, `runtime`, or a process. */
  source: string;
  level: string;
  wanted: string;
}

const LEVELS = ['error', 'warn', 'info', 'debug', 'trace'];

/** Finds lines. */
export class LogFilter {
  #terms = '';
  #last: LogLine | undefined;
  #from: LogLine[] | undefined;
  #seen = 0;
  #found: LogLine[] = [];

  /** The lines that match, in a new array if there are others than before. */
  apply(lines: LogLine[], terms: LogTerms): LogLine[] {
    const key = JSON.stringify(terms);
    // Lines are only ever added behind, except when the store lets go of the oldest or is emptied: then its array is another.
    const goesOn = key === this.#terms && lines === this.#from && lines[this.#seen - 1] === this.#last;
    if (!goesOn) {
      this.#seen = 0;
      this.#found = [];
    } else if (this.#seen === lines.length) {
      return this.#found;
    }
    const matches = this.#matcher(terms);
    const added: LogLine[] = [];
    for (let at = this.#seen; at < lines.length; at++) {
      const line = lines[at];
      if (line && matches(line)) added.push(line);
    }
    this.#terms = key;
    this.#from = lines;
    this.#seen = lines.length;
    this.#last = lines.at(-1);
    if (added.length > 0 || !goesOn) this.#found = this.#found.length === 0 ? added : this.#found.concat(added);
    return this.#found;
  }

  #matcher({ source, level, wanted }: LogTerms): (line: LogLine) => boolean {
    const worst = LEVELS.indexOf(level);
    const text = wanted.toLowerCase();
    return (line) => {
      if (source !== 'all' && line.source !== source) return false;
      if (level !== 'all') {
        // What a program prints has no level: its errors are what it prints as such.
        const of = line.level === 'stderr' ? 1 : line.level === 'stdout' ? 2 : LEVELS.indexOf(line.level);
        if (of > worst) return false;
      }
      return text === '' || line.text.toLowerCase().includes(text);
    };
  }
}
