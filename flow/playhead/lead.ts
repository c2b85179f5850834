import { fromSeconds, type Microseconds, microseconds, toSeconds } from "../../base/index.js";

// All in seconds. Constants and rules come from the design; the simulation beside this file shows the gate's worth.
const EMA_SEED = 0.07;
const EMA_ALPHA = 0.1;
const EMA_GAP_CAP = 0.18;
const EMA_FACTOR = 1.6;
const MARGIN = 0.05;
const ADVANCE_MIN = 0.25;
const ADVANCE_MAX = 1.35;
const STALL_MAX = 1.35;
const STALL_TAU = 1.5;
/** The landing lead that a publisher wants, in seconds. */
export const LEAD_WANTED = 0.15;
const LEAD_AMPLE = 0.35;
const BEHIND = 0.1;
const TRANSPORT_MAX = 3.0;
const TRANSPORT_TAU = 20;
const REPORT_OLD = 10;
// Further from the playhead than any advance: a jump of the playhead, which the frontier follows.
const LOST = 10;

/** When landing leads raise the transport term: only for groups sent after the last raise, or always (bench only). */
export type LeadMode = "gated" | "ungated";

/** Options for {@link LeadController}. */
export interface LeadControllerOptions {
  /** Default `gated`. */
  readonly mode?: LeadMode;
}

/** A landing lead from a report. */
export interface LeadSample {
  /** How early the group's audio was ready when the listener applied it. */
  readonly lead: Microseconds;
  /** The group that had it. */
  readonly group: number;
  /** When the report arrived. */
  readonly at: Microseconds;
}

/** Effect of a landing lead: it raised the lead, sufficed, came too early to judge by, or did not count. */
export type LeadVerdict = "raised" | "enough" | "gated" | "ignored";

/**
 * How far ahead of the playhead a publisher must be: `advance` for its frontier, `close` for a control change. A base
 * part follows the publisher's own cadence and stalls; a transport part follows how early audio really lands.
 */
export class LeadController {
  readonly #mode: LeadMode;
  #interval = EMA_SEED;
  #stall = 0;
  #lastWrite: number | undefined;
  #lastGroup = -1;
  #transport = 0;
  #gate = -1;
  #ignoreThrough = -1;
  /** Whether the track is not the first one: groups above the last one written were those of another. */
  #isFresh = false;
  #bandArmed = false;
  #lastLead: number | undefined;
  #lastReport = Number.NEGATIVE_INFINITY;
  #decayedAt: number | undefined;
  #frontier = Number.NEGATIVE_INFINITY;

  constructor({ mode = "gated" }: LeadControllerOptions = {}) {
    this.#mode = mode;
  }

