import { InputError } from "../../base/index.js";
import { SAMPLE_RATE } from "../source/resample.js";
import { type Bands, Stft } from "./features.js";
import { realFft } from "./fft.js";
import type { BandContract } from "./model-contract.js";

/** Window of the analysis; models with another one get the density interpolated. */
const WINDOW = 960;
const BINS = WINDOW / 2 + 1;
/** Shortest recording that gives an average worth having: 100 ms. */
const SHORTEST = SAMPLE_RATE / 10;
/** Longest stretch that is looked at: 30 s, which bounds time and memory. */
const LONGEST = SAMPLE_RATE * 30;
/** Windows analysed before other work gets its turn; about a millisecond. */
const BATCH = 64;
/** Weight of the hop before in the decision-directed estimate. Less than the usual 0.98: the network does the smoothing. */
const MEMORY = 0.9;
/** No gain is lowered to less than this share of the network's own: -6 dB. */
const FLOOR = 0.5;

/** What a recording of nothing but the noise sounds like. It belongs to no model: any can be conditioned on it. */
export interface NoiseProfile {
  /** Power of each of 481 bins of 50 Hz, as a window of 960 samples sees it. */
  readonly power: Float32Array;
}

/**
 * Measures the noise in a mono recording at 48 kHz that holds nothing else. Each bin gets the mean that belongs to the
 * median of its power (noise is exponentially distributed there: mean = median / ln 2), so that a cough does no harm.
 * Works in small portions; the event loop goes on.
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
 * Lowers a network's gains to what the noise profile allows: no gain stays above the Wiener gain of its band, whose a
 * priori ratio of speech to noise is decision-directed (Ephraim and Malah, 1984). No gain is ever raised.
 */
export class NoisePrior {
  readonly #noise: Float32Array;

  /** Everything that doesn't depend on the audio is computed here, once for each profile. */
  constructor(profile: NoiseProfile, bands: Bands, { window }: Pick<BandContract, "window">) {
    this.#noise = Float32Array.from({ length: bands.count }, (_, band) => {
      const { start, end } = bands.range(band);
      let sum = 0;
      for (let bin = start; bin < end; bin++) sum += density(profile.power, (bin * WINDOW) / window);
      // The power that a bin sees grows with the length of the window.
      return ((sum / (end - start)) * window) / WINDOW + 1e-12;
    });
  }

  /**
   * Lowers `gains`, given the mean power of each band. `speech` is the stream's memory, one value for each band: what was
   * left of the hop before.
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
