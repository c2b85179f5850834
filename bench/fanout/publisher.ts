import { StateError } from "../../base/index.js";
import type { BidirectionalStream, SendStream, Session } from "../../transport/index.js";
import { broadcastPath, type Door, dial, sleep } from "./session.js";
import {
  ANNOUNCE,
  announcement,
  announceOk,
  datagram,
  frame,
  groupHeader,
  payload,
  readRequest,
  SUBSCRIBE,
  sharedMicroseconds,
  subscribeStart,
  TRACK,
  trackInfo,
} from "./wire.js";

/** How objects travel: one a datagram, one a stream, or five a stream. */
export type Mode = "datagram" | "stream" | "groups";

/** Frames of a group in the mode `groups`. */
export const GROUP_FRAMES = 5;
const OBJECT_US = 20_000;
interface Feed {
  readonly path: string;
  subscribe: number | undefined;
  sequence: number;
  timestamp: number;
  open: SendStream | undefined;
  inGroup: number;
}

const EPOCH_SIZE = 65_536;

/** Publishes stamped objects the cheapest way: moq-lite-05 by hand, one write an object. */
export class PublisherClient {
  readonly #session: Session;
  readonly #announces: BidirectionalStream[] = [];
  // A stream whose sending half is collected as garbage ends.
  readonly #held: BidirectionalStream[] = [];
  /** Resolves once the broadcasts are announced to the relay. */
  readonly announced: Promise<void>;
  /** Resolves once the relay has subscribed to every broadcast's track. */
  readonly watched: Promise<void>;
  #onAnnounced!: () => void;
  #onWatched!: () => void;

  readonly #feeds: readonly Feed[];

