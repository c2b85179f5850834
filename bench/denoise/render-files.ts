/**
 * Sends every `*-noisy.wav` of a folder through the shipped streaming stage and writes `*.f32` (48 kHz, in step with the
 * input): `npx tsx bench/denoise/render-files.ts MODEL.onnx FOLDER OUTPUT`. Prints microseconds of processor time for 10 ms.
 */
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Denoiser, loadModel } from "../../publisher/index.js";

const HEADER_BYTES = 44;

const [modelPath, folder, output] = process.argv.slice(2);
if (modelPath === undefined || folder === undefined || output === undefined) {
  throw new Error("Usage: npx tsx bench/denoise/render-files.ts MODEL.onnx FOLDER OUTPUT");
}
const model = await loadModel(modelPath);
await mkdir(output, { recursive: true });
const costs: number[] = [];
for (const name of (await readdir(folder)).filter((file) => file.endsWith("-noisy.wav")).sort()) {
  const bytes = (await readFile(join(folder, name))).subarray(HEADER_BYTES);
  const denoiser = await Denoiser.create(model, { thread: "here" });
  const { hop, delaySamples } = denoiser;
  const length = bytes.length / 2;
  const samples = new Float32Array(Math.ceil((length + delaySamples) / hop) * hop);
  for (let i = 0; i < length; i++) samples[i] = bytes.readInt16LE(2 * i) / 32_768;
  const before = process.cpuUsage();
  const late = new Float32Array(samples.length);
  for (let at = 0; at < samples.length; at += hop) {
    late.set((await denoiser.process(samples.subarray(at, at + hop))).wet, at);
  }
  const { user, system } = process.cpuUsage(before);
  denoiser.close();
  costs.push((480 * (user + system)) / samples.length);
  const inStep = late.subarray(delaySamples, delaySamples + length);
  const data = new Uint8Array(inStep.buffer, inStep.byteOffset, inStep.byteLength);
  await writeFile(join(output, name.replace("-noisy.wav", ".f32")), data);
}
const cpuUs = costs.reduce((sum, us) => sum + us, 0) / costs.length;
console.log(JSON.stringify({ model: model.contract.name, cpuUs }));
process.exit(0);
