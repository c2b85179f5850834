import { setTimeout as wait } from "node:timers/promises";
import type { BidirectionalStream, ReceiveStream, Session } from "../../transport/index.js";
import { broadcastPath, type Door, dial, sleep, TRACK_NAME } from "./session.js";
import {
  ANNOUNCE,
  ageOf,
  announceOk,
  announceRequest,
  Cursor,
  readGroup,
  readRequest,
  sharedMicroseconds,
  subscribeRequest,
} from "./wire.js";

const ID = 0;
const ANSWER = Uint8Array.from(announceOk(0));

/** Objects that the watchers of a process have received since the last reset. */
export interface Seen {
  /** Counted objects, over all its watchers. */
  readonly objects: number;
  /** Age of every counted object on arrival, in microseconds; empty unless asked for. */
  readonly ages: Float64Array;
  /** Greatest first: for each watcher, when the group awaited arrived, in shared microseconds; 0 for never. */
  readonly arrivals: Float64Array;
  /** Likewise, when its last stream was reset. */
  readonly resets: Float64Array;
}

/** Many light watchers in one process, each with a session and a UDP socket of its own. */
export class WatcherClient {
  readonly #watchers: Watcher[] = [];
  #keepAges = false;
  #joined = 0;

  /** Adds watchers at a maximum rate per second; returns how long each took to send its subscription. */
  async join({
    door,
    count,
    broadcasts = 1,
    perSecond = 0,
    untilFirst = false,
  }: {
    door: Door;
    count: number;
    /** Over how many broadcasts they spread evenly. */
    broadcasts?: number;
    perSecond?: number;
    /** Whether a join takes until the first object has arrived. */
    untilFirst?: boolean;
  }): Promise<{ milliseconds: Float64Array; failed: number }> {
    const milliseconds: number[] = [];
    let failed = 0;
    let next = 0;
    const start = performance.now();
    const one = async (): Promise<void> => {
      while (next < count) {
        const index = next++;
        if (perSecond > 0) await wait(Math.max(0, start + (index / perSecond) * 1000 - performance.now()));
        const from = performance.now();
        try {
          const watcher = await Watcher.join(door, broadcastPath(this.#joined++ % broadcasts), this.#keepAges);
          this.#watchers.push(watcher);
          if (untilFirst) await watcher.first;
          milliseconds.push(performance.now() - from);
        } catch {
          failed += 1;
        }
      }
    };
    const lanes = perSecond > 0 ? count : Math.min(8, count);
    await Promise.all(Array.from({ length: lanes }, one));
    return { milliseconds: Float64Array.from(milliseconds), failed };
  }

  /** Resets the counters. */
  reset({ ages, awaited }: { ages: boolean; awaited?: number }): void {
    this.#keepAges = ages;
    for (const watcher of this.#watchers) watcher.restart(ages, awaited);
  }

  /** Objects received since the last reset. */
  seen(): Seen {
    const ages = this.#watchers.flatMap((watcher) => watcher.ages);
    return {
      objects: this.#watchers.reduce((sum, watcher) => sum + watcher.objects, 0),
      ages: Float64Array.from(ages),
      arrivals: Float64Array.from(this.#watchers, (watcher) => watcher.arrivedAt),
      resets: Float64Array.from(this.#watchers, (watcher) => watcher.resetAt),
    };
  }

  /** Lets all watchers leave. */
  async leave(): Promise<void> {
    for (const watcher of this.#watchers.splice(0)) watcher.close();
    this.#joined = 0;
    await sleep(100);
    (globalThis as { gc?: () => void }).gc?.();
  }
}

class Watcher {
  readonly #session: Session;
  readonly first: Promise<void>;
  objects = 0;
  ages: number[] = [];
  arrivedAt = 0;
  resetAt = 0;
  #keepAges: boolean;
  #awaited: number | undefined;
  #onFirst!: () => void;
  // A stream whose sending half is collected as garbage ends.
  readonly #held: BidirectionalStream[] = [];

  private constructor(session: Session, keepAges: boolean) {
    this.#session = session;
    this.#keepAges = keepAges;
    this.first = new Promise((resolve) => {
      this.#onFirst = resolve;
    });
    void this.#answer();
    void this.#takeStreams();
    void this.#takeDatagrams();
  }

  static async join(door: Door, broadcast: string, keepAges: boolean): Promise<Watcher> {
    const session = await dial(door, "watch");
    const watcher = new Watcher(session, keepAges);
    // Players wait for their broadcast to be announced, and learn so when it ends.
    const announce = await session.openBidirectional();
    await announce.send.write(announceRequest(broadcast));
    void drain(announce.receive);
    watcher.#held.push(announce);
    const subscription = await session.openBidirectional();
    await subscription.send.write(subscribeRequest(ID, broadcast, TRACK_NAME));
    void drain(subscription.receive);
    watcher.#held.push(subscription);
    return watcher;
  }

  restart(keepAges: boolean, awaited: number | undefined): void {
    this.#keepAges = keepAges;
    this.#awaited = awaited;
    this.objects = 0;
    this.ages = [];
    this.arrivedAt = 0;
    this.resetAt = 0;
  }

  close(): void {
    this.#session.close();
  }

  #object(sequence: number, payload: Uint8Array): void {
    this.#onFirst();
    if (this.#awaited !== undefined && sequence >= this.#awaited && this.arrivedAt === 0)
      this.arrivedAt = sharedMicroseconds();
    const age = ageOf(payload);
    if (age === undefined) return;
    this.objects += 1;
    if (this.#keepAges) this.ages.push(age);
  }

  async #takeDatagrams(): Promise<void> {
    for (;;) {
      const body = await this.#session.datagrams?.receive();
      if (body === undefined) return;
      const cursor = new Cursor(body);
      cursor.varint();
      const sequence = cursor.varint();
      cursor.varint();
      if (sequence !== undefined) this.#object(sequence, body.subarray(cursor.offset));
    }
  }

  async #takeStreams(): Promise<void> {
    const onFrame = (sequence: number, payload: Uint8Array) => this.#object(sequence, payload);
    const onReset = () => {
      this.resetAt = sharedMicroseconds();
    };
    for (;;) {
      const stream = await this.#session.acceptUnidirectional();
      if (stream === undefined) return;
      readGroup(stream, onFrame).catch(onReset);
    }
  }

  // A relay may ask a watcher what it publishes: nothing.
  async #answer(): Promise<void> {
    for (;;) {
      const stream = await this.#session.acceptBidirectional();
      if (stream === undefined) return;
      void this.#deny(stream).catch(() => {});
    }
  }

  async #deny({ send, receive }: BidirectionalStream): Promise<void> {
    const request = await readRequest(receive);
    this.#held.push({ send, receive });
    if (request?.type === ANNOUNCE) await send.write(ANSWER);
    else send.reset(0);
  }
}

async function drain(stream: ReceiveStream): Promise<void> {
  try {
    while ((await stream.read()) !== undefined);
  } catch {
    // The session's end is all that ends these, and the session knows.
  }
}
