import { InputError } from "../../base/index.js";

/** The internal sample rate in Hz, which the denoiser and Opus share. */
export const SAMPLE_RATE = 48_000;

/** Half the filter's length in samples of the slower rate: 48 taps a phase. */
const HALF_WIDTH = 24;
/** Middle of the transition band as a share of the slower rate, so that the stop band starts near its Nyquist limit. */
const CUTOFF = 0.465;
/** Kaiser window shape for 80 dB of stop-band attenuation: 0.1102 (A - 8.7), Kaiser 1974. */
const BETA = 0.1102 * (80 - 8.7);
/** Rows of the filter's table. With this many, linear interpolation between two rows errs less than the stop band. */
const MAX_PHASES = 1024;
const MIN_RATE = 100;
const MAX_RATE = 768_000;

/**
 * Streaming sample-rate conversion, to 48 kHz by default, by a polyphase Kaiser-windowed sinc. It compensates the
 * filter's delay: output sample `n` lies at the time of input sample `n * from / to`. A rate without a short ratio has
 * more phases than the table has rows; outputs between two rows are interpolated.
 *
 * @throws InputError `UNSUPPORTED_SAMPLE_RATE` for a rate outside 100 Hz to 768 kHz.
 */
export class Resampler {
  readonly #channels: number;
  readonly #up: number;
  readonly #down: number;
  readonly #half: number;
  readonly #rows: number;
  /** `#rows` rows of `2 * #half` taps, plus one where outputs lie between rows. */
  readonly #taps: Float64Array;
  /** Interleaved input still needed; starts with the zeros before the first sample. */
  #input: Float32Array;
  /** Position of the next output, in input samples times `#up`, relative to the start of `#input`. */
  #position: number;
  #received = 0;
  #produced = 0;

  constructor({ from, to = SAMPLE_RATE, channels }: { from: number; to?: number; channels: number }) {
    for (const rate of [from, to]) {
      if (Number.isInteger(rate) && rate >= MIN_RATE && rate <= MAX_RATE) continue;
      throw new InputError(
        "UNSUPPORTED_SAMPLE_RATE",
        `The sample rate ${from} Hz can't be resampled to ${to} Hz; use one from ${MIN_RATE} to ${MAX_RATE}.`,
      );
    }
    const divisor = gcd(from, to);
    const up = to / divisor;
    this.#channels = channels;
    this.#up = up;
    this.#down = from / divisor;
    const slower = Math.min(1, to / from);
    this.#half = Math.ceil(HALF_WIDTH / slower);
    // The slower the input, the smoother the filter: a wide one needs fewer rows.
    this.#rows = up <= MAX_PHASES ? up : Math.ceil(MAX_PHASES * slower);
    this.#taps = design(this.#rows, this.#half, CUTOFF * slower);
    this.#input = new Float32Array(this.#half * channels);
    this.#position = this.#half * up;
  }

  /** Takes any number of interleaved samples and returns the output that is ready. */
  process(samples: Float32Array): Float32Array {
    this.#received += samples.length / this.#channels;
    if (this.#up === this.#down) {
      this.#produced += samples.length / this.#channels;
      return samples;
    }
    return this.#run(samples, Number.POSITIVE_INFINITY);
  }

  /** Ends the input and returns the remaining output, so that the length matches to the sample. */
  flush(): Float32Array {
    if (this.#up === this.#down) return new Float32Array(0);
    const total = Math.round((this.#received * this.#up) / this.#down);
    return this.#run(new Float32Array((this.#half + 1) * this.#channels), total - this.#produced);
  }

  #run(samples: Float32Array, limit: number): Float32Array {
    const channels = this.#channels;
    const joined = new Float32Array(this.#input.length + samples.length);
    joined.set(this.#input);
    joined.set(samples, this.#input.length);
    const available = joined.length / channels;
    const half = this.#half;
    // An output at input position p reads the samples floor(p) - half + 1 ... floor(p) + half.
    const last = (available - half) * this.#up - 1;
    const count = Math.max(0, Math.min(limit, Math.floor((last - this.#position) / this.#down) + 1));
    const output = new Float32Array(count * channels);
    let position = this.#position;
    for (let n = 0; n < count; n++) {
      const whole = Math.floor(position / this.#up);
      const offset = position - whole * this.#up;
      const phase = this.#rows === this.#up ? offset : (offset / this.#up) * this.#rows;
      const row = Math.floor(phase);
      const first = (whole - half + 1) * channels;
      for (let c = 0; c < channels; c++) {
        const sum = this.#filter(row, joined, first + c);
        const share = phase - row;
        output[n * channels + c] =
          this.#rows === this.#up ? sum : sum + share * (this.#filter(row + 1, joined, first + c) - sum);
      }
      position += this.#down;
    }
    this.#produced += count;
    const done = Math.max(0, Math.floor(position / this.#up) - half + 1);
    this.#input = joined.slice(done * channels);
    this.#position = position - done * this.#up;
    return output;
  }

  #filter(row: number, samples: Float32Array, first: number): number {
    const width = 2 * this.#half;
    let sum = 0;
    for (let k = 0; k < width; k++) sum += this.#taps[row * width + k]! * samples[first + k * this.#channels]!;
    return sum;
  }
}

// One extra row, so that the last one has a neighbour.
function design(rows: number, half: number, cutoff: number): Float64Array {
  const width = 2 * half;
  const taps = new Float64Array((rows + 1) * width);
  const top = bessel(BETA);
  for (let phase = 0; phase <= rows; phase++) {
    let sum = 0;
    for (let k = 0; k < width; k++) {
      // Distance in input samples between this tap and the output.
      const x = k - half + 1 - phase / rows;
      const t = x / half;
      const window = Math.abs(t) >= 1 ? 0 : bessel(BETA * Math.sqrt(1 - t * t)) / top;
      const arg = 2 * Math.PI * cutoff * x;
      const tap = (x === 0 ? 2 * cutoff : Math.sin(arg) / (Math.PI * x)) * window;
      taps[phase * width + k] = tap;
      sum += tap;
    }
    // Every phase passes a constant unchanged; otherwise an offset in silence would hum at the phase rate.
    for (let k = 0; k < width; k++) taps[phase * width + k]! /= sum;
  }
  return taps;
}

/** Modified Bessel function of the first kind, order zero, by its power series. */
function bessel(x: number): number {
  let sum = 1;
  let term = 1;
  for (let k = 1; term > sum * 1e-12; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}
