// What is left out of a flood: nothing that a terminal which was given everything shows or remembers.

import { Terminal } from '@xterm/xterm';
import { describe, expect, it } from 'vitest';
import { Backlog } from '../src/backlog.ts';

const ROWS = 5;
const COLUMNS = 12;
const SCROLLBACK = 15;
const SEEDS = 300;
const encoder = new TextEncoder();

/** It would tell of each sequence that is none, and many here are none. */
function terminal(): Terminal {
  return new Terminal({ rows: ROWS, cols: COLUMNS, scrollback: SCROLLBACK, convertEol: true, allowProposedApi: true, logLevel: 'off' });
}

async function give(to: Terminal, pieces: Iterable<string>): Promise<void> {
  for (const piece of pieces) await new Promise<void>((written) => to.write(piece, written));
}

/** All lines, each with its cells' text and colours, and where the cursor is. */
function looks({ buffer: { active } }: Terminal): string[] {
  const lines = Array.from({ length: active.length }, (_, at) => {
    const line = active.getLine(at);
    const cells = Array.from({ length: COLUMNS }, (_, column) => {
      const cell = line?.getCell(column);
      return `${cell?.getChars() || ' '}${cell?.getFgColor()}/${cell?.getBgColor()}${cell?.isBold() ? 'b' : ''}`;
    });
    return cells.join(' ');
  });
  return [...lines, `${active.type} ${active.cursorX} ${active.cursorY}`];
}

function backlog(): Backlog {
  return new Backlog(() => SCROLLBACK + 2 * ROWS);
}

function bytes(pieces: string[]): number {
  return encoder.encode(pieces.join('')).length;
}

/** The same numbers for the same seed (mulberry32). */
function randomly(seed: number): (below: number) => number {
  return (below) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const LINES = ['', 'word', 'a line that is wrapped', 'ü–漢字', '\ttab', 'over\rO', 'ab\bc', '\x1b[31mred', '\x1b[0mplain', '\x1b[1;44mbold', '\x1b[38:5:99m', 'x\x1b[K', '\x1b[3Gthird', '\x1b[2Xgone', '\u00a0space', '\x0b', '\x0c', '\0\x07'];
const OTHERS = [
  '\x1b[2J', '\x1b[H', '\x1b[A', '\x1b[5A\x1b[2K', '\x1b[?25l', '\x1b[?1049h', '\x1b[?1049l', '\x1b[2;4r', '\x1b[r', '\x1bc', '\x1bM', '\x1b(0', '\x1b(B', '\x0e', '\x0f', '\x1b[>4;2m',
  '\x1b]0;a title\nof two\x07', '\x1b]0;another\x1b\\', '\x1bPdevice\ncontrol\x07\n\x1b\\', '\x1b_application\n\u009c', '\u009b31m', '\u009b2J', '\u0084', '\x1b[3\n1m', '\x1b\n[32m', '\x1b[\x18', '\x1b]cut\x18',
  '\x1b[é', '\x1bé', '\x1b[!p', '\x1b[5 q', '\x1b[4b',
];
const UNFINISHED = ['\x1b', '\x1b[', '\x1b[12', '\x1b]2;open', '\x1bPopen', '\x9b', '\xc2'];

describe('the backlog', () => {
  it('leaves out the lines of a flood that would be forgotten, and keeps their colour', async () => {
    const of = backlog();
    of.push(encoder.encode(`first\n\x1b[32m${'plain\n'.repeat(1000)}last`));
    const pieces = of.take();
    expect(bytes(pieces)).toBeLessThan(200);
    const shown = terminal();
    await give(shown, pieces);
    const everything = terminal();
    await give(everything, [`first\n\x1b[32m${'plain\n'.repeat(1000)}last`]);
    expect(looks(shown)).toEqual(looks(everything));
    expect(of.length).toBe(0);
  });

  it('gives what is no flood as it came', () => {
    const of = backlog();
    const pieces = ['one\ntwo', '\nthree'];
    for (const piece of pieces) of.push(encoder.encode(piece));
    expect(of.length).toBe(13);
    expect(of.take()).toEqual(pieces);
  });

  it('gives a letter when all its bytes are there', () => {
    const of = backlog();
    const text = encoder.encode('a–b');
    of.push(text.subarray(0, 3));
    expect(of.take().join('')).toBe('a');
    of.push(text.subarray(3));
    expect(of.take().join('')).toBe('–b');
  });

  it.each(OTHERS)('keeps %j and all before it', (other) => {
    const of = backlog();
    const text = `${'before\n'.repeat(100)}${other}${'after\n'.repeat(15)}`;
    of.push(encoder.encode(text));
    expect(of.take().join('')).toBe(text);
  });

  it('shows what a terminal shows that was given everything, whatever comes and however it is cut', { timeout: 60_000 }, async () => {
    let left = 0;
    for (let seed = 0; seed < SEEDS; seed++) {
      const random = randomly(seed);
      const of = backlog();
      const [shown, everything] = [terminal(), terminal()];
      // Some have none of the others, so that much is left out, and some have many.
      const others = [0, 300, 60, 8][random(4)] as number;
      let text = '';
      for (let line = 0; line < 200; line++) {
        text += LINES[random(LINES.length)];
        if (others > 0 && random(others) === 0) text += [...OTHERS, ...UNFINISHED][random(OTHERS.length + UNFINISHED.length)];
        text += random(12) === 0 ? '' : '\n';
      }
      const all = encoder.encode(text);
      for (let at = 0; at < all.length; ) {
        const piece = all.subarray(at, (at += 1 + random(600)));
        of.push(piece);
        if (random(3) > 0 && at < all.length) continue;
        const pieces = of.take();
        left -= bytes(pieces);
        await give(shown, pieces);
      }
      left += all.length;
      await give(everything, [text]);
      expect(looks(shown), `seed ${seed}: ${JSON.stringify(text)}`).toEqual(looks(everything));
    }
    expect(left).toBeGreaterThan(100_000);
  });
});
