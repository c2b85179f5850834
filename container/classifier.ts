import { type Microseconds, microseconds, ProtocolError } from "../base/index.js";
import { epochOf, epochStart } from "./epoch.js";

/** A rewind that an observation revealed. */
export interface Rewind {
  /** Its start: no frame before this became stale. */
  readonly from: Microseconds;
  /** The newest group that rewinds. Only older groups can have become stale. */
  readonly sequence: number;
  /** True for a rewind already reported, whose first group came late; false for a new one. */
  readonly lowered: boolean;
}

/** Result of {@link RewindClassifier.observe}. */
export interface Observation {
  /** Whether a newer group made the observed frame itself stale. */
  readonly stale: boolean;
  /**
   * Present whenever a frame that was good so far is stale now, or is stale from an earlier start: call `isStale` again
   * for every frame held.
   */
  readonly rewind?: Rewind;
}

/** A remembered group. */
interface Seen {
  readonly sequence: number;
  /** Timestamp of its first frame. */
  readonly first: Microseconds;
  /** Highest timestamp of its frames that were not stale on arrival. */
  kept: number;
  /** Highest timestamp of all frames up to and including this group. */
  reached: number;
  /** The newer group that starts earliest; the newest of several. */
  taker: Seen | undefined;
}

/**
 * Decides which groups are stale: **a newer group makes everything at or after its own start stale**. It needs
 * sequences and timestamps only, so relay and listener share it.
 *
 * A group `r` is a rewind when an older group has a frame later than `r`'s first timestamp, or at it with `r` in a
 * newer epoch. A frame is stale when a rewind newer than its group starts at or before it. Both verdicts depend on the
 * set of observed frames, never on the order of arrival.
 *
 * Memory is bounded by `capacity` groups; older ones are forgotten, and everything older than those counts as stale. An
 * observation in order costs O(1); one out of order, or a rewind, costs O(log n + groups that it changes).
 */
export class RewindClassifier {
  readonly #capacity: number;
  /** Sorted by sequence. */
  #groups: Seen[] = [];
  #forgotten = -1;
  #newestRewind = -1;

  /** @param options.capacity Groups to remember, default 2048: 40 s of 20 ms groups, more than any buffer holds. */
  constructor(options: { capacity?: number } = {}) {
    this.#capacity = options.capacity ?? 2048;
  }

  /** Groups remembered now, at most `capacity`. */
  get size(): number {
    return this.#groups.length;
  }

