import { fromMilliseconds, fromSeconds, type Microseconds, microseconds } from "../../base/index.js";
import { PlayheadClock } from "../playhead/playhead-clock.js";
import { StalenessEstimator } from "../playhead/staleness.js";
import type { MissedAudio } from "./aggregate.js";
import { isPast, type Report } from "./report.js";

/** Aggregates that name what a listener missed: any of them may be lost. */
const MISSED_TIMES = 3;
/** Stretches named at once: reports may have waited on the way. */
const MAX_MISSED = 4;
/** For this long after its last report a listener counts as playing on: its next one is due after 100 ms. */
const CERTAIN = fromMilliseconds(120);

/** A report with measurements from its arrival; frozen, so that they stay together. */
export interface StampedReport {
  readonly report: Report;
  /** When it arrived, on our clock. */
  readonly arrival: Microseconds;
  /** How much longer it took than the quickest recent one. */
  readonly staleness: Microseconds;
}

/** A landing lead and its group. */
export interface LandingLead {
  readonly lead: Microseconds;
  readonly group: number;
}

/** Effect of folding one report. */
export interface FoldResult {
  /** False when the report was older than one already seen: only its acks and its lead counted. */
  readonly newest: boolean;
  /** True when the listener has applied a rewind since its last report, or this is its first report. */
  readonly rewindApplied: boolean;
}

/** Options for {@link ListenerState}. */
export interface ListenerStateOptions {
  /** False treats every report as fresh: the control run without the staleness estimator. Default true. */
  readonly estimateStaleness?: boolean;
}

/**
 * State of one listener, folded from its reports in any order: the newest decides the playhead, the maximum the acks,
 * and the minimum the landing lead until it is taken.
 */
export class ListenerState {
  readonly #estimate: boolean;
  readonly #staleness = new StalenessEstimator();
  readonly #clock = new PlayheadClock();
  #latest: StampedReport | undefined;
  #lastHeard: Microseconds = microseconds(0);
  #lastPlayed: Microseconds | undefined;
  #receivedBytes = 0;
  #receivedGroup: number | undefined;
  #worst: LandingLead | undefined;
  #lastRewind: Pick<Report, "discontinuity" | "from" | "heardUntil"> | undefined;
  #receivedUntil: Microseconds | undefined;
  /** What it missed last, and how many more aggregates are to name each stretch. */
  #missed: (Pick<MissedAudio, "from" | "to" | "discontinuity"> & { times: number })[] = [];

  constructor({ estimateStaleness = true }: ListenerStateOptions = {}) {
    this.#estimate = estimateStaleness;
  }

