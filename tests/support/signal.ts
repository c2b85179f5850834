import type { AudioSource } from "../../publisher/index.js";

const RATE = 48_000;

/** A seeded random number from 0 to 1 at each call: Numerical Recipes' generator. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** A sine, to the sample as long as it says. */
export function sine({ hz = 440, ms = 1000, level = 1, rate = RATE } = {}): Float32Array {
  const length = Math.round((ms * rate) / 1000);
  return new Float32Array(length).map((_, i) => level * Math.sin((2 * Math.PI * hz * i) / rate));
}

/** A sine of some milliseconds as 16-bit PCM at 24 kHz, as speech services send audio. */
export function pcmSine(ms: number): Uint8Array {
  return new Uint8Array(Int16Array.from(sine({ hz: 424, ms, level: 8000, rate: 24_000 })).buffer);
}

/** A sine without an end: how much of it was rendered when it is taken back does not matter. */
export function endlessSine(hz: number): AudioSource {
  let position = 0;
  return {
    name: `${hz} Hz`,
    channels: 1,
    read: async () => Float32Array.from({ length: 960 }, () => 0.3 * Math.sin((2 * Math.PI * hz * position++) / RATE)),
    close: async () => {},
  };
}

/** Seeded noise, uniform from -1 to 1. */
export function noise(length: number, seed: number): Float32Array {
  const random = randomFrom(seed);
  return new Float32Array(length).map(() => 2 * random() - 1);
}

/** Amplitude of one frequency: its correlation with a sine and a cosine. */
export function amplitude(samples: Float32Array, hz: number): number {
  let re = 0;
  let im = 0;
  for (let i = 0; i < samples.length; i++) {
    re += samples[i]! * Math.cos((2 * Math.PI * hz * i) / RATE);
    im += samples[i]! * Math.sin((2 * Math.PI * hz * i) / RATE);
  }
  return (2 * Math.hypot(re, im)) / Math.max(1, samples.length);
}

/** Pieces of audio in a row. */
export function concat(parts: readonly Float32Array[]): Float32Array {
  const joined = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/** All samples of a source, or as many of its pieces as hold `limit` of them. */
export async function readAll(source: AudioSource, limit = Number.POSITIVE_INFINITY): Promise<Float32Array> {
  const parts: Float32Array[] = [];
  let length = 0;
  for (let part = await source.read(); part !== undefined && length < limit; part = await source.read()) {
    parts.push(part.slice());
    length += part.length;
  }
  return concat(parts);
}
