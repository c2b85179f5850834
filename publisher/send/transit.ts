import { fromMilliseconds, fromSeconds, type Microseconds, microseconds } from "../../base/index.js";
import { COMFORTABLE } from "../../flow/playhead/index.js";

/** Groups whose sending is remembered: five seconds of 20 ms. */
const MAX_GROUPS = 256;
/** How much of a shorter transit is believed at once; a longer one is believed in full. */
const SHARE = 0.25;
/** What comes on top: reports tell the worst of a quarter of a second, not the worst there is. */
const MARGIN = fromMilliseconds(30);
const LONGEST = fromSeconds(3);

/**
 * How long a group takes from being written to being ready at the listeners' speakers: how far ahead of the playhead it
 * was written, less the lead with which it landed. What was written so far ahead that a relay may hold it on purpose
 * tells no more than bounds: all of that time, and the part of it that is left when the relay held it for as long as it may.
 */
export class Transit {
  readonly #groups = new Map<number, Microseconds>();
  #estimate: number | undefined;

  /** A group was written so far ahead of the playhead. */
  wrote(sequence: number, headroom: Microseconds): void {
    this.#groups.set(sequence, headroom);
    if (this.#groups.size > MAX_GROUPS) this.#groups.delete(this.#groups.keys().next().value!);
  }

  /** A group landed with a lead, the worst of its time. */
  landed(sequence: number, lead: Microseconds): void {
    const headroom = this.#groups.get(sequence);
    if (headroom === undefined) return;
    const most = bounded(headroom - lead);
    const least = bounded(Math.min(headroom, COMFORTABLE) - lead);
    const before = this.#estimate ?? least;
    this.#estimate = least > before ? least : Math.min(before, before + SHARE * (most - before));
  }

  /** Forgets everything, as for another path. */
  reset(): void {
    this.#groups.clear();
    this.#estimate = undefined;
  }

  /** How far ahead of the playhead a change lands in time when it is written at once; undefined before any report. */
  get ahead(): Microseconds | undefined {
    return this.#estimate === undefined ? undefined : microseconds(this.#estimate + MARGIN);
  }
}

function bounded(transit: number): number {
  return Math.min(Math.max(transit, 0), LONGEST);
}
