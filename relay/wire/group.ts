import { ProtocolError } from "../../base/index.js";
import { ByteReader, concatenate, unzigzag, varintSize, writeVarint, zigzag } from "./bytes.js";
import { DataType } from "./stream.js";
import { hasTimestamps, type Version } from "./version.js";

/** Largest datagram body that moq-lite allows. */
export const MAX_DATAGRAM_BYTES = 1200;

/** How frames look on the wire: with timestamps (moq-lite-05) or without. */
export type FrameForm = "timed" | "plain";

/** One frame, with both of its wire forms made at most once. */
export class WireFrame {
  /** Presentation timestamp in the track's timescale. */
  readonly timestamp: number;
  readonly payload: Uint8Array;
  readonly #previous: number;
  #timed: Uint8Array | undefined;
  #plain: Uint8Array | undefined;

  /** `previous` is the timestamp of the frame before it in the group, 0 for the first. */
  constructor(timestamp: number, payload: Uint8Array, previous: number, timed?: Uint8Array, plain?: Uint8Array) {
    this.timestamp = timestamp;
    this.payload = payload;
    this.#previous = previous;
    this.#timed = timed;
    this.#plain = plain;
  }

  /** The frame's bytes on a group stream. */
  bytes(form: FrameForm): Uint8Array {
    return form === "timed" ? this.#makeTimed() : this.#makePlain();
  }

  #makePlain(): Uint8Array {
    if (this.#plain === undefined) {
      const size = varintSize(this.payload.length);
      const bytes = new Uint8Array(size + this.payload.length);
      bytes.set(this.payload, writeVarint(bytes, 0, this.payload.length));
      this.#plain = bytes;
    }
    return this.#plain;
  }

  #makeTimed(): Uint8Array {
    if (this.#timed === undefined) {
      const delta = zigzag(this.timestamp - this.#previous);
      const plain = this.#makePlain();
      const bytes = new Uint8Array(varintSize(delta) + plain.length);
      bytes.set(plain, writeVarint(bytes, 0, delta));
      this.#timed = bytes;
    }
    return this.#timed;
  }
}

/** The start of a group stream. */
export function encodeGroupHeader(subscribe: number, sequence: number): Uint8Array {
  const length = varintSize(subscribe) + varintSize(sequence);
  const bytes = new Uint8Array(2 + length);
  bytes[0] = DataType.GROUP;
  bytes[1] = length;
  writeVarint(bytes, writeVarint(bytes, 2, subscribe), sequence);
  return bytes;
}

/** The body of a group stream's GROUP message. */
export function decodeGroupHeader(reader: ByteReader): { subscribe: number; sequence: number } {
  const header = { subscribe: reader.varint(), sequence: reader.varint() };
  reader.end();
  return header;
}

/** A single-frame group as a datagram body. */
export function encodeDatagram(subscribe: number, sequence: number, frame: WireFrame): Uint8Array {
  const { timestamp, payload } = frame;
  const bytes = new Uint8Array(varintSize(subscribe) + varintSize(sequence) + varintSize(timestamp) + payload.length);
  let offset = writeVarint(bytes, 0, subscribe);
  offset = writeVarint(bytes, offset, sequence);
  offset = writeVarint(bytes, offset, timestamp);
  bytes.set(payload, offset);
  return bytes;
}

/** A datagram body's fields; throws a `ProtocolError` when it is cut short or its numbers are too large. */
export function decodeDatagram(bytes: Uint8Array): { subscribe: number; sequence: number; frame: WireFrame } {
  const reader = new ByteReader(bytes);
  const subscribe = reader.varint();
  const sequence = reader.varint();
  const timestamp = reader.varint();
  return { subscribe, sequence, frame: new WireFrame(timestamp, reader.rest(), 0) };
}

/** Options for {@link FrameParser}. */
export interface FrameParserOptions {
  readonly version: Version;
  /** A frame that claims more is a `ProtocolError` (`FRAME_TOO_LARGE`). */
  readonly maxFrameBytes: number;
  /** Gives the timestamp of a frame whose version carries none. */
  readonly stamp: () => number;
}

/** Cuts the bytes behind a group's header into frames as they arrive. Frames are views of the bytes given. */
export class FrameParser {
  readonly #timed: boolean;
  readonly #maxFrameBytes: number;
  readonly #stamp: () => number;
  #parts: Uint8Array[] = [];
  #pendingBytes = 0;
  #neededBytes = 1;
  #previous = 0;

  constructor({ version, maxFrameBytes, stamp }: FrameParserOptions) {
    this.#timed = hasTimestamps(version);
    this.#maxFrameBytes = maxFrameBytes;
    this.#stamp = stamp;
  }

  /** Whether a frame is incomplete, so that the end of the stream now would be a truncation. */
  get incomplete(): boolean {
    return this.#pendingBytes > 0;
  }

  /** Takes bytes; returns the frames they complete. */
  push(chunk: Uint8Array): WireFrame[] {
    this.#parts.push(chunk);
    this.#pendingBytes += chunk.length;
    // Joining only once enough has come keeps a frame in many small pieces linear.
    if (this.#pendingBytes < this.#neededBytes) return [];
    const bytes = concatenate(this.#parts);
    const frames: WireFrame[] = [];
    let offset = 0;
    this.#neededBytes = 1;
    while (offset < bytes.length) {
      let at = offset;
      let delta = 0;
      if (this.#timed) {
        const size = 1 << (bytes[at]! >> 6);
        if (at + size >= bytes.length) break;
        delta = readVarint(bytes, at, size);
        at += size;
      }
      const plainAt = at;
      const lengthSize = 1 << (bytes[at]! >> 6);
      if (at + lengthSize > bytes.length) break;
      const length = readVarint(bytes, at, lengthSize);
      if (length > this.#maxFrameBytes)
        throw new ProtocolError(
          "FRAME_TOO_LARGE",
          `A frame of ${length} bytes exceeds the limit of ${this.#maxFrameBytes}.`,
        );
      at += lengthSize;
      if (at + length > bytes.length) {
        this.#neededBytes = at + length - offset;
        break;
      }
      const timestamp = this.#timed ? this.#previous + unzigzag(delta) : this.#stamp();
      if (timestamp < 0 || !Number.isSafeInteger(timestamp))
        throw new ProtocolError("INVALID_TIMESTAMP", "A frame's timestamp is negative or larger than 2^53 - 1.");
      const end = at + length;
      frames.push(
        new WireFrame(
          timestamp,
          bytes.subarray(at, end),
          this.#previous,
          this.#timed ? bytes.subarray(offset, end) : undefined,
          bytes.subarray(plainAt, end),
        ),
      );
      this.#previous = timestamp;
      offset = end;
    }
    const rest = bytes.subarray(offset);
    this.#parts = rest.length > 0 ? [rest] : [];
    this.#pendingBytes = rest.length;
    if (rest.length > 0 && this.#neededBytes === 1) this.#neededBytes = rest.length + 1;
    return frames;
  }
}

function readVarint(bytes: Uint8Array, offset: number, size: number): number {
  let value = bytes[offset]! & 0x3f;
  for (let index = 1; index < size; index++) value = value * 256 + bytes[offset + index]!;
  if (value > Number.MAX_SAFE_INTEGER)
    throw new ProtocolError("VALUE_TOO_LARGE", "A number in a group is larger than 2^53 - 1.");
  return value;
}
