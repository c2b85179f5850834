import type { AudioSource } from "../../publisher/index.js";
import { randomFrom } from "./caller-sounds.js";

const RATE = 48_000;

/** A sine, to the sample as long as it says. */
export function sine({ hz = 440, ms = 1000, level = 1, rate = RATE } = {}): Float32Array {
  const length = Math.round((ms * rate) / 1000);
  return Float32Array.from({ length }, (_, i) => level * Math.sin((2 * Math.PI * hz * i) / rate));
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
  return Float32Array.from({ length }, () => 2 * random() - 1);
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
