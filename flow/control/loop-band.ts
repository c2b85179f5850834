import { type Microseconds, microseconds } from "../../base/index.js";

/** A stretch of the source that repeats. */
export interface Band {
  readonly start: Microseconds;
  readonly end: Microseconds;
}

/** Where to read the source while a band of it may repeat. */
export class LoopBand {
  #band: Band | undefined;

  /** The armed band; undefined when the source plays straight on. */
  get band(): Band | undefined {
    return this.#band;
  }

  /** Arms a band, or clears it with undefined. */
  arm(band: Band | undefined): void {
    this.#band = band && Object.freeze({ ...band });
  }

  /** The source position to read instead of `position`: at or past the band's end it wraps to its start. */
  place(position: Microseconds): Microseconds {
    const band = this.#band;
    if (band === undefined || position < band.end) return position;
    return microseconds(band.start + ((position - band.start) % (band.end - band.start)));
  }

  /** How much can be read at `position` before the next wrap; Infinity with no band armed. */
  span(position: Microseconds): number {
    const band = this.#band;
    return band === undefined ? Number.POSITIVE_INFINITY : band.end - this.place(position);
  }
}
