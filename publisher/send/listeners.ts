import { type Clock, fromMilliseconds, fromSeconds, type Microseconds, microseconds } from "../../base/index.js";
import {
  LeadController,
  type LeadMode,
  PlayheadBound,
  PlayheadClock,
  StalenessEstimator,
} from "../../flow/playhead/index.js";
import { type Aggregate, type ListedListener, MAX_LAG } from "../../flow/report/index.js";
import { Transit } from "./transit.js";

/** What one listener heard when it was interrupted. */
export interface HeardListener {
  /** The player's random session id. */
  readonly session: number;
  /** Media time up to which it heard the taken-back timeline. */
  readonly heardUntil: Microseconds;
  /** True when it reported this itself; false when it is our projection of its playhead. */
  readonly measured: boolean;
}

/** Options of {@link Listeners}. */
export interface ListenersOptions {
  readonly clock: Clock;
  /** Default `gated`. */
  readonly leadMode?: LeadMode;
  /** Whether reports are taken to be as old as they are found to be. Default true. */
  readonly staleness?: boolean;
}

/** Without an aggregate for longer, nobody is known to listen. */
const SILENCE = fromSeconds(3);
/** A report older than that says little about where a playhead is by now: a playhead may stand still. */
const PROJECTED = fromMilliseconds(500);
/** A cut lies on a sample, up to half of one behind the moment it is meant for. */
const HALF_SAMPLE_US = 11;
/** How long the word of the others is waited for once one has come: a listener that never gives its own holds nobody up. */
const GRACE = fromMilliseconds(300);
/** How long after a rewind reports of before it are still expected. */
const START_OVER = fromSeconds(1);

/** Calls of `heard` that wait at once; of more the oldest is answered with what is known. */
const MAX_WAITERS = 16;

/** A listener as it was when a rewind was made. */
interface Interrupted {
  readonly discontinuity: number;
  /** Its count of rewinds once it has applied this one too, unless it takes several for one. */
  readonly expected: number;
  readonly projected: Microseconds;
}

interface Waiter {
  readonly before: ReadonlyMap<number, Interrupted>;
  /** What was reported since, by session; of this rewind where the listener is among the `settled`. */
  readonly heard: Map<number, HeardListener>;
  readonly settled: Set<number>;
  readonly resolve: () => void;
  /** When the last of them reported. */
  heardAt: number;
}

/** What the relay's aggregates tell about the listeners: where their playheads are, how early audio lands, what was heard. */
export class Listeners {
  /** How far ahead of the playhead to be. */
  readonly lead: LeadController;
  /** How far a listener can be by what was sent to the relay, whatever the relay says. */
  readonly bound = new PlayheadBound();
  /** How long groups are on their way. */
  readonly transit = new Transit();
  readonly #clock: Clock;
  readonly #estimates: boolean;
  readonly #staleness = new StalenessEstimator();
  readonly #earliest = new PlayheadClock();
  readonly #latest = new PlayheadClock();
  /** Where the aggregates come from at the moment; what is remembered of another sender's clock and count tells nothing. */
  #source: object | undefined;
  #last: Aggregate | undefined;
  #arrival = 0;
  #playheadAt = 0;
  #startedOver: { readonly to: Microseconds; readonly at: Microseconds } | undefined;
  readonly #waiters = new Set<Waiter>();

  constructor({ clock, leadMode = "gated", staleness = true }: ListenersOptions) {
    this.#clock = clock;
    this.lead = new LeadController({ mode: leadMode });
    this.#estimates = staleness;
  }

