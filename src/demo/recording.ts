import { readFile } from "node:fs/promises";
import { z } from "zod";
import { openSource } from "../../publisher/index.js";
import { packagedFile } from "../package.js";
import type { PageRecording } from "../page/index.js";

/** The demo's recording: a voice in an office, the same voice alone, and its words. */
export const RECORDING = {
  noisy: packagedFile("examples/audio/demo-noisy.wav"),
  clean: packagedFile("examples/audio/demo-clean.wav"),
  words: packagedFile("examples/audio/demo-words.json"),
} as const;

const wordsSchema = z.object({
  text: z.string(),
  words: z.array(z.object({ text: z.string(), startMs: z.number(), endMs: z.number() })),
});

const SAMPLE_RATE = 48_000;
/** Milliseconds between two levels. */
const LEVEL_MS = 20;

/** The samples of a whole file, mono at 48 kHz. */
export async function readWhole(file: string): Promise<Float32Array> {
  const source = await openSource({ file });
  const parts: Float32Array[] = [];
  for (let part = await source.read(); part !== undefined; part = await source.read()) parts.push(part.slice());
  await source.close();
  const whole = new Float32Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Reads the page's view of the demo's recording. */
export async function readOutline(): Promise<PageRecording> {
  const [json, samples] = await Promise.all([readFile(RECORDING.words, "utf8"), readWhole(RECORDING.clean)]);
  const step = (SAMPLE_RATE * LEVEL_MS) / 1000;
  const levels = Array.from({ length: Math.ceil(samples.length / step) }, (_, index) => {
    const part = samples.subarray(index * step, (index + 1) * step);
    const power = part.reduce((sum, sample) => sum + sample * sample, 0) / part.length;
    return Math.round(Math.sqrt(power) * 1000) / 1000;
  });
  return { ...wordsSchema.parse(JSON.parse(json)), levels, levelMs: LEVEL_MS };
}