  /**
   * Observes a frame. Call it at least for the first frame of a group, and for each later frame that reaches further,
   * before asking about it. Observing the same frame again changes nothing.
   *
   * @throws ProtocolError `INVALID_SEQUENCE` or `INVALID_TIMESTAMP` when either is not a whole number from 0 on.
   */
  observe(sequence: number, timestamp: Microseconds): Observation {
    checkWhole("INVALID_SEQUENCE", "A group's sequence", sequence);
    checkWhole("INVALID_TIMESTAMP", "A frame's timestamp", timestamp);
    if (sequence <= this.#forgotten) return { stale: true };
    const index = this.#lowerBound(sequence);
    const isNew = this.#groups[index]?.sequence !== sequence;
    if (isNew) this.#insert(index, sequence, timestamp);
    const group = this.#groups[index]!;
    const stale = this.isStale(sequence, timestamp);
    if (!stale) group.kept = Math.max(group.kept, timestamp);
    const rewinds = this.#witness(index, timestamp);
    this.#raise(index, timestamp);
    if (isNew && this.#take(index)) rewinds.unshift(group);
    this.#forget();
    const rewind = this.#reveal(rewinds);
    return rewind === undefined ? { stale } : { stale, rewind };
  }

  /** Whether a frame of that group, observed or not, is stale by the observations so far. */
  isStale(sequence: number, timestamp: Microseconds): boolean {
    if (sequence <= this.#forgotten) return true;
    const index = this.#lowerBound(sequence);
    const found = this.#groups[index];
    const taker = found?.sequence === sequence ? found.taker : earliest(found, found?.taker);
    return taker !== undefined && this.#takesBack(taker, sequence, timestamp);
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

  /** Inserts a group with its first frame. */
  #insert(index: number, sequence: number, first: Microseconds): void {
    const [older, newer] = [this.#groups[index - 1], this.#groups[index]];
    const taker = earliest(newer, newer?.taker);
    this.#groups.splice(index, 0, { sequence, first, kept: -1, reached: older?.reached ?? -1, taker });
  }

  /** The rewind revealed by the groups that made good frames stale, in ascending order. */
  #reveal(rewinds: readonly Seen[]): Rewind | undefined {
    const newest = rewinds.at(-1);
    if (newest === undefined) return undefined;
    const { sequence } = newest;
    const lowered = sequence < this.#newestRewind;
    if (!lowered) this.#newestRewind = sequence;
    const from = microseconds(Math.min(...rewinds.map(({ first }) => first)));
    return { from, sequence, lowered };
  }

  #isRewind(group: Seen): boolean {
    const before = this.#groups[this.#lowerBound(group.sequence) - 1];
    return (before !== undefined && before.reached > group.first) || this.#rewindsEpoch(group);
  }

  /** Whether an older epoch reached the group's start. */
  #rewindsEpoch(group: Seen): boolean {
    const olderEpochs = this.#groups[this.#lowerBound(epochStart(epochOf(group.sequence))) - 1];
    return olderEpochs !== undefined && olderEpochs.reached >= group.first;
  }

  /**
   * Whether a newer group makes a frame stale: at the very same time in one epoch, only if it rewinds another frame.
   */
  #takesBack(taker: Seen, sequence: number, timestamp: number): boolean {
    if (taker.first < timestamp) return true;
    return taker.first === timestamp && (epochOf(taker.sequence) > epochOf(sequence) || this.#isRewind(taker));
  }

  /**
   * The groups that a frame of the group at `index` turns into rewinds, and that make a good frame at the very time of
   * their start stale. Call it before the frame raises how far they reach.
   */
  #witness(index: number, timestamp: Microseconds): Seen[] {
    const rewinds: Seen[] = [];
    const epoch = epochOf(this.#groups[index]!.sequence);
    for (let newer = index + 1; newer < this.#groups.length; newer += 1) {
      const group = this.#groups[newer]!;
      const { reached } = this.#groups[newer - 1]!;
      if (reached > timestamp) break;
      const isWitness = timestamp > group.first || (timestamp === group.first && epochOf(group.sequence) > epoch);
      if (!isWitness || reached > group.first || this.#rewindsEpoch(group)) continue;
      if (this.#hasGoodAtStart(newer)) rewinds.push(group);
    }
    return rewinds;
  }

  /** Whether an older group has a good frame at the very time when the group at `index` starts. */
  #hasGoodAtStart(index: number): boolean {
    const group = this.#groups[index]!;
    for (let older = index - 1; older >= 0; older -= 1) {
      const target = this.#groups[older]!;
      if (target.taker !== group || target.reached < group.first) return false;
      if (target.kept === group.first) return true;
    }
    return false;
  }

  /**
   * Makes the group at `index` the taker of the older groups it starts before; returns whether it makes a good frame
   * stale.
   */
  #take(index: number): boolean {
    const group = this.#groups[index]!;
    let takesBack = false;
    for (let older = index - 1; older >= 0; older -= 1) {
      const target = this.#groups[older]!;
      // Takers never start later towards older groups: the first group that keeps its taker ends the walk.
      const previous = target.taker;
      if (earliest(group, previous) !== group) break;
      target.taker = group;
      const wasStale = previous?.first === group.first && this.#takesBack(previous, target.sequence, target.kept);
      if (!wasStale && this.#takesBack(group, target.sequence, target.kept)) takesBack = true;
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
    // A quarter at once, so that a full memory does not shift on every observation.
    const dropped = this.#groups.splice(0, Math.max(1, Math.floor(this.#capacity / 4)));
    this.#forgotten = dropped.at(-1)!.sequence;
  }
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
