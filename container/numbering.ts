import { epochOf } from "./epoch.js";

/** After this many gaps in a row that no group filled, the publisher numbers its groups with gaps. */
const UNFILLED = 8;

/** Meaning of the numbers of a track's groups, beside their order. */
export class Numbering {
  readonly #hasEpochs: () => boolean;
  #newest: number | undefined;
  /** Gaps since a group last came behind a newer one. */
  #unfilled = 0;

  constructor(hasEpochs: () => boolean) {
    this.#hasEpochs = hasEpochs;
  }

  /** Whether a missing number is a group that may still come. A publisher with epochs leaves out no others. */
  get isGapless(): boolean {
    return this.#unfilled < UNFILLED || this.#hasEpochs();
  }

  /** The epoch of a group: the first one where numbers have no epochs. */
  epochOf(sequence: number): number {
    return this.#hasEpochs() ? epochOf(sequence) : 0;
  }

  /** Takes a group that was not received before. */
  receive(sequence: number): void {
    const newest = this.#newest ?? sequence;
    if (sequence < newest) this.#unfilled = 0;
    else if (sequence > newest + 1) this.#unfilled += 1;
    this.#newest = Math.max(newest, sequence);
  }
}
