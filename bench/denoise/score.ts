import { realFft } from "../../publisher/denoise/fft.js";

/** Samples at the start of a clip that do not count: every method needs a moment to start. */
const SKIPPED = 4800;
/** Samples of a 10 ms frame at 48 kHz. */
const FRAME = 480;
const LOUDEST_LAG = 1600;

type Samples = Float32Array | Float64Array;

/** Scores of one processed clip. */
export interface Score {
  /** Scale-invariant signal-to-distortion ratio in dB, with RNNoise's high-pass on reference and output alike. */
  readonly siSdrDb: number;
  /** Short-time objective intelligibility, 0 to 1. */
  readonly stoi: number;
  /** Energy left in the pauses against the noisy input, in dB; NaN without pauses. */
  readonly pauseDb: number;
}

/**
 * Scores `output` against `reference` after taking away the delay between them. `highPassed` says that the method has a
 * high-pass of its own: it isn't put on a second time.
 */
export async function score(
  reference: Float32Array,
  noisy: Float32Array,
  output: Float32Array,
  highPassed: boolean,
): Promise<Score> {
  const filtered = highPass(reference);
  const filteredOutput = highPassed ? Float64Array.from(output) : highPass(output);
  const lag = findLag(filtered, filteredOutput);
  const end = reference.length - Math.max(0, lag);
  const clean = reference.subarray(SKIPPED, end);
  const after = output.subarray(SKIPPED + lag, end + lag);
  return {
    siSdrDb: siSdr(filtered.subarray(SKIPPED, end), filteredOutput.subarray(SKIPPED + lag, end + lag)),
    stoi: await stoi(clean, after),
    pauseDb: pauseNoise(clean, noisy.subarray(SKIPPED, end), after),
  };
}

/** By how many samples `output` runs late: the peak of the cross-correlation over the loudest half second. */
export function findLag(reference: Samples, output: Samples): number {
  const span = 24_000;
  let start = LOUDEST_LAG;
  let most = -1;
  for (let at = LOUDEST_LAG; at + span + LOUDEST_LAG <= reference.length; at += span / 2) {
    const energy = dot(reference, at, reference, at, span);
    if (energy > most) {
      most = energy;
      start = at;
    }
  }
  let best = 0;
  let peak = -Infinity;
  for (let lag = -LOUDEST_LAG / 4; lag < LOUDEST_LAG; lag++) {
    const correlation = dot(reference, start, output, start + lag, span);
    if (correlation > peak) {
      peak = correlation;
      best = lag;
    }
  }
  return best;
}

/** The high-pass that RNNoise applies to its input; applied to every output, it favours no method. */
export function highPass(samples: Float32Array): Float64Array {
  const output = new Float64Array(samples.length);
  let first = 0;
  let second = 0;
  for (let i = 0; i < samples.length; i++) {
    const x = samples[i]!;
    const y = x + first;
    first = -2 * x + 1.99599 * y + second;
    second = x - 0.996 * y;
    output[i] = y;
  }
  return output;
}

/** Scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019). */
export function siSdr(reference: Float64Array, output: Float64Array): number {
  const count = reference.length;
  const centre = mean(reference);
  const clean = reference.map((x) => x - centre);
  const offset = mean(output);
  let cross = 0;
  let power = 0;
  for (let i = 0; i < count; i++) {
    cross += clean[i]! * (output[i]! - offset);
    power += clean[i]! ** 2;
  }
  const scale = cross / (power + 1e-12);
  let distortion = 0;
  for (let i = 0; i < count; i++) distortion += (output[i]! - offset - scale * clean[i]!) ** 2;
  return 10 * Math.log10((scale ** 2 * power + 1e-12) / (distortion + 1e-12));
}

/** Energy of `output` against `noisy` in the frames 40 dB below the loudest frame of speech, in dB. */
export function pauseNoise(reference: Float32Array, noisy: Float32Array, output: Float32Array): number {
  const frames = Math.floor(reference.length / FRAME);
  const energies = Array.from({ length: frames }, (_, i) => dot(reference, i * FRAME, reference, i * FRAME, FRAME));
  const threshold = Math.max(...energies) * 1e-4;
  let before = 1e-12;
  let after = 1e-12;
  let quiet = 0;
  for (let i = 0; i < frames; i++) {
    if (energies[i]! >= threshold) continue;
    quiet++;
    before += dot(noisy, i * FRAME, noisy, i * FRAME, FRAME);
    after += dot(output, i * FRAME, output, i * FRAME, FRAME);
  }
  return quiet > 20 ? 10 * Math.log10(after / before) : Number.NaN;
}

const STOI_FRAME = 256;
const STOI_BANDS = 15;
const STOI_SPAN = 30;

