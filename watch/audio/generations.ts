import type { Microseconds } from "../../base/index.js";

/** A rewind of the track that sets the playhead. */
export interface ClockRewind {
  /** Number of rewinds of the track so far; a repeated number refines the rewind. */
  readonly discontinuity: number;
  /** Everything from here on is stale. */
  readonly from: Microseconds;
}

/** Rewinds remembered; packets that entered a decoder this many rewinds ago have long come out. */
const MAX_CUTS = 64;

/**
 * The rewinds applied so far, which decide about audio that is decoded late. Every rewind begins a generation. A frame
 * belongs to the newest generation that starts at or before it, because earlier frames belong to the timeline before.
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

  /** The generation of a frame that is valid now. */
  generationOf(timestamp: Microseconds): number {
    const cut = this.#cuts.findLast(({ from }) => from <= timestamp);
    return cut?.generation ?? this.#generation - this.#cuts.length;
  }

  /** Media time from which on audio of a generation is stale; undefined when none is. */
  limitOf(generation: number): Microseconds | undefined {
    let limit: Microseconds | undefined;
    for (const cut of this.#cuts)
      if (cut.generation > generation && (limit === undefined || cut.from < limit)) limit = cut.from;
    return limit;
  }
}
