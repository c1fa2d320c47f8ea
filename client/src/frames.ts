/**
 * Binary frames of 2.0; `docs/protocol.md` lists their bytes.
 *
 * @module
 */

import { FRAME_HEADER_BYTES } from './generated/protocol.ts';

/** What the payload of a frame is. */
export type FrameKind = 'stdout' | 'stderr' | 'input' | 'file' | 'sync';

/** A frame that was received. */
export interface Frame {
  /** What its payload is. */
  kind: FrameKind;
  /** Process, transfer or sync session. */
  channel: number;
  /** Position of the payload's first byte, or the frame's number. */
  offset: number;
  /** A view of the message's own memory. */
  payload: Uint8Array<ArrayBuffer>;
}

const NUMBERS: Record<FrameKind, readonly [kind: number, stream: number]> = {
  stdout: [1, 1],
  stderr: [1, 2],
  input: [2, 0],
  file: [3, 0],
  sync: [4, 0],
};

const KINDS = new Map(
  (Object.keys(NUMBERS) as FrameKind[]).map((kind) => [NUMBERS[kind][0] * 256 + NUMBERS[kind][1], kind]),
);

/** Header and payload as one message. */
export function encodeFrame(
  kind: FrameKind,
  channel: number,
  offset: number,
  payload: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(FRAME_HEADER_BYTES + payload.length);
  const view = new DataView(frame.buffer);
  const [number, stream] = NUMBERS[kind];
  view.setUint8(0, number);
  view.setUint8(1, stream);
  view.setUint32(4, channel, true);
  view.setBigUint64(8, BigInt(offset), true);
  frame.set(payload, FRAME_HEADER_BYTES);
  return frame;
}

/**
 * Reads a message.
 *
 * @throws Error when it is no frame this client knows.
 */
export function decodeFrame(message: ArrayBuffer): Frame {
  if (message.byteLength < FRAME_HEADER_BYTES) throw new Error('a binary frame without a whole header');
  const view = new DataView(message);
  const kind = KINDS.get(view.getUint8(0) * 256 + view.getUint8(1));
  if (kind === undefined || view.getUint16(2) !== 0) throw new Error('a binary frame of an unknown kind');
  return {
    kind,
    channel: view.getUint32(4, true),
    offset: Number(view.getBigUint64(8, true)),
    payload: new Uint8Array(message, FRAME_HEADER_BYTES),
  };
}
