/** Writes integers of a record into a buffer that grows as needed. */
export class ByteWriter {
  #bytes: Uint8Array;
  #length = 0;

  constructor(capacity: number) {
    this.#bytes = new Uint8Array(capacity);
  }

  /** Appends one byte. */
  byte(value: number): void {
    if (this.#length === this.#bytes.length) {
      const grown = new Uint8Array(this.#bytes.length * 2);
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    this.#bytes[this.#length++] = value;
  }

  /** Appends an unsigned 32-bit integer, most significant byte first. */
  uint32(value: number): void {
    this.byte(value >>> 24);
    this.byte((value >>> 16) & 0xff);
    this.byte((value >>> 8) & 0xff);
    this.byte(value & 0xff);
  }

  /** Appends a QUIC variable-length integer (RFC 9000 section 16). */
  quic(value: number): void {
    const [size, mark] =
      value < 2 ** 6 ? [1, 0] : value < 2 ** 14 ? [2, 0x40] : value < 2 ** 30 ? [4, 0x80] : [8, 0xc0];
    for (let index = size - 1; index >= 0; index--) {
      const part = Math.floor(value / 2 ** (8 * index)) % 256;
      this.byte(index === size - 1 ? part | mark : part);
    }
  }

  /** Appends an unsigned integer, seven bits a byte, least significant first (LEB128). */
  compact(value: number): void {
    let rest = value;
    while (rest >= 128) {
      this.byte((rest % 128) | 0x80);
      rest = Math.floor(rest / 128);
    }
    this.byte(rest);
  }

  /** Appends a signed integer, folded so that small magnitudes are short (zigzag). */
  signed(value: number): void {
    this.compact(value < 0 ? -2 * value - 1 : 2 * value);
  }

  /** The bytes written. */
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }
}

/** Reads integers of a record. Past the end or out of range it returns 0 and stays `failed`; it never throws. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  #offset: number;
  #failed = false;

  constructor(bytes: Uint8Array, offset = 0) {
    this.#bytes = bytes;
    this.#offset = offset;
  }

  /** Whether any read so far ran past the end or met a number that doubles cannot hold. */
  get failed(): boolean {
    return this.#failed;
  }

  /** Bytes not read yet. */
  get remaining(): number {
    return this.#bytes.length - this.#offset;
  }

  /** Reads one byte. */
  byte(): number {
    const value = this.#bytes[this.#offset];
    if (value === undefined) {
      this.#failed = true;
      return 0;
    }
    this.#offset++;
    return value;
  }

  /** Reads an unsigned 32-bit integer. */
  uint32(): number {
    return this.byte() * 2 ** 24 + this.byte() * 2 ** 16 + this.byte() * 2 ** 8 + this.byte();
  }

  /** Reads a QUIC variable-length integer. */
  quic(): number {
    const first = this.byte();
    const size = 1 << (first >> 6);
    let value = first & 0x3f;
    for (let index = 1; index < size; index++) value = value * 256 + this.byte();
    return this.#safe(value);
  }

  /** Reads an unsigned integer written by {@link ByteWriter.compact}. */
  compact(): number {
    let value = 0;
    let scale = 1;
    for (let count = 0; count < 8; count++) {
      const part = this.byte();
      value += (part & 0x7f) * scale;
      if (part < 128) return this.#safe(value);
      scale *= 128;
    }
    this.#failed = true;
    return 0;
  }

  /** Reads a signed integer written by {@link ByteWriter.signed}. */
  signed(): number {
    const folded = this.compact();
    return folded % 2 === 0 ? folded / 2 : -(folded + 1) / 2;
  }

  #safe(value: number): number {
    if (value <= Number.MAX_SAFE_INTEGER) return value;
    this.#failed = true;
    return 0;
  }
}
