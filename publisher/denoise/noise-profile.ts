import { InputError } from "../../base/index.js";
import { SAMPLE_RATE } from "../source/resample.js";
import { type Bands, Stft } from "./features.js";
import { realFft } from "./fft.js";
import type { BandContract } from "./model-contract.js";

/** Window of the analysis; models with another window get an interpolated density. */
const WINDOW = 960;
const BINS = WINDOW / 2 + 1;
/** Shortest recording with a useful average: 100 ms. */
const SHORTEST = SAMPLE_RATE / 10;
/** Longest stretch analysed: 30 s, which bounds time and memory. */
const LONGEST = SAMPLE_RATE * 30;
/** Windows analysed before other work runs: about a millisecond. */
const BATCH = 64;
/**
 * Weight of the previous hop in the decision-directed estimate. Less than the usual 0.98: the network does the
 * smoothing.
 */
const MEMORY = 0.9;
/** A gain falls to no less than this share of the network's own: -6 dB. */
const FLOOR = 0.5;

/** Spectrum of a recording that holds only the noise. It works with any model. */
export interface NoiseProfile {
  /** Power in each of 481 bins of 50 Hz, measured with a window of 960 samples. */
  readonly power: Float32Array;
}

/**
 * Measures the noise in a mono recording at 48 kHz that holds nothing else. Each bin gets the mean that belongs to the
 * median of its power (noise is exponentially distributed there: mean = median / ln 2), so a cough does no harm. Works
 * in small portions to keep the event loop responsive.
 *
 * @throws InputError `NOISE_PROFILE_INVALID` when there is less than 100 ms, or a sample is not finite.
 */
export async function analyseNoise(samples: Float32Array): Promise<NoiseProfile> {
  if (samples.length < SHORTEST) {
    throw new InputError(
      "NOISE_PROFILE_INVALID",
      `The noise recording must hold at least ${SHORTEST} samples (100 ms), not ${samples.length}.`,
    );
  }
  const used = samples.subarray(0, LONGEST);
  if (!used.every(Number.isFinite)) {
    throw new InputError("NOISE_PROFILE_INVALID", "The noise recording holds a sample that is not a finite number.");
  }
  const stft = new Stft(await realFft(WINDOW));
  stft.analyse(used.subarray(0, stft.hop));
  const windows = Math.floor(used.length / stft.hop) - 1;
  const powers = Array.from({ length: BINS }, () => new Float32Array(windows));
  for (let window = 0; window < windows; window++) {
    stft.analyse(used.subarray((window + 1) * stft.hop, (window + 2) * stft.hop));
    const { spectrum } = stft;
    for (let bin = 0; bin < BINS; bin++) {
      if (bin === 0) powers[bin]![window] = spectrum[0]! ** 2;
      else if (bin === BINS - 1) powers[bin]![window] = spectrum[1]! ** 2;
      else powers[bin]![window] = spectrum[2 * bin]! ** 2 + spectrum[2 * bin + 1]! ** 2;
    }
    if (window % BATCH === BATCH - 1) await new Promise((resolve) => setImmediate(resolve));
  }
  return { power: Float32Array.from(powers, (values) => values.sort()[values.length >> 1]! / Math.LN2) };
}

/**
 * Limits a network's gains by the noise profile: no gain exceeds the Wiener gain of its band, whose a priori ratio of
 * speech to noise is decision-directed (Ephraim and Malah, 1984). It never raises a gain.
 */
export class NoisePrior {
  readonly #noise: Float32Array;

  /** Computes everything that doesn't depend on the audio, once for each profile. */
  constructor(profile: NoiseProfile, bands: Bands, { window }: Pick<BandContract, "window">) {
    this.#noise = Float32Array.from({ length: bands.count }, (_, band) => {
      const { start, end } = bands.range(band);
      let sum = 0;
      for (let bin = start; bin < end; bin++) sum += density(profile.power, (bin * WINDOW) / window);
      // The power in a bin grows with the length of the window.
      return ((sum / (end - start)) * window) / WINDOW + 1e-12;
    });
  }

  /**
   * Lowers `gains`, given the mean power of each band. `speech` is the stream's memory: one value per band, the speech
   * power of the previous hop.
   */
  limit(power: Float32Array, gains: Float32Array, speech: Float32Array): void {
    for (let band = 0; band < gains.length; band++) {
      const noise = this.#noise[band]!;
      const gain = gains[band]!;
      const instant = Math.max(0, power[band]! / noise - 1);
      const ratio = (MEMORY * speech[band]!) / noise + (1 - MEMORY) * instant;
      const limited = Math.min(gain, Math.max(ratio / (1 + ratio), FLOOR * gain));
      speech[band] = limited * limited * power[band]!;
      gains[band] = limited;
    }
  }
}

/** The power between two bins of the profile. */
function density(power: Float32Array, bin: number): number {
  const below = Math.min(BINS - 1, Math.floor(bin));
  const above = Math.min(BINS - 1, below + 1);
  return power[below]! + (power[above]! - power[below]!) * (bin - below);
}
