import { fromSeconds, type Microseconds } from "../../base/index.js";

/** A relay forgets a listener after 3 s without a report, so an older rewind was applied, or counted with another. */
const REPORTED_WITHIN = fromSeconds(4);
/** Listeners remembered; the ones listed longest ago are forgotten first. */
const MAX_LISTENERS = 1024;

/**
 * Holds the rewinds that each listener has reported against those that were sent. A listener reports how many
 * it applied, not which: after an outage, the report of an earlier rewind may come when a later one is already sent.
 */
export class RewindLedger {
  readonly #recent: Microseconds[] = [];
  readonly #listeners = new Map<number, { readonly discontinuity: number; readonly applied: number }>();
  #total = 0;

  /** Rewinds made. */
  get total(): number {
    return this.#total;
  }

  /** Counts a rewind. */
  rewound(now: Microseconds): void {
    this.#total++;
    this.#recent.push(now);
    this.#prune(now);
  }

  /** Takes the count of rewinds that a listener reported; a lower one than before is an old report. */
  reported(session: number, discontinuity: number): void {
    const known = this.#listeners.get(session);
    if (known !== undefined && discontinuity < known.discontinuity) return;
    const counted = known === undefined ? this.#total : known.applied + discontinuity - known.discontinuity;
    const applied = Math.min(this.#total, counted);
    this.#listeners.delete(session);
    this.#listeners.set(session, { discontinuity, applied });
    const [oldest] = this.#listeners.keys();
    if (oldest !== undefined && this.#listeners.size > MAX_LISTENERS) this.#listeners.delete(oldest);
  }

  /** The count that a listener reports once it has applied every rewind, unless it counts several as one. */
  expected(session: number, now: Microseconds): number {
    this.#prune(now);
    const { discontinuity, applied } = this.#listeners.get(session) ?? { discontinuity: 0, applied: this.#total };
    return discontinuity + Math.min(this.#total - applied, this.#recent.length);
  }

  /** Forgets the listeners. */
  reset(): void {
    this.#listeners.clear();
  }

  #prune(now: Microseconds): void {
    while (this.#recent[0] !== undefined && now - this.#recent[0] > REPORTED_WITHIN) this.#recent.shift();
  }
}
