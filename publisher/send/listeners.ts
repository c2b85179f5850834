import { type Clock, fromMilliseconds, fromSeconds, type Microseconds, microseconds } from "../../base/index.js";
import {
  LeadController,
  type LeadMode,
  PlayheadBound,
  PlayheadClock,
  StalenessEstimator,
} from "../../flow/playhead/index.js";
import { type Aggregate, isOvertaken, type ListedListener, MAX_LAG } from "../../flow/report/index.js";
import { RewindLedger } from "./rewind-ledger.js";
import { LONGEST, Transit } from "./transit.js";

/** How far one listener heard the timeline that an interrupt cut off. */
export interface HeardListener {
  /** The player's random session id. */
  readonly session: number;
  /** Media time up to which it heard the stale timeline. */
  readonly heardUntil: Microseconds;
  /** True when the listener reported this; false for a projection of its playhead. */
  readonly measured: boolean;
}

/** Options of {@link Listeners}. */
export interface ListenersOptions {
  readonly clock: Clock;
  /** Default `gated`. */
  readonly leadMode?: LeadMode;
  /** Whether the age of a report counts as measured. Default true. */
  readonly staleness?: boolean;
}

/** After this long without an aggregate, no listener is known: {@link Listeners.pass} counts the time. */
const SILENCE = fromSeconds(3);
/** An older report says little about the playhead's position now: a playhead may stall. */
const PROJECTED = fromMilliseconds(500);
/** A cut lies on a sample, up to half a sample behind its time. */
const HALF_SAMPLE_US = 11;
/**
 * After the first report of a rewind, the share of the limit to wait for others, the allowance for a long path aside: a
 * silent listener must delay no one.
 */
const GRACE = 0.3;
/** How long after a rewind reports from before it may still arrive, on a short path. */
const START_OVER = fromSeconds(1);
/** Round trips up to this one are short: the limits on waiting for reports are made for them. */
const SHORT = fromMilliseconds(200);

/** Pending calls of `heard`; beyond this, the oldest gets the result so far. */
const MAX_WAITERS = 16;

/** A listener at the moment of a rewind. */
interface Interrupted {
  readonly discontinuity: number;
  /** Its count of rewinds once it has applied this one, unless it counts several as one. */
  readonly expected: number;
  readonly projected: Microseconds;
}

interface Waiter {
  readonly before: ReadonlyMap<number, Interrupted>;
  /** Reports since, by session; of this rewind where the listener is among the `settled`. */
  readonly heard: Map<number, HeardListener>;
  readonly settled: Set<number>;
  /** Count of rewinds until then. */
  readonly rewinds: number;
  readonly limitMs: number;
  readonly allowance: Microseconds;
  readonly resolve: () => void;
  /** How much longer it waits. */
  left: number;
  /** How much longer it waits for the others; infinite before the first report. */
  grace: number;
}

/** State of the listeners, from the relay's aggregates: playheads, landing leads, and how far each heard. */
export class Listeners {
  /** Determines the lead over the playhead. */
  readonly lead: LeadController;
  /** How far a listener can be, given what was sent to the relay, whatever the relay claims. */
  readonly bound = new PlayheadBound();
  readonly #audible = new PlayheadBound({ hold: microseconds(0) });
  /** Transit time of groups. */
  readonly transit = new Transit();
  readonly #clock: Clock;
  readonly #estimates: boolean;
  readonly #staleness = new StalenessEstimator();
  readonly #earliest = new PlayheadClock();
  readonly #latest = new PlayheadClock();
  /** The current sender of aggregates; values from another sender's clock and counters mean nothing. */
  #source: object | undefined;
  #last: Aggregate | undefined;
  #arrival = 0;
  /** Time that passed since the last aggregate. */
  #silence = 0;
  #playheadAt = 0;
  #toRelay = 0;
  #startedOver: { readonly to: Microseconds; readonly at: Microseconds; readonly until: number } | undefined;
  readonly #waiters = new Set<Waiter>();
  readonly #rewinds = new RewindLedger();

  constructor({ clock, leadMode = "gated", staleness = true }: ListenersOptions) {
    this.#clock = clock;
    this.lead = new LeadController({ mode: leadMode });
    this.#estimates = staleness;
  }

