import { copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ModelError, microseconds } from "../../base/index.js";
import { openSource } from "../source/source.js";
import { knobsSchema, Mixer } from "../tracks/mixer.js";
import { Denoiser } from "./denoiser.js";
import { Stft } from "./features.js";
import { realFft } from "./fft.js";
import { loadModel, type Model } from "./model.js";
import { analyseNoise } from "./noise-profile.js";
import { OverloadGuard } from "./overload-guard.js";

const fixture = (name: string) => fileURLToPath(new URL(`./fixtures/${name}`, import.meta.url));

let tiny: Model;
let other: Model;
let folder: string;

beforeAll(async () => {
  tiny = await loadModel(fixture("tiny.onnx"));
  other = await loadModel(fixture("other.onnx"));
  folder = await mkdtemp(join(tmpdir(), "unsay-model-"));
});

afterAll(async () => {
  await tiny.close();
  await other.close();
  await rm(folder, { recursive: true });
});

/** Seeded noise under a slow swell, so that hops differ. */
function noise(length: number): Float32Array {
  let state = 1;
  return new Float32Array(length).map((_, i) => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return (state / 1_073_741_824 - 1) * 0.3 * Math.sin(i / 9000) ** 2;
  });
}

async function run(denoiser: Denoiser, samples: Float32Array, options?: { infer: boolean }): Promise<number[]> {
  const output: number[] = [];
  for (let at = 0; at + denoiser.hop <= samples.length; at += denoiser.hop) {
    output.push(...(await denoiser.process(samples.subarray(at, at + denoiser.hop), options)).wet);
  }
  return output;
}

describe("realFft", () => {
  test("the transform agrees with its definition for 960 and inverts itself", async () => {
    const fft = await realFft(960);
    const time = noise(960);
    const spectrum = new Float32Array(960);
    fft.forward(time, spectrum);
    for (const bin of [1, 7, 300, 479]) {
      let re = 0;
      let im = 0;
      for (let i = 0; i < 960; i++) {
        re += time[i]! * Math.cos((2 * Math.PI * bin * i) / 960);
        im -= time[i]! * Math.sin((2 * Math.PI * bin * i) / 960);
      }
      expect(spectrum[2 * bin]).toBeCloseTo(re, 3);
      expect(spectrum[2 * bin + 1]).toBeCloseTo(im, 3);
    }
    const back = new Float32Array(960);
    fft.inverse(spectrum, back);
    for (let i = 0; i < 960; i++) expect(back[i]).toBeCloseTo(time[i]!, 5);
  });

  test("analysis and synthesis return the audio one hop late", async () => {
    const stft = new Stft(await realFft(960));
    const samples = noise(4800);
    const output = new Float32Array(480);
    for (let hop = 0; hop < 10; hop++) {
      stft.analyse(samples.subarray(hop * 480, hop * 480 + 480));
      stft.synthesise(output);
      for (let i = 0; i < 480 && hop > 0; i++) expect(output[i]).toBeCloseTo(samples[(hop - 1) * 480 + i]!, 6);
    }
  });
});

