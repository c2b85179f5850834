import { writeVarint } from "./varint.js";

const ENCODER = new TextEncoder();

/** Writes integers, byte strings and texts into a buffer that grows as needed. */
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

  /** Four bytes, the highest first. */
  uint32(value: number): this {
    return this.uint16(value >>> 16).uint16(value);
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
