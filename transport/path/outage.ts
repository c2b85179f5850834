import { type Clock, fromMilliseconds, type Microseconds, microseconds, toMilliseconds } from "../../base/index.js";
import { SETTLED_MS } from "./backoff.js";

const SETTLED = fromMilliseconds(SETTLED_MS);
/** Reasons that are remembered: an outage has a few, unless a peer makes up a new one each time. */
const MAX_REASONS = 32;

/** The time since a peer was last reached for longer than a moment, and the reasons why it was not. */
export class Outage {
  readonly #clock: Clock;
  #since: Microseconds;
  readonly #reasons = new Set<string>();

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#since = clock();
  }

  /** How long it has lasted, in milliseconds. */
  get lengthMs(): number {
    return toMilliseconds(microseconds(this.#clock() - this.#since));
  }

  /** A session that began at `start` has ended: if it lasted, this is another outage. */
  lost(start: Microseconds): void {
    const now = this.#clock();
    if (now - start < SETTLED) return;
    this.#since = now;
    this.#reasons.clear();
  }

  /** Notes why an attempt failed or a session ended; returns whether it was for the same reason before. */
  repeats(reason: string): boolean {
    const isRepeated = this.#reasons.has(reason);
    if (this.#reasons.size === MAX_REASONS) this.#reasons.clear();
    this.#reasons.add(reason);
    return isRepeated;
  }
}
