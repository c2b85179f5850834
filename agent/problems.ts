/** Kinds that are remembered; further ones are not new. */
const MAX_KINDS = 32;

/** The kinds of problem that were reported. */
export class Problems {
  readonly #kinds = new Set<string>();

  /** Whether a problem is the first of its kind; kinds, or their sentences, that differ in numbers alone are one. */
  isNew(given: string): boolean {
    const kind = given.replaceAll(/\d+/g, "");
    if (this.#kinds.has(kind) || this.#kinds.size >= MAX_KINDS) return false;
    this.#kinds.add(kind);
    return true;
  }
}
