import { background } from "../../base/index.js";
import type { BidirectionalStream, ReceiveStream, Session } from "../../transport/index.js";
import { encodeAnnounceOk } from "../wire/announce.js";
import { Code } from "../wire/code.js";
import { decodeDatagram, decodeGroupHeader, FrameParser } from "../wire/group.js";
import { DataType, StreamReader, StreamType } from "../wire/stream.js";
import { encodeSubscribe } from "../wire/subscribe.js";
import { greet, LOAD_TRACK, sentAt } from "./load-publisher.js";

const VERSION = 5;
const MAX_MESSAGE_BYTES = 65_536;
const ID = 0;
// With a latency of 0 the stock relay skips whatever cannot be sent at once.
const WANTED = { priority: 128, ordered: false, maxLatencyMs: 1000, startGroup: undefined, endGroup: undefined };

/** A light watcher of a load run: it counts what arrives and decodes nothing. */
export class LoadWatcher {
  readonly #session: Session;
  readonly #keepAges: boolean;
  // A stream whose sending half is garbage-collected ends.
  readonly #held = new Set<BidirectionalStream>();
  /** Counted objects that arrived, without copies. */
  objects = 0;
  /** Milliseconds from sending to arrival of each, where recorded. */
  readonly ages: number[] = [];
  #newest = -1;
  #ended = false;

  private constructor(session: Session, keepAges: boolean) {
    this.#session = session;
    this.#keepAges = keepAges;
    background(
      "load.session",
      session.closed.then(() => {
        this.#ended = true;
      }),
    );
  }

  /** Whether its session has ended. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Subscribes on a session to a broadcast of {@link LoadPublisher}. */
  static async start(session: Session, broadcast: string, keepAges: boolean): Promise<LoadWatcher> {
    const watcher = new LoadWatcher(session, keepAges);
    await greet(session);
    void watcher.#takeStreams();
    void watcher.#takeDatagrams();
    void watcher.#accept();
    const subscription = await session.openBidirectional();
    watcher.#held.add(subscription);
    await subscription.send.write(encodeSubscribe({ ...WANTED, id: ID, broadcast, track: LOAD_TRACK }, VERSION));
    void drain(subscription.receive);
    return watcher;
  }

  #object(sequence: number, payload: Uint8Array): void {
    const at = sentAt(payload);
    if (at === undefined || sequence === this.#newest) return;
    this.#newest = Math.max(this.#newest, sequence);
    this.objects++;
    if (this.#keepAges) this.ages.push(performance.now() - at);
  }

  async #takeDatagrams(): Promise<void> {
    for (;;) {
      const body = await this.#session.datagrams?.receive();
      if (body === undefined) return;
      try {
        const { sequence, frame } = decodeDatagram(body);
        this.#object(sequence, frame.payload);
      } catch {
        // Other objects do not concern a load run.
      }
    }
  }

  async #takeStreams(): Promise<void> {
    for (;;) {
      const stream = await this.#session.acceptUnidirectional();
      if (stream === undefined) return;
      this.#readGroup(stream).catch(() => {});
    }
  }

  async #readGroup(stream: ReceiveStream): Promise<void> {
    const reader = new StreamReader(stream, MAX_MESSAGE_BYTES);
    if ((await reader.varintMaybe()) !== DataType.GROUP) return reader.drain();
    const { sequence } = decodeGroupHeader(await reader.message());
    const parser = new FrameParser({ version: VERSION, maxFrameBytes: MAX_MESSAGE_BYTES, stamp: () => 0 });
    for (;;) {
      const chunk = await reader.chunk();
      if (chunk === undefined) return;
      for (const { payload } of parser.push(chunk)) this.#object(sequence, payload);
    }
  }

  // A relay may ask what a watcher publishes: nothing.
  async #accept(): Promise<void> {
    for (;;) {
      const stream = await this.#session.acceptBidirectional();
      if (stream === undefined) return;
      this.#held.add(stream);
      this.#deny(stream).catch(() => this.#held.delete(stream));
    }
  }

  async #deny({ send, receive }: BidirectionalStream): Promise<void> {
    const type = await new StreamReader(receive, MAX_MESSAGE_BYTES).varint();
    if (type === StreamType.ANNOUNCE) await send.write(encodeAnnounceOk(0n, 0));
    else send.reset(Code.NOT_FOUND);
  }
}

async function drain(stream: ReceiveStream): Promise<void> {
  try {
    while ((await stream.read()) !== undefined);
  } catch {
    // Only the session's end ends it, and the session reports that.
  }
}
