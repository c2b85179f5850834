import { type Microseconds, ProtocolError } from "../base/index.js";
import { epochOf, epochStart } from "./epoch.js";

/** A rewind that an observation brought to light. */
export interface Rewind {
  /** The first timestamp of the group that takes back: everything older at or after it is stale. */
  readonly from: Microseconds;
  /** The group that takes back. Only groups below it can have become stale. */
  readonly sequence: number;
  /**
   * True when this is an earlier start of a rewind already reported (its first group came late), false when it is a
   * new one.
   */
  readonly lowered: boolean;
}

/** What {@link RewindClassifier.observe} found out. */
export interface Observation {
  /** Whether the observed frame itself has been taken back by a newer group. */
  readonly stale: boolean;
  /** Present when older groups that were good so far have now been taken back: ask `isStale` again about what is held. */
  readonly rewind?: Rewind;
}

/** What is remembered of a group. */
interface Seen {
  readonly sequence: number;
  /** Timestamp of its first frame. */
  readonly first: Microseconds;
  /** Highest timestamp of its frames that were not stale when they came. */
  kept: number;
  /** Highest timestamp of all frames up to and including this group. */
  reached: number;
  /** Of the newer groups, the one that starts earliest; the newest of several. */
  taker: Seen | undefined;
}

/**
 * Decides which groups have been taken back: **a newer group takes back everything at or after its own start**
 *. It needs sequences and timestamps only, so relay and listener share it.
 *
 * A group `r` is a rewind when an older group has a frame later than `r`'s first timestamp, or at it with `r` in a newer
 * epoch. A frame is stale when a rewind newer than its group starts at or before it. Both are verdicts about the set of
 * what was observed, never about the order of arrival.
 *
 * Memory is bounded by `capacity` groups; older ones are forgotten, and whatever is older than the forgotten counts as
 * stale. An observation in order costs O(1), one out of order or a rewind O(log n + groups that it changes).
 */
export class RewindClassifier {
  readonly #capacity: number;
  /** Ascending by sequence. */
  #groups: Seen[] = [];
  #forgotten = -1;
  #newestRewind = -1;

  /**
   * @param options.capacity Groups to remember, default 2048: 40 s of 20 ms groups, more than any buffer holds.
   */
  constructor(options: { capacity?: number } = {}) {
    this.#capacity = options.capacity ?? 2048;
  }

  /** Groups remembered at the moment, at most `capacity`. */
  get size(): number {
    return this.#groups.length;
  }

  /**
   * Takes note of a frame. Call it for the first frame of a group at least, and before asking about a group's other
   * frames for each of them that reaches further. Observing the same frame again changes nothing.
   *
   * @throws ProtocolError `INVALID_SEQUENCE` or `INVALID_TIMESTAMP` when either is not a whole number from 0 on.
   */
  observe(sequence: number, timestamp: Microseconds): Observation {
    checkWhole("INVALID_SEQUENCE", "A group's sequence", sequence);
    checkWhole("INVALID_TIMESTAMP", "A frame's timestamp", timestamp);
    if (sequence <= this.#forgotten) return { stale: true };
    const index = this.#lowerBound(sequence);
    const known = this.#groups[index];
    if (known?.sequence === sequence) {
      const stale = this.isStale(sequence, timestamp);
      if (!stale) known.kept = Math.max(known.kept, timestamp);
      this.#raise(index, timestamp);
      return { stale };
    }
    const group: Seen = {
      sequence,
      first: timestamp,
      kept: -1,
      reached: this.#groups[index - 1]?.reached ?? -1,
      taker: earliest(known, known?.taker),
    };
    const stale = this.isStale(sequence, timestamp);
    if (!stale) group.kept = timestamp;
    this.#groups.splice(index, 0, group);
    this.#raise(index, timestamp);
    const takesBack = this.#take(index);
    this.#forget();
    if (!takesBack) return { stale };
    const lowered = sequence < this.#newestRewind;
    if (!lowered) this.#newestRewind = sequence;
    return { stale, rewind: { from: timestamp, sequence, lowered } };
  }

  /** Whether a frame of that group, observed or not, has been taken back by what was observed so far. */
  isStale(sequence: number, timestamp: Microseconds): boolean {
    if (sequence <= this.#forgotten) return true;
    const index = this.#lowerBound(sequence);
    const found = this.#groups[index];
    const taker = found?.sequence === sequence ? found.taker : earliest(found, found?.taker);
    if (taker === undefined) return false;
    return takes(taker, sequence, timestamp) || (taker.first === timestamp && this.#isRewind(taker));
  }

  /** Whether a frame of that group was observed and is still remembered. */
  hasSeen(sequence: number): boolean {
    return this.#groups[this.#lowerBound(sequence)]?.sequence === sequence;
  }

  /** Position of the first remembered group at or above a sequence. */
  #lowerBound(sequence: number): number {
    const newest = this.#groups.at(-1);
    if (newest === undefined || newest.sequence < sequence) return this.#groups.length;
    let low = 0;
    let high = this.#groups.length - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#groups[middle]!.sequence < sequence) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #isRewind(group: Seen): boolean {
    const before = this.#groups[this.#lowerBound(group.sequence) - 1];
    const olderEpochs = this.#groups[this.#lowerBound(epochStart(epochOf(group.sequence))) - 1];
    return (
      (before !== undefined && before.reached > group.first) ||
      (olderEpochs !== undefined && olderEpochs.reached >= group.first)
    );
  }

  /** Makes the group at `index` the taker of the older groups it starts before; whether it takes back a good frame. */
  #take(index: number): boolean {
    const group = this.#groups[index]!;
    let takesBack = false;
    for (let older = index - 1; older >= 0; older -= 1) {
      const target = this.#groups[older]!;
      // Takers never start later towards older groups: the first that keeps its taker ends the walk.
      const previous = target.taker;
      if (earliest(group, previous) !== group) break;
      target.taker = group;
      const further = previous?.first !== group.first || !takes(previous, target.sequence, target.kept);
      if (further && takes(group, target.sequence, target.kept)) takesBack = true;
    }
    return takesBack;
  }

  #raise(index: number, timestamp: Microseconds): void {
    for (let newer = index; newer < this.#groups.length; newer += 1) {
      const target = this.#groups[newer]!;
      if (target.reached >= timestamp) break;
      target.reached = timestamp;
    }
  }

  #forget(): void {
    if (this.#groups.length <= this.#capacity) return;
    // A quarter at once, so that a full memory does not move on every observation.
    const dropped = this.#groups.splice(0, Math.max(1, Math.floor(this.#capacity / 4)));
    this.#forgotten = dropped.at(-1)!.sequence;
  }
}

/** Whether a newer group takes back a frame for certain: it starts before it, or at it in a newer epoch. */
function takes(taker: Seen, sequence: number, timestamp: number): boolean {
  return taker.first < timestamp || (taker.first === timestamp && epochOf(taker.sequence) > epochOf(sequence));
}

/** The group that starts earlier, the newer one when both start together. */
function earliest(one: Seen | undefined, other: Seen | undefined): Seen | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  const isFirst = one.first < other.first || (one.first === other.first && one.sequence > other.sequence);
  return isFirst ? one : other;
}

function checkWhole(code: string, name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new ProtocolError(code, `${name} must be a whole number from 0 on, not ${value}.`);
  }
}
