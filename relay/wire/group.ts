import { concatenate, ProtocolError, readVarint, varintSize, varintSizeFrom, writeVarint } from "../../base/index.js";
import { deltaBytes, readDelta } from "./delta.js";
import { MessageReader } from "./message-reader.js";
import { DataType } from "./stream.js";
import { hasTimestamps, type Version } from "./version.js";

/** Largest datagram body that moq-lite allows. */
export const MAX_DATAGRAM_BYTES = 1200;

/** Format of frames on the wire: with timestamps (moq-lite-05) or without. */
export type FrameForm = "timed" | "plain";

/** Memory of a frame beside its payload, in bytes: measured with a heap of 200,000 empty ones, and rounded up. */
export const FRAME_COST = 256;

/** One frame, held as received: its other wire form is created on demand. */
export class WireFrame {
  /** Presentation timestamp in the track's timescale. */
  readonly timestamp: number;
  readonly #form: FrameForm;
  readonly #bytes: Uint8Array;
  /** Offset of the length and the payload in the bytes. */
  readonly #plainAt: number;
  readonly #payloadAt: number;
  readonly #previous: number;
  #other: Uint8Array | undefined;

  /** `previous` is the timestamp of the frame before it in the group, 0 for the first. */
  constructor(timestamp: number, previous: number, wire: WireBytes) {
    this.timestamp = timestamp;
    this.#previous = previous;
    this.#form = wire.form;
    this.#bytes = wire.bytes;
    this.#plainAt = wire.plainAt;
    this.#payloadAt = wire.payloadAt;
  }

  /** A frame from a payload alone. */
  static of(timestamp: number, payload: Uint8Array): WireFrame {
    const payloadAt = varintSize(payload.length);
    const bytes = new Uint8Array(payloadAt + payload.length);
    bytes.set(payload, writeVarint(bytes, 0, payload.length));
    return new WireFrame(timestamp, 0, { form: "plain", bytes, plainAt: 0, payloadAt });
  }

  /** The codec's bytes. */
  get payload(): Uint8Array {
    return this.#bytes.subarray(this.#payloadAt);
  }

  /** Its size in bytes. */
  get size(): number {
    return this.#bytes.length - this.#payloadAt;
  }

