import { readVarint, varintSizeFrom } from "./varint.js";

/** Why bytes cannot be read: they end too early, or a number is larger than 2^53 - 1. */
export type ReadFault = "TRUNCATED_MESSAGE" | "VALUE_TOO_LARGE";

/** Reads integers and byte strings from bytes that are all there. A subclass decides what a fault does. */
export abstract class ByteReader {
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
    return this.#take(1) ? this.#bytes[this.#offset - 1]! : 0;
  }

  /** Two bytes, the high one first. */
  uint16(): number {
    return this.byte() * 256 + this.byte();
  }

  /** Four bytes, the highest first. */
  uint32(): number {
    return this.uint16() * 2 ** 16 + this.uint16();
  }

  /** A QUIC varint that fits a safe integer. */
  varint(): number {
    const size = this.#varintSize;
    const value = this.#take(size) ? readVarint(this.#bytes, this.#offset - size, size) : 0;
    if (value <= Number.MAX_SAFE_INTEGER) return value;
    this.fail("VALUE_TOO_LARGE");
    return 0;
  }

  /** A QUIC varint of any size. */
  varint62(): bigint {
    const [first = 0, ...rest] = this.bytes(this.#varintSize);
    return rest.reduce((value, byte) => (value << 8n) | BigInt(byte), BigInt(first & 0x3f));
  }

  /** A view of the next bytes. */
  bytes(length: number): Uint8Array {
    return this.#take(length) ? this.#bytes.subarray(this.#offset - length, this.#offset) : new Uint8Array(0);
  }

  /** A view of the remaining bytes. */
  rest(): Uint8Array {
    return this.bytes(this.remaining);
  }

  /** Throws, or returns so that the read returns zero or nothing, with no bytes left after a truncation. */
  protected abstract fail(fault: ReadFault): void;

  get #varintSize(): number {
    return varintSizeFrom(this.#bytes[this.#offset] ?? 0);
  }

  #take(length: number): boolean {
    const isThere = this.remaining >= length;
    if (!isThere) this.fail("TRUNCATED_MESSAGE");
    this.#offset = isThere ? this.#offset + length : this.#bytes.length;
    return isThere;
  }
}
