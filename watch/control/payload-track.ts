import type * as Moq from "@kixelated/moq";
import { guard, type Microseconds, microseconds, monotonicClock } from "../../base/index.js";
import type { BulkSender } from "../../flow/bulk/index.js";
import { payloadTrack } from "../../flow/control/index.js";
import { FrameTrackWriter } from "../../transport/index.js";

/** How long a relay should keep a piece that a newer one has replaced. */
const RETAIN_MS = 2000;

/** The track of one payload in one session: writes the pieces that the sender allows. */
export class PayloadTrack {
  readonly #broadcast: Moq.Broadcast.Producer;
  readonly #name: string;
  readonly #sender: BulkSender;
  readonly #track: FrameTrackWriter;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(broadcast: Moq.Broadcast.Producer, requestId: string, sender: BulkSender) {
    this.#broadcast = broadcast;
    this.#name = payloadTrack(requestId);
    this.#sender = sender;
    this.#track = new FrameTrackWriter(broadcast, { name: this.#name, priority: 0, retainMs: RETAIN_MS });
  }

  /** Sends the pieces that may go now, and calls back when more may; call it every few milliseconds. */
  pump(): void {
    clearTimeout(this.#timer);
    if (this.#closed || !this.#track.used) return;
    const now: Microseconds = monotonicClock();
    for (let piece = this.#sender.take(now); piece; piece = this.#sender.take(now)) this.#track.write(piece);
    const next = this.#sender.nextAt(microseconds(now));
    if (next !== undefined)
      this.#timer = setTimeout(
        guard("watch.payload", () => this.pump()),
        Math.max(1, (next - now) / 1e3),
      );
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#track.close();
    this.#broadcast.removeTrack(this.#name);
  }
}
