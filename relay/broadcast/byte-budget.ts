/** Bytes that something may hold, perhaps as a part of something larger. */
export class ByteBudget {
  readonly maxBytes: number;
  readonly #parent: ByteBudget | undefined;
  #usedBytes = 0;

  constructor(maxBytes: number, parent?: ByteBudget) {
    this.maxBytes = maxBytes;
    this.#parent = parent;
  }

  /** Bytes held now. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Whether more is held than allowed, here or in what it is a part of. */
  get exceeded(): boolean {
    return this.#usedBytes > this.maxBytes || this.#parent?.exceeded === true;
  }

  /** Counts bytes taken, or given back when negative. */
  add(bytes: number): void {
    this.#usedBytes += bytes;
    this.#parent?.add(bytes);
  }
}
