import { InputError, type Microseconds, microseconds } from "../base/index.js";
import { epochOf, epochStart } from "./epoch.js";

/** Result of {@link Timeline.rewind}. */
export interface RewindPoint {
  /** The sequence of the group that has to follow at `to`; {@link Timeline.next} returns it. */
  readonly sequence: number;
  /** The epoch that group opens. */
  readonly epoch: number;
  /** Everything sent at or after this timestamp becomes stale. */
  readonly to: Microseconds;
}

/**
 * The producer's side of a track: the sequence of the next group, and how far the track has been written.
 *
 * Within an epoch time only moves forward; going back takes a {@link rewind}.
 */
export class Timeline {
  #sequence = 0;
  #frontier = microseconds(0);
  #latest: Microseconds | undefined;
  #rewound: Microseconds | undefined;

  /** The epoch of the next group. */
  get epoch(): number {
    return epochOf(this.#sequence);
  }

  /** End of the written media: the last group's timestamp plus its duration, or the last rewind's `to`. */
  get frontier(): Microseconds {
    return this.#frontier;
  }

  /**
   * Takes the next group's sequence.
   *
   * @param timestamp The group's first timestamp, at or after the last group's; right after a rewind exactly its `to`.
   * @param duration How much media the group will hold, in microseconds; it moves the {@link frontier} only.
   * @throws InputError `INVALID_TIMESTAMP` when the timestamp goes backwards, or is not the `to` of a rewind before it.
   */
  next(timestamp: Microseconds, duration: Microseconds = microseconds(0)): { sequence: number } {
    checkTimestamp("timestamp", timestamp);
    checkTimestamp("duration", duration);
    if (this.#rewound !== undefined && timestamp !== this.#rewound) {
      throw new InputError(
        "INVALID_TIMESTAMP",
        `timestamp must be ${this.#rewound}, where the rewind before it cut, not ${timestamp}.`,
      );
    }
    if (this.#latest !== undefined && timestamp < this.#latest) {
      throw new InputError(
        "INVALID_TIMESTAMP",
        `timestamp must not go back from ${this.#latest} to ${timestamp} without a rewind.`,
      );
    }
    const sequence = this.#sequence;
    this.#sequence += 1;
    this.#rewound = undefined;
    this.#latest = timestamp;
    this.#frontier = microseconds(timestamp + duration);
    return { sequence };
  }

  /**
   * Makes everything written at or after `to` stale, by moving to the next epoch. Send a group at the returned `to` at
   * once; without a group no receiver learns of it. Two rewinds without a group between them count as one, from the
   * earlier.
   *
   * @throws InputError `INVALID_TIMESTAMP` when `to` is not a whole number from 0 on.
   */
  rewind(to: Microseconds): RewindPoint {
    checkTimestamp("to", to);
    const cut = microseconds(Math.min(to, this.#rewound ?? to));
    // Counted from the last group sent, so that an epoch without groups is used again.
    const epoch = epochOf(Math.max(this.#sequence - 1, 0)) + 1;
    this.#sequence = epochStart(epoch);
    this.#latest = undefined;
    this.#rewound = cut;
    this.#frontier = cut;
    return { sequence: this.#sequence, epoch, to: cut };
  }
}

function checkTimestamp(name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new InputError(
      "INVALID_TIMESTAMP",
      `${name} must be a whole number of microseconds from 0 on, not ${value}.`,
    );
  }
}
