/** Pauses remembered at once; those in 30 s of buffered audio are fewer. */
const MOST = 256;

/** Frames right behind pauses that the publisher intended, as far as they are still ahead of the playhead. */
export class PauseEnds {
  readonly #frames = new Set<number>();

  /** Adds a frame, and forgets those that the playhead has passed. */
  add(frame: number, playhead = 0): void {
    for (const known of this.#frames) if (known < playhead) this.#frames.delete(known);
    if (this.#frames.size < MOST) this.#frames.add(frame);
  }

  has(frame: number): boolean {
    return this.#frames.has(frame);
  }

  /** Forgets all from a frame on. */
  rewind(from: number): void {
    for (const known of this.#frames) if (known >= from) this.#frames.delete(known);
  }
}
