import { type Microseconds, microseconds } from "../../base/index.js";

/** From a time of the source on, media time is this much later. */
interface Stretch {
  readonly from: number;
  readonly offset: number;
}

/**
 * Where the source's own times are on the broadcast's timeline. A delay moves only what follows it, so a rewind to a
 * place before it needs the offset that counted there.
 */
export class SourceTimes {
  /** Ascending, and never empty. */
  #stretches: readonly Stretch[];

  /** `offset`: media time minus the source's own. */
  constructor(offset: Microseconds) {
    this.#stretches = [start(offset)];
  }

  /** Media time of a time of the source. */
  mediaTime(time: Microseconds): Microseconds {
    return microseconds(time + this.#stretches.findLast(({ from }) => from <= time)!.offset);
  }

  /** The source's own time at a media time; in the hole that a delay leaves, the last one before it. */
  sourceTime(at: Microseconds): Microseconds {
    const index = this.#stretches.findLastIndex(({ from, offset }) => from + offset <= at);
    const end = this.#stretches[index + 1]?.from ?? Number.POSITIVE_INFINITY;
    return microseconds(Math.min(at - this.#stretches[index]!.offset, end - 1));
  }

  /** Moves the times of the source from `from` on further back. */
  delay(from: Microseconds, by: Microseconds): void {
    const offset = this.#stretches.at(-1)!.offset + by;
    this.#stretches = [...this.#stretches.filter((stretch) => stretch.from < from), { from, offset }];
  }

  /** Forgets where earlier times of the source were. */
  forget(before: Microseconds): void {
    const index = this.#stretches.findLastIndex(({ from }) => from <= before);
    if (index > 0) this.#stretches = this.#stretches.with(index, start(this.#stretches[index]!.offset)).slice(index);
  }
}

function start(offset: number): Stretch {
  return { from: Number.NEGATIVE_INFINITY, offset };
}