  /**
   * Applies a new aggregate. `source` stands for its sender: each has its own clock, count and, after a restart,
   * listeners, so their values are never compared. `now`: time of arrival.
   */
  observe(aggregate: Aggregate, source: object, now: Microseconds = this.#clock()): void {
    if (source !== this.#source) this.#follow(source);
    const last = this.#last;
    if (aggregate.playing) this.transit.began(aggregate.latest, now);
    if (aggregate.worstLead !== undefined && aggregate.worstLeadGroup !== undefined) {
      this.lead.observe({ lead: aggregate.worstLead, group: aggregate.worstLeadGroup, at: now });
      this.transit.landed(aggregate.worstLeadGroup, aggregate.worstLead, now);
      this.lead.foresee(this.transit.typical, now);
    }
    for (const { session, discontinuity } of aggregate.listed) this.#rewinds.reported(session, discontinuity, now);
    this.#settle(aggregate);
    if (last !== undefined && isOvertaken(aggregate, last)) return;
    const estimated = this.#staleness.observe(fromMilliseconds(aggregate.relayTimeMs), now);
    const staleness = this.#estimates ? estimated : microseconds(0);
    this.#last = aggregate;
    this.#arrival = now;
    this.#silence = 0;
    this.#playheadAt = now - staleness;
    if (aggregate.listeners === 0) {
      this.#earliest.reset();
      this.#latest.reset();
      // The next one need not be among those that start over.
      this.#startedOver = undefined;
      return;
    }
    const moved = last !== undefined && aggregate.discontinuity !== last.discontinuity;
    if (moved) this.#startedOver = undefined;
    const sample = { playing: aggregate.playing, arrival: now, staleness, moved };
    this.#earliest.observe({ ...sample, playhead: aggregate.earliest });
    this.#latest.observe({ ...sample, playhead: aggregate.latest });
  }

  /** Records a rewind, whose first frame is about to be sent. */
  rewound(now: Microseconds): void {
    this.#rewinds.rewound(now);
  }

  /** Records a frame that was just sent; `isRewind`: everything from it on became stale. */
  sent(timestamp: Microseconds, { isRewind, now }: { readonly isRewind: boolean; readonly now: Microseconds }): void {
    for (const bound of [this.bound, this.#audible]) {
      if (isRewind) bound.rewind(timestamp, now);
      bound.sent(timestamp, now);
    }
  }

  /** Accepts the first listener's claim to be at `playhead`. */
  begin(playhead: Microseconds, now: Microseconds): void {
    for (const bound of [this.bound, this.#audible]) bound.begin(playhead, now);
  }

  /**
   * How far a player that never stalls has heard audio by now. A waiting player's playhead may have run on through
   * silence, past where audio was then sent. Undefined before anything was sent.
   */
  audible(now: Microseconds): Microseconds | undefined {
    const sent = this.#audible.unstalled(now);
    return sent && microseconds(Math.max(0, sent - this.transit.most));
  }

  /** Forgets all listeners: a new session, perhaps to another relay. */
  reset(): void {
    this.transit.reset();
    this.#toRelay = 0;
    this.#startedOver = undefined;
    this.#follow(undefined);
    for (const waiter of this.#waiters) waiter.resolve();
  }

  #follow(source: object | undefined): void {
    this.#source = source;
    this.#last = undefined;
    this.#staleness.reset();
    this.#earliest.reset();
    this.#latest.reset();
  }

  get listeners(): number {
    return this.#fresh?.listeners ?? 0;
  }

  /** How much longer than on a short path the listeners' answers may take: 0 on a short one, at most 2.8 s. */
  get allowance(): Microseconds {
    const roundTrip = Math.min(Math.max(this.transit.most, this.#toRelay), LONGEST);
    return microseconds(Math.max(0, roundTrip - SHORT));
  }

  /** Takes the round trip to the relay: while listeners stall, it is known better than theirs, which is no shorter. */
  relayAnswers(roundTrip: Microseconds): void {
    this.#toRelay = roundTrip;
  }

  /** Whether at least one listener plays. */
  get playing(): boolean {
    return this.#fresh?.playing ?? false;
  }

  /** The last aggregate, unless it is too old to trust. */
  get #fresh(): Aggregate | undefined {
    return this.#silence > SILENCE ? undefined : this.#last;
  }

  /** Whether the playheads' state is current, rather than projected from an old report. */
  isCurrent(now: Microseconds): boolean {
    return now - this.#arrival < PROJECTED;
  }

  /** Earliest playhead now, never far behind the latest; undefined without reports. */
  earliest(now: Microseconds): Microseconds | undefined {
    const earliest = this.#playhead(this.#earliest, now);
    const latest = this.latest(now);
    return earliest === undefined || latest === undefined
      ? undefined
      : microseconds(Math.min(latest, Math.max(earliest, latest - MAX_LAG)));
  }

  /** Latest playhead now; undefined without reports. */
  latest(now: Microseconds): Microseconds | undefined {
    return this.#playhead(this.#latest, now);
  }

  /**
   * The furthest possible playhead now. One that stalled at its last report may have moved on at once, or skipped to
   * where a player is that never stalls. Undefined without reports.
   */
  furthest(now: Microseconds): Microseconds | undefined {
    const latest = this.latest(now);
    if (latest === undefined || this.playing || this.isStartingOver(now)) return latest;
    const moving = this.bound.limit(microseconds(latest + now - this.#playheadAt), now);
    return microseconds(Math.max(moving, this.bound.unstalled(now) ?? moving));
  }

  /**
   * All audio from `to` on just became stale. Listeners past it start over with the next frame. Until their reports
   * show that, the playheads count as being there.
   */
  startOver(to: Microseconds, now: Microseconds): void {
    const earliest = this.earliest(now);
    const until = now + START_OVER + this.allowance;
    if (earliest !== undefined && to <= earliest + HALF_SAMPLE_US) this.#startedOver = { to, at: now, until };
  }

  /** Whether the playheads are assumed after a rewind rather than reported. */
  isStartingOver(now: Microseconds): boolean {
    return this.#startedOver !== undefined && now < this.#startedOver.until;
  }

  #playhead(clock: PlayheadClock, now: Microseconds): Microseconds | undefined {
    if (this.listeners === 0) return undefined;
    if (this.#startedOver === undefined || !this.isStartingOver(now)) {
      const claimed = clock.at(now);
      // Before anything was sent, a listener can only speak of an earlier publisher of the name: audio that waited for
      // its playhead would never be sent, so that the listener would never learn of this one.
      return claimed && this.bound.at(now) && this.bound.limit(claimed, now);
    }
    return microseconds(this.#startedOver.to + now - this.#startedOver.at);
  }

  /**
   * Waits until every listener of the last aggregate has reported the rewind just {@link rewound}, at most `limitMs` and
   * the {@link allowance}, which {@link pass} counts. A listener without a report gets the projection of its playhead at the call, never beyond
   * what it had received.
   */
  async heard(limitMs: number): Promise<HeardListener[]> {
    const now = this.#clock();
    const before = new Map<number, Interrupted>();
    for (const listener of this.#fresh?.listed ?? []) {
      // Of two listeners with the same id, the first: it was there before.
      if (!before.has(listener.session)) before.set(listener.session, this.#interrupted(listener, now));
    }
    if (before.size === 0) return [];
    const heard = new Map<number, HeardListener>();
    const { allowance } = this;
    const rewinds = this.#rewinds.total;
    if (limitMs > 0) await this.#settled({ before, heard, settled: new Set(), rewinds, limitMs, allowance });
    return [...before].map(
      ([session, { projected }]) => heard.get(session) ?? { session, heardUntil: projected, measured: false },
    );
  }

  /**
   * Lets time pass without a report, and ends the waits that have lasted long enough. The clock would count time in
   * which this process stood still, with reports that it has not read.
   */
  pass(time: Microseconds): void {
    this.#silence += time;
    for (const waiter of this.#waiters) {
      waiter.left -= time;
      waiter.grace -= time;
      if (Math.min(waiter.left, waiter.grace) <= 0) waiter.resolve();
    }
  }

  #interrupted(listener: ListedListener, now: Microseconds): Interrupted {
    const { session, playhead, discontinuity } = listener;
    const run = this.playing ? now - this.#playheadAt : 0;
    const limit = listener.receivedUntil ?? playhead + run;
    const expected = this.#rewinds.expected(session, now);
    return { discontinuity, expected, projected: microseconds(Math.min(playhead + run, limit)) };
  }

  async #settled(waiting: Omit<Waiter, "resolve" | "grace" | "left">): Promise<void> {
    const [oldest] = this.#waiters;
    if (this.#waiters.size >= MAX_WAITERS) oldest?.resolve();
    await new Promise<void>((resolve) => {
      const waiter: Waiter = {
        ...waiting,
        grace: Number.POSITIVE_INFINITY,
        left: fromMilliseconds(waiting.limitMs) + waiting.allowance,
        resolve: () => {
          this.#waiters.delete(waiter);
          resolve();
        },
      };
      this.#waiters.add(waiter);
    });
  }

  #settle(aggregate: Aggregate): void {
    const present = new Set(aggregate.listed.map(({ session }) => session));
    const isGone = (session: number) => aggregate.listeners === aggregate.listed.length && !present.has(session);
    for (const waiter of this.#waiters) {
      this.#note(waiter, aggregate.listed);
      const { before, settled } = waiter;
      const isComplete = [...before.keys()].every((session) => settled.has(session) || isGone(session));
      if (isComplete) waiter.resolve();
    }
  }

  #note(waiter: Waiter, listed: readonly ListedListener[]): void {
    const { before, heard, settled } = waiter;
    for (const { session, discontinuity, heardUntil } of listed) {
      const then = before.get(session);
      if (then === undefined || heardUntil === undefined || discontinuity <= then.discontinuity) continue;
      if (settled.has(session)) continue;
      if (discontinuity >= then.expected) settled.add(session);
      // A later rewind's report says nothing about the timeline that this one cut off.
      const isLater = discontinuity > then.expected && this.#rewinds.total > waiter.rewinds;
      if (isLater && heard.has(session)) continue;
      if (!heard.has(session)) waiter.grace = fromMilliseconds(GRACE * waiter.limitMs) + waiter.allowance;
      const position = isLater ? { heardUntil: then.projected, measured: false } : { heardUntil, measured: true };
      heard.set(session, { session, ...position });
    }
  }
}