  /** Takes one decoded report. A new `session` id resets the state. */
  fold(report: Report, arrival: Microseconds): FoldResult {
    if (this.#latest && this.#latest.report.session !== report.session) this.#restart();
    const previous = this.#latest?.report;
    if (isPast(report)) return this.#miss(report);
    this.#lastHeard = microseconds(Math.max(this.#lastHeard, arrival));
    this.#receivedBytes = Math.max(this.#receivedBytes, report.receivedBytes);
    if (report.receivedGroup !== undefined)
      this.#receivedGroup = Math.max(this.#receivedGroup ?? 0, report.receivedGroup);
    if (report.worstLead !== undefined && report.worstLeadGroup !== undefined) {
      if (this.#worst === undefined || report.worstLead < this.#worst.lead)
        this.#worst = { lead: report.worstLead, group: report.worstLeadGroup };
    }
    if (previous !== undefined && report.clientTimeMs <= previous.clientTimeMs)
      return { newest: false, rewindApplied: false };

    const measured = this.#staleness.observe(fromMilliseconds(report.clientTimeMs), arrival);
    const staleness = this.#estimate ? measured : microseconds(0);
    const rewindApplied = previous === undefined || report.discontinuity !== previous.discontinuity;
    this.#clock.observe({
      playhead: report.playhead,
      playing: report.playing,
      arrival,
      staleness,
      moved: rewindApplied,
    });
    // A long-running player may omit the rewind's times to stay within 64 bytes; they hold until the next rewind.
    if (report.from !== undefined || report.discontinuity !== this.#lastRewind?.discontinuity)
      this.#lastRewind = report;
    if (report.playing) this.#lastPlayed = arrival;
    // A rewind may have changed what lies there.
    if (rewindApplied) this.#missed = this.#missed.filter((one) => one.discontinuity === report.discontinuity);
    this.#receivedUntil = this.#reach(report, previous);
    this.#latest = Object.freeze({ report, arrival, staleness });
    return { newest: true, rewindApplied };
  }

  /** The newest report with its staleness. */
  get latest(): StampedReport | undefined {
    return this.#latest;
  }

  /** Arrival of the last report. */
  get lastHeard(): Microseconds {
    return this.#lastHeard;
  }

  /** Arrival of the last report that said it was playing. */
  get lastPlayed(): Microseconds | undefined {
    return this.#lastPlayed;
  }

  /** Largest `receivedBytes` of any report. */
  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** Largest `receivedGroup` of any report. */
  get receivedGroup(): number | undefined {
    return this.#receivedGroup;
  }

  /** Number of rewinds that the listener has applied. */
  get discontinuity(): number {
    return this.#latest?.report.discontinuity ?? 0;
  }

  /** How far it heard the old timeline at its last rewind. */
  get heardUntil(): Microseconds | undefined {
    return this.#lastRewind?.heardUntil;
  }

  /** Media time from which its last rewind flushed. */
  get from(): Microseconds | undefined {
    return this.#lastRewind?.from;
  }

  /**
   * Media time up to which it may have heard audio by now: as far as it had some ready, and not much beyond its last
   * report. A playhead runs on through silence, as in a pause, and may pass audio that is late: while nothing arrives and
   * nothing is left to play, this stands still. Undefined while nothing is known: since its first report it had nothing.
   */
  receivedUntil(now: Microseconds): Microseconds | undefined {
    const latest = this.#latest;
    if (latest === undefined || this.#receivedUntil === undefined) return undefined;
    if (!this.isOverdue(now)) return this.#receivedUntil;
    return microseconds(Math.min(this.#receivedUntil, latest.report.playhead + latest.staleness + CERTAIN));
  }

  /** Whether its next report is overdue, so that it may stand still. */
  isOverdue(now: Microseconds): boolean {
    return this.#latest !== undefined && now - this.#latest.arrival > CERTAIN;
  }

  /** Whether it plays, by its newest report. */
  get playing(): boolean {
    return this.#clock.playing;
  }

  /** Its playhead projected to now; undefined before its first report. */
  playheadAt(now: Microseconds): Microseconds | undefined {
    return this.#clock.at(now);
  }

  /** The smallest landing lead since the last call, which this call clears. */
  takeWorstLead(): LandingLead | undefined {
    const worst = this.#worst;
    this.#worst = undefined;
    return worst;
  }

  /** What it missed last, between audio that it heard, for the next aggregate; none once some have had it. */
  takeMissed(): readonly Pick<MissedAudio, "from" | "to">[] {
    return this.#missed.filter((one) => one.discontinuity === this.discontinuity && one.times-- > 0);
  }

  // It may come before the report of the rewind behind which audio began again.
  #miss({ playhead, bufferedMs, discontinuity }: Report): FoldResult {
    const from = microseconds(Math.max(0, playhead + fromMilliseconds(bufferedMs)));
    const isKnown = this.#missed.some((one) => one.from === from && one.to === playhead);
    const missed = { from, to: playhead, discontinuity, times: MISSED_TIMES };
    if (!isKnown && discontinuity >= this.discontinuity) this.#missed = [...this.#missed, missed].slice(-MAX_MISSED);
    return { newest: false, rewindApplied: false };
  }

  #reach({ playhead, bufferedMs, receivedBytes }: Report, previous: Report | undefined): Microseconds | undefined {
    if (bufferedMs !== 0) return microseconds(Math.max(0, playhead + fromMilliseconds(bufferedMs)));
    if (previous !== undefined && receivedBytes > previous.receivedBytes) return playhead;
    return this.#receivedUntil && microseconds(Math.min(this.#receivedUntil, playhead));
  }

  #restart(): void {
    this.#staleness.reset();
    this.#clock.reset();
    this.#latest = undefined;
    this.#receivedBytes = 0;
    this.#receivedGroup = undefined;
    this.#worst = undefined;
    this.#lastRewind = undefined;
    this.#receivedUntil = undefined;
    this.#missed = [];
  }
}

/** Time after which a silent listener is dropped. */
export const LISTENER_TIMEOUT: Microseconds = fromSeconds(3);
