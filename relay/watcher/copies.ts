import { fromMilliseconds, type Microseconds, microseconds } from "../../base/index.js";
import type { CachedGroup } from "../broadcast/cached-group.js";

/** A copy due this soon goes with the group that goes now. */
const EARLY: Microseconds = fromMilliseconds(10);
/** How long after it is due a copy goes alone, because no group goes that it could go with. */
const ALONE: Microseconds = fromMilliseconds(30);
/** A copy that is overdue by this much is dropped: its audio is over, or would delay what comes after it. */
const EXPIRED: Microseconds = fromMilliseconds(1000);

interface Copy {
  readonly record: CachedGroup;
  readonly dueAt: Microseconds;
}

/**
 * The copies that are still to go. Each goes at once behind a later group: in about half of the cases they share a
 * packet. On a path that loses, every packet more is one more that may be lost, and shrinks the carrier's window.
 */
export class Copies {
  #waiting: Copy[] = [];

  /** Adds copies of a group that went now, one for each delay. */
  add(record: CachedGroup, delays: readonly Microseconds[], now: Microseconds): void {
    for (const delay of delays) {
      const dueAt = microseconds(now + delay);
      const behind = this.#waiting.findLastIndex((other) => other.dueAt <= dueAt);
      this.#waiting.splice(behind + 1, 0, { record, dueAt });
    }
  }

  /** Takes the groups whose copies go with a group now, each of them once. */
  take(now: Microseconds): readonly CachedGroup[] {
    return [...new Set(this.#splice(microseconds(now + EARLY)))];
  }

  /** Takes the first group whose copy has waited too long for a later group, and goes alone. */
  takeAlone(now: Microseconds): CachedGroup | undefined {
    const { nextAt } = this;
    return nextAt === undefined || nextAt > now ? undefined : this.#waiting.shift()?.record;
  }

  /** Drops those that are overdue for too long; returns how many. */
  expire(now: Microseconds): number {
    return this.#splice(microseconds(now - EXPIRED)).length;
  }

  /** When the next copy goes alone, unless a group goes before; undefined when none waits. */
  get nextAt(): Microseconds | undefined {
    const first = this.#waiting[0];
    return first && microseconds(first.dueAt + ALONE);
  }

  /** Drops them all. */
  clear(): void {
    this.#waiting = [];
  }

  #splice(until: Microseconds): CachedGroup[] {
    const later = this.#waiting.findIndex(({ dueAt }) => dueAt > until);
    return this.#waiting.splice(0, later < 0 ? this.#waiting.length : later).map(({ record }) => record);
  }
}
