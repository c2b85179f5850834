import { Stft } from "../../publisher/denoise/features.js";
import { realFft } from "../../publisher/denoise/fft.js";

const WINDOW = 960;
const BINS = WINDOW / 2 + 1;
/** Hops of the first look at the noise. */
const START_HOPS = 10;
/** Hops after which the tracked minimum is renewed (1.2 s). */
const MINIMUM_HOPS = 120;

/**
 * The classical method: the log-spectral amplitude estimator of Ephraim and Malah (1985) with the decision-directed
 * a priori ratio and the minima-controlled noise estimate of Cohen and Berdugo (2002).
 */
export class MmseLsa {
  readonly #stft: Stft;
  readonly #noise = new Float64Array(BINS);
  readonly #smooth = new Float64Array(BINS);
  readonly #minimum = new Float64Array(BINS);
  readonly #candidate = new Float64Array(BINS);
  readonly #presence = new Float64Array(BINS);
  readonly #speech = new Float64Array(BINS);
  readonly #power = new Float64Array(BINS);
  #hops = 0;

  private constructor(stft: Stft) {
    this.#stft = stft;
  }

  static async create(): Promise<MmseLsa> {
    return new MmseLsa(new Stft(await realFft(WINDOW)));
  }

  /** Takes a hop of 480 samples and writes the one before, denoised. */
  process(samples: Float32Array, output: Float32Array): void {
    const { spectrum } = this.#stft;
    this.#stft.analyse(samples);
    for (let bin = 0; bin < BINS; bin++) {
      const [re, im] = [at(spectrum, bin), bin === 0 || bin === BINS - 1 ? 0 : spectrum[2 * bin + 1]!];
      this.#power[bin] = re * re + im * im + 1e-12;
    }
    this.#trackNoise();
    for (let bin = 0; bin < BINS; bin++) {
      const posterior = Math.min(this.#power[bin]! / this.#noise[bin]!, 1000);
      const directed = (0.98 * this.#speech[bin]!) / this.#noise[bin]! + 0.02 * Math.max(0, posterior - 1);
      const prior = Math.max(directed, 10 ** -2.5);
      const v = (prior * posterior) / (1 + prior);
      const gain = Math.min(1, Math.max(0.1, (prior / (1 + prior)) * Math.exp(0.5 * exponentialIntegral(v))));
      this.#speech[bin] = gain * gain * this.#power[bin]!;
      if (bin === 0) spectrum[0]! *= gain;
      else if (bin === BINS - 1) spectrum[1]! *= gain;
      else {
        spectrum[2 * bin]! *= gain;
        spectrum[2 * bin + 1]! *= gain;
      }
    }
    this.#stft.synthesise(output);
    this.#hops++;
  }

  #trackNoise(): void {
    const renew = this.#hops % MINIMUM_HOPS === MINIMUM_HOPS - 1;
    for (let bin = 0; bin < BINS; bin++) {
      const power = this.#power[bin]!;
      const around =
        0.25 * this.#power[Math.max(0, bin - 1)]! + 0.5 * power + 0.25 * this.#power[Math.min(BINS - 1, bin + 1)]!;
      if (this.#hops < START_HOPS) {
        this.#noise[bin]! += (power - this.#noise[bin]!) / (this.#hops + 1);
        this.#smooth[bin] = this.#noise[bin]!;
        this.#minimum[bin] = this.#noise[bin]!;
        this.#candidate[bin] = this.#noise[bin]!;
        continue;
      }
      const smooth = 0.8 * this.#smooth[bin]! + 0.2 * around;
      this.#smooth[bin] = smooth;
      this.#candidate[bin] = Math.min(this.#candidate[bin]!, smooth);
      this.#minimum[bin] = renew ? this.#candidate[bin]! : Math.min(this.#minimum[bin]!, smooth);
      if (renew) this.#candidate[bin] = smooth;
      const speaking = smooth > 3.5 * this.#minimum[bin]! ? 1 : 0;
      const presence = 0.2 * this.#presence[bin]! + 0.8 * speaking;
      this.#presence[bin] = presence;
      const keep = 0.95 + 0.05 * presence;
      this.#noise[bin] = keep * this.#noise[bin]! + (1 - keep) * power + 1e-15;
    }
  }
}

/** E1(x) = integral of exp(-t)/t from x to infinity (Abramowitz and Stegun 5.1.53 and 5.1.56). */
export function exponentialIntegral(x: number): number {
  if (x <= 1) {
    const y = Math.max(x, 1e-10);
    const polynomial =
      -0.57721566 + y * (0.99999193 + y * (-0.24991055 + y * (0.05519968 + y * (-0.00976004 + y * 0.00107857))));
    return polynomial - Math.log(y);
  }
  const above = x * (x * (x * (x + 8.5733287401) + 18.059016973) + 8.6347608925) + 0.2677737343;
  const below = x * (x * (x * (x + 9.5733223454) + 25.6329561486) + 21.0996530827) + 3.9584969228;
  return (Math.exp(-x) / x) * (above / below);
}

/** The real part of a bin of a packed spectrum. */
function at(spectrum: Float32Array, bin: number): number {
  return bin === BINS - 1 ? spectrum[1]! : spectrum[2 * bin]!;
}
