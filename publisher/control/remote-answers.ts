import { type Broadcast, Time, type Track } from "@kixelated/moq";
import type { Clock } from "../../base/index.js";
import { ANSWERS_TRACK, type ControlAnswer, encodeControlAnswer } from "../../flow/control/index.js";

/** The track of answers of one session. */
export class Answers {
  readonly #track: Track.Producer;
  readonly #clock: Clock;
  #last = 0;

  constructor(broadcast: Broadcast.Producer, clock: Clock) {
    this.#clock = clock;
    this.#track = broadcast.createTrack(ANSWERS_TRACK, {
      timescale: Time.Timescale.MICRO,
      latencyMax: 5000,
      priority: 90,
      ordered: true,
    });
  }

  /** Answers a controller. */
  write(controller: string, answer: ControlAnswer): void {
    if (this.#track.closed.peek() !== undefined) return;
    // A group at the time of the one before would take it back.
    this.#last = Math.max(this.#last + 1, this.#clock());
    const group = this.#track.appendGroup();
    group.writeFrame({
      payload: encodeControlAnswer(controller, answer),
      timestamp: Time.Timestamp.fromMicros(this.#last),
    });
    group.close();
  }
}
