/** Maximum pending marks; beyond this they are answered early, the oldest first. */
export const MAX_MARKS = 16_384;

interface Mark {
  readonly name: string;
  /** Its position in the bot's audio, in milliseconds from the start of the call. */
  readonly at: number;
}

/**
 * Marks that wait until the audio before them was heard. Each mark is answered exactly once: when it is heard, when the
 * audio is cleared, or when too many wait.
 */
export class MarkQueue {
  #marks: Mark[] = [];

  get size(): number {
    return this.#marks.length;
  }

  /**
   * Adds a mark behind `at` milliseconds of audio, of which the listeners have heard `heardMs`. Returns the names to
   * answer now: its own where all audio before it was heard, and the oldest one's beyond the bound.
   */
  add(name: string, at: number, heardMs: number): readonly string[] {
    this.#marks.push({ name, at });
    const due = this.heard(heardMs);
    return this.#marks.length > MAX_MARKS ? [...due, this.#marks.shift()!.name] : due;
  }

  /** The listeners have heard `ms` of the audio. Returns the names to answer, in order. */
  heard(ms: number): readonly string[] {
    const first = this.#marks.findIndex(({ at }) => at > ms);
    const due = this.#marks.splice(0, first < 0 ? this.#marks.length : first);
    return due.map(({ name }) => name);
  }

  /** All audio that was not heard is cleared. Returns the names to answer, in order. */
  clear(): readonly string[] {
    return this.heard(Number.POSITIVE_INFINITY);
  }
}
