import { fromMilliseconds, fromSeconds, type Microseconds, microseconds } from "../../base/index.js";
import { type Aggregate, type ListedListener, MAX_LAG } from "../../flow/report/index.js";
import { type Heard, MissedAudio } from "./missed-audio.js";

/** Position of one listener on the broadcast's timeline. */
export interface ListenerPlayhead extends Heard {
  /** The listener's random session id. */
  readonly id: number;
}

/** Positions of the listeners. */
export interface Playheads {
  /** The earliest listener that plays, as far as it has received audio. */
  readonly earliest: Microseconds;
  /** The same listener's playhead, which in silence may have passed audio that is late. */
  readonly passed: Microseconds;
  /** True when listeners reported it; false for the clock's estimate. */
  readonly measured: boolean;
  /** At most 24 of them. */
  readonly listeners: readonly ListenerPlayhead[];
  /** Whether one of those that count may stand still: then `passed` is a projection. */
  readonly isOverdue: boolean;
  /** Those among which `earliest` is; empty where not all are known. */
  readonly counted: readonly ListenerPlayhead[];
  /** Whether these are all. */
  readonly isComplete: boolean;
}

interface Rewind {
  readonly to: Microseconds;
  readonly at: Microseconds;
  /** How long a listener may take to report it. */
  readonly wait: number;
  /** By listener id: the count of rewinds that shows it has applied this one. */
  readonly needed: ReadonlyMap<number, number>;
  /** By listener id: the count of rewinds until then. */
  readonly before: ReadonlyMap<number, number>;
}

interface Waiter {
  readonly to: Microseconds;
  readonly resolve: () => void;
  /** How much longer it waits. */
  left: number;
}

/** After this long without an aggregate, no listener is known: time in which the process stood still does not count. */
const SILENCE = fromSeconds(3);
/**
 * A listener may count several rewinds as one: after this time, on a short path, its playhead counts as on the new
 * timeline.
 */
const APPLIED = fromSeconds(1);
/** The same for one that has counted none since: the new timeline may be held up, and it plays the old one. */
const UNAPPLIED = fromSeconds(5);
/** The playhead of a stalled listener lies this far behind those that play, and must delay nothing. */
const BEHIND = fromMilliseconds(1);
/** A listener that ran on in silence, so far past audio that another one had, does not count. */
const MISSING = fromSeconds(1);
/** Rewinds remembered while no listener reports; beyond this, the oldest are dropped. */
const MAX_REWINDS = 16;
/** Listeners remembered; the ones that reported longest ago are forgotten first. */
const MAX_LISTENERS = 1024;
/** Stands for all listeners where an aggregate doesn't name each of them. */
const ALL = -1;

/**
 * Positions of the listeners, from their reports alone. It never projects, so no progress has to be revised. The
 * playhead of a player without audio may run on through silence: it counts as far as audio can be audible. After a
 * rewind a playhead may still be on the old timeline: until the listener reports the rewind, it counts only as far as
 * both timelines agree.
 */
export class Playback {
  #last: Aggregate | undefined;
  /** Rewinds of each listener when any reported last: one that left may come back before it gets a later rewind. */
  #counts: ReadonlyMap<number, number> = new Map();
  /** When listeners began to report, after none did. */
  #backAt = 0;
  #arrival = 0;
  #silence = 0;
  #audible: number = Number.POSITIVE_INFINITY;
  /** Up to where each listener had audio, by id: one that comes back has another state at the relay. */
  readonly #received = new Map<number, number>();
  readonly #missed = new MissedAudio();
  #rewinds: readonly Rewind[] = [];
  readonly #waiters = new Set<Waiter>();

