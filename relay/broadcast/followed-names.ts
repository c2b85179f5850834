import { type Clock, fromMilliseconds, type Microseconds } from "../../base/index.js";
import type { Broadcast } from "./broadcast.js";

/** A name that changes again within this time waits for its end. */
const NAME_SPACING: Microseconds = fromMilliseconds(100);
/** Approximate bytes of an announcement besides its path. */
const OVERHEAD_BYTES = 16;

/** One name's change, as a follower must see it. */
export interface NameChange {
  readonly path: string;
  /** Whether what the follower knows at this path has ended. */
  readonly ended: boolean;
  /** What is there now. */
  readonly started: Broadcast | undefined;
}

/** Options for {@link FollowedNames}. */
export interface FollowedNamesOptions {
  readonly clock: Clock;
  /** The broadcast that the follower may see at a path now. */
  readonly current: (path: string) => Broadcast | undefined;
}

/**
 * What one follower of announcements knows, and what it does not know yet. The first change of a name is due at once,
 * and what changes within {@link NAME_SPACING} after it in one piece: a name that comes and goes many times a second
 * costs its followers little, and delays no other name.
 *
 * A name waits only while the follower knows something else than what is there. So however many names came and went, it
 * holds no more than the names that the follower knows and those that are there.
 */
export class FollowedNames {
  readonly #options: FollowedNamesOptions;
  /** What the follower knows: the opening of each path's broadcast. */
  readonly #known = new Map<string, object>();
  readonly #waiting = new Set<string>();
  /** Names that changed lately, in this order, and when they may change again. */
  readonly #settling = new Map<string, Microseconds>();

  constructor(options: FollowedNamesOptions) {
    this.#options = options;
  }

  /** Notes that a name may have changed. Returns the time its change is due, or undefined if nothing changed. */
  changed(path: string): Microseconds | undefined {
    if (this.#options.current(path)?.opening === this.#known.get(path)) {
      this.#waiting.delete(path);
      return undefined;
    }
    this.#waiting.add(path);
    return this.#dueAt(path);
  }

  /** Takes changes that are due, of about `bytes` on the wire. */
  take(bytes: number): NameChange[] {
    const now = this.#options.clock();
    this.#settle(now);
    const changes: NameChange[] = [];
    let left = bytes;
    for (const path of this.#waiting) {
      if (left <= 0) break;
      if (this.#settling.has(path)) continue;
      const change = this.#show(path);
      this.#settling.set(path, (now + NAME_SPACING) as Microseconds);
      changes.push(change);
      left -= (path.length + OVERHEAD_BYTES) * (change.ended && change.started ? 2 : 1);
    }
    return changes;
  }

  /** When the next change is due, or undefined when none waits. */
  get nextDue(): Microseconds | undefined {
    let next: Microseconds | undefined;
    for (const path of this.#waiting) {
      const due = this.#dueAt(path);
      if (next === undefined || due < next) next = due;
    }
    return next;
  }

  #dueAt(path: string): Microseconds {
    return this.#settling.get(path) ?? this.#options.clock();
  }

  #show(path: string): NameChange {
    const started = this.#options.current(path);
    const ended = this.#known.has(path);
    this.#waiting.delete(path);
    if (started === undefined) this.#known.delete(path);
    else this.#known.set(path, started.opening);
    return { path, ended, started };
  }

  #settle(now: Microseconds): void {
    for (const [path, until] of this.#settling) {
      if (until > now) return;
      this.#settling.delete(path);
    }
  }
}
