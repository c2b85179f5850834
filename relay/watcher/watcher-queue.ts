import { fromMilliseconds, type Microseconds } from "../../base/index.js";
import type { SkipReason } from "../../flow/congestion/index.js";

/** A group that waits. */
export interface Waiting {
  readonly sequence: number;
  /** Media time of its first frame; undefined when the version carries none. */
  readonly timestamp: Microseconds | undefined;
  /** Bytes it takes, as of when it was measured last: a group that waits may grow. */
  bytes: number;
  /** When it was queued. */
  readonly since: Microseconds;
  /** Goes first and past the window: the first group of an epoch. */
  readonly urgent: boolean;
}

/** What is known of a watcher when it is decided what to send next. */
export interface WatcherState {
  readonly now: Microseconds;
  /** Its playhead projected to now, when it reports one. */
  readonly playhead: Microseconds | undefined;
  /** Bytes sent and not yet acknowledged. */
  readonly inFlightBytes: number;
  /** Bytes that may be in flight; undefined for a watcher that never reports. */
  readonly windowBytes: number | undefined;
  /** Streams that wait for the transport. */
  readonly busyStreams: number;
  /** How long a group may wait for a full window; undefined where it may wait until its moment has passed. */
  readonly maxWait?: Microseconds | undefined;
  /** Media time from which on groups are not needed yet and wait; undefined when all may go. */
  readonly until?: Microseconds | undefined;
}

/** Options for {@link WatcherQueue}. */
export interface WatcherQueueOptions {
  /** Groups that may wait. Default 1024. */
  readonly maxGroups?: number;
  /** Bytes that may wait. Default 1 MiB. */
  readonly maxBytes?: number;
  /** How long a group waits while no playhead is known. Default 2 s. */
  readonly maxAge?: Microseconds;
  /** Streams that may wait for the transport at once. Default 16. */
  readonly maxBusyStreams?: number;
}

/** A group that the queue dropped, and why. */
export interface Dropped<T extends Waiting> {
  readonly group: T;
  readonly reason: SkipReason;
}

/**
 * The groups that wait for one watcher of one track, in sequence order, and the rule that says which is next.
 * Pure: it knows no streams and no clock.
 */
export class WatcherQueue<T extends Waiting> {
  readonly #maxGroups: number;
  readonly #maxBytes: number;
  readonly #maxAge: Microseconds;
  readonly #maxBusyStreams: number;
  #groups: T[] = [];
  #dropped: Dropped<T>[] = [];
  #bytes = 0;

  constructor(options: WatcherQueueOptions = {}) {
    this.#maxGroups = options.maxGroups ?? 1024;
    this.#maxBytes = options.maxBytes ?? 1024 * 1024;
    this.#maxAge = options.maxAge ?? fromMilliseconds(2000);
    this.#maxBusyStreams = options.maxBusyStreams ?? 16;
  }

  /** Groups that wait. */
  get length(): number {
    return this.#groups.length;
  }

  /** Bytes that wait. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Adds a group at its place; where a bound is hit, the oldest group that is not urgent goes. */
  push(group: T): void {
    let index = this.#groups.length;
    while (index > 0 && follows(this.#groups[index - 1]!, group)) index--;
    this.#groups.splice(index, 0, group);
    this.#bytes += group.bytes;
    this.#enforce();
  }

  /** Measures again how many bytes the groups take. */
  measure(bytesOf: (group: T) => number): void {
    if (this.#groups.length === 0) return;
    this.#bytes = 0;
    for (const group of this.#groups) {
      group.bytes = bytesOf(group);
      this.#bytes += group.bytes;
    }
    this.#enforce();
  }

  #enforce(): void {
    while (this.#groups.length > this.#maxGroups || this.#bytes > this.#maxBytes) {
      if (this.#groups.length === 1) break;
      const victim = this.#groups.findIndex((waiting) => !waiting.urgent);
      this.#remove(victim === -1 ? 0 : victim, "overflow");
    }
  }

  /** Takes the next group that may go now; drops on the way those that are not worth it any more. */
  take(state: WatcherState): T | undefined {
    this.expire(state);
    const next = this.#groups[0];
    if (next === undefined || state.busyStreams >= this.#maxBusyStreams) return undefined;
    if (!next.urgent && state.windowBytes !== undefined && state.inFlightBytes > state.windowBytes) return undefined;
    if (!next.urgent && state.until !== undefined && (next.timestamp ?? 0) >= state.until) return undefined;
    this.#groups.shift();
    this.#bytes -= next.bytes;
    return next;
  }

  /** Drops the groups whose moment has passed, for a full window or without one, or that waited too long. */
  expire({ now, playhead, inFlightBytes, windowBytes, maxWait }: WatcherState): void {
    const held = windowBytes !== undefined && inFlightBytes > windowBytes;
    for (let index = this.#groups.length - 1; index >= 0; index--) {
      const { timestamp, since, urgent } = this.#groups[index]!;
      if (held && !urgent && maxWait !== undefined && now - since > maxWait) {
        this.#remove(index, "window");
      } else if (playhead !== undefined && timestamp !== undefined) {
        // The group that is being heard now still matters; the one before it does not.
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

  /** Drops the groups that a rewind made stale. */
  discard(isStale: (group: T) => boolean): void {
    for (let index = this.#groups.length - 1; index >= 0; index--)
      if (isStale(this.#groups[index]!)) this.#remove(index, "stale");
  }

  /** Forgets everything, uncounted. */
  clear(): void {
    this.#groups = [];
    this.#bytes = 0;
  }

  #remove(index: number, reason: SkipReason): void {
    const [group] = this.#groups.splice(index, 1);
    if (group === undefined) return;
    this.#bytes -= group.bytes;
    this.#dropped.push({ group, reason });
  }
}

const NONE: readonly never[] = [];

// Urgent groups stand first, the newest epoch's before an older one's; the rest stand in sequence order.
function follows(a: Waiting, b: Waiting): boolean {
  if (a.urgent !== b.urgent) return b.urgent;
  return a.urgent ? a.sequence < b.sequence : a.sequence > b.sequence;
}
