import { Bands, Stft } from "../features.js";
import { realFft } from "../fft.js";
import type { ModelState } from "../model.js";
import type { BandContract } from "../model-contract.js";
import { NoisePrior, type NoiseProfile } from "../noise-profile.js";
import { ComfortNoise } from "./comfort-noise.js";
import { type HopDenoiser, type HopDenoiserOptions, PauseDetector, readParts, writeParts } from "./hop-denoiser.js";

/** Denoises on the calling thread: analysis, network, gains and synthesis. */
export class LocalDenoiser implements HopDenoiser {
  readonly #stft: Stft;
  readonly #bands: Bands;
  readonly #network: ModelState;
  readonly #filter: DeepFilter | undefined;
  readonly #contract: BandContract;
  /** Memory of the noise prior. */
  readonly #speech: Float32Array;
  readonly #pauses: PauseDetector;
  readonly #silencePauses: boolean;
  readonly #comfort: ComfortNoise;
  #prior: NoisePrior | undefined;

  private constructor(
    contract: BandContract,
    network: ModelState,
    stft: Stft,
    { silencePauses, comfortNoiseDb }: HopDenoiserOptions,
  ) {
    this.#silencePauses = silencePauses;
    this.#comfort = new ComfortNoise(comfortNoiseDb);
    this.#contract = contract;
    this.#stft = stft;
    this.#bands = new Bands(contract);
    this.#network = network;
    this.#pauses = new PauseDetector(contract);
    this.#filter = contract.deepFilter && new DeepFilter(contract.deepFilter);
    this.#speech = new Float32Array(this.#bands.count);
  }

  /** Opens a stream in its initial state. */
  static async create(
    contract: BandContract,
    network: ModelState,
    options: HopDenoiserOptions,
  ): Promise<LocalDenoiser> {
    const fft = await realFft(contract.window);
    return new LocalDenoiser(contract, network, new Stft(fft), options);
  }

  async process(samples: Float32Array, wet: Float32Array, infer: boolean): Promise<number> {
    const stft = this.#stft;
    const network = this.#network;
    // The profile of this hop, even if another is set meanwhile.
    const prior = this.#prior;
    stft.analyse(samples);
    if (infer) {
      this.#bands.features(stft.spectrum, network.input);
      await network.run();
      if (network.filter !== undefined) this.#filter?.apply(network.filter, stft.spectrum);
      prior?.limit(this.#bands.power, network.output, this.#speech);
      // The overlap turns this into a fade.
      if (this.#pauses.isPause(network.voiceActivity) && this.#silencePauses) stft.spectrum.fill(0);
      else this.#bands.apply(network.output, stft.spectrum);
    } else this.#filter?.pass(stft.spectrum);
    stft.synthesise(wet);
    this.#comfort.fill(wet);
    return infer ? network.voiceActivity : 1;
  }

  checkpoint(into: Float32Array): void {
    writeParts(this.#parts(), into);
  }

  restore(from?: Float32Array): void {
    readParts(this.#parts(), from);
  }

  setNoiseProfile(profile: NoiseProfile | undefined): void {
    this.#prior = profile && new NoisePrior(profile, this.#bands, this.#contract);
  }

  close(): void {}

  #parts(): Float32Array[] {
    const past = this.#filter === undefined ? [] : [this.#filter.past];
    return [
      ...this.#stft.state,
      this.#pauses.state,
      this.#comfort.state,
      this.#speech,
      ...past,
      ...this.#network.recurrent,
    ];
  }
}

/** Combines the lowest bins of the last hops. */
class DeepFilter {
  /** The low bins of earlier hops, newest first. */
  readonly past: Float32Array;
  readonly #taps: number;
  /** Values of one hop: real and imaginary part of each bin. */
  readonly #width: number;
  readonly #now: Float32Array;

  constructor({ bins, taps }: { bins: number; taps: number }) {
    this.#taps = taps;
    this.#width = 2 * bins;
    this.past = new Float32Array(2 * bins * (taps - 1));
    this.#now = new Float32Array(this.#width);
  }

  /** Replaces the lowest bins by their filtered values. */
  apply(weights: Float32Array, spectrum: Float32Array): void {
    const width = this.#width;
    const taps = this.#taps;
    this.#take(spectrum);
    for (let value = 0; value < width; value += 2) {
      let re = 0;
      let im = 0;
      for (let tap = 0; tap < taps; tap++) {
        const from = tap === 0 ? this.#now : this.past;
        const at = tap === 0 ? value : (tap - 1) * width + value;
        const weight = value * taps + 2 * tap;
        re += from[at]! * weights[weight]! - from[at + 1]! * weights[weight + 1]!;
        im += from[at]! * weights[weight + 1]! + from[at + 1]! * weights[weight]!;
      }
      spectrum[value] = re;
      // A packed spectrum has the highest bin where the imaginary part of bin 0 would be.
      if (value > 0) spectrum[value + 1] = im;
    }
    this.#remember();
  }

  /** Only records the hop. */
  pass(spectrum: Float32Array): void {
    this.#take(spectrum);
    this.#remember();
  }

  #take(spectrum: Float32Array): void {
    this.#now.set(spectrum.subarray(0, this.#width));
    this.#now[1] = 0;
  }

  #remember(): void {
    if (this.past.length === 0) return;
    this.past.copyWithin(this.#width, 0);
    this.past.set(this.#now);
  }
}
