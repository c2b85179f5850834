import { ByteWriter } from "../../base/index.js";
import { broadcastHash, encodeReport, type Report } from "../../flow/report/index.js";
import { encodeAnnounce, encodeAnnounceOk, encodeAnnounceRequest } from "../../relay/wire/announce.js";
import { encodeGroupHeader } from "../../relay/wire/group.js";
import { encodeSetupStream } from "../../relay/wire/setup.js";
import { StreamReader, StreamType } from "../../relay/wire/stream.js";
import { decodeSubscribe, encodeSubscribe } from "../../relay/wire/subscribe.js";
import { encodeTrackInfo } from "../../relay/wire/track.js";
import { reportWith } from "../../tests/support/reports.js";
import {
  type Backend,
  type BidirectionalStream,
  connect,
  type SendStream,
  type Session,
} from "../../transport/index.js";

const MICRO = { priority: 1, ordered: false, maxLatencyMs: 10_000, timescale: 1_000_000 };
const WHOLE = { priority: 1, ordered: false, maxLatencyMs: 0, startGroup: undefined, endGroup: undefined };

/** A session that says whatever it likes, on the product's own codecs. */
export class Hostile {
  readonly session: Session;
  /** Bytes of announcements sent. */
  announcedBytes = 0;
  // Keeps objects alive, because a session that is collected as garbage ends.
  readonly #held: unknown[] = [];

  private constructor(session: Session) {
    this.session = session;
  }

  static async open(url: string, carrier: Backend): Promise<Hostile> {
    const hostile = new Hostile(await connect(url, { backends: [carrier] }));
    await hostile.stream(encodeSetupStream({ origin: 7n }), true);
    return hostile;
  }

  /** Opens a one-way stream with some bytes. */
  async stream(bytes: Uint8Array, end = false): Promise<SendStream> {
    const stream = await this.session.openUnidirectional();
    this.#held.push(stream);
    await stream.write(bytes);
    if (end) void stream.finish().catch(() => {});
    return stream;
  }

  /** Opens a request and reads nothing of its answer. */
  async request(bytes: Uint8Array): Promise<BidirectionalStream> {
    const stream = await this.session.openBidirectional();
    this.#held.push(stream);
    stream.send.write(bytes).catch(() => {});
    return stream;
  }

  subscribe(id: number, broadcast: string, track: string): Promise<BidirectionalStream> {
    return this.request(encodeSubscribe({ ...WHOLE, id, broadcast, track }, 5));
  }

  interest(prefix = ""): Promise<BidirectionalStream> {
    return this.request(encodeAnnounceRequest({ prefix, excludeHop: 0n }, 5));
  }

  /** Reports on the healthy broadcast. */
  report(fields: Partial<Report>): void {
    const clientTimeMs = Math.floor(performance.now());
    const report = reportWith({ broadcast: broadcastHash("healthy.hang"), session: 666, clientTimeMs, ...fields });
    const record = encodeReport(report);
    this.session.datagrams?.send(record);
  }

  /** Announces broadcasts and ends them again, over and over, until it is closed. */
  flap(suffixes: () => readonly string[]): void {
    this.#serve(
      async (send) => {
        for (;;) {
          const names = suffixes();
          for (const active of [true, false]) await this.#announce(send, names, active);
        }
      },
      () => {},
    );
  }

  /** Announces broadcasts and answers for their tracks; calls back with each subscription it gets. */
  publish(suffixes: readonly string[], onSubscribe: (id: number) => void = () => {}): void {
    this.#serve((send) => this.#announce(send, suffixes, true), onSubscribe);
  }

  async #announce(send: SendStream, suffixes: readonly string[], active: boolean): Promise<void> {
    for (const suffix of suffixes) {
      const message = encodeAnnounce({ suffix, active, hops: [7n] }, 5);
      await send.write(message);
      this.announcedBytes += message.length;
    }
  }

  #serve(announce: (send: SendStream) => Promise<void>, onSubscribe: (id: number) => void): void {
    const serve = async ({ send, receive }: BidirectionalStream): Promise<void> => {
      this.#held.push(send, receive);
      const reader = new StreamReader(receive, 65_536);
      const type = await reader.varint();
      if (type === StreamType.ANNOUNCE) {
        await send.write(encodeAnnounceOk(7n, 0));
        await announce(send);
      } else if (type === StreamType.TRACK) {
        await send.write(encodeTrackInfo(MICRO));
        await send.finish();
      } else if (type === StreamType.SUBSCRIBE) onSubscribe(decodeSubscribe(await reader.message(), 5, 4096).id);
    };
    void (async () => {
      for (
        let stream = await this.session.acceptBidirectional();
        stream;
        stream = await this.session.acceptBidirectional()
      )
        serve(stream).catch(() => {});
    })().catch(() => {});
  }

  /** Begins a group; frames follow as they are. */
  group(subscribe: number, sequence: number, body: Uint8Array, end = false): Promise<SendStream> {
    return this.stream(new ByteWriter().bytes(encodeGroupHeader(subscribe, sequence)).bytes(body).finish(), end);
  }

  close(): void {
    this.session.close();
    this.#held.length = 0;
  }
}
