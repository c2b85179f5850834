/** A limit on held bytes, perhaps within a larger one. */
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

  /** Whether more is held than allowed, here or in the enclosing budget. */
  get exceeded(): boolean {
    return this.#usedBytes > this.maxBytes || this.#parent?.exceeded === true;
  }

  /** Counts bytes added, or freed when negative. */
  add(bytes: number): void {
    this.#usedBytes += bytes;
    this.#parent?.add(bytes);
  }
}
