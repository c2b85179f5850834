/** A limit on held bytes, perhaps within a larger one. */
export class ByteBudget {
  readonly maxBytes: number;
  readonly #parent: ByteBudget | undefined;
  #usedBytes = 0;
  /** Budgets within this one that hold something. */
  #holders = 0;

  constructor(maxBytes: number, parent?: ByteBudget) {
    this.maxBytes = maxBytes;
    this.#parent = parent;
  }

  /** Bytes held now. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /**
   * Whether more is held than allowed: here, or in the enclosing budget by those that hold at least as much as the others
   * do on average. One that holds little does not suffer for those that fill the whole.
   */
  get exceeded(): boolean {
    return this.#usedBytes > this.maxBytes || this.crowded;
  }

  /** Whether the enclosing budget alone is exceeded, by this one among others; see {@link exceeded}. */
  get crowded(): boolean {
    const parent = this.#parent;
    if (parent === undefined || parent.#usedBytes <= parent.maxBytes) return false;
    return this.#usedBytes * parent.#holders >= parent.#usedBytes;
  }

  /** Counts bytes added, or freed when negative. */
  add(bytes: number): void {
    const before = this.#usedBytes;
    this.#usedBytes += bytes;
    const parent = this.#parent;
    if (parent === undefined) return;
    parent.add(bytes);
    parent.#holders += Number(this.#usedBytes > 0) - Number(before > 0);
  }
}
