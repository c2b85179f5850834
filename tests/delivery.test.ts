import { Broadcast, Connection, Group, Path, Time, type Track } from "@kixelated/moq";
import { createEncoder } from "libopus-wasm";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { microseconds } from "../base/index.js";
import { encodeCatalog, encodeLegacyFrame } from "../container/index.js";
import { Relay, type RelayOptions } from "../relay/index.js";
import { connect, toWebTransport } from "../transport/index.js";
import { Listener, type ListenerOptions } from "../watch/index.js";
import { type Impairment, impair, type Link } from "./support/impairment.js";

const PACKET_MS = 20;
const PATH = "demo.hang";
/** Bits per second of the two renditions. */
const RATES = { audio: 128_000, "audio-low": 16_000 } as const;

let packets: Record<keyof typeof RATES, Uint8Array[]>;
// The protocol library tells every step of its own.
console.debug = () => {};
const closers: (() => unknown)[] = [];

beforeAll(async () => {
  const encode = async (bitrate: number) => {
    const encoder = await createEncoder({ channels: 1, sampleRate: 48_000, frameSize: 960, bitrate });
    encoder.setVbr?.(false);
    const made = Array.from({ length: 50 }, (_, packet) =>
      encoder
        .encodeFloat(Float32Array.from({ length: 960 }, (_, at) => 0.4 * Math.sin((packet * 960 + at) * 0.05)))
        .slice(),
    );
    encoder.free();
    return made;
  };
  packets = { audio: await encode(RATES.audio), "audio-low": await encode(RATES["audio-low"]) };
});
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** Publishes live sound, in one rendition or in two, one group for every packet. */
class Live {
  readonly wanted = { audio: false, "audio-low": false };
  readonly #timer: NodeJS.Timeout;

  private constructor(tracks: Map<keyof typeof RATES, Track.Producer>, sound: keyof typeof RATES) {
    const start = performance.now();
    let sequence = 0;
    for (const [name, track] of tracks) track.used.subscribe((used) => (this.wanted[name] = used));
    this.#timer = setInterval(() => {
      for (; sequence * PACKET_MS <= performance.now() - start; sequence++) {
        const timestamp = microseconds(sequence * PACKET_MS * 1000);
        for (const [name, track] of tracks) {
          if (!this.wanted[name]) continue;
          const group = new Group.Producer(sequence);
          const payload = packets[name === "audio" ? sound : name][sequence % 50]!;
          group.writeFrame({
            payload: encodeLegacyFrame({ timestamp, payload }),
            timestamp: Time.Timestamp.fromMicros(timestamp),
          });
          group.close();
          track.writeGroup(group);
        }
      }
    }, 5);
  }

  /** `sound` is the rendition whose packets the first track really carries. */
  static async start(
    url: string,
    names: readonly (keyof typeof RATES)[],
    sound: keyof typeof RATES = "audio",
  ): Promise<Live> {
    const session = await connect(url, { backends: ["quic"] });
    const connection = await Connection.connect(new URL(url), { transport: toWebTransport(session) });
    const broadcast = new Broadcast.Producer();
    const rendition = { codec: "opus", sampleRate: 48_000, numberOfChannels: 1, bitrate: RATES.audio };
    const catalog = broadcast.createTrack("catalog.json").appendGroup();
    catalog.writeFrame({
      payload: encodeCatalog({
        audio: { renditions: { audio: rendition } },
        unsay: { renege: "rewind", mode: "live" },
      }),
      timestamp: Time.Timestamp.now(),
    });
    catalog.close();
    const tracks = new Map(
      names.map((name) => [name, broadcast.createTrack(name, { timescale: Time.Timescale.MICRO })]),
    );
    const live = new Live(tracks, sound);
    connection.publish(Path.from(PATH), broadcast);
    closers.push(() => {
      clearInterval(live.#timer);
      session.close();
    });
    return live;
  }
}

async function startRelay(options: RelayOptions = {}): Promise<{ relay: Relay; url: string }> {
  const relay = new Relay({ port: 0, ...options });
  const { host, port } = await relay.listen();
  closers.push(() => relay.close());
  return { relay, url: `http://${host}:${port}/` };
}

/** A listener behind a link. */
async function listen(
  relay: Relay,
  seed: number,
  down: Link,
  up: Link = {},
  options: Partial<ListenerOptions> = {},
): Promise<{ listener: Listener; link: Impairment }> {
  const link = await impair({ target: relay.address, seed, down, up });
  closers.push(() => link.close());
  const listener = new Listener({
    url: `https://127.0.0.1:${link.port}`,
    broadcast: "demo",
    connect: { certificateHashes: [Buffer.from(relay.fingerprint, "hex")], backends: ["quic"] },
    ...options,
  });
  listener.closed.catch(() => {});
  closers.push(() => listener.close());
  return { listener, link };
}

