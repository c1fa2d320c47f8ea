/**
 * The digest of a tree: the sum, modulo 2^256, of the hashes of its entries. It is kept up to date by adding and subtracting.
 *
 * @module
 */

import type { Hash } from './hash.ts';
import { RecordWriter, toHexadecimal, type Node } from './records.ts';

const LIMBS = 8;
const BASE = 0x1_0000_0000;

/** The digest of a tree. */
export class Digest {
  readonly #hash: Hash;
  readonly #limbs = new Uint32Array(LIMBS);
  readonly #writer = new RecordWriter();

  constructor(hash: Hash) {
    this.#hash = hash;
  }

  /** An entry joins the tree. */
  add(path: string, node: NonNullable<Node>): void {
    const hash = this.#entry(path, node);
    let carry = 0;
    for (let at = 0; at < LIMBS; at += 1) {
      const sum = (this.#limbs[at] ?? 0) + hash.getUint32(at * 4, true) + carry;
      this.#limbs[at] = sum % BASE;
      carry = sum >= BASE ? 1 : 0;
    }
  }

  /** An entry leaves the tree. */
  subtract(path: string, node: NonNullable<Node>): void {
    const hash = this.#entry(path, node);
    let borrow = 0;
    for (let at = 0; at < LIMBS; at += 1) {
      const difference = (this.#limbs[at] ?? 0) - hash.getUint32(at * 4, true) - borrow;
      this.#limbs[at] = difference < 0 ? difference + BASE : difference;
      borrow = difference < 0 ? 1 : 0;
    }
  }

  /** 64 hexadecimal digits; all zero for a tree with nothing in it. */
  get text(): string {
    const bytes = new Uint8Array(LIMBS * 4);
    const view = new DataView(bytes.buffer);
    this.#limbs.forEach((limb, at) => view.setUint32(at * 4, limb, true));
    return toHexadecimal(bytes);
  }

  #entry(path: string, node: NonNullable<Node>): DataView {
    this.#writer.entry(path, node);
    const bytes = this.#hash(this.#writer.take());
    return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }
}
