import { ProtocolError } from "../../base/index.js";

/** Largest value a QUIC varint holds, RFC 9000 section 16. */
export const MAX_VARINT = 2n ** 62n - 1n;

const UTF8 = new TextDecoder("utf-8", { fatal: true });
const ENCODER = new TextEncoder();

/** Size of a number as a QUIC varint. */
export function varintSize(value: number): number {
  return value < 0x40 ? 1 : value < 0x4000 ? 2 : value < 0x40000000 ? 4 : 8;
}

/** Writes a QUIC varint at an offset and returns the offset after it; `value` is a safe non-negative integer. */
export function writeVarint(target: Uint8Array, offset: number, value: number): number {
  if (value < 0x40) {
    target[offset] = value;
    return offset + 1;
  }
  if (value < 0x4000) {
    target[offset] = 0x40 | (value >>> 8);
    target[offset + 1] = value;
    return offset + 2;
  }
  let at = offset;
  if (value < 0x40000000) {
    target[at++] = 0x80 | (value >>> 24);
  } else {
    const high = Math.floor(value / 0x100000000);
    target[at++] = 0xc0 | (high >>> 24);
    target[at++] = high >>> 16;
    target[at++] = high >>> 8;
    target[at++] = high;
    target[at++] = value >>> 24;
  }
  target[at++] = value >>> 16;
  target[at++] = value >>> 8;
  target[at++] = value;
  return at;
}

/** Maps a signed delta to the unsigned number that moq-lite sends: 0, -1, 1, -2 become 0, 1, 2, 3. For deltas up to 2^52. */
export function zigzag(value: number): number {
  return value >= 0 ? value * 2 : value * -2 - 1;
}

/** The inverse of {@link zigzag}. */
export function unzigzag(value: number): number {
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
}

/** Beyond this a zigzag number is not a safe integer, though a safe delta has one. */
const MAX_SHORT_DELTA = 2 ** 52 - 1;

/** A delta of timestamps on the wire: zigzag, then a QUIC varint; exists for any safe integer. */
export function deltaBytes(delta: number): Uint8Array {
  if (Math.abs(delta) <= MAX_SHORT_DELTA) {
    const folded = zigzag(delta);
    const bytes = new Uint8Array(varintSize(folded));
    writeVarint(bytes, 0, folded);
    return bytes;
  }
  const wide = BigInt(delta);
  return new ByteWriter(8).varint(wide >= 0n ? wide * 2n : wide * -2n - 1n).finish();
}

/** The inverse of {@link deltaBytes}; undefined for a delta that is not a safe integer. */
export function readDelta(bytes: Uint8Array, offset: number, size: number): number | undefined {
  let folded = bytes[offset]! & 0x3f;
  for (let index = 1; index < size; index++) folded = folded * 256 + bytes[offset + index]!;
  if (folded <= Number.MAX_SAFE_INTEGER) return unzigzag(folded);
  const wide = new ByteReader(bytes, offset).varint62();
  const delta = Number(wide % 2n === 0n ? wide / 2n : -(wide + 1n) / 2n);
  return Number.isSafeInteger(delta) ? delta : undefined;
}

/** Joins byte strings; returns a single one unchanged. */
export function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0]!;
  let length = 0;
  for (const part of parts) length += part.length;
  const whole = new Uint8Array(length);
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

/**
 * Reads fields from one whole message. Every read is bounded by the message and throws a `ProtocolError`
 * (`TRUNCATED_MESSAGE`, `VALUE_TOO_LARGE`, `STRING_TOO_LONG`, `INVALID_TEXT`, `INVALID_FLAG`, `TRAILING_BYTES`).
 */
export class ByteReader {
  readonly #bytes: Uint8Array;
  #offset: number;

  constructor(bytes: Uint8Array, offset = 0) {
    this.#bytes = bytes;
    this.#offset = offset;
  }

  /** Position of the next byte. */
  get offset(): number {
    return this.#offset;
  }

  /** Bytes not yet read. */
  get remaining(): number {
    return this.#bytes.length - this.#offset;
  }

  /** One byte. */
  byte(): number {
    this.#need(1);
    return this.#bytes[this.#offset++]!;
  }

