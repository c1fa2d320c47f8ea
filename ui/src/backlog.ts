/**
 * What a terminal has yet to draw, without what nobody could see.
 *
 * The library that draws takes some 20 MB a second; programs print more. Of such a flood all but the last lines would be gone from
 * the terminal's memory before they were on the screen once. So where more lines wait than it remembers, the first of them are left out, but for the colours they set.
 *
 * Only lines are left out that do nothing but stand there: text, control characters that move within a line, and sequences that colour or clear
 * in a line. All else is given to the terminal as it came, and a run of lines begins anew after it. The sequences are those of ECMA-48, taken apart as
 * the library does (<https://vt100.net/emu/dec_ansi_parser>), C1 controls in UTF-8 too.
 */

/** What the last byte was part of. */
const enum In {
  Text,
  Escape,
  /** An escape sequence that can begin nothing longer any more. */
  ShortEscape,
  Control,
  /** An operating system command, which BEL ends as well as ST. */
  Command,
  /** Another string, which only ST ends. */
  String,
}

const BEL = 0x07;
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const CANCEL = 0x18;
const SUBSTITUTE = 0x1a;
const ESCAPE = 0x1b;
/** The first byte of a C1 control in UTF-8. */
const C1_LEAD = 0xc2;

const code = (letter: string): number => letter.charCodeAt(0);

/** What follows ESC in a control sequence, and the last byte of one that sets colours. */
const OPENING = code('[');
const COLOUR = code('m');

/** What follows ESC, or is a C1 control less 0x40, and begins something longer. */
const OPENERS = new Map<number, In>([
  [OPENING, In.Control],
  [code(']'), In.Command],
  ...[...'PX^_'].map((letter): [number, In] => [code(letter), In.String]),
]);

/** Ends of control sequences that act within the cursor's line: colours, clearing, moving, inserting and deleting characters. */
const WITHIN_LINE = new Set([COLOUR, ...[...'KGCDXP@'].map(code)]);

export class Backlog {
  readonly #most: () => number;
  readonly #decoder = new TextDecoder();
  #pieces: Uint8Array[] = [];
  #length = 0;

  #where = In.Text;
  /** The last byte may begin a C1 control. */
  #lead = false;
  /** The sequence is one to keep whatever its end, as it is written in an odd way, or began in what was taken already. */
  #odd = false;
  #numbers = false;
  /** Only some of the screen's lines scroll: what is overwritten in the others would show. */
  #region = false;
  /** Where the lines that may be left out begin, how many have ended since, and where the last of them did. */
  #begin = 0;
  #lines = 0;
  #end = 0;

  /** @param most - how many lines may show: those the terminal holds above the screen, and twice those on it, as the first may come upon others. */
  constructor(most: () => number) {
    this.#most = most;
  }

  /** Bytes that wait. */
  get length(): number {
    return this.#length;
  }

  /** Takes what a program printed. */
  push(bytes: Uint8Array): void {
    const { buffer, byteOffset, length } = bytes;
    const words = new Int32Array(buffer, byteOffset & ~3, ((byteOffset & 3) + length) >> 2);
    for (let at = 0; at < length; at++) {
      if (this.#where === In.Text && !this.#lead) at = this.#goOver(bytes, words, at);
      if (at < length) this.#follow(bytes[at] as number, this.#length + at + 1);
    }
    this.#pieces.push(bytes);
    this.#length += length;
  }

  /**
   * Goes over what most of a flood is made of: letters, the ends of lines, and colours that are whole. Gives where something else begins.
   *
   * @param words - the same memory, of which letters are gone over four at a time.
   */
  #goOver(bytes: Uint8Array, words: Int32Array, at: number): number {
    // How far into a word the first byte stands.
    const shift = bytes.byteOffset & 3;
    let lines = 0;
    let end = 0;
    for (; at < bytes.length; at++) {
      const byte = bytes[at] as number;
      if (byte >= 0x20) {
        if (byte === C1_LEAD) break;
        if (((at + shift) & 3) < 3) continue;
        let word = (at + shift + 1) >> 2;
        while (word < words.length && areLetters(words[word] as number)) word++;
        at = word * 4 - shift - 1;
      } else if (byte === LINE_FEED) {
        lines++;
        end = at + 1;
      } else if (byte === ESCAPE) {
        const last = endOfColour(bytes, at);
        if (last < 0) break;
        at = last;
      } else if (byte !== CARRIAGE_RETURN) break;
    }
    if (lines > 0) {
      this.#lines += lines;
      this.#end = this.#length + end;
    }
    return at;
  }

