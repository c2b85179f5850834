import * as Moq from "@kixelated/moq";
import { monotonicClock } from "../../base/index.js";

/** A track of groups of one frame each, whose timestamps climb. */
export class FrameTrack {
  readonly #track: Moq.Track.Producer;
  #last = 0;

  constructor(broadcast: Moq.Broadcast.Producer, name: string, { priority }: { readonly priority: number }) {
    this.#track = broadcast.createTrack(name, {
      timescale: Moq.Time.Timescale.MICRO,
      latencyMax: 2000,
      priority,
      ordered: true,
    });
  }

  /** Whether the track is subscribed to. */
  get used(): boolean {
    return this.#track.used.peek();
  }

  write(payload: Uint8Array): void {
    if (this.#track.closed.peek() !== undefined) return;
    // A group at the time of the one before would take it back.
    this.#last = Math.max(this.#last + 1, monotonicClock());
    const group = this.#track.appendGroup();
    group.writeFrame({ payload, timestamp: Moq.Time.Timestamp.fromMicros(this.#last) });
    group.close();
  }

  close(): void {
    this.#track.close();
  }
}