/** A starved machine delays everything: what is polled for may take its time. */
const PATIENCE = { timeout: 40_000 };

describe("delivery to a player that reports", () => {
  test("changes to the lower rendition where the way is full, group by group, while somebody needs it", async () => {
    const { relay, url } = await startRelay({ limits: { trackIdleMs: 500 } });
    const live = await Live.start(url, ["audio", "audio-low"]);
    const { listener, link } = await listen(relay, 1, { delayMs: 20 }, { delayMs: 20 });
    await expect.poll(() => listener.stats().relay?.level, PATIENCE).toBe("full");
    expect(live.wanted).toEqual({ audio: true, "audio-low": false });
    // Infinite, as queues of home routers nearly are.
    link.setDown({ delayMs: 20, rateBps: 100_000, queueBytes: Number.POSITIVE_INFINITY });
    await expect.poll(() => relay.stats().counters.lowOut, PATIENCE).toBeGreaterThan(50);
    expect(live.wanted["audio-low"]).toBe(true);
    await expect.poll(() => listener.stats().relay?.level, PATIENCE).toBe("low");
    // A second of the fuller rendition would be 16 KB.
    await expect.poll(() => link.stats().down.bytesQueued, PATIENCE).toBeLessThan(4000);
    const { playedMs } = listener.stats();
    await expect.poll(() => listener.stats().playedMs, PATIENCE).toBeGreaterThan(playedMs + 1000);
    const { dropped, malformed } = listener.stats();
    expect([dropped.duplicate, malformed]).toEqual([0, 0]);
    await listener.close();
    await expect.poll(() => live.wanted, PATIENCE).toEqual({ audio: false, "audio-low": false });
  }, 120_000);

  test("skips what does not fit where there is no lower rendition, and says why", async () => {
    const { relay, url } = await startRelay();
    await Live.start(url, ["audio"]);
    const { listener, link } = await listen(relay, 2, { delayMs: 20 }, { delayMs: 20 });
    await expect.poll(() => listener.stats().relay?.level, PATIENCE).toBe("full");
    link.setDown({ delayMs: 20, rateBps: 64_000, queueBytes: Number.POSITIVE_INFINITY });
    await expect.poll(() => relay.stats().counters.dropped.window, PATIENCE).toBeGreaterThan(20);
    await expect.poll(() => listener.stats().relay?.skips.window, PATIENCE).toBeGreaterThan(20);
    expect(listener.stats().relay?.windowBytes).toBeGreaterThan(0);
    expect(relay.stats().counters.lowOut).toBe(0);
    // Without a window it would be 8 KB more every second.
    expect(link.stats().down.bytesQueued).toBeLessThan(20_000);
  }, 120_000);

  test("repeats objects where the path loses some, and nowhere else", async () => {
    const { relay, url } = await startRelay();
    await Live.start(url, ["audio"], "audio-low");
    const clean = await listen(relay, 3, {});
    await expect.poll(() => clean.listener.stats().relay?.level, PATIENCE).toBe("full");
    await expect.poll(() => clean.listener.stats().playedMs, PATIENCE).toBeGreaterThan(2000);
    expect(relay.stats().counters.repeatsOut).toBe(0);
    const lossy = await listen(relay, 4, { delayMs: 20, loss: 0.05 }, { delayMs: 20 });
    await expect.poll(() => relay.stats().counters.repeatsOut, PATIENCE).toBeGreaterThan(50);
    expect(lossy.listener.stats().dropped.duplicate).toBeGreaterThan(0);
    expect(clean.listener.stats().dropped.duplicate).toBe(0);
  }, 120_000);

  test("keeps a long path full: a window of a quarter second would starve it", async () => {
    const { relay, url } = await startRelay();
    await Live.start(url, ["audio"]);
    const { listener } = await listen(relay, 5, { delayMs: 150 }, { delayMs: 150 });
    await expect.poll(() => listener.stats().receivedFrames, PATIENCE).toBeGreaterThan(250);
    expect(listener.stats().relay?.windowBytes).toBeGreaterThan((RATES.audio / 8) * 0.6);
    expect(relay.stats().counters.dropped.window).toBeLessThan(25);
  }, 120_000);
});
