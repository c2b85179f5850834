import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { microseconds, monotonicClock } from "../../base/index.js";
import { VOICE_UNKNOWN } from "../../container/index.js";
import { Denoiser } from "../denoise/denoiser.js";
import { loadModel, type Model } from "../denoise/model.js";
import { OverloadGuard } from "../denoise/overload-guard.js";
import { type AudioSource, openSource } from "../source/source.js";
import { TimelineBuffer } from "../tracks/timeline-buffer.js";
import { SourceRenderer } from "./source-renderer.js";

let model: Model;

beforeAll(async () => {
  model = await loadModel(fileURLToPath(new URL("../denoise/fixtures/tiny.onnx", import.meta.url)));
});

afterAll(() => model.close());

const guard = () => new OverloadGuard({ clock: monotonicClock, budget: microseconds(10_000_000) });

function ramp(length: number): Float32Array {
  return new Float32Array(length).map((_, i) => Math.sin(i / 50) * 0.4);
}

async function render(
  source: AudioSource,
  channels: number,
  denoise: boolean,
): Promise<{ dry: number[]; wet: number[] }> {
  const denoisers: Denoiser[] = [];
  for (let c = 0; c < channels && denoise; c++) denoisers.push(await Denoiser.create(model));
  const renderer = new SourceRenderer({ source, denoisers, guard: guard(), clock: monotonicClock });
  const dry: number[] = [];
  const wet: number[] = [];
  for (let block = await renderer.read(); block; block = await renderer.read()) {
    dry.push(...block.dry);
    wet.push(...block.wet);
  }
  expect(await renderer.read()).toBeUndefined();
  await renderer.close();
  return { dry, wet };
}

