import { openSource } from "../../publisher/index.js";
import { randomFrom, readAll } from "./signal.js";

const RATE = 48_000;

/** All samples of a file, one channel at 48 kHz. */
export async function readSamples(file: string): Promise<Float32Array> {
  const source = await openSource({ file });
  return readAll(source);
}

export function silence(ms: number): Float32Array {
  return new Float32Array(Math.round((ms * RATE) / 1000));
}

/** Samples, louder by some decibels. */
export function gain(samples: Float32Array, db: number): Float32Array {
  const factor = 10 ** (db / 20);
  return samples.map((sample) => sample * factor);
}

/** An echo of samples as a room and a loudspeaker make it: late, dull, and at `db` relative to them. */
export function echo(samples: Float32Array, db: number, seed: number): Float32Array {
  const random = randomFrom(seed);
  const taps = Array.from({ length: 24 }, (_, i) => ({
    at: Math.round((10 + i * 8 + 8 * random()) * 48),
    gain: (random() - 0.5) * Math.exp(-i / 6),
  }));
  const late = new Float32Array(samples.length);
  for (const { at, gain: share } of taps) for (let i = at; i < late.length; i++) late[i]! += share * samples[i - at]!;
  const scale = (rms(samples) / rms(late)) * 10 ** (db / 20);
  return late.map((sample) => sample * scale);
}

function rms(samples: Float32Array): number {
  return Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length);
}

function gauss(random: () => number): number {
  return Math.sqrt(-2 * Math.log(random() + 1e-12)) * Math.cos(2 * Math.PI * random());
}

function toPeak(samples: Float32Array, peak: number): Float32Array {
  const loudest = samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
  return samples.map((sample) => (sample * peak) / loudest);
}

/** Typing: each key clicks when it is struck and, half as loud, when it comes up. */
export function keys(ms: number, peak: number, seed: number): Float32Array {
  const random = randomFrom(seed);
  const samples = silence(ms);
  for (let at = 50; at < ms - 150; at += 80 + 150 * random())
    for (const [later, share] of [
      [0, 1],
      [60 + 30 * random(), 0.5],
    ] as const) {
      const hz = 1500 + 3500 * random();
      const from = Math.round((at + later) * 48);
      for (let i = 0; i < 960; i++)
        samples[from + i]! +=
          share * Math.exp(-i / 144) * (Math.sin((2 * Math.PI * hz * i) / RATE) + gauss(random)) * 0.7;
    }
  return toPeak(samples, peak);
}

/** A cough: a burst, the breath behind it and a second, weaker push, through three formants. */
export function cough(peak: number, seed: number): Float32Array {
  const random = randomFrom(seed);
  const breath = Float32Array.from({ length: Math.round(0.45 * RATE) }, (_, i) => {
    const t = i / RATE;
    const burst = t < 0.06 ? Math.min(1, t / 0.004) * Math.exp(-t / 0.03) : 0;
    const middle = t > 0.03 ? 0.45 * Math.exp(-(t - 0.03) / 0.09) : 0;
    const last = t > 0.25 ? 0.25 * Math.exp(-(t - 0.25) / 0.06) : 0;
    return gauss(random) * (burst + middle + last);
  });
  const formants = [
    { hz: 500 + 200 * random(), q: 1.2, share: 0.8 },
    { hz: 1400 + 400 * random(), q: 1.5, share: 1 },
    { hz: 2800 + 600 * random(), q: 1.5, share: 0.6 },
  ];
  const throat = formants.map(({ hz, q, share }) => bandPass(breath, hz, q).map((sample) => sample * share));
  return toPeak(
    breath.map((sample, i) => sample * 0.15 + throat.reduce((sum, formant) => sum + formant[i]!, 0)),
    peak,
  );
}

/** The band-pass of the Audio EQ Cookbook with 0 dB at its middle. */
function bandPass(samples: Float32Array, hz: number, q: number): Float32Array {
  const w = (2 * Math.PI * hz) / RATE;
  const alpha = Math.sin(w) / (2 * q);
  const a1 = (-2 * Math.cos(w)) / (1 + alpha);
  const a2 = (1 - alpha) / (1 + alpha);
  const b = alpha / (1 + alpha);
  let [x1, x2, y1, y2] = [0, 0, 0, 0];
  return samples.map((x) => {
    const y = b * (x - x2) - a1 * y1 - a2 * y2;
    [x2, x1, y2, y1] = [x1, x, y1, y];
    return y;
  });
}