  /** The frame's bytes on a group stream. */
  bytes(form: FrameForm): Uint8Array {
    if (form === this.#form) return this.#bytes;
    this.#other ??= form === "plain" ? this.#bytes.subarray(this.#plainAt) : this.#timed();
    return this.#other;
  }

  #timed(): Uint8Array {
    return concatenate([deltaBytes(this.timestamp - this.#previous), this.#bytes.subarray(this.#plainAt)]);
  }
}

/** A frame's bytes as received. */
export interface WireBytes {
  readonly form: FrameForm;
  readonly bytes: Uint8Array;
  readonly plainAt: number;
  readonly payloadAt: number;
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
export function decodeGroupHeader(reader: MessageReader): { subscribe: number; sequence: number } {
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

/**
 * Decodes a datagram body.
 *
 * @throws ProtocolError when it is truncated or its group or time is too large.
 */
export function decodeDatagram(bytes: Uint8Array): { subscribe: number; sequence: number; frame: WireFrame } {
  const reader = new MessageReader(bytes);
  // Any number may stand here, as in a page's keepalive: those of no subscription are dropped quietly.
  const subscribe = Number(reader.varint62());
  const sequence = reader.varint();
  const timestamp = reader.varint();
  return { subscribe, sequence, frame: WireFrame.of(timestamp, reader.rest()) };
}

const NONE = new Uint8Array(0);

/** Options for {@link FrameParser}. */
export interface FrameParserOptions {
  readonly version: Version;
  /** A larger frame is a `ProtocolError` (`FRAME_TOO_LARGE`). */
  readonly maxFrameBytes: number;
  /** Returns the timestamp of a frame whose version carries none; undefined for that of the one before. */
  readonly stamp: (payload: Uint8Array) => number | undefined;
}

/** Splits the bytes behind a group's header into frames as they arrive. Frames are views of the given bytes. */
export class FrameParser {
  readonly #timed: boolean;
  readonly #maxFrameBytes: number;
  readonly #stamp: FrameParserOptions["stamp"];
  /** The beginning of a frame, and room for more of it. */
  #held: Uint8Array = NONE;
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

  /** Bytes held of an incomplete frame. */
  get heldBytes(): number {
    return this.#held.length;
  }

  /** Takes bytes; returns the frames they complete. */
  push(chunk: Uint8Array): WireFrame[] {
    const bytes = this.#pendingBytes === 0 ? unpinned(chunk) : this.#join(chunk);
    if (bytes === undefined) return [];
    const frames: WireFrame[] = [];
    let offset = 0;
    this.#neededBytes = 1;
    for (let end = this.#end(bytes, offset); end !== undefined; end = this.#end(bytes, offset)) {
      frames.push(this.#frame(bytes, offset, end));
      offset = end;
    }
    const rest = bytes.length - offset;
    this.#pendingBytes = rest;
    this.#held = NONE;
    if (rest > 0) {
      if (this.#neededBytes === 1) this.#neededBytes = rest + 1;
      this.#held = new Uint8Array(roomFor(rest, this.#neededBytes));
      this.#held.set(bytes.subarray(offset));
    }
    return frames;
  }

  // All bytes once enough have come. Pieces are copied, since each small one would hold an object and a buffer.
  #join(chunk: Uint8Array): Uint8Array | undefined {
    const length = this.#pendingBytes + chunk.length;
    if (length > this.#held.length) {
      const larger = new Uint8Array(length < this.#neededBytes ? roomFor(length, this.#neededBytes) : length);
      larger.set(this.#held.subarray(0, this.#pendingBytes));
      this.#held = larger;
    }
    this.#held.set(chunk, this.#pendingBytes);
    this.#pendingBytes = length;
    return length < this.#neededBytes ? undefined : this.#held.subarray(0, length);
  }

  // End of the frame at an offset; undefined while incomplete.
  #end(bytes: Uint8Array, offset: number): number | undefined {
    if (offset >= bytes.length) return undefined;
    const lengthAt = this.#timed ? offset + varintSizeFrom(bytes[offset]!) : offset;
    if (lengthAt >= bytes.length) return undefined;
    const lengthSize = varintSizeFrom(bytes[lengthAt]!);
    if (lengthAt + lengthSize > bytes.length) return undefined;
    const length = readVarint(bytes, lengthAt, lengthSize);
    if (length > Number.MAX_SAFE_INTEGER)
      throw new ProtocolError("VALUE_TOO_LARGE", "A number in a group is larger than 2^53 - 1.");
    if (length > this.#maxFrameBytes)
      throw new ProtocolError(
        "FRAME_TOO_LARGE",
        `A frame of ${length} bytes exceeds the limit of ${this.#maxFrameBytes}.`,
      );
    const end = lengthAt + lengthSize + length;
    if (end <= bytes.length) return end;
    this.#neededBytes = end - offset;
    return undefined;
  }

  #frame(bytes: Uint8Array, offset: number, end: number): WireFrame {
    const previous = this.#previous;
    const deltaSize = this.#timed ? varintSizeFrom(bytes[offset]!) : 0;
    const delta = this.#timed ? readDelta(bytes, offset, deltaSize) : 0;
    const payloadAt = deltaSize + varintSizeFrom(bytes[offset + deltaSize]!);
    const timestamp = this.#timed
      ? previous + (delta ?? Number.NaN)
      : (this.#stamp(bytes.subarray(offset + payloadAt, end)) ?? previous);
    if (timestamp < 0 || !Number.isSafeInteger(timestamp))
      throw new ProtocolError("INVALID_TIMESTAMP", "A frame's timestamp is negative or larger than 2^53 - 1.");
    this.#previous = timestamp;
    return new WireFrame(timestamp, previous, {
      form: this.#timed ? "timed" : "plain",
      bytes: bytes.subarray(offset, end),
      plainAt: deltaSize,
      payloadAt,
    });
  }
}

// A carrier may return a few bytes of a large message, which would keep the whole message in memory.
function unpinned(chunk: Uint8Array): Uint8Array {
  return chunk.buffer.byteLength > 2 * chunk.length + 1024 ? chunk.slice() : chunk;
}

/** Room that doubles, so that a frame in many pieces is copied few times, but never more than the frame needs. */
function roomFor(bytes: number, needed: number): number {
  return Math.max(bytes, Math.min(2 * bytes, needed));
}
