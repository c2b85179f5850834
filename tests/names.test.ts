import { Broadcast, Connection, Group, Path, Time } from "@kixelated/moq";
import { createEncoder } from "libopus-wasm";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { microseconds } from "../base/index.js";
import { encodeCatalog, encodeLegacyFrame } from "../container/index.js";
import { openSource, Publisher } from "../publisher/index.js";
import { Relay } from "../relay/index.js";
import { connect, toWebTransport } from "../transport/index.js";
import { Controller, Listener } from "../watch/index.js";

const closers: (() => unknown)[] = [];
let relay: Relay;
let url: string;
// The protocol library logs every step to the console.
console.debug = () => {};

beforeAll(async () => {
  relay = new Relay({ host: "127.0.0.1", port: 0 });
  url = `http://127.0.0.1:${(await relay.listen()).port}`;
});
afterAll(() => relay.close());
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

function listen(broadcast: string): Listener {
  const listener = new Listener({ url, broadcast });
  listener.closed.catch(() => {});
  closers.push(() => listener.close());
  return listener;
}

/** A publisher of another make: a tone in Opus, published at exactly this path. */
async function publishAt(path: string): Promise<void> {
  const session = await connect(new URL(url));
  closers.push(() => session.close());
  const connection = await Connection.connect(session.url, { transport: toWebTransport(session) });
  const broadcast = new Broadcast.Producer();
  const rendition = { codec: "opus", sampleRate: 48_000, numberOfChannels: 1 };
  const catalog = broadcast.createTrack("catalog.json", { latencyMax: 60_000 }).appendGroup();
  catalog.writeFrame({
    payload: encodeCatalog({ audio: { renditions: { tone: rendition } } }),
    timestamp: Time.Timestamp.now(),
  });
  catalog.close();
  const track = broadcast.createTrack("tone", { timescale: Time.Timescale.MICRO, latencyMax: 5000 });
  connection.publish(Path.from(path), broadcast);
  const encoder = await createEncoder({ channels: 1, sampleRate: 48_000, frameSize: 960, bitrate: 32_000 });
  let sequence = 0;
  const timer = setInterval(() => {
    const at = sequence * 960;
    const samples = Float32Array.from({ length: 960 }, (_, index) => 0.5 * Math.sin((at + index) * 0.05));
    const timestamp = microseconds(sequence * 20_000);
    const group = new Group.Producer(sequence++);
    track.writeGroup(group);
    group.writeFrame({
      payload: encodeLegacyFrame({ timestamp, payload: encoder.encodeFloat(samples).slice() }),
      timestamp: Time.Timestamp.fromMicros(timestamp),
    });
    group.close();
  }, 20);
  closers.push(() => {
    clearInterval(timer);
    encoder.free();
    broadcast.close();
  });
}

test("a publisher, listeners and a controller meet however they spell a name, and every listener's reports arrive", async () => {
  const samples = new Float32Array(48_000 * 30).map((_, index) => 0.3 * Math.sin(index * 0.05));
  const source = await openSource({ samples, name: "tone" });
  const publisher = new Publisher({ url, broadcast: "names//stage.hang", source, control: true });
  closers.push(() => publisher.close());
  const spellings = ["names/stage", "names/stage.hang", "/names//stage/"];
  const listeners = spellings.map(listen);
  for (const listener of listeners) {
    await expect.poll(() => listener.stats().playing).toBe(true);
  }
  await expect.poll(() => publisher.stats().listeners).toBe(3);
  const controller = new Controller({ url, broadcast: "names//stage" });
  closers.push(() => controller.close());
  expect(await controller.send({ op: "set", knobs: { gainDb: -6 } })).toMatchObject({ outcome: "applied" });
  for (const { relay: carriage } of listeners.map((listener) => listener.stats())) expect(carriage).toBeDefined();
});

test("a listener hears a broadcast of another make at the path it is given, and the relay takes its reports", async () => {
  const path = "strangers/pipecat-bot";
  await publishAt(path);
  const listener = listen("strangers//pipecat-bot");
  await expect.poll(() => listener.record.some(({ timestamp }) => timestamp !== undefined)).toBe(true);
  await expect.poll(() => relay.reportingListeners().map(({ broadcast }) => broadcast)).toEqual([path]);
  // A broadcast with the suffix comes up beside it, later than an answer to the listener's question: the one that plays
  // goes on.
  await expect.poll(() => listener.stats().playedMs).toBeGreaterThan(600);
  await publishAt(`${path}.hang`);
  const { playheadUs = 0 } = listener.stats();
  await expect.poll(() => (listener.stats().playheadUs ?? 0) - playheadUs).toBeGreaterThan(1e6);
  expect(relay.reportingListeners().map(({ broadcast }) => broadcast)).toEqual([path]);
});

test("a listener of our own broadcast prefers it to a bare name", async () => {
  await publishAt("both");
  await publishAt("both.hang");
  await expect.poll(() => relay.stats().broadcasts).toBe(2);
  const listener = listen("both");
  await expect.poll(() => relay.reportingListeners().map(({ broadcast }) => broadcast)).toEqual(["both.hang"]);
  await expect.poll(() => listener.stats().state).toBe("playing");
});
