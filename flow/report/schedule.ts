import { fromMilliseconds, type Microseconds, microseconds } from "../../base/index.js";
import type { LandingLead } from "./listener-state.js";

/** Options for {@link ReportSchedule}. */
export interface ReportScheduleOptions {
  /** Time between reports. Default 100 ms. */
  readonly interval?: Microseconds;
  /** Time over which a report takes its worst landing lead. Default 250 ms. */
  readonly leadWindow?: Microseconds;
}

/** The schedule's part of a due report. */
export interface DueReport {
  readonly reportId: number;
  readonly worst: LandingLead | undefined;
}

const MAX_SAMPLES = 256;

/** Listener side: when the next report goes, its id, and the worst landing lead it carries. */
export class ReportSchedule {
  readonly #interval: Microseconds;
  readonly #leadWindow: Microseconds;
  #samples: { at: Microseconds; lead: LandingLead }[] = [];
  #reportId = 0;
  #dueAt: number = Number.NEGATIVE_INFINITY;
  #urgent = false;
  #skipped = 0;

  constructor({ interval = fromMilliseconds(100), leadWindow = fromMilliseconds(250) }: ReportScheduleOptions = {}) {
    this.#interval = interval;
    this.#leadWindow = leadWindow;
  }

  /** Reports skipped because the datagram queue was backed up. */
  get skipped(): number {
    return this.#skipped;
  }

  /** When to `poll` next. */
  nextAt(now: Microseconds): Microseconds {
    return this.#urgent ? now : microseconds(Math.max(now, this.#dueAt));
  }

  /** Records how early a group's audio was ready when it was applied. */
  landed(lead: Microseconds, group: number, at: Microseconds): void {
    // A later sample that is at least as bad makes every milder one before it irrelevant.
    while (this.#samples.length > 0 && this.#samples.at(-1)!.lead.lead >= lead) this.#samples.pop();
    if (this.#samples.length < MAX_SAMPLES) this.#samples.push({ at, lead: { lead, group } });
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
    if (!this.#urgent && now < this.#dueAt) return undefined;
    this.#samples = this.#samples.filter(({ at }) => now - at <= this.#leadWindow);
    const late = now - this.#dueAt >= this.#interval;
    this.#dueAt = late || this.#urgent ? now + this.#interval : this.#dueAt + this.#interval;
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
}
