import { fromSeconds, type Microseconds } from "../../base/index.js";

/** A relay forgets a listener after 3 s without a report, so an older rewind was applied, or counted with another. */
const REPORTED_WITHIN = fromSeconds(4);
/** Listeners remembered; the ones listed longest ago are forgotten first. */
const MAX_LISTENERS = 1024;

interface Known {
  /** Its count of rewinds, and when it last reported that. */
  readonly discontinuity: number;
  readonly at: Microseconds;
  /** Of all rewinds, the ones that it has applied. */
  readonly applied: number;
}

/**
 * Holds the rewinds that each listener has reported against those that were sent. A listener reports how many it
 * applied, not which: after an outage of seconds, the report of an earlier rewind may come when a later one is already
 * sent. Sessions to the relay come and go meanwhile; the listeners keep their ids and counts.
 */
export class RewindLedger {
  readonly #recent: Microseconds[] = [];
  readonly #listeners = new Map<number, Known>();
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

  /** Takes the count of rewinds that a listener reported. A lower one than just before is an old report. */
  reported(session: number, discontinuity: number, now: Microseconds): void {
    this.#prune(now);
    const known = this.#listeners.get(session);
    if (known !== undefined && discontinuity < known.discontinuity && now - known.at <= REPORTED_WITHIN) return;
    this.#listeners.delete(session);
    this.#listeners.set(session, { discontinuity, at: now, applied: this.#appliedAt(discontinuity, known) });
    const [oldest] = this.#listeners.keys();
    if (oldest !== undefined && this.#listeners.size > MAX_LISTENERS) this.#listeners.delete(oldest);
  }

  /** The count that a listener reports once it has applied every rewind, unless it counts several as one. */
  expected(session: number, now: Microseconds): number {
    this.#prune(now);
    const known = this.#listeners.get(session);
    if (known === undefined) return 0;
    return known.discontinuity + this.#total - Math.max(known.applied, this.#settled);
  }

  /** Rewinds so old that every listener has applied them. */
  get #settled(): number {
    return this.#total - this.#recent.length;
  }

  #appliedAt(discontinuity: number, known: Known | undefined): number {
    if (known === undefined || discontinuity < known.discontinuity) return this.#total;
    const counted = Math.max(known.applied, this.#settled) + discontinuity - known.discontinuity;
    return Math.min(this.#total, counted);
  }

  #prune(now: Microseconds): void {
    while (this.#recent[0] !== undefined && now - this.#recent[0] > REPORTED_WITHIN) this.#recent.shift();
  }
}
