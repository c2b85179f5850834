import type * as Moq from "@kixelated/moq";
import { fromMilliseconds, guard, monotonicClock } from "../../base/index.js";
import { decodeLegacyFrame, RewindConsumer } from "../../container/index.js";

/** How long a missing or unfinished group is waited for once a newer one is there. */
const GAP = fromMilliseconds(200);

/** Reads video subscriptions, whose groups begin with a keyframe, into a pipeline. */
export class VideoFeed {
  readonly consumer = new RewindConsumer({ clock: monotonicClock, gap: GAP });
  #pipeline: { pump(): void } | undefined;
  #track: Moq.Track.Subscriber | undefined;
  #receivedBytes = 0;
  #newest: number | undefined;
  #malformed = 0;
  #wake: ReturnType<typeof setTimeout> | undefined;

  /** Bytes of video received. */
  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** Newest group of which anything has come. */
  get newest(): number | undefined {
    return this.#newest;
  }

  /** Frames that were none. */
  get malformed(): number {
    return this.#malformed;
  }

  /** Names the pipeline that takes what is fed; it has to have been made with this feed's {@link consumer}. */
  connect(pipeline: { pump(): void }): void {
    this.#pipeline = pipeline;
  }

  /** Reads a subscription until it ends; rejects when that is with an error. */
  async run(track: Moq.Track.Subscriber): Promise<void> {
    this.#track = track;
    await Promise.all([this.#readGroups(track), this.#readDatagrams(track)]);
  }

  /** Moves what can move, and looks again when the consumer wants it. */
  pump(): void {
    this.#pipeline?.pump();
    clearTimeout(this.#wake);
    const wake = this.consumer.nextWake();
    if (wake === undefined || !this.#pipeline) return;
    this.#wake = setTimeout(
      guard("watch.video", () => this.pump()),
      Math.max(1, Math.ceil((wake - monotonicClock()) / 1e3)),
    );
  }

  /** Ends the subscription; idempotent. */
  close(): void {
    clearTimeout(this.#wake);
    this.#track?.close();
    this.#pipeline = undefined;
  }

  async #readGroups(track: Moq.Track.Subscriber): Promise<void> {
    for (let group = await track.recvGroup(); group; group = await track.recvGroup()) void this.#readGroup(group);
  }

  // A group of one small frame comes in a datagram.
  async #readDatagrams(track: Moq.Track.Subscriber): Promise<void> {
    for (let each = await track.recvDatagram(); each; each = await track.recvDatagram()) {
      this.#receive(each.sequence, each.payload, true);
    }
  }

  async #readGroup(group: Moq.Group.Consumer): Promise<void> {
    const { sequence } = group;
    try {
      let keyframe = true;
      for (let frame = await group.readFrame(); frame; frame = await group.readFrame()) {
        this.#receive(sequence, frame.payload, keyframe);
        keyframe = false;
      }
      this.consumer.finish(sequence);
    } catch {
      this.consumer.abort(sequence);
    }
    this.pump();
  }

  #receive(sequence: number, payload: Uint8Array, keyframe: boolean): void {
    this.#receivedBytes += payload.byteLength;
    this.#newest = Math.max(this.#newest ?? 0, sequence);
    try {
      this.consumer.receive(sequence, decodeLegacyFrame(payload, { keyframe }));
    } catch {
      this.#malformed++;
    }
    this.pump();
  }
}
