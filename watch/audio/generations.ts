import type { Microseconds } from "../../base/index.js";

/** Rewinds remembered; what was handed to a decoder before that many rewinds has long come out. */
const MAX_CUTS = 64;

/**
 * The rewinds applied so far, by which anything decoded late can still be judged. Every rewind begins a generation; a
 * frame belongs to the newest one whose start it does not precede, because what precedes it is of the timeline before.
 */
export class Generations {
  /** Ascending; the starts need not be. */
  readonly #cuts: { readonly generation: number; from: Microseconds }[] = [];
  #generation = 0;

  /** Number of rewinds so far. */
  get generation(): number {
    return this.#generation;
  }

  /** Adds a rewind. */
  add(from: Microseconds): void {
    this.#generation++;
    this.#cuts.push({ generation: this.#generation, from });
    if (this.#cuts.length > MAX_CUTS) this.#cuts.shift();
  }

  /** Lowers the start of the newest rewind. */
  lower(from: Microseconds): void {
    const newest = this.#cuts.at(-1);
    if (newest && from < newest.from) newest.from = from;
  }

  /** The generation of a frame that is good now. */
  generationOf(timestamp: Microseconds): number {
    const cut = this.#cuts.findLast(({ from }) => from <= timestamp);
    return cut?.generation ?? this.#generation - this.#cuts.length;
  }

  /** The media time from which on what is of a generation has been taken back since; undefined when nothing has. */
  limitOf(generation: number): Microseconds | undefined {
    let limit: Microseconds | undefined;
    for (const cut of this.#cuts)
      if (cut.generation > generation && (limit === undefined || cut.from < limit)) limit = cut.from;
    return limit;
  }
}
