import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { type InferenceRuntime, loadNative, loadWasm, type Tensors } from "./inference.js";
import { hopTensors, parseModelContract } from "./model-contract.js";

/** A model beside this file or under models/. */
function model(path: string) {
  const at = (ending: string) => readFileSync(new URL(`${path}.${ending}`, import.meta.url));
  return { contract: parseModelContract(at("json"), path), file: at("onnx") };
}

/** Gains of a model for the third of three hops of the same features. */
async function gains(runtime: InferenceRuntime, { contract, file }: ReturnType<typeof model>): Promise<Float32Array> {
  const { inputs, outputs, shapes } = contract;
  const hop = hopTensors(contract);
  const session = await runtime.open(file);
  const zeros = (like: string) => {
    const dims = shapes[like]!;
    return runtime.tensor(new Float32Array(dims.reduce((product, size) => product * size, 1)), dims);
  };
  const features = zeros(hop.input);
  features.data.forEach((_, index) => {
    features.data[index] = Math.sin(index);
  });
  const sides = [0, 1].map(() => inputs.states.map(zeros));
  const gains = zeros(hop.input);
  for (const side of [0, 1, 0]) {
    const named = (names: readonly string[], which: number): Tensors =>
      Object.fromEntries(names.map((name, index) => [name, sides[which]![index]!]));
    const feeds = { [hop.input]: features, ...named(inputs.states, side) };
    await session.run(feeds, { [hop.output]: gains, ...named(outputs.states, 1 - side) });
  }
  await session.release();
  return gains.data;
}

async function differences(path: string): Promise<number[]> {
  const native = await gains(await loadNative(), model(path));
  const wasm = await gains(await loadWasm(undefined), model(path));
  expect(Math.max(...native)).toBeGreaterThan(0);
  return Array.from(native, (gain, band) => Math.abs(gain - wasm[band]!));
}

test("a model of 32-bit floats has the same gains in WebAssembly as in the native runtime", async () => {
  expect(Math.max(...(await differences("fixtures/tiny")))).toBeLessThan(5e-5);
});

test("the shipped model's gains in WebAssembly are those of the native runtime but for the last of 8 bits", async () => {
  // An input that the two round to either side of a step moves the gains by up to the weight of that step.
  const found = await differences("../../models/unsay-denoise");
  expect(Math.max(...found)).toBeLessThan(0.005);
  expect(found.reduce((sum, x) => sum + x, 0) / found.length).toBeLessThan(0.0005);
});