describe("Denoiser", () => {
  test("a denoiser applies the network's gains one hop late, the same way every time", async () => {
    for (const model of [tiny, other]) {
      const samples = noise(model.contract.hop * 40);
      const denoiser = await Denoiser.create(model);
      const first = await run(denoiser, samples);
      const power = (values: ArrayLike<number>) => Array.from(values).reduce((sum, value) => sum + value * value, 0);
      const kept = power(first) / power(samples);
      expect(kept).toBeGreaterThan(0.05);
      expect(kept).toBeLessThan(0.8);
      denoiser.restore();
      expect(await run(denoiser, samples)).toEqual(first);
      expect(await run(await Denoiser.create(model), samples)).toEqual(first);
    }
  });

  test("without inference a denoiser passes the audio unchanged, in step with the dry hop", async () => {
    const denoiser = await Denoiser.create(tiny);
    const samples = noise(4800);
    const output = await run(denoiser, samples, { infer: false });
    for (let i = 480; i < 4800; i++) expect(output[i]).toBeCloseTo(samples[i - 480]!, 6);
    const { dry } = await denoiser.process(new Float32Array(480));
    expect(dry).toEqual(samples.subarray(4320));
  });

  test("a denoiser continues from a checkpoint without a trace, beside other streams of the same model", async () => {
    const samples = noise(480 * 60);
    const denoiser = await Denoiser.create(tiny);
    const whole = await run(denoiser, samples);
    denoiser.restore();
    await run(denoiser, samples.subarray(0, 480 * 31));
    const state = denoiser.checkpoint();
    await run(denoiser, noise(480 * 9));
    denoiser.restore(state);
    const neighbour = await Denoiser.create(tiny);
    const [rest] = await Promise.all([run(denoiser, samples.subarray(480 * 31)), run(neighbour, noise(480 * 20))]);
    expect(rest).toEqual(whole.slice(480 * 31));
    const fresh = await Denoiser.create(tiny);
    fresh.restore(state);
    expect(await run(fresh, samples.subarray(480 * 31))).toEqual(rest);
  });

  test("a denoiser runs a stateless model whose deep filter reaches back, and passes audio through in step", async () => {
    // Its filter takes the bins of two hops ago, all but the highest: the output is the input, two hops later than
    // usual.
    const late = await loadModel(fixture("late.onnx"));
    const denoiser = await Denoiser.create(late);
    const samples = Float32Array.from({ length: 480 * 20 }, (_, i) => 0.3 * Math.sin(i / 9) * Math.sin(i / 3000));
    const output = await run(denoiser, samples);
    for (let i = 480 * 3; i < samples.length; i++) expect(output[i]).toBeCloseTo(samples[i - 480 * 3]!, 3);
    const state = denoiser.checkpoint();
    const ahead = await run(denoiser, samples);
    await run(denoiser, noise(480 * 5));
    denoiser.restore(state);
    expect(await run(denoiser, samples)).toEqual(ahead);
    denoiser.restore();
    const bypassed = await run(denoiser, samples, { infer: false });
    for (let i = 480; i < samples.length; i++) expect(bypassed[i]).toBeCloseTo(samples[i - 480]!, 6);
    // Meanwhile the filter kept its past.
    const after = await run(denoiser, samples);
    for (let i = 480; i < 480 * 3; i++) expect(after[i]).toBeCloseTo(samples[samples.length - 480 * 3 + i]!, 3);
    await late.close();
  });

  test("a noise profile makes a denoiser remove more of that noise and less of louder audio", async () => {
    const power = (values: ArrayLike<number>) => Array.from(values).reduce((sum, value) => sum + value * value, 0);
    const hiss = noise(48_000).map((value, i) => value / (0.01 + Math.sin(i / 9000) ** 2));
    const profile = await analyseNoise(hiss.map((value) => value * 0.01));
    const loud = Float32Array.from({ length: 48_000 }, (_, i) => 0.5 * Math.sin(i / 20));
    const loss = async (model: Model, samples: Float32Array) => {
      const denoiser = await Denoiser.create(model);
      const plain = power(await run(denoiser, samples));
      denoiser.restore();
      denoiser.setNoiseProfile(profile);
      const conditioned = power(await run(denoiser, samples));
      denoiser.restore();
      denoiser.setNoiseProfile(undefined);
      expect(power(await run(denoiser, samples))).toBe(plain);
      return 10 * Math.log10(plain / conditioned);
    };
    for (const model of [tiny, other]) {
      expect(
        await loss(
          model,
          hiss.map((value) => value * 0.01),
        ),
      ).toBeGreaterThan(2);
      expect(await loss(model, loud)).toBeLessThan(0.1);
    }
    await expect(analyseNoise(new Float32Array(100))).rejects.toMatchObject({ code: "NOISE_PROFILE_INVALID" });
    await expect(analyseNoise(new Float32Array(9600).fill(Number.NaN))).rejects.toThrow("not a finite number");
  });

  test("a denoiser turns pauses into digital silence on demand, and continues with the first word", async () => {
    const model = await loadModel(fileURLToPath(new URL("../../models/unsay-denoise.onnx", import.meta.url)));
    const speech = await openSource({
      file: fileURLToPath(new URL("../../examples/audio/noisy-speech.wav", import.meta.url)),
    });
    const words: number[] = [];
    for (let chunk = await speech.read(); chunk; chunk = await speech.read()) words.push(...chunk);
    const samples = new Float32Array(480 * 700);
    const hiss = noise(samples.length);
    for (let i = 0; i < samples.length; i++) samples[i] = hiss[i]! * 0.03;
    for (let i = 0; i < 480 * 300; i++) samples[480 * 300 + i]! += words[9600 + i]!;
    const kept = await run(await Denoiser.create(model), samples);
    const output = await run(await Denoiser.create(model, { silencePauses: true }), samples);
    const isSilent = (from: number, to: number) => output.slice(480 * from, 480 * to).every((value) => value === 0);
    expect(isSilent(60, 290)).toBe(true);
    expect(isSilent(680, 700)).toBe(true);
    // Within speech nothing differs.
    const start = output.findIndex((value, i) => i > 480 * 200 && value !== 0);
    expect(start).toBeLessThan(480 * 320);
    expect(output.slice(480 * 330, 480 * 600)).toEqual(kept.slice(480 * 330, 480 * 600));
    await model.close();
  });

  test("a denoiser refuses two hops at once", async () => {
    const denoiser = await Denoiser.create(tiny);
    const first = denoiser.process(new Float32Array(480));
    await expect(denoiser.process(new Float32Array(480))).rejects.toThrow("before its last call");
    await first;
  });
});

