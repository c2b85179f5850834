import { ByteReader, ByteWriter, unzigzag, zigzag } from "../../base/index.js";

/** Writes the integers of a record. */
export class RecordWriter extends ByteWriter {
  /** Appends an unsigned integer, seven bits a byte, least significant first (LEB128). */
  compact(value: number): this {
    let rest = value;
    while (rest >= 128) {
      this.byte((rest % 128) | 0x80);
      rest = Math.floor(rest / 128);
    }
    return this.byte(rest);
  }

  /** Appends a signed integer, folded so that small magnitudes are short (zigzag). */
  signed(value: number): this {
    return this.compact(zigzag(value));
  }
}

/** Reads the integers of a record. Past the end or out of range it returns 0 and stays `failed`; it never throws. */
export class RecordReader extends ByteReader {
  #failed = false;

  /** Whether any read so far ran past the end or met a number that doubles cannot hold. */
  get failed(): boolean {
    return this.#failed;
  }

  /** Reads an unsigned integer written by {@link RecordWriter.compact}. */
  compact(): number {
    let value = 0;
    let scale = 1;
    for (let count = 0; count < 8; count++) {
      const part = this.byte();
      value += (part & 0x7f) * scale;
      if (part < 128 && value <= Number.MAX_SAFE_INTEGER) return value;
      if (part < 128) break;
      scale *= 128;
    }
    this.fail();
    return 0;
  }

  /** Reads a signed integer written by {@link RecordWriter.signed}. */
  signed(): number {
    return unzigzag(this.compact());
  }

  protected override fail(): void {
    this.#failed = true;
  }
}
