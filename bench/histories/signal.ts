import { seededRandom } from "../harness.js";

/** Samples a second of what a publisher speaks and a listener hears. */
export const RATE = 48_000;
/** Samples a second at which recordings are compared: the signals end at 3.5 kHz. */
export const LOW_RATE = 12_000;
const DECIMATION = RATE / LOW_RATE;

/** Voices of a signal: enough for a sharp correlation, few enough for a codec to keep. */
const VOICES = 6;
const LOWEST_HZ = 250;
const HIGHEST_HZ = 3400;
/** A voice glides to its next frequency in this time. */
const GLIDE_SECONDS = 0.06;
/** Root mean square of the whole signal, about -20 dB below full scale. */
const LEVEL = 0.1;

/**
 * An utterance whose every stretch of 10 ms differs from every other, of itself and of all other utterances: a sum of
 * gliding tones drawn from its number. Its level is steady to a few decibels. At 48 kHz.
 */
export function signal(utterance: number, samples: number): Float32Array {
  const glide = Math.round(GLIDE_SECONDS * RATE);
  const out = new Float32Array(samples);
  const amplitude = LEVEL * Math.sqrt(2 / VOICES);
  const bandHz = (HIGHEST_HZ - LOWEST_HZ) / VOICES;
  for (let voice = 0; voice < VOICES; voice++) {
    // Each voice draws for itself, so that a longer utterance begins like a shorter one of its number.
    const random = seededRandom(1 + utterance * VOICES + voice);
    const draw = () => LOWEST_HZ + bandHz * (voice + 0.9 * random());
    let phase = random() * 2 * Math.PI;
    let from = draw();
    for (let start = 0; start < samples; start += glide) {
      const to = draw();
      const end = Math.min(samples, start + glide);
      for (let i = start; i < end; i++) {
        phase += (2 * Math.PI * (from + ((to - from) * (i - start)) / glide)) / RATE;
        out[i]! += amplitude * Math.sin(phase);
      }
      from = to;
    }
  }
  return out;
}

/** Every fourth sample of a 48 kHz signal, each the mean of four; both sides of a comparison go through it. */
export function decimate(samples: Float32Array): Float32Array {
  const out = new Float32Array(Math.floor(samples.length / DECIMATION));
  for (let i = 0; i < out.length; i++) {
    let sum = 0;
    for (let j = 0; j < DECIMATION; j++) sum += samples[i * DECIMATION + j]!;
    out[i] = sum / DECIMATION;
  }
  return out;
}

/** Root mean square of `length` samples from `at` on. */
export function rms(samples: Float32Array, at: number, length: number): number {
  let sum = 0;
  for (let i = at; i < at + length; i++) sum += (samples[i] ?? 0) ** 2;
  return Math.sqrt(sum / length);
}

/** How alike two stretches are, -1 to 1, whatever their levels. */
export function likeness(a: Float32Array, atA: number, b: Float32Array, atB: number, length: number): number {
  let dot = 0;
  let powerA = 0;
  let powerB = 0;
  for (let i = 0; i < length; i++) {
    const x = a[atA + i] ?? 0;
    const y = b[atB + i] ?? 0;
    dot += x * y;
    powerA += x * x;
    powerB += y * y;
  }
  return dot / Math.sqrt(powerA * powerB + 1e-12);
}
