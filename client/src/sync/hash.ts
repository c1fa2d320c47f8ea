/**
 * BLAKE3 of blocks, and the names of contents made of them.
 *
 * WebAssembly does about 400 MiB/s here, JavaScript about 15. A page whose content security policy forbids WebAssembly gets the
 * latter; nothing else changes for it. The list of block hashes is short and needs a mode that only the latter has.
 *
 * @module
 */

import { blake3 } from '@noble/hashes/blake3.js';
import { createBLAKE3 } from 'hash-wasm';
import { SYNC_BLOCK_BYTES } from '../generated/protocol.ts';
import { fromHexadecimal, toHexadecimal } from './records.ts';

/** BLAKE3 of some bytes. */
export type Hash = (bytes: Uint8Array) => Uint8Array;

const LIST_CONTEXT = new TextEncoder().encode('mhnos-sync 2026-11 list of block hashes');

/** The fastest hash this page may use. */
export async function createHash(): Promise<Hash> {
  try {
    const hasher = await createBLAKE3();
    return (bytes) => hasher.init().update(bytes).digest('binary');
  } catch {
    return (bytes) => blake3(bytes);
  }
}

/** The name of content, of the hashes of its blocks; at least one. */
export function contentOfBlocks(blocks: readonly string[]): string {
  const [first] = blocks;
  if (first === undefined) throw new Error('a content has at least one block');
  if (blocks.length === 1) return first;
  const hasher = blake3.create({ context: LIST_CONTEXT });
  for (const block of blocks) hasher.update(fromHexadecimal(block));
  return toHexadecimal(hasher.digest());
}

/** The name of bytes in memory. */
export function contentOfBytes(hash: Hash, bytes: Uint8Array): string {
  if (bytes.length <= SYNC_BLOCK_BYTES) return toHexadecimal(hash(bytes));
  return contentOfBlocks(blocksOfBytes(hash, bytes));
}

/** The hashes of blocks of bytes that begin at a block's beginning. */
export function blocksOfBytes(hash: Hash, bytes: Uint8Array): string[] {
  const blocks: string[] = [];
  for (let at = 0; at < bytes.length; at += SYNC_BLOCK_BYTES) {
    blocks.push(toHexadecimal(hash(bytes.subarray(at, at + SYNC_BLOCK_BYTES))));
  }
  return blocks;
}

/** How much of a large file is in memory at once while it is read. */
const READ_BYTES = 4 << 20;

/**
 * The hashes of a file's blocks, one if it is empty.
 *
 * @throws DOMException `NotReadableError` when it is changed while it is read.
 */
export async function blocksOfFile(hash: Hash, file: Blob): Promise<string[]> {
  if (file.size <= READ_BYTES) {
    const bytes = new Uint8Array(await file.arrayBuffer());
    return bytes.length === 0 ? [toHexadecimal(hash(bytes))] : blocksOfBytes(hash, bytes);
  }
  const blocks: string[] = [];
  for (let at = 0; at < file.size; at += READ_BYTES) {
    blocks.push(...blocksOfBytes(hash, new Uint8Array(await file.slice(at, at + READ_BYTES).arrayBuffer())));
  }
  return blocks;
}
