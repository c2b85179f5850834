import { type Clock, fromMilliseconds } from "../../base/index.js";
import { decodeLegacyFrame, RewindConsumer } from "../../container/index.js";
import type { TrackEvent } from "../../transport/moq.js";

/** How long to wait for a missing or unfinished group once a newer one is there. */
const GAP = fromMilliseconds(200);

/** Feeds video subscriptions, whose groups begin with a keyframe, to a consumer. */
export class VideoFeed {
  readonly consumer: RewindConsumer;
  #receivedBytes = 0;
  #newest: number | undefined;
  #malformed = 0;

  constructor({ clock, hasEpochs }: { readonly clock: Clock; readonly hasEpochs: boolean }) {
    this.consumer = new RewindConsumer({ clock, gap: GAP, hasEpochs: () => hasEpochs });
  }

  /** Bytes of video received. */
  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** Newest group of which any part has arrived. */
  get newest(): number | undefined {
    return this.#newest;
  }

  /** Invalid frames. */
  get malformed(): number {
    return this.#malformed;
  }

  /** Takes a frame. */
  receive({ sequence, index, payload }: Extract<TrackEvent, { kind: "frame" }>): void {
    this.#receivedBytes += payload.byteLength;
    this.#newest = Math.max(this.#newest ?? 0, sequence);
    try {
      this.consumer.receive(sequence, decodeLegacyFrame(payload, { keyframe: index === 0 }));
    } catch {
      this.#malformed++;
    }
  }

  /** Takes the end of a group. */
  end({ sequence, whole }: Extract<TrackEvent, { kind: "end" }>): void {
    if (whole) this.consumer.finish(sequence);
    else this.consumer.abort(sequence);
  }
}
