import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { microseconds, monotonicClock } from "../../../base/index.js";
import { openSource } from "../../source/source.js";
import { type Block, SourceRenderer } from "../../speech/source-renderer.js";
import { Denoiser, type DenoiserState } from "../denoiser.js";
import { loadModel, type Model } from "../model.js";
import { parseModelContract } from "../model-contract.js";
import { OverloadGuard } from "../overload-guard.js";

/** Returns half of the previous hop, and half the number of hops as the chance of a voice, up to 1. */
let hold48: Model;
/** Returns its input, at 16 kHz in hops of 16 ms. */
let pass16: Model;
/** Lags by two and a half hops. */
let slow48: Model;

beforeAll(async () => {
  const open = (name: string) => loadModel(fileURLToPath(new URL(`../fixtures/${name}.onnx`, import.meta.url)));
  [hold48, pass16, slow48] = await Promise.all([open("hold48"), open("pass16"), open("slow48")]);
});

afterAll(async () => {
  await Promise.all([hold48, pass16, slow48].map((model) => model.close()));
});

/** Three tones below 6 kHz under a slow swell. */
function tones(length: number): Float32Array {
  return Float32Array.from(
    { length },
    (_, i) => 0.2 * (Math.sin(i / 9) + Math.sin(i / 31) + Math.sin(i / 2)) * Math.sin(i / 4000),
  );
}

async function run(denoiser: Denoiser, samples: Float32Array, options?: { infer: boolean }): Promise<Float32Array> {
  const output = new Float32Array(samples.length);
  for (let at = 0; at + denoiser.hop <= samples.length; at += denoiser.hop) {
    output.set((await denoiser.process(samples.subarray(at, at + denoiser.hop), options)).wet, at);
  }
  return output;
}

function expectLate(output: Float32Array, samples: Float32Array, delay: number, gain: number, error: number): void {
  let worst = 0;
  for (let i = delay + 400; i < samples.length; i++)
    worst = Math.max(worst, Math.abs(output[i]! - gain * samples[i - delay]!));
  expect(worst).toBeLessThan(error);
}

test("a model of samples at 48 kHz returns its network's output with the delay of the sidecar", async () => {
  const denoiser = await Denoiser.create(hold48);
  const samples = tones(480 * 20);
  expect([denoiser.hop, denoiser.delaySamples]).toEqual([480, 480]);
  expectLate(await run(denoiser, samples), samples, 480, 0.5, 1e-6);
  const fresh = await Denoiser.create(hold48);
  const chances: number[] = [];
  for (let hop = 0; hop < 4; hop++) chances.push((await fresh.process(samples.subarray(0, 480))).voiceActivity);
  expect(chances).toEqual([0, 0.5, 1, 1]);
});

test("a lag of two and a half hops is rounded up to three, and the dry hop keeps in step", async () => {
  const denoiser = await Denoiser.create(slow48);
  const samples = tones(480 * 20);
  expect(denoiser.delaySamples).toBe(480 * 3);
  expectLate(await run(denoiser, samples), samples, 480 * 3, 1, 1e-6);
  const { dry } = await denoiser.process(new Float32Array(480));
  expect(dry).toEqual(samples.subarray(480 * 17, 480 * 18));
});

test("a model at 16 kHz runs in its own hops with the rate converted on both sides", async () => {
  const denoiser = await Denoiser.create(pass16);
  const samples = tones(768 * 20);
  expect([denoiser.hop, denoiser.delaySamples]).toEqual([768, 768]);
  expectLate(await run(denoiser, samples), samples, 768, 1, 3e-3);
});

test("a hop of the wrong length is refused with both lengths", async () => {
  const denoiser = await Denoiser.create(pass16);
  await expect(denoiser.process(new Float32Array(480))).rejects.toThrow("takes hops of 768 samples, not 480");
  expect((await denoiser.process(new Float32Array(768))).wet).toHaveLength(768);
});

test("without inference audio passes unchanged and in step, with every kind of lag", async () => {
  for (const model of [hold48, pass16, slow48]) {
    const denoiser = await Denoiser.create(model);
    const samples = tones(denoiser.hop * 12);
    const output = await run(denoiser, samples, { infer: false });
    expectLate(output, samples, denoiser.delaySamples, 1, 1e-6);
  }
});

