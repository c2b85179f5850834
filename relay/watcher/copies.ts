import { fromMilliseconds, type Microseconds, microseconds } from "../../base/index.js";
import type { CachedGroup } from "../broadcast/cached-group.js";

/** A copy due this soon goes with the group that goes now. */
const EARLY: Microseconds = fromMilliseconds(10);
/** How long after it is due a copy goes alone, because no group goes that it could go with. */
const ALONE: Microseconds = fromMilliseconds(30);

interface Copy {
  readonly record: CachedGroup;
  readonly dueAt: Microseconds;
}

/**
 * The copies that are still to go. Each goes in the packet of a later group, where it takes no packet of its own: on a
 * path that loses, every packet more is one more that may be lost, and shrinks the carrier's window.
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

  /** Takes the groups whose copies go with a group now, or with `alone` those that have waited for one too long. */
  take(now: Microseconds, { alone }: { readonly alone: boolean }): CachedGroup[] {
    const until = alone ? now - ALONE : now + EARLY;
    const later = this.#waiting.findIndex(({ dueAt }) => dueAt > until);
    return this.#waiting.splice(0, later < 0 ? this.#waiting.length : later).map(({ record }) => record);
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
}