/** Short-time objective intelligibility, 0 to 1 (Taal et al. 2011), at 10 kHz. */
export async function stoi(reference: Float32Array, output: Float32Array): Promise<number> {
  const clean = toTenKilohertz(reference);
  const other = toTenKilohertz(output);
  const kept = speechFrames(clean);
  const [x, y] = [await thirdOctaves(join(clean, kept)), await thirdOctaves(join(other, kept))];
  const clip = 1 + 10 ** (15 / 20);
  let total = 0;
  let count = 0;
  for (let end = STOI_SPAN; end <= x.length; end++) {
    for (let band = 0; band < STOI_BANDS; band++) {
      let [power, otherPower] = [0, 0];
      for (let t = end - STOI_SPAN; t < end; t++) {
        power += x[t]![band]! ** 2;
        otherPower += y[t]![band]! ** 2;
      }
      const scale = Math.sqrt(power) / (Math.sqrt(otherPower) + 1e-12);
      let [sumA, sumB, sumAA, sumBB, sumAB] = [0, 0, 0, 0, 0];
      for (let t = end - STOI_SPAN; t < end; t++) {
        const a = x[t]![band]!;
        const b = Math.min(y[t]![band]! * scale, a * clip);
        sumA += a;
        sumB += b;
        sumAA += a * a;
        sumBB += b * b;
        sumAB += a * b;
      }
      const covariance = sumAB - (sumA * sumB) / STOI_SPAN;
      const spread = (sumAA - sumA ** 2 / STOI_SPAN) * (sumBB - sumB ** 2 / STOI_SPAN);
      total += covariance / (Math.sqrt(Math.max(0, spread)) + 1e-12);
      count++;
    }
  }
  return total / count;
}

const hann = Float64Array.from({ length: STOI_FRAME }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * (i + 1)) / 257));

/** Starts of the frames at most 40 dB below the loudest. */
function speechFrames(samples: Float64Array): number[] {
  const starts: number[] = [];
  const levels: number[] = [];
  for (let start = 0; start + STOI_FRAME <= samples.length; start += STOI_FRAME / 2) {
    let energy = 1e-24;
    for (let i = 0; i < STOI_FRAME; i++) energy += (samples[start + i]! * hann[i]!) ** 2;
    starts.push(start);
    levels.push(10 * Math.log10(energy));
  }
  const loudest = Math.max(...levels);
  return starts.filter((_, i) => levels[i]! > loudest - 40);
}

/** The kept frames overlapped and added, as if nothing had been between them. */
function join(samples: Float64Array, starts: number[]): Float64Array {
  const joined = new Float64Array((starts.length + 1) * (STOI_FRAME / 2));
  starts.forEach((start, frame) => {
    for (let i = 0; i < STOI_FRAME; i++) joined[frame * (STOI_FRAME / 2) + i]! += samples[start + i]! * hann[i]!;
  });
  return joined;
}

async function thirdOctaves(samples: Float64Array): Promise<Float64Array[]> {
  const fft = await realFft(512);
  const time = new Float32Array(512);
  const spectrum = new Float32Array(512);
  const frames: Float64Array[] = [];
  for (let start = 0; start + STOI_FRAME <= samples.length; start += STOI_FRAME / 2) {
    time.fill(0);
    for (let i = 0; i < STOI_FRAME; i++) time[i] = samples[start + i]! * hann[i]!;
    fft.forward(time, spectrum);
    frames.push(
      Float64Array.from({ length: STOI_BANDS }, (_, band) => {
        let power = 0;
        for (let bin = octaveBin(band, -1); bin < octaveBin(band, 1); bin++) {
          power += spectrum[2 * bin]! ** 2 + spectrum[2 * bin + 1]! ** 2;
        }
        return Math.sqrt(power);
      }),
    );
  }
  return frames;
}

/** The bin next to an edge of the third-octave band `band`, the first of which is centred on 150 Hz. */
function octaveBin(band: number, side: -1 | 1): number {
  return Math.round((150 * 2 ** ((2 * band + side) / 6) * 512) / 10_000);
}

/** 48 kHz to 10 kHz: a windowed sinc (Kaiser, beta 5) that cuts at 5 kHz. */
function toTenKilohertz(samples: Float32Array): Float64Array {
  const count = Math.floor((samples.length * 5) / 24);
  const output = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const first = Math.ceil((i * 24) / 5 - HALF_TAPS);
    const phase = (i * 24) % 5;
    const taps = resampler[phase]!;
    let sum = 0;
    for (let k = 0; k < taps.length; k++) sum += taps[k]! * (samples[first + k] ?? 0);
    output[i] = sum;
  }
  return output;
}

const HALF_TAPS = 48;
const resampler = Array.from({ length: 5 }, (_, phase) => {
  const offset = phase / 5;
  const first = Math.ceil(offset - HALF_TAPS);
  const taps = Array.from({ length: 2 * HALF_TAPS }, (_, k) => {
    const x = first + k - offset;
    const angle = (Math.PI * x * 5) / 24;
    const sinc = x === 0 ? 1 : Math.sin(angle) / angle;
    return sinc * bessel(5 * Math.sqrt(Math.max(0, 1 - (x / HALF_TAPS) ** 2)));
  });
  const sum = taps.reduce((a, b) => a + b, 0);
  return Float64Array.from(taps, (tap) => tap / sum);
});

/** Modified Bessel function of the first kind, order 0. */
function bessel(x: number): number {
  let sum = 1;
  let term = 1;
  for (let k = 1; k < 25; k++) {
    term *= (x / 2 / k) ** 2;
    sum += term;
  }
  return sum;
}

function mean(values: Float64Array): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
}

function dot(a: Samples, aStart: number, b: Samples, bStart: number, count: number): number {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += a[aStart + i]! * (b[bStart + i] ?? 0);
  return sum;
}
