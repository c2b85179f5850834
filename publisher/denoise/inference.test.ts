import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { type InferenceRuntime, loadNative, loadWasm, type Tensors } from "./inference.js";
import { hopTensors, parseModelContract } from "./model-contract.js";

const folder = new URL("../../models/", import.meta.url);
const contract = parseModelContract(readFileSync(new URL("unsay-denoise.json", folder)), "unsay-denoise.json");
const file = readFileSync(new URL("unsay-denoise.onnx", folder));

/** Gains of the shipped model for the third of three hops of the same features. */
async function gains(runtime: InferenceRuntime): Promise<Float32Array> {
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

test("the model's gains in WebAssembly equal those of the native runtime", async () => {
  const native = await gains(await loadNative());
  const wasm = await gains(await loadWasm(undefined));
  expect(Math.max(...native)).toBeGreaterThan(0);
  for (const [band, gain] of native.entries()) expect(wasm[band]).toBeCloseTo(gain, 4);
});
