import { concatenate, StateError } from "../../base/index.js";
import type { BidirectionalStream, Session } from "../../transport/index.js";
import { encodeAnnounce, encodeAnnounceOk } from "../wire/announce.js";
import { encodeDatagram, encodeGroupHeader, WireFrame } from "../wire/group.js";
import { encodeSetupStream } from "../wire/setup.js";
import { StreamReader, StreamType } from "../wire/stream.js";
import { decodeSubscribe, encodeSubscribeResponse } from "../wire/subscribe.js";
import { encodeTrackInfo } from "../wire/track.js";

/** The one track of a load run's broadcast. */
export const LOAD_TRACK = "audio";
const VERSION = 5;
const MAX_REQUEST_BYTES = 65_536;
const INFO = { priority: 1, ordered: false, maxLatencyMs: 1000, timescale: 1_000_000 };
// Offset of the send time in an object's payload, and the mark of objects that count.
const HEAD_BYTES = 9;

/** Smallest payload of an object. */
export const MIN_PAYLOAD_BYTES = HEAD_BYTES;

/** Publishes stamped objects on one session the cheapest way: moq-lite-05 by hand. */
export class LoadPublisher {
  readonly #session: Session;
  readonly #broadcast: string;
  // A stream whose sending half is garbage-collected ends.
  readonly #held = new Set<BidirectionalStream>();
  /** Resolves once the relay has subscribed. */
  readonly watched: Promise<void>;
  #onWatched!: () => void;
  #subscribe: number | undefined;
  #sequence = 0;

  private constructor(session: Session, broadcast: string) {
    this.#session = session;
    this.#broadcast = broadcast;
    this.watched = new Promise((resolve) => {
      this.#onWatched = resolve;
    });
  }

  /** Announces a broadcast to every peer that asks on the session. */
  static async start(session: Session, broadcast: string): Promise<LoadPublisher> {
    const publisher = new LoadPublisher(session, broadcast);
    await greet(session);
    void publisher.#accept();
    void ignoreDatagrams(session);
    return publisher;
  }

  /**
   * Sends one object, as a datagram or on a stream of its own.
   *
   * @throws StateError `NOT_WATCHED`.
   */
  async send(via: "datagram" | "stream", payloadBytes: number, timestampUs: number, counted: boolean): Promise<void> {
    const subscribe = this.#subscribe;
    if (subscribe === undefined) throw new StateError("NOT_WATCHED", "The load run's broadcast has no watcher.");
    const payload = new Uint8Array(payloadBytes);
    const view = new DataView(payload.buffer);
    view.setFloat64(0, performance.now());
    view.setUint8(8, counted ? 1 : 0);
    const frame = WireFrame.of(timestampUs, payload);
    const sequence = this.#sequence++;
    if (via === "datagram") {
      this.#session.datagrams?.send(encodeDatagram(subscribe, sequence, frame));
      return;
    }
    const stream = await this.#session.openUnidirectional();
    await stream.write(concatenate([encodeGroupHeader(subscribe, sequence), frame.bytes("timed")]));
    void stream.finish();
  }

  async #accept(): Promise<void> {
    for (;;) {
      const stream = await this.#session.acceptBidirectional();
      if (stream === undefined) return;
      this.#held.add(stream);
      this.#serve(stream).catch(() => this.#held.delete(stream));
    }
  }

  async #serve(stream: BidirectionalStream): Promise<void> {
    const reader = new StreamReader(stream.receive, MAX_REQUEST_BYTES);
    const type = await reader.varint();
    if (type === StreamType.ANNOUNCE) {
      const announcement = encodeAnnounce({ suffix: this.#broadcast, active: true, hops: [] }, VERSION);
      await stream.send.write(concatenate([encodeAnnounceOk(0n, 1), announcement]));
    } else if (type === StreamType.TRACK) {
      await stream.send.write(encodeTrackInfo(INFO));
      await stream.send.finish();
      this.#held.delete(stream);
    } else if (type === StreamType.SUBSCRIBE) {
      this.#subscribe = decodeSubscribe(await reader.message(), VERSION, MAX_REQUEST_BYTES).id;
      await stream.send.write(encodeSubscribeResponse({ kind: "start", group: this.#sequence }, VERSION));
      this.#onWatched();
    } else {
      void stream.send.finish();
      this.#held.delete(stream);
    }
  }
}

/** Send time of an object, by `performance.now()` of this process; undefined when it does not count. */
export function sentAt(payload: Uint8Array): number | undefined {
  if (payload.length < HEAD_BYTES || payload[8] !== 1) return undefined;
  return new DataView(payload.buffer, payload.byteOffset, 8).getFloat64(0);
}

/** Sends the Setup Stream of an endpoint that declares nothing. */
export async function greet(session: Session): Promise<void> {
  const setup = await session.openUnidirectional();
  await setup.write(encodeSetupStream({ origin: 0n }));
  void setup.finish();
}

async function ignoreDatagrams(session: Session): Promise<void> {
  while ((await session.datagrams?.receive()) !== undefined);
}
