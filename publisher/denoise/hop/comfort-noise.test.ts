import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { Denoiser, type DenoiserOptions } from "../denoiser.js";
import { loadModel } from "../model.js";
import { ComfortNoise } from "./comfort-noise.js";

const HOP = 480;
const levelDb = (samples: Float32Array) => 10 * Math.log10(samples.reduce((sum, x) => sum + x * x, 0) / samples.length);

function filled(floorDb: number, hops: number, value: (hop: number) => number): Float32Array {
  const comfort = new ComfortNoise(floorDb);
  const output = new Float32Array(hops * HOP);
  for (let hop = 0; hop < hops; hop++) {
    const part = output.subarray(hop * HOP, (hop + 1) * HOP).fill(value(hop));
    comfort.fill(part);
  }
  return output;
}

test("silence is filled up to the floor, evenly in every stretch of 100 ms", () => {
  for (const floorDb of [-90, -66, -40]) {
    const output = filled(floorDb, 200, () => 0);
    for (let hop = 10; hop < 200; hop += 10) {
      const level = levelDb(output.subarray(hop * HOP, (hop + 10) * HOP));
      expect(Math.abs(level - floorDb)).toBeLessThan(1);
    }
  }
});

test("audio above the floor stays the same, bit for bit", () => {
  const output = filled(-60, 20, () => 0.002);
  expect(output.every((sample) => sample === Math.fround(0.002))).toBe(true);
});

test("a residual that swings below the floor comes out within 1.5 dB of it", () => {
  // From nothing to 1 dB below the floor and back, three times a second.
  const output = filled(-60, 300, (hop) => 10 ** ((-61 - 40 * Math.abs(Math.sin(hop / 10))) / 20));
  for (let hop = 10; hop < 300; hop += 10) {
    expect(Math.abs(levelDb(output.subarray(hop * HOP, (hop + 10) * HOP)) + 60)).toBeLessThan(1.5);
  }
});

test("a level outside the range is refused by name", () => {
  for (const floorDb of [-91, -39, Number.NaN])
    expect(() => new ComfortNoise(floorDb)).toThrow("comfortNoiseDb must be");
});

test("a pause that would be digital silence has the floor, also after a checkpoint, in both kinds of model", async () => {
  for (const name of ["../fixtures/tiny.onnx", "../fixtures/slow48.onnx"]) {
    const model = await loadModel(fileURLToPath(new URL(name, import.meta.url)));
    const options: DenoiserOptions = { thread: "here", silencePauses: true, comfortNoiseDb: -66 };
    const denoiser = await Denoiser.create(model, options);
    const run = async (hops: number) => {
      const output = new Float32Array(hops * HOP);
      for (let hop = 0; hop < hops; hop++) output.set((await denoiser.process(new Float32Array(HOP))).wet, hop * HOP);
      return output;
    };
    await run(60);
    const state = denoiser.checkpoint();
    const pause = await run(30);
    expect(Math.abs(levelDb(pause) + 66)).toBeLessThan(1);
    denoiser.restore(state);
    expect(await run(30)).toEqual(pause);
    await model.close();
  }
});
