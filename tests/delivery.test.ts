import { Broadcast, Connection, Group, Path, Time, type Track } from "@kixelated/moq";
import { createEncoder } from "libopus-wasm";
import { beforeAll, expect, test } from "vitest";
import { microseconds } from "../base/index.js";
import { encodeCatalog, encodeLegacyFrame } from "../container/index.js";
import type { Relay } from "../relay/index.js";
import { connect, toWebTransport } from "../transport/index.js";
import { impair, type Link } from "./support/impairment.js";
import { eventually, Stage, urlOf } from "./support/stage.js";

const PACKET_MS = 20;
const PATH = "demo.hang";
/** Bits per second of the two renditions. */
const RATES = { audio: 128_000, "audio-low": 16_000 } as const;

let packets: Record<keyof typeof RATES, Uint8Array[]>;
// The protocol library logs every step to the console.
console.debug = () => {};

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
    stage: Stage,
    relay: Relay,
    names: readonly (keyof typeof RATES)[],
    sound: keyof typeof RATES = "audio",
  ): Promise<Live> {
    const url = urlOf(relay);
    const session = stage.use(await connect(url, { backends: ["quic"] }));
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
    stage.defer(() => clearInterval(live.#timer));
    return live;
  }
}

/** A listener behind a link. */
async function listen(stage: Stage, relay: Relay, seed: number, down: Link, up: Link = {}) {
  const link = stage.use(await impair({ target: relay.address, seed, down, up }));
  const listener = stage.listen(`https://127.0.0.1:${link.port}`, {
    connect: { certificateHashes: [Buffer.from(relay.fingerprint, "hex")], backends: ["quic"] },
  });
  return { listener, link };
}

test.concurrent("a relay switches to the lower rendition on a full path, group by group, while a listener needs it", async () => {
  await using stage = new Stage();
  const relay = await stage.relay({ limits: { trackIdleMs: 500 } });
  const live = await Live.start(stage, relay, ["audio", "audio-low"]);
  const { listener, link } = await listen(stage, relay, 1, { delayMs: 20 }, { delayMs: 20 });
  await eventually(() => expect(listener.stats().relay?.level).toBe("full"));
  expect(live.wanted).toEqual({ audio: true, "audio-low": false });
  // Infinite, as queues of home routers nearly are.
  link.setDown({ delayMs: 20, rateBps: 100_000, queueBytes: Number.POSITIVE_INFINITY });
  await eventually(() => expect(relay.stats().counters.lowOut).toBeGreaterThan(50));
  expect(live.wanted["audio-low"]).toBe(true);
  await eventually(() => expect(listener.stats().relay?.level).toBe("low"));
  // A second of the fuller rendition would be 16 KB.
  await eventually(() => expect(link.stats().down.bytesQueued).toBeLessThan(4000));
  const { playedMs } = listener.stats();
  await eventually(() => expect(listener.stats().playedMs).toBeGreaterThan(playedMs + 1000));
  const { dropped, malformed } = listener.stats();
  expect([dropped.duplicate, malformed]).toEqual([0, 0]);
  await listener.close();
  await eventually(() => expect(live.wanted).toEqual({ audio: false, "audio-low": false }));
});

test.concurrent("a relay without a lower rendition skips groups that do not fit, and counts why", async () => {
  await using stage = new Stage();
  const relay = await stage.relay();
  await Live.start(stage, relay, ["audio"]);
  const { listener, link } = await listen(stage, relay, 2, { delayMs: 20 }, { delayMs: 20 });
  await eventually(() => expect(listener.stats().relay?.level).toBe("full"));
  link.setDown({ delayMs: 20, rateBps: 64_000, queueBytes: Number.POSITIVE_INFINITY });
  await eventually(() => expect(relay.stats().counters.dropped.window).toBeGreaterThan(20));
  await eventually(() => expect(listener.stats().relay?.skips.window).toBeGreaterThan(20));
  expect(listener.stats().relay?.windowBytes).toBeGreaterThan(0);
  expect(relay.stats().counters.lowOut).toBe(0);
  // Without a window it would be 8 KB more every second.
  expect(link.stats().down.bytesQueued).toBeLessThan(20_000);
});

test.concurrent("a relay repeats objects where the path loses packets, and nowhere else", async () => {
  await using stage = new Stage();
  const relay = await stage.relay();
  await Live.start(stage, relay, ["audio"], "audio-low");
  const clean = await listen(stage, relay, 3, {});
  await eventually(() => expect(clean.listener.stats().relay?.level).toBe("full"));
  await eventually(() => expect(clean.listener.stats().playedMs).toBeGreaterThan(2000));
  expect(relay.stats().counters.repeatsOut).toBe(0);
  const lossy = await listen(stage, relay, 4, { delayMs: 20, loss: 0.05 }, { delayMs: 20 });
  await eventually(() => expect(relay.stats().counters.repeatsOut).toBeGreaterThan(50));
  expect(lossy.listener.stats().dropped.duplicate).toBeGreaterThan(0);
  expect(clean.listener.stats().dropped.duplicate).toBe(0);
});

test.concurrent("a relay keeps a long path full, which a window of a quarter second would starve", async () => {
  await using stage = new Stage();
  const relay = await stage.relay();
  await Live.start(stage, relay, ["audio"]);
  const { listener } = await listen(stage, relay, 5, { delayMs: 150 }, { delayMs: 150 });
  await eventually(() => expect(listener.stats().receivedFrames).toBeGreaterThan(250));
  await eventually(() => expect(listener.stats().relay?.windowBytes).toBeGreaterThan((RATES.audio / 8) * 0.6));
  expect(relay.stats().counters.dropped.window).toBeLessThan(25);
});