describe("SourceRenderer", () => {
  test("a renderer returns its input to the sample, with the denoised audio in step", async () => {
    for (const length of [0, 1, 479, 480, 481, 4800, 5000]) {
      const samples = ramp(length);
      const plain = await render(await openSource({ samples }), 1, false);
      expect(plain.dry).toEqual([...samples]);
      const denoised = await render(await openSource({ samples }), 1, true);
      expect(denoised.dry).toEqual([...samples]);
      expect(denoised.wet).toHaveLength(length);
    }
    const samples = ramp(9600);
    const { dry, wet } = await render(await openSource({ samples }), 1, true);
    const product = (a: number[], b: number[]) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
    const likeness = product(dry, wet) / Math.sqrt(product(dry, dry) * product(wet, wet));
    // A lag of one hop would turn the sine by 9.6 radians; in step, gains only change its level.
    expect(likeness).toBeGreaterThan(0.8);
  });

  test("a renderer takes samples that come without a promise, refuses other arrays, and lets empty chunks stop nothing", async () => {
    const from = (read: () => unknown): SourceRenderer => {
      const source = { name: "mine", channels: 1, read, close: async () => {} } as AudioSource;
      return new SourceRenderer({ source, guard: guard(), clock: monotonicClock });
    };
    const samples = ramp(480);
    expect((await from(() => samples).read())?.dry).toEqual(samples);
    await expect(from(async () => new Int16Array(480).fill(1000)).read()).rejects.toMatchObject({
      code: "INVALID_AUDIO",
    });
    const empty = from(async () => new Float32Array(0));
    const reading = empty.read();
    await new Promise((resolve) => setTimeout(resolve, 10));
    await empty.close();
    expect(await reading).toBeUndefined();
  });

  test("a renderer denoises the channels of a stereo source separately", async () => {
    const mono = ramp(4800);
    const stereo = new Float32Array(9600);
    for (let i = 0; i < 4800; i++) stereo[i * 2] = mono[i]!;
    const both = await render(await openSource({ samples: stereo, inputChannels: 2, channels: 2 }), 2, true);
    const one = await render(await openSource({ samples: mono }), 1, true);
    expect(both.wet.filter((_, i) => i % 2 === 0)).toEqual(one.wet);
    expect(both.wet.filter((_, i) => i % 2 === 1).every((value) => value === 0)).toBe(true);
  });

  test("a renderer reports a voice in either channel, none where the network did not run, and nothing for a model without voice activity", async () => {
    const shipped = await loadModel(fileURLToPath(new URL("../../models/unsay-denoise.onnx", import.meta.url)));
    const other = await loadModel(fileURLToPath(new URL("../denoise/fixtures/other.onnx", import.meta.url)));
    const speech = new URL("../../examples/audio/clean-speech.wav", import.meta.url);
    const spoken = await openSource({ file: fileURLToPath(speech) });
    const parts: number[] = [];
    for (let part = await spoken.read(); part && parts.length < 96_000; part = await spoken.read()) parts.push(...part);
    await spoken.close();
    const stereo = new Float32Array(2 * parts.length);
    for (const [index, sample] of parts.entries()) stereo[2 * index + 1] = sample;

    const activityOf = async (using: Model, samples: Float32Array, wanted: boolean, channels: 1 | 2) => {
      const denoisers: Denoiser[] = [];
      for (let channel = 0; channel < channels; channel++) denoisers.push(await Denoiser.create(using));
      const source = await openSource({ samples, inputChannels: channels, channels });
      const renderer = new SourceRenderer({
        source,
        denoisers,
        guard: guard(),
        clock: monotonicClock,
        wanted: () => wanted,
      });
      const activity: (number | undefined)[] = [];
      for (let block = await renderer.read(); block; block = await renderer.read()) activity.push(block.voice?.[0]);
      await renderer.close();
      return activity;
    };
    const mono = await activityOf(shipped, Float32Array.from(parts), true, 1);
    const both = await activityOf(shipped, stereo, true, 2);
    const quiet = await activityOf(shipped, new Float32Array(stereo.length), true, 2);
    expect(mono.filter((step) => step! > 127).length).toBeGreaterThan(mono.length / 2);
    expect(both.length).toBe(mono.length);
    for (const [index, step] of both.entries()) expect(step).toBeGreaterThanOrEqual(mono[index]!);
    expect(quiet.filter((step) => step! > 127)).toEqual([]);
    expect((await activityOf(shipped, stereo, false, 2)).every((step) => step === undefined)).toBe(true);
    expect((await activityOf(other, ramp(9600), true, 1)).every((step) => step === undefined)).toBe(true);
    await shipped.close();
    await other.close();
  });

  test("a renderer returns blocks that were put back first, and continues behind them", async () => {
    const samples = ramp(960);
    const renderer = new SourceRenderer({
      source: await openSource({ samples }),
      guard: guard(),
      clock: monotonicClock,
    });
    const first = (await renderer.read())!;
    renderer.unread(first);
    const second = (await renderer.read())!;
    expect([...second.dry]).toEqual([...samples.subarray(0, 480)]);
    expect([...(await renderer.read())!.dry]).toEqual([...samples.subarray(480)]);
    expect(await renderer.read()).toBeUndefined();
  });

  test("a block that is put back comes before the one behind it, and behind those put in front meanwhile", async () => {
    const source = await openSource({ samples: ramp(480) });
    const renderer = new SourceRenderer({ source, guard: guard(), clock: monotonicClock });
    const [a, b, c] = [1, 2, 3].map((value) => {
      const dry = new Float32Array(480).fill(value);
      return { dry, wet: dry };
    });
    const next = async () => (await renderer.read())!.dry[0];
    for (const [inFront, skipped, expected] of [
      [[], 0, [1, 2]],
      [[c!], 0, [3, 1, 2]],
      [[c!], 480, [1, 2]],
    ] as const) {
      renderer.unread(a!, b!);
      const taken = (await renderer.read())!;
      renderer.unread(...inFront);
      renderer.skip(skipped);
      renderer.putBack(taken);
      const values = [];
      for (const _ of expected) values.push(await next());
      expect(values).toEqual(expected);
    }
    await renderer.close();
  });

  test("a renderer ends quietly when it is closed in the middle of a hop", async () => {
    const source = await openSource({ samples: ramp(9600), inputChannels: 2, channels: 2 });
    const denoisers = [await Denoiser.create(model), await Denoiser.create(model)];
    const renderer = new SourceRenderer({ source, denoisers, guard: guard(), clock: monotonicClock });
    await renderer.read();
    const reading = renderer.read();
    await Promise.resolve();
    await renderer.close();
    expect(await reading).toBeUndefined();
  });

  test("a renderer passes audio through and counts it while inference is too slow", async () => {
    let now = 0;
    const clock = () => {
      now += 20_000;
      return microseconds(now);
    };
    const slow = new OverloadGuard({ clock, budget: microseconds(10_000) });
    const samples = ramp(48_000);
    const renderer = new SourceRenderer({
      source: await openSource({ samples }),
      denoisers: [await Denoiser.create(model)],
      guard: slow,
      clock,
    });
    const wet: number[] = [];
    for (let block = await renderer.read(); block; block = await renderer.read()) wet.push(...block.wet);
    expect(wet).toHaveLength(48_000);
    expect(slow.bleedMs).toBeGreaterThan(100);
    expect(wet.filter((value, i) => Math.abs(value - samples[i]!) < 1e-5).length).toBeGreaterThan(5000);
  });
});

