import { fileURLToPath } from "node:url";
import type { AudioSource } from "../../publisher/index.js";
import { openSource } from "../../publisher/index.js";

const RECORDING = fileURLToPath(new URL("../../examples/audio/clean-speech.wav", import.meta.url));

/** The shipped recording of speech, at 48 kHz. */
export async function readSpeech(): Promise<Float32Array> {
  const source = await openSource({ file: RECORDING });
  const parts: Float32Array[] = [];
  for (let part = await source.read(); part !== undefined; part = await source.read()) parts.push(part.slice());
  await source.close();
  const speech = new Float32Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    speech.set(part, at);
    at += part.length;
  }
  return speech;
}

/** Says `speech` over and over. */
export function monologue(speech: Float32Array): Promise<AudioSource> {
  return openSource({ samples: speech, loop: true, name: "speech" });
}