test("after hops without inference nothing of the audio before them is heard, also from a checkpoint", async () => {
  for (const [model, gain] of [
    [hold48, 0.5],
    [pass16, 1],
    [slow48, 1],
  ] as const) {
    const denoiser = await Denoiser.create(model);
    const { hop, delaySamples } = denoiser;
    const lagHops = delaySamples / hop;
    await run(denoiser, new Float32Array(hop * 8).fill(0.9));
    const samples = tones(hop * 12);
    await run(denoiser, samples.subarray(0, hop * 6), { infer: false });
    const state = denoiser.checkpoint();
    const resumed = await run(denoiser, samples.subarray(hop * 6));
    const passed = hop * lagHops;
    const want = samples.slice(hop * 6 - delaySamples, hop * 12 - delaySamples);
    expect(resumed.subarray(0, passed)).toEqual(want.subarray(0, passed));
    expectLate(resumed.subarray(passed), want.subarray(passed), 0, gain, 3e-3);
    denoiser.restore(state);
    expect(await run(denoiser, samples.subarray(hop * 6))).toEqual(resumed);
    denoiser.close();
  }
});

test("a stream continues from a checkpoint without a trace, here and in the worker", async () => {
  for (const model of [hold48, pass16, slow48]) {
    for (const thread of ["here", "worker"] as const) {
      const denoiser = await Denoiser.create(model, { thread });
      const { hop } = denoiser;
      const samples = tones(hop * 24);
      const whole = await run(denoiser, samples);
      denoiser.restore();
      await run(denoiser, samples.subarray(0, hop * 11));
      const state: DenoiserState = denoiser.checkpoint();
      await run(denoiser, tones(hop * 5));
      denoiser.restore(state);
      expect(await run(denoiser, samples.subarray(hop * 11))).toEqual(whole.slice(hop * 11));
      denoiser.restore(state);
      const { dry } = await denoiser.process(new Float32Array(hop));
      expect(dry).toEqual(samples.subarray(hop * 11 - denoiser.delaySamples, hop * 12 - denoiser.delaySamples));
      denoiser.close();
    }
  }
});

test("a renderer compensates the lag, and renders the same from each of its checkpoints", async () => {
  for (const model of [hold48, pass16, slow48]) {
    const samples = tones(48_000 + 77);
    const guard = new OverloadGuard({ clock: monotonicClock, budget: microseconds(10_000_000) });
    const denoisers = [await Denoiser.create(model)];
    const renderer = new SourceRenderer({
      source: await openSource({ samples }),
      denoisers,
      guard,
      clock: monotonicClock,
    });
    const read = async () => {
      const block = await renderer.read();
      return block && { ...block, dry: block.dry.slice(), wet: block.wet.slice() };
    };
    const blocks: Block[] = [];
    for (let block = await read(); block; block = await read()) blocks.push(block);
    expect(blocks.flatMap(({ dry }) => [...dry])).toEqual([...samples]);
    const marked = blocks.flatMap(({ checkpoint }, index) =>
      checkpoint === undefined ? [] : [{ index, states: checkpoint }],
    );
    expect(marked.length).toBeGreaterThan(2);
    const { index, states } = marked[1]!;
    const after = blocks.slice(index + 1);
    renderer.rewind(Float32Array.from(after.flatMap(({ dry }) => [...dry])), { states });
    const again: Block[] = [];
    for (let block = await read(); block; block = await read()) again.push(block);
    expect(again.flatMap(({ dry }) => [...dry])).toEqual(after.flatMap(({ dry }) => [...dry]));
    expect(again.flatMap(({ wet }) => [...wet])).toEqual(after.flatMap(({ wet }) => [...wet]));
    await renderer.close();
  }
});

test("a misfit in a sidecar of samples is refused with the name of the field", () => {
  const { contract } = hold48;
  const refusal = (changes: object) => {
    try {
      parseModelContract(JSON.stringify({ ...contract, ...changes }), "wave.json");
      return "taken";
    } catch (error) {
      return (error as Error).message;
    }
  };
  expect(refusal({})).toBe("taken");
  expect(refusal({ sampleRate: 44_100 })).toContain("sampleRate");
  expect(refusal({ latencyMs: 9 })).toContain("latencyMs must be at least one hop (10)");
  expect(refusal({ hop: 481 })).toContain("shapes.in must hold 481 values, a hop");
  expect(refusal({ inputs: { ...contract.inputs, states: ["held", "lost"] } })).toContain("shapes.lost is missing");
  const shapes = { ...contract.shapes, held: [3, 50_000] };
  expect(refusal({ shapes })).toContain("inputs.states must hold at most 131072 values together, not 150001");
  expect(refusal({ feature: { kind: "waves" } })).toContain('feature.kind must be "log-power" or "waveform"');
  expect(refusal({ shapes: { ...contract.shapes, voice: [2] } })).toContain("shapes.voice must hold 1 value");
  const twice = { ...contract.outputs, voiceActivity: "out" };
  expect(refusal({ outputs: twice })).toContain('outputs must not name the tensor "out" twice');
  const input = { samples: "in", states: ["in", "count"] };
  expect(refusal({ inputs: input })).toContain('inputs must not name the tensor "in" twice');
});