  /**
   * Gives what is to be drawn of all that waits, and begins anew.
   *
   * As text, because the library (xterm.js 6.0.0) loses some letters of which the bytes come in two pieces.
   */
  take(): string[] {
    const most = this.#most();
    const pieces = !this.#region && this.#lines > most ? this.#shortened(most) : this.#pieces;
    const texts = pieces.map((piece) => this.#decoder.decode(piece, { stream: true }));
    this.#pieces = [];
    this.#length = 0;
    this.#beginAt(0);
    this.#odd = this.#where !== In.Text;
    return texts;
  }

  /** A byte that is more than a letter; `end` is the place after it. */
  #follow(byte: number, end: number): void {
    const lead = this.#lead;
    this.#lead = byte === C1_LEAD;
    if (lead && byte >= 0x80 && byte < 0xa0) {
      this.#odd = true;
      this.#open(byte - 0x40, end);
    } else if (byte === ESCAPE) {
      if (this.#where !== In.Text) this.#beginAt(end - 1);
      this.#where = In.Escape;
      this.#odd = false;
    } else if (byte === CANCEL || byte === SUBSTITUTE) this.#close(end);
    else {
      switch (this.#where) {
        case In.Text:
          if (byte === LINE_FEED) {
            this.#lines++;
            this.#end = end;
          } else if (byte > CARRIAGE_RETURN ? byte < 0x20 : byte < BEL && byte > 0) this.#beginAt(end);
          break;
        case In.Escape:
          if (byte < 0x20) this.#odd = true;
          else if (byte < 0x30) this.#where = In.ShortEscape;
          else if (byte < 0x7f) this.#open(byte, end);
          else if (byte > 0x7f && !this.#lead) this.#close(end);
          break;
        case In.ShortEscape:
          if (byte >= 0x30 && byte !== 0x7f && !this.#lead) this.#close(end);
          break;
        case In.Control:
          if (byte >= 0x40 && byte !== 0x7f && !this.#lead) this.#act(byte, end);
          else if (byte >= 0x30 && byte <= 0x3b) this.#numbers = true;
          else this.#odd = true;
          break;
        case In.Command:
          if (byte === BEL) this.#close(end);
          break;
        case In.String:
      }
    }
  }

  /** What comes after ESC. */
  #open(kind: number, end: number): void {
    const where = OPENERS.get(kind);
    if (where === undefined) {
      if (kind === code('c')) this.#region = false;
      this.#close(end);
      return;
    }
    this.#where = where;
    this.#numbers = false;
  }

  /** A control sequence is whole. */
  #act(final: number, end: number): void {
    if (final === code('r')) this.#region = this.#numbers || this.#odd;
    if (!this.#odd && WITHIN_LINE.has(final)) this.#where = In.Text;
    else this.#close(end);
  }

  /** Something that is no line ends here. */
  #close(end: number): void {
    this.#where = In.Text;
    this.#beginAt(end);
  }

  #beginAt(place: number): void {
    this.#begin = place;
    this.#lines = 0;
  }

  /** All that waits, without the lines that would be forgotten. */
  #shortened(most: number): Uint8Array[] {
    const all = new Uint8Array(this.#length);
    let length = 0;
    for (const piece of this.#pieces) {
      all.set(piece, length);
      length += piece.length;
    }
    // The first line is drawn: it may have begun in what was.
    const from = all.indexOf(LINE_FEED, this.#begin) + 1;
    let to = this.#end;
    for (let kept = 0; to > from; to--) if (all[to - 1] === LINE_FEED && kept++ >= most) break;
    return [all.subarray(0, from), ...colours(all.subarray(from, to)), all.subarray(to)];
  }
}

/** Whether all four bytes are of 0x20 to 0x7f: in no other does this leave the first bit as it is, 0. */
function areLetters(word: number): boolean {
  return (((word - 0x20202020) | word) & 0x80808080) === 0;
}

/** Where the sequence ends that begins here, if it sets colours and is whole; less than 0 if not. */
function endOfColour(bytes: Uint8Array, at: number): number {
  if (bytes[at + 1] !== OPENING) return -1;
  let end = at + 2;
  while ((bytes[end] as number) >= 0x30 && (bytes[end] as number) <= 0x3b) end++;
  return bytes[end] === COLOUR ? end : -1;
}

/** The colours that lines set for those after them: all since they were last set back. */
function colours(lines: Uint8Array): Uint8Array[] {
  const set: Uint8Array[] = [];
  // From the last one, because most lines set them back. Below 0 the search would begin at the end again.
  for (let at = lines.lastIndexOf(ESCAPE); at >= 0; at = at > 0 ? lines.lastIndexOf(ESCAPE, at - 1) : -1) {
    let end = at + 2;
    while ((lines[end] as number) < 0x40) end++;
    if (lines[end] !== COLOUR) continue;
    set.push(lines.subarray(at, end + 1));
    if (lines.subarray(at + 2, end).every((byte) => byte === code('0'))) break;
  }
  return set.reverse();
}
