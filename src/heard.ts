import type { AudioSink, PlayedRun } from "../watch/index.js";
import { alignedScore, findLag } from "./score.js";

const SAMPLE_RATE = 48_000;
/** Samples per point of the envelope, by which two recordings are first aligned. */
const ENVELOPE_STEP = 480;
/** The envelope finds the position to within a step; codec and denoiser may add a little. */
const FINE_LAG = 2 * ENVELOPE_STEP;
/** Two seconds hold enough speech to align to the sample. */
const PROBE = 2 * SAMPLE_RATE;

/** Keeps a listener's whole output, mono, up to a bound. */
export class HeardRecorder implements AudioSink {
  readonly #samples: Float32Array;
  #length = 0;

  constructor({ maximumSeconds }: { readonly maximumSeconds: number }) {
    this.#samples = new Float32Array(Math.ceil(maximumSeconds * SAMPLE_RATE));
  }

  write(samples: readonly Float32Array[]): void {
    const channel = samples[0];
    if (channel === undefined) return;
    const room = this.#samples.length - this.#length;
    this.#samples.set(channel.subarray(0, Math.min(room, channel.length)), this.#length);
    this.#length += Math.min(room, channel.length);
  }

  async close(): Promise<void> {}

  /** Everything played so far, including silence, in order. */
  get samples(): Float32Array {
    return this.#samples.subarray(0, this.#length);
  }
}

/**
 * Arranges played audio by media time, so that a pause or an underrun does not shift later audio. Returns the samples
 * from the first one heard on, and silence in holes.
 */
export function byMediaTime(record: readonly Readonly<PlayedRun>[], samples: Float32Array): Float32Array {
  const first = record.find((run) => run.timestamp !== undefined)?.timestamp;
  if (first === undefined) return new Float32Array(0);
  const laidOut = new Float32Array(samples.length);
  let position = 0;
  let end = 0;
  for (const run of record) {
    const played = samples.subarray(position, position + run.frames);
    position += run.frames;
    if (run.timestamp === undefined) continue;
    const at = Math.round(((run.timestamp - first) * SAMPLE_RATE) / 1e6);
    if (at < 0 || at + played.length > laidOut.length) continue;
    laidOut.set(played, at);
    end = Math.max(end, at + played.length);
  }
  return laidOut.subarray(0, end);
}

function envelope(samples: Float32Array): Float32Array {
  return Float32Array.from({ length: Math.floor(samples.length / ENVELOPE_STEP) }, (_, step) => {
    let power = 0;
    for (let i = step * ENVELOPE_STEP; i < (step + 1) * ENVELOPE_STEP; i++) power += samples[i]! ** 2;
    return Math.sqrt(power);
  });
}

function withoutMean(values: Float32Array): Float32Array {
  const mean = values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
  return values.map((value) => value - mean);
}

/** The part of an endlessly repeating recording that was heard: as long as `heard`, at the best match. */
function matchLoop(loop: Float32Array, heard: Float32Array): Float32Array {
  const pattern = withoutMean(envelope(loop));
  const played = withoutMean(envelope(heard));
  let best = Number.NEGATIVE_INFINITY;
  let offset = 0;
  for (let lag = 0; lag < pattern.length; lag++) {
    let sum = 0;
    for (let i = 0; i < played.length; i++) sum += played[i]! * pattern[(i + lag) % pattern.length]!;
    if (sum > best) {
      best = sum;
      offset = lag;
    }
  }
  const start = offset * ENVELOPE_STEP - FINE_LAG + loop.length;
  const around = Float32Array.from({ length: heard.length + 2 * FINE_LAG }, (_, i) => loop[(start + i) % loop.length]!);
  // The middle of the heard audio, within its surroundings, determines the position to the sample.
  const middle = Math.max(0, Math.floor((heard.length - PROBE) / 2));
  const probe = heard.subarray(middle, middle + PROBE);
  const lag = findLag(probe, around.subarray(FINE_LAG + middle, FINE_LAG + middle + probe.length), FINE_LAG);
  return around.slice(FINE_LAG + lag, FINE_LAG + lag + heard.length);
}

/** High-pass-fair SI-SDR in decibels of the heard audio, for an endlessly repeating clean recording. */
export function heardScore(cleanLoop: Float32Array, heard: Float32Array): number {
  return alignedScore(matchLoop(cleanLoop, heard), heard, 16);
}
