/** Ratio of the two rates: 48 to 16 kHz. */
const RATIO = 3;
/** Taps on each side of the middle one, at 48 kHz; a multiple of the ratio. */
const SIDE = 48;
const TAPS = 2 * SIDE + 1;
/** Cut-off frequency at half amplitude, in Hz; at 8 kHz the filter is 60 dB down. */
const CUTOFF_HZ = 7300;
/** Shape of the Kaiser window for those 60 dB. */
const BETA = 6;

/** Delay of both conversions together, in samples at 48 kHz. */
export const CONVERSION_DELAY = 2 * SIDE;
/** Values of the state of both. */
export const CONVERSION_STATE = TAPS - 1 + (TAPS - 1) / RATIO;

const filter = lowPass();

/** Converts 48 to 16 kHz; each call takes a multiple of three samples. */
export class Decimator {
  /** Samples that reach into the next hop, as a part of a checkpoint. */
  readonly state = new Float32Array(TAPS - 1);
  readonly #joined: Float32Array;

  /** `hop`: samples at 48 kHz per call. */
  constructor(hop: number) {
    this.#joined = new Float32Array(TAPS - 1 + hop);
  }

  process(samples: Float32Array, output: Float32Array): void {
    const joined = this.#joined;
    joined.set(this.state);
    joined.set(samples, TAPS - 1);
    for (let n = 0; n < output.length; n++) {
      let sum = 0;
      for (let k = 0; k < TAPS; k++) sum += filter[k]! * joined[RATIO * n + TAPS - 1 - k]!;
      output[n] = sum;
    }
    this.state.set(joined.subarray(samples.length));
  }
}

/** Converts 16 to 48 kHz. */
export class Interpolator {
  /** Samples that reach into the next hop, as a part of a checkpoint. */
  readonly state = new Float32Array((TAPS - 1) / RATIO);
  readonly #joined: Float32Array;

  /** `hop`: samples at 16 kHz per call. */
  constructor(hop: number) {
    this.#joined = new Float32Array(this.state.length + hop);
  }

  process(samples: Float32Array, output: Float32Array): void {
    const joined = this.#joined;
    const past = this.state.length;
    joined.set(this.state);
    joined.set(samples, past);
    for (let n = 0; n < output.length; n++) {
      let sum = 0;
      for (let k = n % RATIO; k < TAPS; k += RATIO) sum += filter[k]! * joined[past + (n - k) / RATIO]!;
      output[n] = RATIO * sum;
    }
    this.state.set(joined.subarray(samples.length));
  }
}

function lowPass(): Float64Array {
  const taps = Float64Array.from({ length: TAPS }, (_, k) => {
    const time = k - SIDE;
    const angle = (2 * Math.PI * CUTOFF_HZ * time) / 48_000;
    const ideal = time === 0 ? (2 * CUTOFF_HZ) / 48_000 : Math.sin(angle) / (Math.PI * time);
    return (ideal * bessel(BETA * Math.sqrt(1 - (time / SIDE) ** 2))) / bessel(BETA);
  });
  const sum = taps.reduce((total, tap) => total + tap, 0);
  return taps.map((tap) => tap / sum);
}

/** The modified Bessel function of order 0, as its series. */
function bessel(x: number): number {
  let [term, sum] = [1, 1];
  for (let k = 1; k < 40; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}
