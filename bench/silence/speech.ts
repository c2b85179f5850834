import type { AudioSource } from "../../publisher/index.js";
import { openSource } from "../../publisher/index.js";

const RECORDING = new URL("../../examples/audio/clean-speech.wav", import.meta.url);

/** The shipped recording of speech, at 48 kHz. */
export async function readSpeech(): Promise<Float32Array> {
  const source = await openSource({ file: RECORDING.pathname });
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

/** Speech that goes on until it is told to end. */
export class Monologue implements AudioSource {
  readonly name: string;
  readonly channels: 1 | 2;
  readonly #source: AudioSource;
  #ended = false;

  private constructor(source: AudioSource) {
    this.#source = source;
    this.name = source.name;
    this.channels = source.channels;
  }

  /** Repeats `speech` over and over. */
  static async start(speech: Float32Array): Promise<Monologue> {
    return new Monologue(await openSource({ samples: speech, loop: true, name: "speech" }));
  }

  /** Nothing comes after what was read. */
  end(): void {
    this.#ended = true;
  }

  async read(): Promise<Float32Array | undefined> {
    return this.#ended ? undefined : this.#source.read();
  }

  close(): Promise<void> {
    return this.#source.close();
  }
}
