/*
 * As much of moq-lite-05 as a watcher that only counts and a publisher that only stamps need. The players' own client
 * would cost the load generator several times what the relay spends, and then the bench would measure it instead.
 */
import { StateError } from "../../base/index.js";
import type { ReceiveStream } from "../../transport/index.js";

/** First varint of a stream, and of a one-way stream. */
export const ANNOUNCE = 1;
export const SUBSCRIBE = 2;
export const TRACK = 6;
export const GROUP = 0;

/** The whole Setup Stream of an endpoint that declares nothing. */
export const SETUP_STREAM = Uint8Array.of(1, 1, 0);

/** Microseconds of the clock that all processes of a machine share. */
export function sharedMicroseconds(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e6 + nanoseconds / 1e3;
}

/** A QUIC varint. */
export function varint(value: number): number[] {
  if (value < 0x40) return [value];
  if (value < 0x4000) return [0x40 | (value >>> 8), value & 0xff];
  if (value < 0x4000_0000) return [0x80 | (value >>> 24), (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff];
  const high = Math.floor(value / 2 ** 32);
  const low = value >>> 0;
  return [
    0xc0 | (high >>> 24),
    (high >>> 16) & 0xff,
    (high >>> 8) & 0xff,
    high & 0xff,
    low >>> 24,
    (low >>> 16) & 0xff,
    (low >>> 8) & 0xff,
    low & 0xff,
  ];
}

/** Text behind its length. */
export function text(value: string): number[] {
  const bytes = Buffer.from(value);
  return [...varint(bytes.length), ...bytes];
}

/** A message behind its length. */
export function message(body: readonly number[]): number[] {
  return [...varint(body.length), ...body];
}

// Milliseconds after which a group may be skipped: as the publisher keeps them. With 0 the stock relay skips at once.
const MAX_LATENCY_MS = 1000;

/** Opens a Subscribe Stream that asks for everything from the newest group on. */
export function subscribeRequest(id: number, broadcast: string, track: string): Uint8Array {
  return Uint8Array.from([
    ...varint(SUBSCRIBE),
    ...message([...varint(id), ...text(broadcast), ...text(track), 128, 0, ...varint(MAX_LATENCY_MS), 0, 0]),
  ]);
}

/** Opens an Announce Stream. */
export function announceRequest(prefix: string): Uint8Array {
  return Uint8Array.from([...varint(ANNOUNCE), ...message([...text(prefix), 0])]);
}

/** Answers an Announce Stream: how many broadcasts follow at once. */
export function announceOk(active: number): number[] {
  return message([0, ...varint(active)]);
}

/** One announcement by its first hop. */
export function announcement(path: string, active: boolean): number[] {
  return message([active ? 1 : 0, ...text(path), 0]);
}

/** Answers a Track Stream: microseconds, newest first, groups kept for a second. */
export function trackInfo(): Uint8Array {
  return Uint8Array.from(message([0, 0, ...varint(MAX_LATENCY_MS), ...varint(1_000_000)]));
}

/** Says on a Subscribe Stream which group comes first. */
export function subscribeStart(group: number): Uint8Array {
  return Uint8Array.from([0, ...message(varint(group))]);
}

/** A group of one frame as a datagram. */
export function datagram(subscribe: number, sequence: number, timestamp: number, payload: Uint8Array): Uint8Array {
  return join([...varint(subscribe), ...varint(sequence), ...varint(timestamp)], payload);
}

/** The start of a group's stream. */
export function groupHeader(subscribe: number, sequence: number): number[] {
  return [GROUP, ...message([...varint(subscribe), ...varint(sequence)])];
}

/** One frame on a group's stream; `delta` is from the frame before it, or from 0. */
export function frame(delta: number, payload: Uint8Array, before: readonly number[] = []): Uint8Array {
  return join([...before, ...varint(delta * 2), ...varint(payload.length)], payload);
}

function join(head: readonly number[], payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(head.length + payload.length);
  bytes.set(head);
  bytes.set(payload, head.length);
  return bytes;
}

/** Reads varints from bytes; `done` is true when the next one is incomplete; then nothing has moved. */
export class Cursor {
  offset: number;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array, offset = 0) {
    this.#bytes = bytes;
    this.offset = offset;
  }

  /** The next varint, or undefined when it is not whole. */
  varint(): number | undefined {
    const first = this.#bytes[this.offset];
    if (first === undefined) return undefined;
    const size = 1 << (first >> 6);
    if (this.offset + size > this.#bytes.length) return undefined;
    let value = first & 0x3f;
    for (let index = 1; index < size; index++) value = value * 256 + this.#bytes[this.offset + index]!;
    this.offset += size;
    return value;
  }

  /** The next text behind its length. */
  text(): string {
    const length = this.varint() ?? 0;
    this.offset += length;
    return Buffer.from(this.#bytes.subarray(this.offset - length, this.offset)).toString();
  }
}

/** Calls back for every frame of a group's stream as it arrives; resolves at the end, rejects on a reset. */
export async function readGroup(
  stream: ReceiveStream,
  onFrame: (sequence: number, payload: Uint8Array) => void,
): Promise<void> {
  let bytes: Uint8Array = new Uint8Array(0);
  let sequence: number | undefined;
  for (;;) {
    const chunk = await stream.read();
    if (chunk === undefined) return;
    bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
    const cursor = new Cursor(bytes);
    let consumed = 0;
    if (sequence === undefined) {
      const type = cursor.varint();
      const length = cursor.varint();
      if (length === undefined || cursor.offset + length > bytes.length) continue;
      if (type !== GROUP) return;
      cursor.varint();
      sequence = cursor.varint()!;
      consumed = cursor.offset;
    }
    for (;;) {
      cursor.varint();
      const length = cursor.varint();
      if (length === undefined || cursor.offset + length > bytes.length) break;
      onFrame(sequence, bytes.subarray(cursor.offset, cursor.offset + length));
      cursor.offset += length;
      consumed = cursor.offset;
    }
    bytes = bytes.subarray(consumed);
  }
}

/** Reads a request from a stream until it is whole: its type and its body. */
export async function readRequest(stream: ReceiveStream): Promise<{ type: number; body: Cursor } | undefined> {
  let bytes: Uint8Array = new Uint8Array(0);
  for (;;) {
    const cursor = new Cursor(bytes);
    const type = cursor.varint();
    const length = cursor.varint();
    if (type !== undefined && length !== undefined && cursor.offset + length <= bytes.length)
      return { type, body: cursor };
    const chunk = await stream.read();
    if (chunk === undefined) return undefined;
    bytes = Buffer.concat([bytes, chunk]);
    if (bytes.length > 65_536) throw new StateError("REQUEST_TOO_LONG", "A request to the load generator is too long.");
  }
}

/** Bytes of every object's payload: about 64 kbit/s of Opus at 50 objects a second. */
const PAYLOAD_BYTES = 160;

/** Content of an object: when it was sent, and whether it counts. */
export function payload(measured: boolean): Uint8Array {
  const bytes = new Uint8Array(PAYLOAD_BYTES);
  const view = new DataView(bytes.buffer);
  view.setFloat64(0, sharedMicroseconds());
  view.setUint8(8, measured ? 1 : 0);
  return bytes;
}

/** Microseconds since an object was sent, or undefined when it does not count. */
export function ageOf(bytes: Uint8Array): number | undefined {
  if (bytes.length !== PAYLOAD_BYTES || bytes[8] !== 1) return undefined;
  return sharedMicroseconds() - new DataView(bytes.buffer, bytes.byteOffset, 8).getFloat64(0);
}