  /**
   * Takes an aggregate that just arrived. `source` stands for its sender: each has a clock, a count and, after a restart,
   * listeners of its own, so nothing measured of one is held against another. `now`: when it arrived.
   */
  observe(aggregate: Aggregate, source: object, now: Microseconds = this.#clock()): void {
    if (source !== this.#source) this.#follow(source);
    const last = this.#last;
    if (aggregate.worstLead !== undefined && aggregate.worstLeadGroup !== undefined) {
      this.lead.observe({ lead: aggregate.worstLead, group: aggregate.worstLeadGroup, at: now });
      this.transit.landed(aggregate.worstLeadGroup, aggregate.worstLead);
    }
    this.#settle(aggregate);
    if (last !== undefined && isOvertaken(aggregate, last)) return;
    const estimated = this.#staleness.observe(fromMilliseconds(aggregate.relayTimeMs), now);
    const staleness = this.#estimates ? estimated : microseconds(0);
    this.#last = aggregate;
    this.#arrival = now;
    this.#playheadAt = now - staleness;
    if (aggregate.listeners === 0) {
      this.#earliest.reset();
      this.#latest.reset();
      return;
    }
    const moved = last !== undefined && aggregate.discontinuity !== last.discontinuity;
    if (moved) this.#startedOver = undefined;
    const sample = { playing: aggregate.playing, arrival: now, staleness, moved };
    this.#earliest.observe({ ...sample, playhead: aggregate.earliest });
    this.#latest.observe({ ...sample, playhead: aggregate.latest });
  }

  /** Forgets everything: a new session, perhaps to another relay. */
  reset(): void {
    this.transit.reset();
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

  /** Listeners that report. */
  get listeners(): number {
    return this.#fresh?.listeners ?? 0;
  }

  /** Whether any of them plays. */
  get playing(): boolean {
    return this.#fresh?.playing ?? false;
  }

  /** The last aggregate, unless it is too old to believe. */
  get #fresh(): Aggregate | undefined {
    return this.#clock() - this.#arrival > SILENCE ? undefined : this.#last;
  }

  /** Whether the playheads are known to move or to stand still, and not only projected from an old report. */
  isCurrent(now: Microseconds): boolean {
    return now - this.#arrival < PROJECTED;
  }

  /** Earliest playhead now, never far behind the latest; undefined with nobody reporting. */
  earliest(now: Microseconds): Microseconds | undefined {
    const earliest = this.#playhead(this.#earliest, now);
    const latest = this.latest(now);
    return earliest === undefined || latest === undefined
      ? undefined
      : microseconds(Math.min(latest, Math.max(earliest, latest - MAX_LAG)));
  }

  /** Latest playhead now; undefined with nobody reporting. */
  latest(now: Microseconds): Microseconds | undefined {
    return this.#playhead(this.#latest, now);
  }

  /**
   * The furthest that a playhead can be now: one that stood still when it was last reported has perhaps begun to move.
   * Undefined with nobody reporting.
   */
  furthest(now: Microseconds): Microseconds | undefined {
    const latest = this.latest(now);
    if (latest === undefined || this.playing || this.isStartingOver(now)) return latest;
    const projected = this.bound.limit(microseconds(latest + now - this.#playheadAt), now);
    // A report that is on its way may tell of a standstill that has ended since.
    return microseconds(Math.max(projected, this.bound.furthest(now) ?? projected));
  }

  /**
   * All from `to` on was just taken back. Whoever is past it starts over with the first frame that comes, so until the
   * reports tell of that, the playheads are taken to be there.
   */
  startOver(to: Microseconds, now: Microseconds): void {
    const earliest = this.earliest(now);
    if (earliest !== undefined && to <= earliest + HALF_SAMPLE_US) this.#startedOver = { to, at: now };
  }

  /** Whether the playheads are assumed after a rewind rather than reported. */
  isStartingOver(now: Microseconds): boolean {
    return this.#startedOver !== undefined && now - this.#startedOver.at < START_OVER;
  }

  #playhead(clock: PlayheadClock, now: Microseconds): Microseconds | undefined {
    if (this.listeners === 0) return undefined;
    if (this.#startedOver === undefined || !this.isStartingOver(now)) {
      const claimed = clock.at(now);
      return claimed && this.bound.limit(claimed, now);
    }
    return microseconds(this.#startedOver.to + now - this.#startedOver.at);
  }

  /**
   * Waits until every listener named in the last aggregate has reported a rewind after this call, at most `limitMs`.
   * Who doesn't report it is given the projection of its playhead at the call, never beyond what it had received.
   */
  async heard(limitMs: number): Promise<HeardListener[]> {
    const now = this.#clock();
    const before = new Map<number, Interrupted>();
    for (const listener of this.#fresh?.listed ?? []) {
      // Of two that go by the same id the first one: it was there before.
      if (!before.has(listener.session)) before.set(listener.session, this.#interrupted(listener, now));
    }
    if (before.size === 0) return [];
    const heard = new Map<number, HeardListener>();
    if (limitMs > 0) await this.#settled({ before, heard, settled: new Set() }, limitMs);
    return [...before].map(
      ([session, { projected }]) => heard.get(session) ?? { session, heardUntil: projected, measured: false },
    );
  }

  #interrupted(listener: ListedListener, now: Microseconds): Interrupted {
    const { session, playhead, discontinuity } = listener;
    const run = this.playing ? now - this.#playheadAt : 0;
    const limit = listener.receivedUntil ?? playhead + run;
    const pending = [...this.#waiters].filter(({ before, settled }) => before.has(session) && !settled.has(session));
    const expected = discontinuity + pending.length + 1;
    return { discontinuity, expected, projected: microseconds(Math.min(playhead + run, limit)) };
  }

  async #settled(waiting: Omit<Waiter, "resolve" | "heardAt">, limitMs: number): Promise<void> {
    const [oldest] = this.#waiters;
    if (this.#waiters.size >= MAX_WAITERS) oldest?.resolve();
    await new Promise<void>((resolve) => {
      const waiter: Waiter = {
        ...waiting,
        heardAt: Number.POSITIVE_INFINITY,
        resolve: () => {
          clearTimeout(timer);
          this.#waiters.delete(waiter);
          resolve();
        },
      };
      const timer = setTimeout(waiter.resolve, limitMs);
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
      if (isComplete || this.#clock() - waiter.heardAt > GRACE) waiter.resolve();
    }
  }

  #note(waiter: Waiter, listed: readonly ListedListener[]): void {
    const { before, heard, settled } = waiter;
    for (const { session, discontinuity, heardUntil } of listed) {
      const then = before.get(session);
      if (then === undefined || heardUntil === undefined || discontinuity <= then.discontinuity) continue;
      if (settled.has(session)) continue;
      if (!heard.has(session)) waiter.heardAt = this.#clock();
      heard.set(session, { session, heardUntil, measured: true });
      if (discontinuity >= then.expected) settled.add(session);
    }
  }
}

/** Whether an aggregate was made before one that came first: by its sender's clock, because a count may begin again. */
function isOvertaken(aggregate: Aggregate, last: Aggregate): boolean {
  if (aggregate.relayTimeMs !== last.relayTimeMs) return aggregate.relayTimeMs < last.relayTimeMs;
  return aggregate.aggregateId <= last.aggregateId;
}
