/**
 * Sends every `*-noisy.wav` of a folder through the shipped streaming stage and writes `*.f32` (48 kHz, in step with the
 * input): `npx tsx bench/denoise/render-files.ts MODEL.onnx FOLDER OUTPUT`. Prints microseconds of processor time a hop.
 */
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { HOP, methods, processClip } from "./methods.js";

const HEADER_BYTES = 44;

const [modelPath, folder, output] = process.argv.slice(2);
if (modelPath === undefined || folder === undefined || output === undefined) {
  throw new Error("Usage: npx tsx bench/denoise/render-files.ts MODEL.onnx FOLDER OUTPUT");
}
const method = (await methods(modelPath)).at(-1)!;
await mkdir(output, { recursive: true });
const costs: number[] = [];
for (const name of (await readdir(folder)).filter((file) => file.endsWith("-noisy.wav")).sort()) {
  const bytes = (await readFile(join(folder, name))).subarray(HEADER_BYTES);
  const samples = new Float32Array(bytes.length / 2 + 2 * HOP);
  for (let i = 0; i < bytes.length / 2; i++) samples[i] = bytes.readInt16LE(2 * i) / 32_768;
  const { output: late, cpuUs } = await processClip(method, samples);
  const inStep = late.subarray(HOP, HOP + bytes.length / 2);
  await writeFile(
    join(output, name.replace("-noisy.wav", ".f32")),
    new Uint8Array(inStep.buffer, inStep.byteOffset, inStep.byteLength),
  );
  costs.push(cpuUs);
}
console.log(JSON.stringify({ model: method.name, cpuUs: costs.reduce((sum, us) => sum + us, 0) / costs.length }));
process.exit(0);
