import type * as Moq from "@kixelated/moq";
import { type Clock, fromMilliseconds, Inbox } from "../../base/index.js";
import { decodeLegacyFrame, RewindConsumer } from "../../container/index.js";

/** How long to wait for a missing or unfinished group once a newer one is there. */
const GAP = fromMilliseconds(200);

/** Reads video subscriptions, whose groups begin with a keyframe, into a consumer. */
export class VideoFeed {
  readonly consumer: RewindConsumer;
  #receivedBytes = 0;
  #newest: number | undefined;
  #malformed = 0;

  constructor({ clock }: { readonly clock: Clock }) {
    this.consumer = new RewindConsumer({ clock, gap: GAP });
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

  /**
   * Reads a subscription until it ends; yields after everything that may let playback advance. Throws when it breaks.
   */
  async *read(track: Moq.Track.Subscriber): AsyncGenerator<void, void> {
    const inbox = new Inbox<void>();
    Promise.all([this.#readGroups(track, inbox), this.#readDatagrams(track, inbox)]).then(
      () => inbox.end(),
      (error) => inbox.end(error ?? new Error("The track ended.")),
    );
    yield* inbox;
  }

  async #readGroups(track: Moq.Track.Subscriber, inbox: Inbox<void>): Promise<void> {
    for (let group = await track.recvGroup(); group; group = await track.recvGroup())
      void this.#readGroup(group, inbox);
  }

  // A group of one small frame comes in a datagram.
  async #readDatagrams(track: Moq.Track.Subscriber, inbox: Inbox<void>): Promise<void> {
    for (let each = await track.recvDatagram(); each; each = await track.recvDatagram())
      this.#receive(each.sequence, each.payload, { keyframe: true, inbox });
  }

  async #readGroup(group: Moq.Group.Consumer, inbox: Inbox<void>): Promise<void> {
    const { sequence } = group;
    try {
      let keyframe = true;
      for (let frame = await group.readFrame(); frame; frame = await group.readFrame()) {
        this.#receive(sequence, frame.payload, { keyframe, inbox });
        keyframe = false;
      }
      this.consumer.finish(sequence);
    } catch {
      this.consumer.abort(sequence);
    }
    inbox.push();
  }

  #receive(
    sequence: number,
    payload: Uint8Array,
    { keyframe, inbox }: { readonly keyframe: boolean; readonly inbox: Inbox<void> },
  ): void {
    this.#receivedBytes += payload.byteLength;
    this.#newest = Math.max(this.#newest ?? 0, sequence);
    try {
      this.consumer.receive(sequence, decodeLegacyFrame(payload, { keyframe }));
    } catch {
      this.#malformed++;
    }
    inbox.push();
  }
}
