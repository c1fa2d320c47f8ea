/** The parts that have no face. */

import { describe, expect, test } from 'vitest';
import { withoutControls, type LogLine } from '../src/bridge/logs.svelte.ts';
import { compare } from '../src/compare.ts';
import { bytes, duration, percent, plural } from '../src/format.ts';
import { LogFilter } from '../src/logFilter.ts';
import { syncWords } from '../src/syncWords.ts';
import { words } from '../src/words.ts';

describe('a command line', () => {
  test.each([
    ['server.js --port 3000', ['server.js', '--port', '3000']],
    [`-e 'console.log("a b")'`, ['-e', 'console.log("a b")']],
    [String.raw`a\ b "c \" d" ''`, ['a b', 'c " d', '']],
    ['   ', []],
  ])('%s', (line, expected) => {
    expect(words(line)).toEqual(expected);
  });
});

describe('figures', () => {
  test.each([
    [999, '999 B'],
    [1000, '1.0 kB'],
    [999_499, '999 kB'],
    [999_500, '1.0 MB'],
    [84_000_000, '84 MB'],
  ])('%d bytes', (count, text) => {
    expect(bytes(count)).toBe(text);
  });

  test('durations, shares and counts', () => {
    expect([59_000, 61_000, 3_660_000, 90_000_000].map(duration)).toEqual(['59 s', '1 m', '1 h 1 m', '1 d 1 h']);
    expect([0, 2.13, 100].map(percent)).toEqual(['0.0 %', '2.1 %', '100 %']);
    expect([plural(1, 'file'), plural(2, 'file')]).toEqual(['1 file', '2 files']);
  });
});

describe('two texts beside each other', () => {
  test('what both have is in one row, also around what was put in', () => {
    expect(compare('a\nb\nc\nd', 'a\nx\nc\ny\nd')).toEqual([
      { left: 'a', right: 'a', same: true },
      { left: 'b', right: 'x', same: false },
      { left: 'c', right: 'c', same: true },
      { left: undefined, right: 'y', same: false },
      { left: 'd', right: 'd', same: true },
    ]);
  });

  test('each side, read alone, is the text it was', () => {
    let seed = 7;
    const random = (below: number): number => (seed = (seed * 48271) % 2147483647) % below;
    for (let round = 0; round < 200; round++) {
      const text = (): string => Array.from({ length: random(12) + 1 }, () => 'abc'[random(3)]).join('\n');
      const [left, right] = [text(), text()];
      const rows = compare(left, right);
      const side = (of: 'left' | 'right'): string => rows.flatMap((row) => row[of] ?? []).join('\n');
      expect([side('left'), side('right')]).toEqual([left, right]);
      expect(rows.every((row) => row.same === (row.left === row.right))).toBe(true);
    }
  });
});

describe('the filter of the logs', () => {
  const line = (text: string, level = 'info', source = 'runtime'): LogLine => ({ time: 0, level, source, text });
  const all = { source: 'all', level: 'all', wanted: '' };

  test('looks only at what is new, and gives the same array when nothing is', () => {
    const lines = [line('one'), line('two', 'error')];
    const filter = new LogFilter();
    const first = filter.apply(lines, all);
    expect(first).toHaveLength(2);
    expect(filter.apply(lines, all)).toBe(first);
    lines.push(line('three'));
    expect(filter.apply(lines, all).map(({ text }) => text)).toEqual(['one', 'two', 'three']);
    expect(filter.apply(lines.slice(1), all).map(({ text }) => text)).toEqual(['two', 'three']);
  });

  test('by source, level and text', () => {
    const lines = [line('A', 'error'), line('b', 'debug'), line('c', 'stderr', '1000'), line('a', 'stdout', '1000')];
    const filter = new LogFilter();
    const found = (terms: object): string[] => filter.apply(lines, { ...all, ...terms }).map(({ text }) => text);
    expect(found({ source: '1000' })).toEqual(['c', 'a']);
    expect(found({ level: 'warn' })).toEqual(['A', 'c']);
    expect(found({ level: 'info' })).toEqual(['A', 'c', 'a']);
    expect(found({ wanted: 'a' })).toEqual(['A', 'a']);
    expect(found({ wanted: 'nothing' })).toEqual([]);
  });
});

test('what colours a terminal and moves its cursor is no text', () => {
  expect(withoutControls('\x1b[1;31mred\x1b[0m \x1b]0;title\x07plain\x08')).toBe('red plain');
});

test('sync is good only when a disk is connected and nothing is left to do', () => {
  const replica = {
    key: 'a', name: 'tab', origin: null, connected: true, phase: 'synced' as const, halted: null,
    filesToGo: 0, bytesToGo: 0, lastSynced: 1, problems: [], problemCount: 0,
  };
  const status = { paused: false, halted: null, replicas: [replica], conflicts: 0, problems: [], problemCount: 0 };
  expect(syncWords(status, '').meaning).toBe('good');
  expect(syncWords({ ...status, replicas: [] }, '').meaning).toBe('idle');
  expect(syncWords({ ...status, replicas: [{ ...replica, filesToGo: 2, bytesToGo: 10 }] }, '')).toEqual({ meaning: 'busy', word: '2 files to go', detail: '10 B' });
  expect(syncWords({ ...status, replicas: [{ ...replica, halted: 'half of it is gone' }] }, '').meaning).toBe('needs');
  expect(syncWords({ ...status, conflicts: 1 }, '').word).toBe('1 conflict');
  expect(syncWords(undefined, 'not here')).toEqual({ meaning: 'idle', word: 'Off', detail: 'not here' });
});