describe("TimelineBuffer", () => {
  test("a timeline buffer keeps the voice activity beside the audio to 10 ms, through cuts and holes", () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant("write" as const), length: fc.nat(3000), voice: fc.nat(254) }),
      fc.record({ kind: fc.constant("raw" as const), length: fc.nat(3000), voice: fc.constant(VOICE_UNKNOWN) }),
      fc.record({ kind: fc.constant("seek" as const), length: fc.nat(5000), voice: fc.constant(0) }),
      fc.record({ kind: fc.constant("again" as const), length: fc.nat(4000), voice: fc.constant(0) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const buffer = new TimelineBuffer({ channels: 1, capacity: 24_000 });
        /** The voice activity written for each sample. */
        const activity: number[] = [];
        /** Steps of voice activity that each cut returned, and that its samples need. */
        const cuts: [number | undefined, number][] = [];
        for (const { kind, length, voice } of steps) {
          if (kind === "write" || kind === "raw") {
            const block = new Float32Array(length);
            buffer.write(block, block, kind === "raw" ? undefined : Uint8Array.of(voice));
            activity.push(...Array(length).fill(voice));
          } else if (kind === "seek") {
            buffer.seek(buffer.end + length);
            activity.push(...Array(length).fill(0));
          } else {
            // Cut off and written again where it was, as a resume does.
            const cut = buffer.cut(Math.max(0, buffer.end - length));
            buffer.write(cut.dry, cut.wet, cut.voice);
            cuts.push([cut.voice?.length, Math.ceil(cut.dry.length / 480)]);
          }
        }
        expect(cuts.filter(([returned, needed]) => returned !== needed)).toEqual([]);
        expect(buffer.end).toBe(activity.length);
        expect(buffer.voice(Math.ceil(activity.length / 480))).toBe(0);
        for (
          let number = Math.max(0, Math.ceil(buffer.oldest / 480));
          (number + 1) * 480 <= activity.length;
          number++
        ) {
          // Blocks need not be aligned: a step may be off by one, and by two where it was cut and written again.
          const near = new Set(activity.slice(Math.max(0, (number - 2) * 480), (number + 3) * 480));
          expect(near.has(buffer.voice(number))).toBe(true);
        }
        buffer.seek(buffer.end + 24_480);
        expect(buffer.voice(0)).toBe(VOICE_UNKNOWN);
      }),
      { seed: 5, numRuns: 500 },
    );
  });

  test("a timeline buffer behaves like an endless array of silence that remembers its last stretch", () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant("write" as const), length: fc.nat(30) }),
      fc.record({ kind: fc.constant("seek" as const), length: fc.nat(60) }),
      fc.record({ kind: fc.constant("cut" as const), length: fc.nat(30) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), fc.integer({ min: 1, max: 2 }), (steps, channels) => {
        const capacity = 50;
        const buffer = new TimelineBuffer({ channels, capacity });
        const model: number[] = [];
        /** What each cut returned, and what was there. */
        const cuts: [number[], number[]][] = [];
        let value = 1;
        let high = 0;
        for (const { kind, length } of steps) {
          const end = model.length / channels;
          if (kind === "write") {
            const block = Float32Array.from({ length: length * channels }, () => value++);
            buffer.write(block, block);
            model.push(...block);
          } else if (kind === "seek") {
            buffer.seek(end + length - 5);
            for (let i = 0; i < (length - 5) * channels; i++) model.push(0);
          } else {
            const position = Math.max(0, end - length);
            const kept = Math.max(position, high - capacity);
            cuts.push([[...buffer.cut(position).dry], model.slice(kept * channels)]);
            model.splice(position * channels);
          }
          high = Math.max(high, model.length / channels);
          expect(buffer.end).toBe(model.length / channels);
        }
        expect(cuts.map(([returned]) => returned)).toEqual(cuts.map(([, there]) => there));
        const from = Math.max(0, high - capacity);
        const length = Math.max(0, buffer.end - from) + 10;
        const dry = new Float32Array(length * channels);
        buffer.read(from, dry, new Float32Array(length * channels));
        const expected = model.slice(from * channels);
        expect([...dry]).toEqual([...expected, ...Array(length * channels - expected.length).fill(0)]);
      }),
      { seed: 3, numRuns: 500 },
    );
  });
});
