/**
 * Paths beneath the root: names joined by `/`. The root itself is the empty text here.
 *
 * @module
 */

/** The replica's own folder in the root, which is never synced. */
export const OWN_FOLDER = '.mhnos-sync';
/** The folder in it from which files are moved into their places. */
export const STAGE = 'stage';

const LONGEST_PATH = 4095;
const LONGEST_NAME = 255;
const encoder = new TextEncoder();

/** Why a name cannot be synced: the end of a sentence that begins with its path. */
export function nameProblem(name: string): string | undefined {
  if (!name.isWellFormed()) return 'is not Unicode and has no name on the host';
  if (name.includes('\0') || name.includes('/')) return 'has a character in it that no name on the host can have';
  if (name === '' || name === '.' || name === '..') return 'is no name a file can have';
  if (tooLong(name, LONGEST_NAME)) return `is longer than the ${LONGEST_NAME} bytes a name can have on the host`;
  return undefined;
}

/** Why a path cannot be synced, beyond its names. */
export function pathProblem(path: string): string | undefined {
  return tooLong(path, LONGEST_PATH) ? `is longer than the ${LONGEST_PATH} bytes a path can have on the host` : undefined;
}

/** The first folder on the way to a path, or the path itself, that cannot be synced, and why. */
export function firstProblem(path: string): { path: string; reason: string } | undefined {
  for (const each of [...above(path)].reverse().concat(path)) {
    const reason = nameProblem(nameOf(each)) ?? pathProblem(each);
    if (reason !== undefined) return { path: each.toWellFormed(), reason };
  }
  return undefined;
}

function tooLong(text: string, bytes: number): boolean {
  return text.length > bytes || (text.length * 3 > bytes && encoder.encode(text).length > bytes);
}

/** Whether a browser keeps what is being written to a file under this name, beside the file, until it is closed. */
export function isSwapName(name: string): boolean {
  return name.endsWith('.crswap');
}

/** The folder a path is in. */
export function parentOf(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash < 0 ? '' : path.slice(0, slash);
}

/** The last name of a path. */
export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** A path in a folder. */
export function join(folder: string, name: string): string {
  return folder === '' ? name : `${folder}/${name}`;
}

/** Whether a path lies in a folder, at any depth. */
export function isIn(path: string, folder: string): boolean {
  return folder === '' ? path !== '' : path.startsWith(`${folder}/`);
}

/** The folders above a path, nearest first, without the root. */
export function* above(path: string): Generator<string> {
  for (let slash = path.lastIndexOf('/'); slash > 0; slash = path.lastIndexOf('/', slash - 1)) {
    yield path.slice(0, slash);
  }
}

/** What is not to be looked at: the replica's own folder, swap files, and the names the hub says. */
export class Ignored {
  #names: ReadonlySet<string> = new Set();

  /** Takes the names the hub says. */
  set(names: readonly string[]): void {
    this.#names = new Set(names);
  }

  /** Whether a name in a folder is ignored. */
  has(folder: string, name: string): boolean {
    return this.#names.has(name) || isSwapName(name) || (folder === '' && name === OWN_FOLDER);
  }

  /** Whether a path, or a folder above it, is ignored. */
  covers(path: string): boolean {
    if (this.has(parentOf(path), nameOf(path))) return true;
    for (const folder of above(path)) {
      if (this.has(parentOf(folder), nameOf(folder))) return true;
    }
    return false;
  }
}

/** Only those paths that do not lie in another one of them. */
export function outermost(paths: Iterable<string>): string[] {
  const all = new Set(paths);
  if (all.has('')) return [''];
  return [...all].filter((path) => {
    for (const folder of above(path)) if (all.has(folder)) return false;
    return true;
  });
}
