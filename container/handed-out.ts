import type { Microseconds } from "../base/index.js";

/** A frame by its position in the track. */
export interface FramePlace {
  readonly sequence: number;
  readonly timestamp: Microseconds;
}

/** Frames that were delivered and not flushed since, the newest of them up to a bound. */
export class HandedOut {
  readonly #capacity: number;
  #frames: FramePlace[] = [];

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  add(frame: FramePlace): void {
    this.#frames.push(frame);
    // A quarter at once, so that a full list does not shift for every frame.
    if (this.#frames.length > this.#capacity) this.#frames.splice(0, Math.ceil(this.#capacity / 4));
  }

  /** Forgets the frames from a timestamp on: downstream flushes them. */
  flush(from: Microseconds): void {
    this.#frames = this.#frames.filter(({ timestamp }) => timestamp < from);
  }

  /** Whether one of the frames is stale. */
  hasStale(isStale: (frame: FramePlace) => boolean): boolean {
    return this.#frames.some(isStale);
  }
}
