import { expect, test } from "vitest";
import { type AudioSource, openAudio, type Publisher, type PublisherListeners } from "../publisher/index.js";
import { Ear, spoken } from "./support/ear.js";
import { PATIENT, Stage, until } from "./support/stage.js";

// The protocol library logs every step.
console.debug = () => {};

const RATE = 24_000;
/** A word every 300 ms. */
const WORDS = Array.from({ length: 20 }, (_, index) => ({ text: `w${index}`, startMs: index * 300, durationMs: 280 }));
const WITHIN_MS = 20;
async function setUp(stage: Stage): Promise<{ publisher: Publisher; ear: Ear; seen: PublisherListeners[] }> {
  const relay = await stage.relay();
  const publisher = stage.publish(relay, { codec: "pcm" }, PATIENT);
  const seen: PublisherListeners[] = [];
  publisher.on("listeners", (now) => seen.push(now));
  // Nothing is lost over TCP, so that every sample that was played was said.
  const ear = new Ear();
  const listener = stage.listen(relay, { sink: ear, connect: { backends: ["qmux"] } });
  await until("the listener has subscribed", () => listener.stats().state === "ready");
  return { publisher, ear, seen };
}

test.concurrent("an interrupted pushed speech ends at the words that the speaker played", async () => {
  await using stage = new Stage();
  const { publisher, ear, seen } = await setUp(stage);
  const speech = publisher.say(openAudio({ sampleRate: RATE, format: "s16le" }), { words: WORDS.slice(0, 3) });
  const events: string[] = [];
  for (const name of ["started", "finished"] as const) speech.on(name, () => events.push(name));
  speech.write(spoken(6000));
  speech.addWords(WORDS.slice(3));
  await until("a second and a half was heard", () => speech.heardMs > 1500);
  const { outcome, heardMs, heardText, exact, measured, listeners } = await speech.interrupt();
  expect({ outcome, exact, measured }).toEqual({ outcome: "interrupted", exact: true, measured: true });
  expect(Math.abs(heardMs - ear.reachedMs)).toBeLessThan(WITHIN_MS);
  expect(heardText.split(" ")).toEqual(WORDS.filter((_, i) => i * 300 + 280 <= heardMs + 1).map(({ text }) => text));
  expect(listeners).toMatchObject([{ heardMs, measured: true }]);
  // On a busy machine the first packet may come behind the next one, too late.
  const beganMs = ear.jumps.find(({ fromMs }) => fromMs === 0)?.toMs ?? 0;
  expect(Math.abs(listeners[0]!.fromMs - beganMs)).toBeLessThan(WITHIN_MS);
  expect(events).toEqual(["started", "finished"]);
  speech.write(spoken(100));
  expect(seen).toContainEqual({ count: 0, playing: false, silent: true });
  expect(seen.at(-1)!.count).toBe(1);
});

test.concurrent("a speech that is paused and resumed is heard completely, once, and ends at its length", async () => {
  await using stage = new Stage();
  const { publisher, ear } = await setUp(stage);
  const speech = publisher.say(openAudio({ sampleRate: RATE }), { text: "All of it." });
  speech.write(spoken(2500));
  speech.end();
  await until("a second was heard", () => speech.heardMs > 1000);
  speech.pause();
  const [paused] = await new Promise<{ ms: number; measured: boolean }[]>((resolve) => {
    speech.once("paused", (progress) => resolve([progress]));
  });
  expect(paused!.measured).toBe(true);
  expect(Math.abs(paused!.ms - ear.reachedMs)).toBeLessThan(WITHIN_MS);
  expect(speech.resume()).toBe(speech);
  const progress: number[] = [];
  for await (const { ms } of speech.progress()) progress.push(ms);
  expect(await speech.done).toMatchObject({ outcome: "finished", heardMs: 2500, heardText: "All of it." });
  expect(progress).toEqual([...progress].sort((one, other) => one - other));
  expect(progress.at(-1)).toBe(2500);
});

test.concurrent("a publisher ends with the reason of its signal, and its speeches with it", async () => {
  await using stage = new Stage();
  const relay = await stage.relay();
  const stop = new AbortController();
  const publisher = stage.publish(relay, { signal: stop.signal });
  const speech = publisher.say(openAudio({ sampleRate: RATE }));
  const reason = new Error("enough");
  stop.abort(reason);
  expect(await publisher.closed).toBe(reason);
  expect(await speech.done).toMatchObject({ outcome: "interrupted", heardMs: 0, measured: false, listeners: [] });
  expect(() => publisher.say(openAudio({ sampleRate: RATE }))).toThrow(expect.objectContaining({ code: "CLOSED" }));
  await expect(publisher.interrupt()).rejects.toMatchObject({ code: "CLOSED" });
  await publisher.close();
});

test.concurrent("a speech whose source can't be read fails, and the next one is said", async () => {
  await using stage = new Stage();
  const { publisher } = await setUp(stage);
  const service = async function* () {
    yield new Float32Array(4800).fill(0.1);
    throw new Error("no such voice");
  };
  const words = ["Hello", "there."].map((text, index) => ({ text, startMs: 90 * index, durationMs: 90 }));
  const broken = publisher.say(openAudio({ stream: service() }), { text: "Hello there.", words });
  const own = (read: () => unknown) =>
    publisher.say({ name: "mine", channels: 1, read, close: async () => {} } as AudioSource);
  const integers = own(async () => new Int16Array(480).fill(1000));
  const withoutError = own(() => Promise.reject(undefined));
  const next = publisher.say(openAudio({ samples: new Float32Array(4800).fill(0.1) }));
  const error = new Error("no such voice");
  expect(await broken.done).toMatchObject({ outcome: "failed", heardMs: 100, heardText: "Hello", exact: true, error });
  expect(await integers.done).toMatchObject({ outcome: "failed", heardMs: 0, error: { code: "INVALID_AUDIO" } });
  expect(await withoutError.done).toMatchObject({ outcome: "failed", heardMs: 0, error: { code: "SOURCE_FAILED" } });
  expect(await next.done).toMatchObject({ outcome: "finished", heardMs: 100 });
});
