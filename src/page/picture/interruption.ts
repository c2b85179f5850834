/** Audio within this time of a rewind still belongs to the old timeline, in milliseconds. */
const SETTLED_MS = 90;

/** Measures how long after a click the page falls silent. */
export class Interruption {
  readonly #clickedAt: number;
  #rewoundAt: number | undefined;
  #silentMs: number | undefined;

  constructor(clickedAt: number) {
    this.#clickedAt = clickedAt;
  }

  /** Milliseconds from the click to the first silent sample; undefined until that is known. */
  get silentMs(): number | undefined {
    return this.#silentMs;
  }

  /** The rewind was applied. */
  rewound(now: number): void {
    this.#rewoundAt ??= now;
  }

  /** Takes the time of the last audio; returns true at the moment when the silence is certain. */
  hear(lastSoundAt: number, now: number): boolean {
    if (this.#silentMs !== undefined || this.#rewoundAt === undefined) return false;
    if (now - Math.max(this.#rewoundAt, lastSoundAt) < SETTLED_MS) return false;
    // In a pause of the speech it was silent already: then the rewind is the event to measure.
    const silentAt = lastSoundAt > this.#clickedAt ? lastSoundAt : this.#rewoundAt;
    this.#silentMs = silentAt - this.#clickedAt;
    return true;
  }
}