  /**
   * Records a write: its time, the media it covered, and its highest group. `behind`: how much less ahead of the
   * playhead it was than planned. A late write, as after a pause or a rewind, says nothing about the path: it lands late
   * all the same, and the listener then reports its own jitter buffer. A gap before a write that was not late is no
   * stall: nothing was due.
   */
  wrote(at: Microseconds, sliceWidth: Microseconds, group: number, behind: Microseconds): void {
    this.#decay(at);
    const late = toSeconds(behind);
    if (late > BEHIND) this.#ignoreThrough = Math.max(this.#ignoreThrough, group);
    this.#lastGroup = Math.max(this.#lastGroup, group);
    const now = toSeconds(at);
    if (this.#lastWrite !== undefined) {
      const gap = now - this.#lastWrite;
      this.#interval += EMA_ALPHA * (Math.min(gap, EMA_GAP_CAP) - this.#interval);
      const shortfall = Math.min(gap - toSeconds(sliceWidth), late) + MARGIN;
      if (shortfall > this.#stall) this.#stall = Math.min(shortfall, STALL_MAX);
    }
    this.#lastWrite = now;
  }

  /** Nothing is to be written for now, without speech or listeners: the gap until then is not a stall. */
  rest(): void {
    this.#lastWrite = undefined;
  }

  observe({ lead, group, at }: LeadSample): LeadVerdict {
    this.#decay(at);
    this.#lastReport = toSeconds(at);
    const isOld = group <= this.#ignoreThrough || (this.#isFresh && group > this.#lastGroup);
    if (this.#bandArmed || isOld) return "ignored";
    this.#lastLead = toSeconds(lead);
    const deficit = LEAD_WANTED - this.#lastLead;
    if (deficit <= 0) return "enough";
    // A reporter can name a group that was never written, which says nothing about the last raise either.
    const known = this.#lastGroup < 0 ? group : Math.min(group, this.#lastGroup);
    if (this.#mode === "gated" && known <= this.#gate) return "gated";
    this.#transport = Math.min(this.#transport + deficit, TRANSPORT_MAX);
    this.#gate = this.#lastGroup;
    return "raised";
  }

  /**
   * Takes how long a group needs from its write to its landing. The lead grows by what it lacks before groups land late:
   * after a start, a stall's part of the lead hides that, and then vanishes within seconds.
   */
  foresee(transit: Microseconds, at: Microseconds): void {
    this.#decay(at);
    const missing = Math.min(toSeconds(transit) + LEAD_WANTED - this.#base(0), TRANSPORT_MAX);
    if (this.#bandArmed || missing <= this.#transport) return;
    this.#transport = missing;
    this.#gate = this.#lastGroup;
  }

  /** While a loop band is armed the playhead jumps on purpose, so landing leads say nothing. */
  set loopBandArmed(armed: boolean) {
    this.#bandArmed = armed;
  }

  /**
   * A rewind: the frontier goes back to `to`; leads of groups up to `lastGroup` of the old timeline no longer count.
   * Without `lastGroup`, a fresh track numbers its groups from 0.
   */
  rewind(to: Microseconds, lastGroup?: number): void {
    this.#frontier = to;
    if (lastGroup !== undefined) this.#ignoreThrough = Math.max(this.#ignoreThrough, lastGroup);
    else {
      this.#ignoreThrough = this.#lastGroup = this.#gate = -1;
      this.#isFresh = true;
    }
  }

  /** The looped source restarted: the frontier goes back to `to`. */
  wrap(to: Microseconds): void {
    this.#frontier = to;
  }

  /** The part that follows landing leads. */
  transport(now: Microseconds): Microseconds {
    this.#decay(now);
    return fromSeconds(this.#transport);
  }

  /** How far ahead of the playhead the frontier should be. */
  advance(now: Microseconds): Microseconds {
    this.#decay(now);
    return fromSeconds(this.#base(this.#stall) + this.#transport);
  }

  /** How far ahead of the playhead a control change may land. */
  close(now: Microseconds): Microseconds {
    this.#decay(now);
    return fromSeconds(this.#interval * EMA_FACTOR + MARGIN + this.#transport);
  }

  /**
   * Media time to have written by now. Never goes back except by `rewind` or `wrap`, or when it is 10 s from the
   * playhead, beyond any advance.
   */
  frontier(playhead: Microseconds, now: Microseconds): Microseconds {
    if (this.#frontier - playhead > fromSeconds(LOST)) this.#frontier = playhead;
    this.#frontier = Math.max(this.#frontier, playhead + this.advance(now));
    return microseconds(this.#frontier);
  }

  #base(stall: number): number {
    return Math.min(Math.max(this.#interval * EMA_FACTOR + MARGIN + stall, ADVANCE_MIN), ADVANCE_MAX);
  }

  #decay(at: Microseconds): void {
    const now = toSeconds(at);
    const elapsed = Math.max(0, now - (this.#decayedAt ?? now));
    this.#decayedAt = Math.max(this.#decayedAt ?? now, now);
    this.#stall *= Math.exp(-elapsed / STALL_TAU);
    const ample = this.#lastLead !== undefined && this.#lastLead > LEAD_AMPLE;
    if (ample || now - this.#lastReport > REPORT_OLD) this.#transport *= Math.exp(-elapsed / TRANSPORT_TAU);
  }
}
