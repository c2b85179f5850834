import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { modelPayload, openSource, Publisher, type PublisherOptions } from "../publisher/index.js";
import { Relay } from "../relay/index.js";
import { byMediaTime, HeardRecorder } from "../src/heard.js";
import { Listener } from "../watch/index.js";
import { amplitude, sine } from "./support/signal.js";
import { tone, until } from "./support/stage.js";

// The protocol library logs every step to the console.
console.debug = () => {};

const SAMPLE_RATE = 48_000;
const closers: (() => Promise<unknown>)[] = [];
const fixture = (name: string) => fileURLToPath(new URL(`../publisher/denoise/fixtures/${name}`, import.meta.url));

afterAll(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** A publisher, a relay and a listener that keeps what it heard, all of it sent ahead. */
async function setUp(options: Partial<PublisherOptions> = {}) {
  const relay = new Relay({ port: 0 });
  closers.push(() => relay.close());
  await relay.listen();
  const url = `http://127.0.0.1:${relay.address.port}`;
  const publisher = new Publisher({ url, aheadMs: 2000, ...options });
  closers.push(() => publisher.close());
  const recorder = new HeardRecorder({ maximumSeconds: 180 });
  // Over TCP nothing is lost, and so nothing concealed.
  const listener = new Listener({
    url,
    broadcast: "demo",
    connect: { backends: ["qmux"] },
    sink: recorder,
    jitterMs: 400,
    adaptive: false,
  });
  listener.closed.catch(() => {});
  closers.push(() => listener.close());
  await until("it is heard, and all is sent ahead", () => {
    const { leadMs, listeners } = publisher.stats();
    const isHeard = listener.record.some((run) => run.timestamp !== undefined);
    return listeners === 1 && listener.stats().playing && isHeard && leadMs > 1900;
  });
  const playhead = () => listener.stats().playheadUs ?? 0;
  return {
    publisher,
    listener,
    playhead,
    /** What was heard between two media times. */
    async heard(fromUs: number, toUs: number): Promise<Float32Array> {
      await until(`${toUs} us is heard`, () => playhead() > toUs + 100_000);
      const origin = listener.record.find((run) => run.timestamp !== undefined)!.timestamp!;
      const at = (time: number) => Math.round(((time - origin) * SAMPLE_RATE) / 1e6);
      return byMediaTime(listener.record, recorder.samples).subarray(at(fromUs), at(toUs));
    },
  };
}

// They wait for audio to be heard, each at a relay of its own.
describe.concurrent("Publisher.control", () => {
  test("a publisher swaps its source, splices audio into it and sets knobs, all audible long before the lead ends", async () => {
    const { publisher, playhead, heard } = await setUp({
      source: await tone({ hz: 440 }),
      sources: async (name) => {
        if (name !== "high") throw new Error(`There is no source ${name}.`);
        return tone({ hz: 880 });
      },
    });
    const missing = await publisher.control({ op: "swap_source", requestId: "1", source: "low" });
    expect(missing).toMatchObject({ outcome: "failed", reason: "There is no source low." });

    // 24 kHz and 16 bits, a good second from now, half a second long.
    const at = playhead() + 1_200_000;
    const beep = new Uint8Array(
      Int16Array.from(sine({ hz: 1320, ms: 500, level: 0.3, rate: 24_000 }), (value) => value * 32_767).buffer,
    );
    const written = await publisher.control(
      { op: "write_audio", requestId: "2", at, mode: "replace", format: "s16", sampleRateHz: 24_000, channels: 1 },
      beep,
    );
    expect(written).toMatchObject({ outcome: "applied", controlEpoch: 1 });
    const spliced = await heard(at + 50_000, at + 450_000);
    expect(amplitude(spliced, 1320)).toBeGreaterThan(0.2);
    expect(amplitude(spliced, 440)).toBeLessThan(0.05);
    const before = await heard(at - 400_000, at - 50_000);
    expect(amplitude(before, 440)).toBeGreaterThan(0.2);
    const late = { op: "write_audio", at: 0, mode: "sum", format: "s16", sampleRateHz: 24_000, channels: 1 };
    expect(await publisher.control({ ...late, requestId: "3" }, beep)).toMatchObject({ outcome: "failed" });

    const { sequence } = publisher.stats();
    const swapped = await publisher.control({ op: "swap_source", requestId: "4", source: "high" });
    expect(swapped).toMatchObject({ outcome: "applied", controlEpoch: 2 });
    await until("groups of the other source", () => publisher.controlEpochOf(publisher.stats().sequence) === 2);
    expect(publisher.controlEpochOf(sequence)).toBe(1);
    const from = playhead() + 1_000_000;
    const other = await heard(from, from + 400_000);
    expect(amplitude(other, 880)).toBeGreaterThan(0.2);
    expect(amplitude(other, 440)).toBeLessThan(0.05);

    // Of many at once the last holds, and every one has its one end.
    const ends = await Promise.all(
      [-10, -20, -40].map((gainDb, i) => publisher.control({ op: "set", requestId: `g${i}`, knobs: { gainDb } })),
    );
    expect(ends.map(({ outcome }) => outcome)).toEqual(["superseded", "superseded", "applied"]);
    expect(publisher.knobs.gainDb).toBe(-40);
    const quiet = playhead() + 1_000_000;
    expect(amplitude(await heard(quiet, quiet + 300_000), 880)).toBeLessThan(0.02);
    await expect(publisher.control({ op: "set", requestId: "x", knobs: { strength: 2 } })).rejects.toMatchObject({
      code: "INVALID_OPERATION",
    });
  });

  test("a knob takes effect within a second of the playhead, even where relays hold groups sent eight seconds ahead", async () => {
    const { publisher, playhead, heard } = await setUp({ source: await tone({ hz: 440 }), aheadMs: 8000 });
    await until("all is sent ahead", () => publisher.stats().leadMs > 7900);
    // So that reports cover groups that the relay has held.
    const started = playhead();
    await until("more is heard", () => playhead() > started + 3_000_000);
    const at = playhead();
    await publisher.control({ op: "set", requestId: "1", knobs: { gainDb: -40 } });
    const window = 20_000;
    const sound = await heard(at, at + 5_000_000);
    const size = (window * SAMPLE_RATE) / 1e6;
    const levels = Array.from({ length: 5_000_000 / window }, (_, i) =>
      amplitude(sound.subarray(i * size, (i + 1) * size), 440),
    );
    expect(levels[0]).toBeGreaterThan(0.2);
    const turned = levels.findIndex((level) => level < 0.05) * window;
    expect(turned).toBeGreaterThan(0);
    expect(turned).toBeLessThan(1_000_000);
    expect(Math.max(...levels.slice(turned / window + 1))).toBeLessThan(0.05);
  });

  test("a publisher repeats a stretch until the band is cleared, and is interrupted and resumed", async () => {
    // Every second has a frequency of its own.
    const scale = new Float32Array(40 * SAMPLE_RATE);
    for (let second = 0; second < 40; second++)
      scale.set(sine({ hz: 400 + 100 * second, level: 0.3 }), second * SAMPLE_RATE);
    const { publisher, listener, playhead, heard } = await setUp({ source: await openSource({ samples: scale }) });
    const origin = listener.record.find((run) => run.timestamp !== undefined)!.timestamp!;
    const start = Math.ceil((playhead() - origin) / 1e6) * 1e6 + origin;
    const band = { start, end: start + 1_000_000 };
    expect(await publisher.control({ op: "loop_band", requestId: "1", band })).toMatchObject({ outcome: "applied" });
    const once = await heard(start + 100_000, start + 900_000);
    const hz = [...Array(40).keys()].map((second) => 400 + 100 * second).find((each) => amplitude(once, each) > 0.15)!;
    expect(hz).toBeGreaterThan(0);
    const again = await heard(start + 2_100_000, start + 2_900_000);
    expect(amplitude(again, hz)).toBeGreaterThan(0.15);
    const cleared = await publisher.control({ op: "loop_band", requestId: "2", band: null });
    expect(cleared).toMatchObject({ outcome: "applied" });
    const on = playhead() + 2_500_000;
    expect(amplitude(await heard(on, on + 400_000), hz)).toBeLessThan(0.05);

    expect(await publisher.control({ op: "interrupt", requestId: "3" })).toMatchObject({ outcome: "applied" });
    await until("silence", () => !listener.stats().playing || publisher.stats().leadMs < 200);
    expect(await publisher.control({ op: "resume", requestId: "4" })).toMatchObject({ outcome: "applied" });
    expect(await publisher.control({ op: "resume", requestId: "5" })).toMatchObject({ outcome: "failed" });
    await until("all is sent ahead again", () => publisher.stats().leadMs > 1500);
  });

  test("a publisher swaps models and noise profiles during a speech, and renders the lead again", async () => {
    const { publisher } = await setUp({
      source: await tone({ hz: 440 }),
      model: fixture("tiny.onnx"),
      models: { other: fixture("other.onnx"), gone: "/nowhere/model.onnx" },
    });
    const change = async (operation: object, payload?: Uint8Array) => {
      const { epoch } = publisher.stats();
      const event = await publisher.control(operation, payload);
      if (event.outcome === "applied") {
        await until("it is sent ahead again", () => publisher.stats().epoch > epoch && publisher.stats().leadMs > 1900);
      }
      return event;
    };
    expect(await change({ op: "model", requestId: "1", name: "other" })).toMatchObject({ outcome: "applied" });
    // Every listener can read the answer, so it holds no path.
    expect(await change({ op: "model", requestId: "2", name: "gone" })).toMatchObject({
      outcome: "failed",
      reason: "The publisher can't open the model gone; its log says why.",
    });
    expect(await change({ op: "model", requestId: "3", name: "none" })).toMatchObject({
      outcome: "failed",
      reason: 'There is no model named "none".',
    });
    const payload = modelPayload(await readFile(fixture("tiny.json")), await readFile(fixture("tiny.onnx")));
    expect(await change({ op: "model", requestId: "4" }, payload)).toMatchObject({ outcome: "applied" });
    expect(await change({ op: "model", requestId: "5" }, payload.subarray(0, 2000))).toMatchObject({
      outcome: "failed",
    });

    let state = 1;
    const noise = Float32Array.from({ length: SAMPLE_RATE }, () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return 0.1 * (state / 2 ** 31 - 1);
    });
    // A machine that is too slow passes sound through instead, which counts as well.
    const rendered = () => publisher.stats().denoisedHops + publisher.stats().bleedMs / 10;
    const before = rendered();
    const recording = new Uint8Array(noise.buffer);
    const profile = { op: "noise_profile", action: "set" };
    expect(await change({ ...profile, requestId: "6" }, recording)).toMatchObject({ outcome: "applied" });
    // What was sent ahead went through the network again.
    expect(rendered()).toBeGreaterThan(before + 100);
    expect(await change({ ...profile, requestId: "7" }, recording.subarray(0, 400))).toMatchObject({
      outcome: "failed",
    });
    expect(await change({ op: "noise_profile", requestId: "8", action: "clear" })).toMatchObject({
      outcome: "applied",
    });
    const waiting = publisher.control({ op: "model", requestId: "9", name: "other" });
    await publisher.close();
    expect(["failed", "applied"]).toContain((await waiting).outcome);
  });
});