describe("loadModel", () => {
  async function broken(change: (sidecar: Record<string, unknown>) => void, model = "tiny"): Promise<unknown> {
    const path = join(folder, "model.onnx");
    await copyFile(fixture(`${model}.onnx`), path);
    const sidecar = JSON.parse(await readFile(fixture(`${model}.json`), "utf8"));
    change(sidecar);
    await writeFile(join(folder, "model.json"), JSON.stringify(sidecar));
    return loadModel(path).then(
      () => undefined,
      (error: unknown) => error,
    );
  }

  test("loadModel refuses every misfit in a sentence that names the field", async () => {
    const cases: [(sidecar: Record<string, unknown>) => void, RegExp][] = [
      [(s) => (s.sampleRate = 16_000), /sampleRate/],
      [(s) => (s.window = 962), /window must be a multiple of 32/],
      [(s) => (s.hop = 240), /hop must be half of window \(480\)/],
      [(s) => (s.bands = { low: 127, edges: [128, 481] }), /bands\.edges\.0 must be bands\.low \(127\)/],
      [(s) => (s.bands = { low: 128, edges: [128, 480] }), /bands\.edges\.1 must be window \/ 2 \+ 1/],
      [(s) => (s.bands = { low: 128, edges: [128, 300, 300, 481] }), /bands\.edges\.2 must be larger/],
      [(s) => (s.feature = { kind: "mel", floor: 1, offset: 0, scale: 1 }), /feature\.kind/],
      [(s) => (s.licence = ""), /licence/],
      [(s) => delete s.latencyMs, /latencyMs/],
      [(s) => (s.sha256 = "0".repeat(64)), /hash is not the sha256/],
      [(s) => (s.sha256 = "x"), /sha256 must be 64/],
      [(s) => (s.inputs = { features: "spectrum", states: ["h1", "h2"] }), /shapes\.spectrum is missing/],
      [(s) => (s.inputs = { features: "feat", states: ["h1"] }), /outputs\.states must name 1 tensors/],
      [(s) => (s.outputs = { gains: "mask", states: ["h1_out", "h2_out"] }), /outputs\.gains is "mask".*"gain"/],
      [(s) => (s.shapes = { feat: [1, 1, 148], h1: [1, 1, 16], h2: [1, 1, 17] }), /first run with shapes/],
      [(s) => (s.shapes = { ...(s.shapes as object), gain: [1, 1, 1] }), /shapes\.gain must hold 148/],
      [(s) => (s.shapes = { ...(s.shapes as object), vad: [1, 1, 3] }), /shapes\.vad must hold 1 value/],
      [(s) => (s.outputs = { gains: "gain", states: ["h1_out", "gain"] }), /must not name the tensor "gain" twice/],
      [(s) => delete s.feature, /feature\.kind must be "log-power" or "waveform"/],
      [(s) => (s.shapes = { feat: [1, 1, 147], h1: [1, 1, 16], h2: [1, 1, 16] }), /shapes\.feat must hold 148/],
    ];
    const filtered: [(sidecar: Record<string, unknown>) => void, RegExp][] = [
      [(s) => delete s.deepFilter, /deepFilter is missing/],
      [(s) => (s.outputs = { gains: "gain", states: [] }), /outputs\.filter is missing/],
      [(s) => (s.deepFilter = { bins: 481, taps: 3 }), /deepFilter\.bins must not be more than window \/ 2 \(480\)/],
      [(s) => (s.deepFilter = { bins: 480, taps: 9 }), /deepFilter\.taps/],
      [(s) => (s.deepFilter = { bins: 480, taps: 2 }), /shapes\.filter must hold 1920 values/],
      [(s) => (s.shapes = { feat: [1, 1, 4] }), /shapes\.filter is missing/],
    ];
    const all = [
      ...cases.map(([change, message]) => ["tiny", change, message] as const),
      ...filtered.map(([change, message]) => ["late", change, message] as const),
    ];
    for (const [model, change, message] of all) {
      const error = await broken(change, model);
      expect(error).toBeInstanceOf(ModelError);
      expect((error as ModelError).code).toBe("MODEL_INVALID");
      expect((error as ModelError).message).toMatch(message);
    }
    await expect(loadModel(join(folder, "none.onnx"))).rejects.toMatchObject({ code: "MODEL_NOT_FOUND" });
    await writeFile(join(folder, "text.onnx"), "no model");
    await writeFile(join(folder, "text.json"), "no json");
    await expect(loadModel(join(folder, "text.onnx"))).rejects.toMatchObject({ message: /text\.json is not JSON/ });
  });
});

