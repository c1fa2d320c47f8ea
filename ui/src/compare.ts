/** Two texts, line by line, beside each other. */

/** A row: a line of each, or of one. */
export interface Pair {
  left: string | undefined;
  right: string | undefined;
  same: boolean;
}

/** Beyond this many pairs of lines they are only put beside each other: finding out costs their product. */
const MOST = 4_000_000;

/** The rows, with lines that both have in one row each. */
export function compare(left: string, right: string): Pair[] {
  const [a, b] = [left.split('\n'), right.split('\n')];
  let first = 0;
  while (first < a.length && first < b.length && a[first] === b[first]) first++;
  let last = 0;
  while (last < a.length - first && last < b.length - first && a[a.length - 1 - last] === b[b.length - 1 - last]) last++;
  const same = (line: string | undefined): Pair => ({ left: line, right: line, same: true });
  const middle = differing(a.slice(first, a.length - last), b.slice(first, b.length - last));
  return [...a.slice(0, first).map(same), ...middle, ...a.slice(a.length - last).map(same)];
}

function differing(a: string[], b: string[]): Pair[] {
  if (a.length * b.length > MOST) return beside(a, b);
  // Length of the longest common part of what is left of both, from each pair of lines on.
  const width = b.length + 1;
  const common = new Uint32Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      const at = i * width + j;
      common[at] = a[i] === b[j] ? (common[at + width + 1] ?? 0) + 1 : Math.max(common[at + width] ?? 0, common[at + 1] ?? 0);
    }
  }
  const rows: Pair[] = [];
  let [i, j] = [0, 0];
  let [onlyA, onlyB]: [string[], string[]] = [[], []];
  const flush = (): void => {
    rows.push(...beside(onlyA, onlyB));
    [onlyA, onlyB] = [[], []];
  };
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      flush();
      rows.push({ left: a[i++], right: b[j++], same: true });
    } else if (j >= b.length || (i < a.length && (common[(i + 1) * width + j] ?? 0) >= (common[i * width + j + 1] ?? 0))) {
      onlyA.push(a[i++] ?? '');
    } else {
      onlyB.push(b[j++] ?? '');
    }
  }
  flush();
  return rows;
}

function beside(a: string[], b: string[]): Pair[] {
  return Array.from({ length: Math.max(a.length, b.length) }, (_, at) => ({ left: a[at], right: b[at], same: false }));
}