  private constructor(session: Session, broadcasts: number) {
    this.#session = session;
    this.#feeds = Array.from({ length: broadcasts }, (_, number) => ({
      path: broadcastPath(number),
      subscribe: undefined,
      sequence: 0,
      timestamp: 0,
      open: undefined,
      inGroup: 0,
    }));
    this.announced = new Promise((resolve) => {
      this.#onAnnounced = resolve;
    });
    this.watched = new Promise((resolve) => {
      this.#onWatched = resolve;
    });
    void this.#answer();
    void this.#drop();
  }

  /** Connects and announces this many broadcasts. */
  static async connect(door: Door, broadcasts = 1): Promise<PublisherClient> {
    return new PublisherClient(await dial(door, "publish"), broadcasts);
  }

  /**
   * Sends objects at an even rate, in turns when there are several broadcasts; resolves when the last one has gone.
   * Uncounted ones warm up what they pass.
   */
  async publish({
    mode,
    objects,
    perSecond,
    measured,
    streamEvery = 0,
    rewindEvery = 0,
  }: {
    mode: Mode;
    objects: number;
    perSecond: number;
    measured: boolean;
    /** In the mode `datagram`: every so manieth group goes as a stream instead. */
    streamEvery?: number;
    /** After this many objects the next one rewinds by half a second. */
    rewindEvery?: number;
  }): Promise<void> {
    const start = performance.now();
    for (let index = 0; index < objects; ) {
      const due = Math.min(objects, Math.floor(((performance.now() - start) / 1000) * perSecond) + 1);
      for (; index < due; index += 1) {
        const feed = this.#feeds[index % this.#feeds.length]!;
        if (rewindEvery > 0 && index > 0 && index % rewindEvery === 0) jump(feed, 500_000);
        const asStream = streamEvery > 0 && index % streamEvery === 0;
        await this.#send(feed, asStream ? "stream" : mode, payload(measured));
      }
      await sleep(start + (index / perSecond) * 1000 - performance.now());
    }
    for (const feed of this.#feeds) {
      if (feed.inGroup > 0) void feed.open?.finish();
      feed.inGroup = 0;
    }
  }

  /** Leaves a group of three frames open, then takes all of it back half a second later; returns when that was. */
  async interrupt(): Promise<{ sequence: number; at: number }> {
    const feed = this.#feeds[0]!;
    const { timestamp } = feed;
    for (let index = 0; index < 3; index += 1) {
      await this.#send(feed, "groups", payload(false));
      await sleep(20);
    }
    await sleep(500);
    feed.inGroup = 0;
    feed.timestamp = timestamp;
    jump(feed, 100_000);
    const { sequence } = feed;
    const at = sharedMicroseconds();
    await this.#send(feed, "stream", payload(false));
    return { sequence, at };
  }

  /** Announces and withdraws broadcasts as fast as asked, or as the relay takes them; resolves with how many went. */
  async flood({ perSecond, seconds }: { perSecond: number; seconds: number }): Promise<number> {
    const stream = this.#announces[0];
    if (stream === undefined) throw new StateError("NOT_ASKED", "The relay has not asked for announcements.");
    const start = performance.now();
    let sent = 0;
    const over = sleep(seconds * 1000).then(() => false);
    while (performance.now() - start < seconds * 1000) {
      const due = Math.floor(((performance.now() - start) / 1000) * perSecond);
      const messages: number[] = [];
      for (let index = sent; index < due; index += 1)
        messages.push(...announcement(`flood/${(index >> 1) % 500}`, index % 2 === 0));
      if (messages.length > 0) {
        const taken = stream.send.write(Uint8Array.from(messages)).then(() => true);
        if (!(await Promise.race([taken, over]))) break;
      }
      sent = Math.max(sent, due);
      await sleep(5);
    }
    return sent;
  }

  /** Leaves. */
  close(): void {
    this.#session.close();
  }

  async #send(feed: Feed, mode: Mode, bytes: Uint8Array): Promise<void> {
    const { subscribe, timestamp } = feed;
    if (subscribe === undefined) throw new StateError("NOT_SUBSCRIBED", "The bench's broadcast has no watcher.");
    feed.timestamp += OBJECT_US;
    if (mode === "datagram") {
      this.#session.datagrams!.send(datagram(subscribe, feed.sequence++, timestamp, bytes));
    } else if (mode === "stream") {
      const stream = await this.#session.openUnidirectional();
      await stream.write(frame(timestamp, bytes, groupHeader(subscribe, feed.sequence++)));
      void stream.finish();
    } else {
      const first = feed.inGroup === 0;
      const header = first ? groupHeader(subscribe, feed.sequence++) : [];
      if (first) feed.open = await this.#session.openUnidirectional();
      await feed.open!.write(frame(first ? timestamp : OBJECT_US, bytes, header));
      feed.inGroup = (feed.inGroup + 1) % GROUP_FRAMES;
      if (feed.inGroup === 0) void feed.open!.finish();
    }
  }

  async #answer(): Promise<void> {
    for (;;) {
      const stream = await this.#session.acceptBidirectional();
      if (stream === undefined) return;
      void this.#serve(stream).catch(() => {});
    }
  }

  async #serve(stream: BidirectionalStream): Promise<void> {
    const request = await readRequest(stream.receive);
    if (request?.type === ANNOUNCE) {
      this.#announces.push(stream);
      await stream.send.write(
        Uint8Array.from([
          ...announceOk(this.#feeds.length),
          ...this.#feeds.flatMap(({ path }) => announcement(path, true)),
        ]),
      );
      this.#onAnnounced();
    } else if (request?.type === TRACK) {
      await stream.send.write(trackInfo());
      await stream.send.finish();
    } else if (request?.type === SUBSCRIBE) {
      this.#held.push(stream);
      const id = request.body.varint();
      const path = request.body.text();
      const feed = this.#feeds.find((candidate) => candidate.path === path);
      if (feed === undefined) return stream.send.reset(0);
      feed.subscribe = id;
      await stream.send.write(subscribeStart(feed.sequence));
      if (this.#feeds.some(({ subscribe }) => subscribe === undefined)) return;
      this.#onWatched();
    }
  }

  async #drop(): Promise<void> {
    while ((await this.#session.datagrams?.receive()) !== undefined);
  }
}

// The first group of the next epoch, with a timestamp that goes back.
function jump(feed: Feed, backUs: number): void {
  feed.sequence = (Math.floor(feed.sequence / EPOCH_SIZE) + 1) * EPOCH_SIZE;
  feed.timestamp = Math.max(0, feed.timestamp - backUs);
}
