/**
 * Reads exact or partial pieces from a stream of byte chunks. Holds one chunk, plus the bytes that {@link keep} keeps.
 */
export class ByteReader {
  readonly #input: AsyncIterator<Uint8Array>;
  #chunk: Uint8Array = new Uint8Array(0);
  #position = 0;
  #kept: Uint8Array[] | undefined;
  #keptBytes = 0;
  #maxKeptBytes = 0;

  constructor(input: AsyncIterable<Uint8Array>) {
    this.#input = input[Symbol.asyncIterator]();
  }

  get position(): number {
    return this.#position;
  }

  /** Keeps the bytes read from here on, up to `limit`, so that {@link all} can return them again. */
  keep(limit: number): void {
    this.#kept = [];
    this.#keptBytes = 0;
    this.#maxKeptBytes = limit;
  }

  /** The kept bytes and all that follow; undefined when more was read than may be kept. */
  all(): AsyncGenerator<Uint8Array, void, undefined> | undefined {
    const kept = this.#kept;
    this.#kept = undefined;
    return kept && this.#from(kept);
  }

  /** All bytes not read yet. */
  rest(): AsyncGenerator<Uint8Array, void, undefined> {
    this.#kept = undefined;
    return this.#from([]);
  }

  /** The next bytes without consuming them: `length` of them, fewer only at the end of the stream. */
  async peek(length: number): Promise<Uint8Array> {
    while (this.#chunk.length < length) {
      const next = await this.#input.next();
      if (next.done === true) break;
      this.#chunk = this.#chunk.length === 0 ? next.value : Buffer.concat([this.#chunk, next.value]);
    }
    return this.#chunk.subarray(0, length);
  }

  /** Exactly `length` bytes, or undefined when the stream ends before. Allocates only what arrives. */
  async take(length: number): Promise<Uint8Array | undefined> {
    const pieces: Uint8Array[] = [];
    for (let left = length; left > 0; ) {
      const piece = await this.some(left);
      if (piece === undefined) return undefined;
      pieces.push(piece);
      left -= piece.length;
    }
    const bytes = new Uint8Array(length);
    let filled = 0;
    for (const piece of pieces) {
      bytes.set(piece, filled);
      filled += piece.length;
    }
    return bytes;
  }

  /** Drops `length` bytes; false when the stream ends before. */
  async skip(length: number): Promise<boolean> {
    let left = length;
    while (left > 0) {
      const piece = await this.some(left);
      if (piece === undefined) return false;
      left -= piece.length;
    }
    return true;
  }

  /** At least one and at most `limit` bytes, or undefined at the end. */
  async some(limit: number): Promise<Uint8Array | undefined> {
    while (this.#chunk.length === 0) {
      const next = await this.#input.next();
      if (next.done === true) return undefined;
      this.#chunk = next.value;
    }
    const piece = this.#chunk.subarray(0, Math.min(limit, this.#chunk.length));
    this.#chunk = this.#chunk.subarray(piece.length);
    this.#position += piece.length;
    this.#remember(piece);
    return piece;
  }

  /** Closes the underlying stream. */
  async close(): Promise<void> {
    await this.#input.return?.();
  }

  #remember(piece: Uint8Array): void {
    this.#keptBytes += piece.length;
    if (this.#keptBytes > this.#maxKeptBytes) this.#kept = undefined;
    this.#kept?.push(piece);
  }

  async *#from(kept: readonly Uint8Array[]): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      yield* kept;
      for (;;) {
        const piece = await this.some(Number.POSITIVE_INFINITY);
        if (piece === undefined) return;
        yield piece;
      }
    } finally {
      await this.close();
    }
  }
}

/** A DataView of the same bytes. */
export function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A four-character code as text. */
export function fourCharacters(bytes: Uint8Array, offset: number): string {
  return Buffer.from(bytes.subarray(offset, offset + 4)).toString("latin1");
}
