import { fromMilliseconds, type Microseconds } from "../../base/index.js";
import type { LandingLead } from "./listener-state.js";

/** The schedule's part of a due report. */
export interface DueReport {
  readonly reportId: number;
  readonly worst: LandingLead | undefined;
}

/** Time between reports. */
const INTERVAL = fromMilliseconds(100);
/** Time over which a report takes its worst landing lead. */
const LEAD_WINDOW = fromMilliseconds(250);
const MAX_SAMPLES = 256;

/**
 * While nothing arrives on a path that loses, reports go this often. They show the relay a burst of losses before its
 * congestion window is full of lost packets, and outlive a burst on the way up.
 */
const QUICK: Microseconds = fromMilliseconds(20);
/**
 * Nothing has arrived for this long: two groups of 20 ms and some jitter. Ten such reports fit into the congestion window
 * of the way up, even at its smallest; the next ones would keep acknowledgements from going.
 */
const GAP = { from: fromMilliseconds(50), to: fromMilliseconds(250) };
/** As many copies within this time show that the relay takes the path for a lossy one: a rewind makes one at most. */
const COPIES = { count: 8, within: fromMilliseconds(5000) };

/**
 * Listener side: when the next report goes, its id, and the worst landing lead it carries. Reports go ten times a
 * second; fifty times while nothing arrives on a path that loses.
 */
export class ReportSchedule {
  #samples: { at: Microseconds; lead: LandingLead }[] = [];
  #reportId = 0;
  #dueAt: number = Number.NEGATIVE_INFINITY;
  #polledAt: number = Number.NEGATIVE_INFINITY;
  #arrivedAt: number = Number.NEGATIVE_INFINITY;
  /** Arrival times of the newest copies. */
  #copies: Microseconds[] = [];
  #urgent = false;
  #skipped = 0;

  /** Reports skipped because the datagram queue was backed up. */
  get skipped(): number {
    return this.#skipped;
  }

  /** Records that a group arrived; `copy` when it had come before. */
  arrived(at: Microseconds, { copy }: { readonly copy: boolean }): void {
    this.#arrivedAt = at;
    if (!copy) return;
    this.#copies.push(at);
    if (this.#copies.length > COPIES.count) this.#copies.shift();
  }

  /** Records how early a group's audio was ready when it was applied. */
  landed(lead: Microseconds, group: number, at: Microseconds): void {
    // A later sample that is at least as bad makes every milder one before it irrelevant.
    while (this.#samples.length > 0 && this.#samples.at(-1)!.lead.lead >= lead) this.#samples.pop();
    if (this.#samples.length < MAX_SAMPLES) this.#samples.push({ at, lead: { lead, group } });
  }

  /** Drops the leads that no report has carried yet. */
  forgetLeads(): void {
    this.#samples = [];
  }

  /** Requests a report at once: a rewind was applied, or audio started. */
  hurry(): void {
    this.#urgent = true;
  }

  /**
   * Returns a report that is due. When the transport is backed up it skips the tick and keeps the worst lead for the
   * next report.
   */
  poll(now: Microseconds, backedUp = false): DueReport | undefined {
    const quick = this.#isGap(now) && now - this.#polledAt >= QUICK;
    if (!this.#urgent && !quick && now < this.#dueAt) return undefined;
    this.#polledAt = now;
    this.#samples = this.#samples.filter(({ at }) => now - at <= LEAD_WINDOW);
    const late = now - this.#dueAt >= INTERVAL;
    this.#dueAt = late || quick || this.#urgent ? now + INTERVAL : this.#dueAt + INTERVAL;
    const worst = this.#samples[0];
    if (backedUp) {
      this.#skipped++;
      if (worst !== undefined) worst.at = now;
      return undefined;
    }
    this.#urgent = false;
    const reportId = this.#reportId;
    this.#reportId = (reportId + 1) % 2 ** 30;
    return { reportId, worst: worst?.lead };
  }

  #isGap(at: number): boolean {
    const since = at - this.#arrivedAt;
    const loses = this.#copies.length === COPIES.count && at - this.#copies[0]! <= COPIES.within;
    return loses && since >= GAP.from && since < GAP.to;
  }
}
