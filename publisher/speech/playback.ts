import { fromMilliseconds, fromSeconds, guard, type Microseconds, microseconds } from "../../base/index.js";
import type { Aggregate } from "../../flow/report/index.js";

/** How far one listener is on the broadcast's timeline. */
export interface ListenerPlayhead {
  /** The listener's random session id. */
  readonly id: number;
  readonly playhead: Microseconds;
}

/** How far the listeners are. */
export interface Playheads {
  /** The earliest of those that play, as far as they have received audio. */
  readonly earliest: Microseconds;
  /** True when listeners reported it; false for the clock's estimate. */
  readonly measured: boolean;
  /** At most 24 of them. */
  readonly listeners: readonly ListenerPlayhead[];
}

interface Rewind {
  readonly to: Microseconds;
  readonly at: Microseconds;
  /** What each listener's count of rewinds reaches once it has applied this one, by id. */
  readonly needed: ReadonlyMap<number, number>;
}

interface Waiter {
  readonly to: Microseconds;
  readonly resolve: () => void;
}

/** Without an aggregate for longer, no listener is known. */
const SILENCE = fromSeconds(3);
/** A listener may count several rewinds as one: after this time its playhead is taken to be on the new timeline. */
const APPLIED = fromSeconds(1);
/** The playhead of a listener that stands still lies behind those that play, and holds nothing up. */
const BEHIND = fromMilliseconds(1);
/** Stands for all listeners where an aggregate doesn't name every one of them. */
const ALL = -1;

/**
 * How far the listeners are, as they report it and never as a projection of ours, so that no progress has to be revised.
 * After a rewind a playhead may still run on the old timeline: until the listener reports the rewind, it counts only as
 * far as both timelines agree.
 */
export class Playback {
  #last: Aggregate | undefined;
  #arrival = 0;
  #rewinds: readonly Rewind[] = [];
  readonly #waiters = new Set<Waiter>();

  /** Takes an aggregate that just arrived. */
  observe(aggregate: Aggregate, now: Microseconds): void {
    this.#last = aggregate;
    this.#arrival = now;
    const counts = countsOf(aggregate);
    this.#rewinds = this.#rewinds.filter(
      ({ at, needed }) =>
        now - at < APPLIED && [...needed].some(([id, need]) => (counts.get(id) ?? Number.POSITIVE_INFINITY) < need),
    );
    const earliest = this.playheads(now)?.earliest ?? Number.POSITIVE_INFINITY;
    for (const waiter of this.#waiters) if (waiter.to <= earliest) this.#end(waiter);
  }

  /**
   * All audio from `to` on was just taken back. Returns how far a listener can have heard what this rewind took back, when
   * all it reports since is an earlier rewind: to where that one cut, for it played no further on this timeline.
   */
  rewound(to: Microseconds, now: Microseconds): (id: number) => number {
    const needed = new Map<number, number>();
    const earlier = new Map<number, number>();
    for (const [id, count] of this.#last === undefined ? [] : countsOf(this.#last)) {
      const pending = this.#rewinds.filter((rewind) => (rewind.needed.get(id) ?? 0) > count);
      needed.set(id, count + pending.length + 1);
      earlier.set(id, Math.min(...pending.map((rewind) => rewind.to)));
    }
    this.#rewinds = [...this.#rewinds, { to, at: now, needed }];
    const isApplied = (id: number) =>
      this.#last !== undefined && (countsOf(this.#last).get(id) ?? 0) >= (needed.get(id) ?? 0);
    return (id) => (isApplied(id) ? Number.POSITIVE_INFINITY : (earlier.get(id) ?? Number.POSITIVE_INFINITY));
  }

  /** Resolves once the earliest listener reports `to`, or when none is left, or after `limitMs`. */
  async reached(to: Microseconds, limitMs: number): Promise<void> {
    if (this.#last === undefined || this.#last.listeners === 0) return;
    await new Promise<void>((resolve) => {
      const end = guard("publisher.playback", () => this.#end(waiter));
      const timer = setTimeout(end, limitMs);
      const waiter = { to, resolve: () => resolve(clearTimeout(timer)) };
      this.#waiters.add(waiter);
    });
  }

  /** Forgets everything: a new session, perhaps to another relay. */
  reset(): void {
    this.#last = undefined;
    this.#rewinds = [];
    for (const waiter of this.#waiters) this.#end(waiter);
  }

  /** Listeners that report. */
  count(now: Microseconds): number {
    return now - this.#arrival > SILENCE ? 0 : (this.#last?.listeners ?? 0);
  }

  /** What the listeners reported last; undefined with none. */
  playheads(now: Microseconds): Playheads | undefined {
    const last = this.#last;
    if (last === undefined || this.count(now) === 0) return undefined;
    const counts = countsOf(last);
    const limited = (id: number, playhead: number): Microseconds => {
      const count = counts.get(id);
      const pending = this.#rewinds.filter(
        ({ at, needed }) => now - at < APPLIED && count !== undefined && (needed.get(id) ?? 0) > count,
      );
      return microseconds(Math.min(playhead, ...pending.map(({ to }) => to)));
    };
    const listeners = last.listed.map(({ session, playhead, receivedUntil }) => ({
      id: session,
      playhead: limited(session, Math.min(playhead, receivedUntil ?? playhead)),
    }));
    const isComplete = listeners.length === last.listeners;
    const counted = last.listed
      .map(({ playhead }, index) => ({ playhead, limited: listeners[index]!.playhead }))
      .filter(({ playhead }) => playhead >= last.earliest - BEHIND);
    const earliest =
      isComplete && counted.length > 0 ? Math.min(...counted.map((one) => one.limited)) : limited(ALL, last.earliest);
    return { earliest: microseconds(earliest), measured: true, listeners };
  }

  #end(waiter: Waiter): void {
    this.#waiters.delete(waiter);
    waiter.resolve();
  }
}

function countsOf(aggregate: Aggregate): Map<number, number> {
  const counts = new Map(aggregate.listed.map(({ session, discontinuity }) => [session, discontinuity]));
  if (aggregate.listeners > 0) counts.set(ALL, aggregate.discontinuity);
  return counts;
}
