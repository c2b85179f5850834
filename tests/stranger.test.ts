import { Broadcast, Connection, Group, Path, Time, type Track } from "@kixelated/moq";
import { createEncoder } from "libopus-wasm";
import { afterAll, beforeAll, expect, test } from "vitest";
import { microseconds } from "../base/index.js";
import { encodeCatalog, encodeLegacyFrame } from "../container/index.js";
import { Relay } from "../relay/index.js";
import { connect, toWebTransport } from "../transport/index.js";
import { Listener, type PlayedRun } from "../watch/index.js";

const PACKET_MS = 20;
/** A second reply begins where the first ended in media time, whatever the pause was. */
const REPLIES = { packets: [50, 75], pauseMs: 3000 };

let relay: Relay;
let url: string;
let packets: Uint8Array[];
// The protocol library logs every step to the console.
console.debug = () => {};

beforeAll(async () => {
  relay = new Relay({ host: "127.0.0.1", port: 0 });
  url = `http://127.0.0.1:${(await relay.listen()).port}`;
  const encoder = await createEncoder({ channels: 1, sampleRate: 48_000, frameSize: 960, bitrate: 32_000 });
  packets = Array.from({ length: 125 }, (_, packet) =>
    encoder
      .encodeFloat(Float32Array.from({ length: 960 }, (_, at) => 0.5 * Math.sin((packet * 960 + at) * 0.05)))
      .slice(),
  );
  encoder.free();
});
afterAll(() => relay.close());

/** Publishes as a stock voice bot does: 20 ms of Opus in the legacy container, a reply at once, no time for pauses. */
class Bot {
  readonly track: Track.Producer;
  readonly #connection: Connection.Established;
  #sequence = 0;

  private constructor(connection: Connection.Established, name: string) {
    this.#connection = connection;
    const broadcast = new Broadcast.Producer();
    const rendition = { codec: "opus", sampleRate: 48_000, numberOfChannels: 1, container: { kind: "legacy" } };
    const catalog = broadcast.createTrack("catalog.json", { latencyMax: 60_000 }).appendGroup();
    catalog.writeFrame({
      payload: encodeCatalog({ audio: { renditions: { "bot-audio": rendition } } }),
      timestamp: Time.Timestamp.now(),
    });
    catalog.close();
    this.track = broadcast.createTrack("bot-audio", { timescale: Time.Timescale.MICRO, latencyMax: 30_000 });
    connection.publish(Path.from(name), broadcast);
  }

  static async dial(protocol: string, name: string): Promise<Bot> {
    const carrier = protocol === "moq-lite-05" ? "qmux" : "quic";
    // Over QUIC no version is agreed by a stock client, which makes it moq-lite-02.
    const protocols = protocol === "moq-lite-02" ? [] : [protocol];
    const session = await connect(new URL(url), { backends: [carrier], protocols });
    const connection = await Connection.connect(session.url, { transport: toWebTransport(session) });
    expect(connection.version).toBe(protocol);
    return new Bot(connection, name);
  }

  say(count: number): void {
    for (let packet = 0; packet < count; packet++) {
      const timestamp = microseconds(this.#sequence * PACKET_MS * 1000);
      const group = new Group.Producer(this.#sequence);
      this.track.writeGroup(group);
      const payload = encodeLegacyFrame({ timestamp, payload: packets[this.#sequence]! });
      group.writeFrame({ payload, timestamp: Time.Timestamp.fromMicros(timestamp) });
      group.close();
      this.#sequence++;
    }
  }

  close(): void {
    this.#connection.close();
  }
}

/** Where in media time each stretch that the virtual speaker played begins, and how much of each reply it played. */
function heard(record: readonly Readonly<PlayedRun>[]) {
  const runs = record.flatMap(({ timestamp, frames }) =>
    timestamp === undefined ? [] : [{ startMs: timestamp / 1000, playedMs: frames / 48 }],
  );
  let endMs = 0;
  const shares = REPLIES.packets.map((count) => {
    const startMs = endMs;
    endMs += count * PACKET_MS;
    const played = runs.map((run) => Math.min(endMs, run.startMs + run.playedMs) - Math.max(startMs, run.startMs));
    return played.reduce((sum, each) => sum + Math.max(0, each), 0) / (count * PACKET_MS);
  });
  return { starts: runs.map(({ startMs }) => startMs), shares };
}

function received(listener: Listener): number {
  const { receivedFrames, dropped } = listener.stats();
  return receivedFrames - dropped.duplicate;
}

const VERSIONS = ["moq-lite-02", "moq-lite-04", "moq-lite-05"];

test.concurrent.for(VERSIONS)(
  "a listener hears all of a stock bot's replies, the second one too, over %s",
  async (protocol, { expect }) => {
    const name = `bot-${protocol}`;
    const bot = await Bot.dial(protocol, name);
    // Half a second for a busy machine to bring a burst in any order.
    const listener = new Listener({ url, broadcast: name, jitterMs: 500, adaptive: false });
    try {
      await expect.poll(() => bot.track.used.peek()).toBe(true);
      let said = 0;
      for (const count of REPLIES.packets) {
        // The playhead waits, then runs on in the pause, past where late audio is played otherwise.
        if (said > 0) await new Promise((resolve) => setTimeout(resolve, REPLIES.pauseMs));
        said += count;
        bot.say(count);
        // Copies may come on top: a busy machine loses datagrams too.
        await expect.poll(() => received(listener)).toBe(said);
        const endMs = said * PACKET_MS;
        await expect.poll(() => listener.stats().playheadUs ?? 0).toBeGreaterThanOrEqual(endMs * 1000);
      }
      const { starts, shares } = heard(listener.record);
      expect(starts).toEqual([...starts].sort((left, right) => left - right));
      for (const share of shares) expect(share).toBeGreaterThanOrEqual(0.98);
      expect(listener.stats().discontinuities).toBe(0);
      const { passed, window, age, overflow } = relay.stats().counters.dropped;
      expect({ passed, window, age, overflow }).toEqual({ passed: 0, window: 0, age: 0, overflow: 0 });
    } finally {
      await listener.close();
      bot.close();
    }
  },
);

test.concurrent("the first groups of a track reach a listener in any order, whatever their numbers", async ({
  expect,
}) => {
  const bot = await Bot.dial("moq-lite-04", "bot-numbers");
  const listener = new Listener({ url, broadcast: "bot-numbers" });
  try {
    await expect.poll(() => bot.track.used.peek()).toBe(true);
    for (const [before, packet] of [3, 2, 1, 0].entries()) {
      const timestamp = microseconds(packet * PACKET_MS * 1000);
      const group = new Group.Producer(timestamp);
      bot.track.writeGroup(group);
      const payload = encodeLegacyFrame({ timestamp, payload: packets[packet]! });
      group.writeFrame({ payload, timestamp: Time.Timestamp.fromMicros(timestamp) });
      group.close();
      await expect.poll(() => received(listener)).toBe(before + 1);
    }
  } finally {
    await listener.close();
    bot.close();
  }
});

test.concurrent.for(VERSIONS)(
  "a stock bot that says nothing answers when the relay asks, and keeps its name over %s",
  async (protocol, { expect }) => {
    const bots = [await Bot.dial(protocol, `quiet-${protocol}`), await Bot.dial(protocol, `quiet-${protocol}`)];
    await expect.poll(() => relay.stats().displaced).toBeGreaterThan(0);
    // Longer than the relay waits for an answer.
    await new Promise((resolve) => setTimeout(resolve, 4000));
    expect(relay.stats().counters.publishersSilent).toBe(0);
    for (const bot of bots) bot.close();
  },
);
