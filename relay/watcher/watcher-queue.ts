import { fromMilliseconds, type Microseconds } from "../../base/index.js";
import type { SkipReason } from "../../flow/congestion/index.js";
import { ByteBudget } from "../broadcast/byte-budget.js";

/** A waiting group. */
export interface Waiting {
  readonly sequence: number;
  /** Media time of its first frame; undefined when the version carries none. */
  readonly timestamp: Microseconds | undefined;
  /** Its size in bytes when last measured: a waiting group may grow. */
  bytes: number;
  /** When it was queued. */
  readonly since: Microseconds;
  /** Goes first and past the window: the first group of an epoch. */
  readonly urgent: boolean;
}

/** State of a watcher when the next group is chosen. */
export interface WatcherState {
  readonly now: Microseconds;
  /** Its projected playhead, when it reports one. */
  readonly playhead: Microseconds | undefined;
  /** Bytes sent and not yet acknowledged. */
  readonly inFlightBytes: number;
  /** Maximum bytes in flight; undefined for a watcher that never reports. */
  readonly windowBytes: number | undefined;
  /** Streams that wait for the transport. */
  readonly busyStreams: number;
  /** How long a group may wait for a full window; undefined where it may wait until it is too late. */
  readonly maxWait?: Microseconds | undefined;
  /** Groups from this media time on can wait; undefined when all may go. */
  readonly until?: Microseconds | undefined;
}

export interface WatcherQueueOptions {
  /** Groups that may wait. Default 1024. */
  readonly maxGroups?: number;
  /** Bytes that may wait. Default 1 MiB. */
  readonly maxBytes?: number;
  /** Bytes that may wait for its whole session. */
  readonly session?: ByteBudget;
  /** How long a group may wait while no playhead is known. Default 2 s. */
  readonly maxAge?: Microseconds;
  /** Streams that may wait for the transport at once. Default 16. */
  readonly maxBusyStreams?: number;
}

/** A group that the queue dropped, and the reason. */
export interface Dropped<T extends Waiting> {
  readonly group: T;
  readonly reason: SkipReason;
}

/**
 * The groups that wait for one watcher of one track, in sequence order, and the rule for the next one. Pure: without
 * streams or a clock.
 */
export class WatcherQueue<T extends Waiting> {
  readonly #maxGroups: number;
  readonly #budget: ByteBudget;
  readonly #maxAge: Microseconds;
  readonly #maxBusyStreams: number;
  #groups: T[] = [];
  #dropped: Dropped<T>[] = [];

  constructor(options: WatcherQueueOptions = {}) {
    this.#maxGroups = options.maxGroups ?? 1024;
    this.#budget = new ByteBudget(options.maxBytes ?? 1024 * 1024, options.session);
    this.#maxAge = options.maxAge ?? fromMilliseconds(2000);
    this.#maxBusyStreams = options.maxBusyStreams ?? 16;
  }

  /** Groups that wait. */
  get length(): number {
    return this.#groups.length;
  }

  /** Bytes that wait. */
  get bytes(): number {
    return this.#budget.usedBytes;
  }

  /** The group that goes next, unless it is dropped before. */
  get next(): T | undefined {
    return this.#groups[0];
  }

  /** Adds a group in its place; at a bound it drops the oldest group that is not urgent. */
  push(group: T): void {
    let index = this.#groups.length;
    while (index > 0 && follows(this.#groups[index - 1]!, group)) index--;
    this.#groups.splice(index, 0, group);
    this.#budget.add(group.bytes);
    this.#enforce();
  }

  /** Measures the size of the groups again. */
  measure(bytesOf: (group: T) => number): void {
    if (this.#groups.length === 0) return;
    for (const group of this.#groups) {
      const bytes = bytesOf(group);
      this.#budget.add(bytes - group.bytes);
      group.bytes = bytes;
    }
    this.#enforce();
  }

  #enforce(): void {
    while (this.#groups.length > this.#maxGroups || this.#budget.exceeded) {
      // A single one may be too large for its watcher, but not for the session.
      if (this.#groups.length === 1 && !this.#budget.crowded) break;
      const victim = this.#groups.findIndex((waiting) => !waiting.urgent);
      this.#remove(victim === -1 ? 0 : victim, "overflow");
    }
  }

  /** Removes and returns the next group that may go now; drops groups that are no longer worth sending. */
  take(state: WatcherState): T | undefined {
    this.expire(state);
    const next = this.#groups[0];
    if (next === undefined || state.busyStreams >= this.#maxBusyStreams) return undefined;
    if (!next.urgent && state.windowBytes !== undefined && state.inFlightBytes > state.windowBytes) return undefined;
    if (!next.urgent && state.until !== undefined && (next.timestamp ?? 0) >= state.until) return undefined;
    this.#groups.shift();
    this.#budget.add(-next.bytes);
    return next;
  }

  /** Drops groups that are too late, with a full window or without one, or waited too long. */
  expire({ now, playhead, inFlightBytes, windowBytes, maxWait }: WatcherState): void {
    const held = windowBytes !== undefined && inFlightBytes > windowBytes;
    for (let index = this.#groups.length - 1; index >= 0; index--) {
      const { timestamp, since, urgent } = this.#groups[index]!;
      if (held && !urgent && maxWait !== undefined && now - since > maxWait) {
        this.#remove(index, "window");
      } else if (playhead !== undefined && timestamp !== undefined) {
        // The group that is audible now still matters; the one before it does not.
        const following = this.#groups[index + 1]?.timestamp;
        const over = following === undefined ? now - since > this.#maxAge : following <= playhead;
        if (timestamp < playhead && over) this.#remove(index, held ? "window" : "passed");
      } else if (now - since > this.#maxAge) {
        this.#remove(index, "age");
      }
    }
  }

  /** Returns the groups dropped since the last call. */
  takeDropped(): readonly Dropped<T>[] {
    return this.#dropped.length === 0 ? NONE : this.#dropped.splice(0);
  }

  discard(isStale: (group: T) => boolean): void {
    for (let index = this.#groups.length - 1; index >= 0; index--)
      if (isStale(this.#groups[index]!)) this.#remove(index, "stale");
  }

  /** Clears the queue, uncounted. */
  clear(): void {
    this.#groups = [];
    this.#budget.add(-this.#budget.usedBytes);
  }

  #remove(index: number, reason: SkipReason): void {
    const [group] = this.#groups.splice(index, 1);
    if (group === undefined) return;
    this.#budget.add(-group.bytes);
    this.#dropped.push({ group, reason });
  }
}

const NONE: readonly never[] = [];

// Urgent groups come first, newer epochs before older ones; the rest is in sequence order.
function follows(a: Waiting, b: Waiting): boolean {
  if (a.urgent !== b.urgent) return b.urgent;
  return a.urgent ? a.sequence < b.sequence : a.sequence > b.sequence;
}