describe("Mixer", () => {
  const dry = new Float32Array(480).fill(1);
  const wet = new Float32Array(480).fill(0.2);
  const settle = (knobs: object): number => {
    const mixer = new Mixer(knobsSchema.parse(knobs));
    const output = new Float32Array(480);
    mixer.process(dry, wet, output);
    expect(output.every((value) => value === output[0])).toBe(true);
    return output[0]!;
  };

  test("a mixer follows strength, attenuation limit, gain and bypass", () => {
    expect(settle({})).toBeCloseTo(0.2, 6);
    expect(settle({ strength: 0 })).toBeCloseTo(1, 6);
    expect(settle({ strength: 0.5 })).toBeCloseTo(0.6, 6);
    expect(settle({ attenuationLimitDb: 0 })).toBeCloseTo(1, 6);
    expect(settle({ attenuationLimitDb: 20 })).toBeCloseTo(0.28, 6);
    expect(settle({ bypass: true })).toBeCloseTo(1, 6);
    expect(settle({ gainDb: -20 })).toBeCloseTo(0.02, 6);
    expect(knobsSchema.safeParse({ strength: 1.1 }).success).toBe(false);
  });

  test("a mixer ramps a change over one block without a step", () => {
    const mixer = new Mixer(knobsSchema.parse({}));
    mixer.set(knobsSchema.parse({ bypass: true, gainDb: 6 }));
    const output = new Float32Array(480);
    mixer.process(dry, wet, output);
    for (let i = 1; i < 480; i++) expect(Math.abs(output[i]! - output[i - 1]!)).toBeLessThan(0.006);
    expect(output[479]).toBeCloseTo(10 ** (6 / 20), 5);
  });
});

describe("OverloadGuard", () => {
  test("the guard passes audio through while inference is too slow and returns after a fast trial", () => {
    let now = 0;
    const guard = new OverloadGuard({ clock: () => microseconds(now), budget: microseconds(10_000) });
    const hop = (cost: number): boolean => {
      now += 10_000;
      const admitted = guard.admit();
      if (admitted) guard.record(microseconds(cost));
      return admitted;
    };
    for (let i = 0; i < 200; i++) expect(hop(9000)).toBe(true);
    // A process that stalls briefly, again and again, catches up with the hops in between.
    for (let i = 0; i < 10; i++) {
      hop(150_000);
      for (let j = 0; j < 20; j++) expect(hop(100)).toBe(true);
    }
    expect(guard.overloaded).toBe(false);
    let hops = 0;
    while (hop(20_000)) hops++;
    expect(hops).toBeGreaterThan(15);
    expect(hops).toBeLessThan(25);
    // One second of pause, a slow trial of 16 hops, two seconds of pause.
    let passed = 1;
    while (!hop(8000)) passed++;
    expect(passed).toBeGreaterThan(95);
    expect(passed).toBeLessThan(105);
    for (let i = 1; i < 16; i++) expect(hop(8000)).toBe(true);
    expect(guard.overloaded).toBe(true);
    passed = 0;
    while (!hop(100)) passed++;
    expect(passed).toBeGreaterThan(190);
    for (let i = 0; i < 500; i++) expect(hop(100)).toBe(true);
    expect(guard.overloaded).toBe(false);
    expect(guard.bleedMs).toBeGreaterThan(2900);
    expect(guard.bleedMs).toBeLessThan(3100);
  });
});
