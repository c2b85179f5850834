import { fromMilliseconds, fromSeconds, type Microseconds, microseconds } from "../../base/index.js";
import { COMFORTABLE } from "../../flow/playhead/index.js";

/** Groups whose send time is remembered: five seconds of 20 ms. */
const MAX_GROUPS = 256;
/** Weight of a shorter transit; a longer one counts in full, at once where it is not much longer. */
const SHARE = 0.25;
/**
 * Weight of a longer upper bound: what a relay holds or a path loses for a moment must hardly raise it. A shorter one has
 * the weight of a shorter transit, because a player that stalled meanwhile makes it too short.
 */
const RISE = 1 / 16;
/**
 * A transit that grew by more than this may be the stall of one listener, which reads its backlog late and all at once.
 * It counts if another landing confirms it this much later, and not so late that it is another stall. Counted at once
 * it would delay the next speech for all.
 */
const SUDDEN = { growth: fromMilliseconds(500), confirmed: fromMilliseconds(500), forgotten: fromSeconds(2) };
/** Where a playhead was longer ago says nothing: until it moves, groups wait for it at the relay. */
const PROJECTED = fromSeconds(2);
/** Safety margin: reports carry the worst of a quarter of a second, not the worst ever. */
const MARGIN = fromMilliseconds(30);
/** A longer transit does not count. */
export const LONGEST = fromSeconds(3);

/**
 * How long a group takes from the write to the listener's speaker: how far ahead of the playhead it was written, less
 * the lead with which it landed. For a group written far ahead, which a relay may hold on purpose, only bounds are
 * known: that whole time, and what remains if the relay held it as long as it may. The playhead is the reported one,
 * which is late by the way back, so it is the time of the whole round trip.
 */
export class Transit {
  readonly #groups = new Map<number, Microseconds>();
  /** Groups that were sent before the playhead was known. */
  readonly #before = new Map<number, { readonly timestamp: Microseconds; readonly at: Microseconds }>();
  #estimate: number | undefined;
  /** The upper bound, smoothed. */
  #most: number | undefined;
  /** When the transit seemed to have grown a lot; undefined while it has not. */
  #suddenAt: number | undefined;

  /** A group was written with this distance to the playhead. */
  wrote(sequence: number, headroom: Microseconds): void {
    this.#groups.set(sequence, headroom);
    bound(this.#groups);
  }

  /** A group was sent while no listener played; the first playhead shows how far ahead it was. */
  wroteBefore(sequence: number, timestamp: Microseconds, at: Microseconds): void {
    this.#before.set(sequence, { timestamp, at });
    bound(this.#before);
  }

  /** The first playhead is known. A listener's playhead moves from its first group's arrival on, and never waited yet. */
  began(playhead: Microseconds, now: Microseconds): void {
    for (const [sequence, { timestamp, at }] of this.#before) {
      const passed = now - at;
      if (passed <= PROJECTED) this.wrote(sequence, microseconds(timestamp - (playhead - passed)));
    }
    this.#before.clear();
  }

  /** A group landed with this lead, the worst of its interval; `now`: when the publisher learns it. */
  landed(sequence: number, lead: Microseconds, now: Microseconds): void {
    const headroom = this.#groups.get(sequence);
    if (headroom === undefined) return;
    const most = bounded(headroom - lead);
    const least = bounded(Math.min(headroom, COMFORTABLE) - lead);
    const bound = this.#most ?? most;
    this.#most = bound + (most < bound ? SHARE : RISE) * (most - bound);
    const before = this.#estimate ?? least;
    if (least - before <= SUDDEN.growth) this.#suddenAt = undefined;
    else {
      if (this.#suddenAt === undefined || now - this.#suddenAt > SUDDEN.forgotten) this.#suddenAt = now;
      if (now - this.#suddenAt < SUDDEN.confirmed) return;
    }
    this.#estimate = least > before ? least : Math.min(before, before + SHARE * (most - before));
  }

  /** Forgets all groups, as for another path. */
  reset(): void {
    this.#groups.clear();
    this.#before.clear();
    this.#estimate = undefined;
    this.#most = undefined;
    this.#suddenAt = undefined;
  }

  /** The time itself, without a margin; 0 before any report. */
  get typical(): Microseconds {
    return microseconds(this.#estimate ?? 0);
  }

  /** Upper bound of the time, at most 3 s; 0 before any report. */
  get most(): Microseconds {
    return microseconds(this.#most ?? 0);
  }

  /**
   * How far ahead of the playhead a change still lands in time when it is written at once; undefined before any report.
   */
  get ahead(): Microseconds | undefined {
    return this.#estimate === undefined ? undefined : microseconds(this.#estimate + MARGIN);
  }
}

function bound(groups: Map<number, unknown>): void {
  if (groups.size > MAX_GROUPS) groups.delete(groups.keys().next().value!);
}

function bounded(transit: number): number {
  return Math.min(Math.max(transit, 0), LONGEST);
}