  /** One byte that is 0 or 1. */
  flag(): boolean {
    const value = this.byte();
    if (value > 1) throw new ProtocolError("INVALID_FLAG", `A boolean field of a message was ${value}, not 0 or 1.`);
    return value === 1;
  }

  /** Two bytes, the high one first. */
  uint16(): number {
    return this.byte() * 256 + this.byte();
  }

  /** A QUIC varint that fits a safe integer. */
  varint(): number {
    const value = this.varint62();
    if (value > BigInt(Number.MAX_SAFE_INTEGER))
      throw new ProtocolError("VALUE_TOO_LARGE", "A number field of a message was larger than 2^53 - 1.");
    return Number(value);
  }

  /** A QUIC varint of any size. */
  varint62(): bigint {
    this.#need(1);
    const first = this.#bytes[this.#offset]!;
    const size = 1 << (first >> 6);
    this.#need(size);
    let value = BigInt(first & 0x3f);
    for (let index = 1; index < size; index++) value = (value << 8n) | BigInt(this.#bytes[this.#offset + index]!);
    this.#offset += size;
    return value;
  }

  /** A view of the next bytes. */
  bytes(length: number): Uint8Array {
    this.#need(length);
    const view = this.#bytes.subarray(this.#offset, this.#offset + length);
    this.#offset += length;
    return view;
  }

  /** A view of the remaining bytes. */
  rest(): Uint8Array {
    return this.bytes(this.remaining);
  }

  /** UTF-8 text behind its length. */
  string(maxBytes: number): string {
    const length = this.varint();
    if (length > maxBytes)
      throw new ProtocolError(
        "STRING_TOO_LONG",
        `A text field of a message has ${length} bytes, more than ${maxBytes}.`,
      );
    try {
      return UTF8.decode(this.bytes(length));
    } catch (cause) {
      if (cause instanceof ProtocolError) throw cause;
      throw new ProtocolError("INVALID_TEXT", "A text field of a message is not valid UTF-8.", { cause });
    }
  }

  /** Checks that the whole message was read. */
  end(): void {
    if (this.remaining > 0)
      throw new ProtocolError("TRAILING_BYTES", `A message has ${this.remaining} bytes after its last field.`);
  }

  #need(count: number): void {
    if (this.remaining < count)
      throw new ProtocolError("TRUNCATED_MESSAGE", "A message ended in the middle of one of its fields.");
  }
}

/** Builds one message from fields. */
export class ByteWriter {
  #bytes: Uint8Array;
  #length = 0;

  constructor(capacity = 64) {
    this.#bytes = new Uint8Array(capacity);
  }

  /** One byte. */
  byte(value: number): this {
    this.#grow(1);
    this.#bytes[this.#length++] = value;
    return this;
  }

  /** A boolean as one byte. */
  flag(value: boolean): this {
    return this.byte(value ? 1 : 0);
  }

  /** Two bytes, the high one first. */
  uint16(value: number): this {
    return this.byte(value >>> 8).byte(value);
  }

  /** A QUIC varint. */
  varint(value: number | bigint): this {
    this.#grow(8);
    if (typeof value === "number") {
      this.#length = writeVarint(this.#bytes, this.#length, value);
      return this;
    }
    if (value <= BigInt(Number.MAX_SAFE_INTEGER)) return this.varint(Number(value));
    new DataView(this.#bytes.buffer).setBigUint64(this.#length, value | 0xc000000000000000n);
    this.#length += 8;
    return this;
  }

  /** Raw bytes. */
  bytes(value: Uint8Array): this {
    this.#grow(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
    return this;
  }

  /** UTF-8 text behind its length. */
  string(value: string): this {
    const encoded = ENCODER.encode(value);
    return this.varint(encoded.length).bytes(encoded);
  }

  /** A message behind its length, as moq-lite frames nearly all of them. */
  message(fill: (body: ByteWriter) => void): this {
    const body = new ByteWriter();
    fill(body);
    const encoded = body.finish();
    return this.varint(encoded.length).bytes(encoded);
  }

  /** The bytes written. */
  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  #grow(count: number): void {
    const needed = this.#length + count;
    if (needed <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }
}