  /** Takes a new aggregate. `audible`: how far a player that never stalls has heard audio. */
  observe(
    aggregate: Aggregate,
    { audible, now }: { readonly audible?: Microseconds | undefined; readonly now: Microseconds },
  ): void {
    if (aggregate.listeners > 0 && !this.#last?.listeners) this.#backAt = now;
    for (const one of aggregate.listed) this.#receive(one);
    this.#last = aggregate;
    this.#arrival = now;
    this.#silence = 0;
    this.#audible = audible ?? Number.POSITIVE_INFINITY;
    if (aggregate.listeners > 0) this.#counts = countsOf(aggregate);
    this.#forget(now);
    this.#missed.observe(aggregate, (id) => this.#limit(id, now));
    const earliest = this.playheads(now)?.earliest ?? Number.POSITIVE_INFINITY;
    for (const waiter of this.#waiters) if (waiter.to <= earliest) this.#end(waiter);
  }

  /**
   * All audio from `to` on just became stale. Returns how far a listener can have heard that audio when its later
   * reports only mention an earlier rewind: up to the earlier cut, because it played no further on this timeline.
   * `allowance`: how much longer than on a short path reports may take.
   */
  rewound(to: Microseconds, now: Microseconds, allowance = microseconds(0)): (id: number) => number {
    this.#forget(now);
    for (const [id, until] of this.#received) this.#received.set(id, Math.min(until, to));
    this.#missed.rewound(to);
    const needed = new Map<number, number>();
    const earlier = new Map<number, number>();
    for (const [id, count] of this.#counts) {
      const pending = this.#pending(id, now);
      needed.set(id, count + pending.length + 1);
      earlier.set(id, Math.min(...pending.map((rewind) => rewind.to)));
    }
    this.#rewinds = [...this.#rewinds, { to, at: now, wait: APPLIED + allowance, needed, before: this.#counts }];
    const isApplied = (id: number) => (this.#counts.get(id) ?? 0) >= (needed.get(id) ?? 0);
    return (id) => (isApplied(id) ? Number.POSITIVE_INFINITY : (earlier.get(id) ?? Number.POSITIVE_INFINITY));
  }

  /** When the last aggregate arrived. */
  get arrival(): number {
    return this.#arrival;
  }

  /** Resolves once the earliest listener reports `to`, or when none is left, or once `limit` has passed. */
  async reached(to: Microseconds, limit: Microseconds): Promise<void> {
    if (this.#last === undefined || this.#last.listeners === 0) return;
    await new Promise<void>((resolve) => {
      this.#waiters.add({ to, resolve, left: limit });
    });
  }

  /** Lets time pass for the calls that wait for reports, and ends the waits that have lasted long enough. */
  pass(time: Microseconds): void {
    this.#silence += time;
    for (const waiter of this.#waiters) {
      waiter.left -= time;
      if (waiter.left <= 0) this.#end(waiter);
    }
  }

  /** Forgets all listeners: a new session, perhaps to another relay. */
  reset(): void {
    this.#last = undefined;
    this.#counts = new Map();
    this.#rewinds = [];
    for (const waiter of this.#waiters) this.#end(waiter);
  }

  /** Listeners that report. */
  get count(): number {
    return this.#silence > SILENCE ? 0 : (this.#last?.listeners ?? 0);
  }

  /** The listeners' last reports; undefined without any. */
  playheads(now: Microseconds): Playheads | undefined {
    const last = this.#last;
    if (last === undefined || this.count === 0) return undefined;
    const limited = (id: number, playhead: number): Microseconds =>
      microseconds(Math.min(playhead, this.#limit(id, now)));
    const all = last.listed.map((one) => {
      const heard = this.#heard(one);
      const isLate = this.#pending(one.session, now).some((rewind) => this.#age(rewind, now) >= rewind.wait);
      const { session: id, playhead, isOverdue } = one;
      return { id, playhead, heard, limited: limited(id, heard), isLate, isOverdue };
    });
    const furthest = Math.max(...all.map((one) => one.limited));
    const there = all
      .filter(({ playhead }) => playhead >= last.earliest - BEHIND)
      .filter(({ playhead, heard }) => heard >= furthest || playhead - furthest <= MISSING);
    const inTime = there.filter(({ isLate }) => !isLate);
    const counted = inTime.length > 0 ? inTime : there;
    const isComplete = all.length === last.listeners;
    const earliest =
      isComplete && counted.length > 0
        ? Math.max(furthest - MAX_LAG, Math.min(...counted.map((one) => one.limited)))
        : limited(ALL, Math.min(last.earliest, this.#audible));
    const listenersOf = (some: typeof all): readonly ListenerPlayhead[] =>
      some.map(({ id, limited }) => ({ id, playhead: limited, missed: this.#missed.of(id) }));
    return {
      earliest: microseconds(earliest),
      passed: limited(ALL, last.earliest),
      measured: true,
      isOverdue: counted.some((one) => one.isOverdue),
      listeners: listenersOf(all),
      counted: isComplete ? listenersOf(counted) : [],
      isComplete,
    };
  }

  /** Both timelines agree up to there, for a listener that may have rewinds still to apply. */
  #limit(id: number, now: Microseconds): number {
    return Math.min(Number.POSITIVE_INFINITY, ...this.#pending(id, now).map(({ to }) => to));
  }

  // Since it came back, a listener may have had nothing to play.
  #heard({ session, playhead, receivedUntil }: ListedListener): number {
    const received = receivedUntil ?? this.#received.get(session) ?? playhead;
    return received > playhead ? playhead : Math.min(received, this.#audible);
  }

  #receive({ session, playhead, receivedUntil }: ListedListener): void {
    const known = this.#received.get(session);
    this.#received.delete(session);
    this.#received.set(session, Math.max(receivedUntil ?? known ?? playhead, known ?? 0));
    const [oldest] = this.#received.keys();
    if (oldest === undefined || this.#received.size <= MAX_LISTENERS) return;
    this.#received.delete(oldest);
    this.#missed.forget(oldest);
  }

  #forget(now: Microseconds): void {
    const isPending = (rewind: Rewind) => [...rewind.needed.keys()].some((id) => this.#isPending(rewind, id, now));
    this.#rewinds = this.#rewinds.filter(isPending).slice(-MAX_REWINDS);
  }

  /** The rewinds that a listener may have still to apply. */
  #pending(id: number, now: Microseconds): readonly Rewind[] {
    return this.#rewinds.filter((rewind) => this.#isPending(rewind, id, now));
  }

  #isPending(rewind: Rewind, id: number, now: Microseconds): boolean {
    const before = rewind.before.get(id) ?? 0;
    const count = this.#counts.get(id) ?? before;
    if (count >= (rewind.needed.get(id) ?? 0)) return false;
    const isUnapplied = id !== ALL && count === before;
    return this.#age(rewind, now) < (isUnapplied ? Math.max(UNAPPLIED, rewind.wait) : rewind.wait);
  }

  /** While no listener reports, rewinds do not get older. */
  #age({ at }: Rewind, now: Microseconds): number {
    return this.#last?.listeners ? now - Math.max(at, this.#backAt) : 0;
  }

  #end(waiter: Waiter): void {
    this.#waiters.delete(waiter);
    waiter.resolve();
  }
}

function countsOf(aggregate: Aggregate): Map<number, number> {
  const counts = new Map(aggregate.listed.map(({ session, discontinuity }) => [session, discontinuity]));
  return counts.set(ALL, aggregate.discontinuity);
}
