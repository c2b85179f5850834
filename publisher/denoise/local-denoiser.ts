import { Bands, Stft } from "./features.js";
import { realFft } from "./fft.js";
import { LEVERS, type Levers } from "./levers.js";
import type { Model, ModelContract, ModelState } from "./model.js";
import { NoisePrior, type NoiseProfile } from "./noise-profile.js";

/** What denoises the hops of one channel, wherever it runs. One hop at a time. */
export interface HopDenoiser {
  /** Takes one hop, writes the one before it denoised, and returns the probability of speech. */
  process(samples: Float32Array, wet: Float32Array, infer: boolean): Promise<number>;
  /** Writes everything the next hop depends on. */
  checkpoint(into: Float32Array): void;
  /** Goes back to a checkpoint, or to the beginning. */
  restore(from?: Float32Array): void;
  /** Conditions the hops from the next one on. */
  setNoiseProfile(profile: NoiseProfile | undefined): void;
  /** Lets go of what it holds; idempotent. */
  close(): void;
}

/** Options of a stream that hold for its life. */
export interface HopDenoiserOptions {
  /** Whether what is left between sentences is turned into digital silence. */
  readonly silencePauses: boolean;
}

/** From this probability on somebody speaks. It is low, so that a quiet first syllable is not lost. */
const VOICE = 0.04;
/** Hops without a voice before it is silence: 400 ms, longer than any stop within a sentence. */
const PAUSE_HOPS = 40;

/** Length of a checkpoint of a stream on a model. The hop taken last comes first in it. */
export function checkpointLength({ hop, bands, deepFilter, inputs, shapes }: ModelContract): number {
  const recurrent = inputs.states.map((name) => shapes[name]!.reduce((product, size) => product * size, 1));
  const past = deepFilter === undefined ? 0 : DeepFilter.length(deepFilter);
  return 2 * hop + 1 + (bands.low + bands.edges.length - 1) + past + recurrent.reduce((sum, length) => sum + length, 0);
}

/** Denoises on the thread it is called on: analysis, network, gains and synthesis. */
export class LocalDenoiser implements HopDenoiser {
  readonly #stft: Stft;
  readonly #bands: Bands;
  readonly #network: ModelState;
  readonly #filter: DeepFilter | undefined;
  readonly #contract: ModelContract;
  /** Memory of the noise prior. */
  readonly #speech: Float32Array;
  /** Hops since somebody spoke, as a part of the checkpoint. */
  readonly #quiet = new Float32Array(1);
  readonly #silencePauses: boolean;
  readonly #levers: Levers;
  #prior: NoisePrior | undefined;
  #profile: NoiseProfile | undefined;

  private constructor(model: Model, stft: Stft, { silencePauses }: HopDenoiserOptions, levers: Levers) {
    this.#silencePauses = silencePauses;
    this.#levers = levers;
    const { contract } = model;
    this.#contract = contract;
    this.#stft = stft;
    this.#bands = new Bands(contract);
    this.#network = model.createState(levers);
    this.#filter = contract.deepFilter && new DeepFilter(contract.deepFilter);
    this.#speech = new Float32Array(this.#bands.count);
  }

  /** A stream at its beginning. */
  static async create(model: Model, options: HopDenoiserOptions, levers = LEVERS): Promise<LocalDenoiser> {
    const fft = await realFft(model.contract.window);
    return new LocalDenoiser(model, new Stft(fft, levers), options, levers);
  }

  async process(samples: Float32Array, wet: Float32Array, infer: boolean): Promise<number> {
    const stft = this.#stft;
    const network = this.#network;
    // The profile of this hop, whatever is set meanwhile.
    const prior = this.#levers.prepareControls ? this.#prior : this.#makePrior();
    stft.analyse(samples);
    if (infer) {
      this.#bands.features(stft.spectrum, network.features);
      await network.run();
      if (network.filter !== undefined) this.#filter?.apply(network.filter, stft.spectrum);
      prior?.limit(this.#bands.power, network.gains, this.#speech);
      // The overlap makes a fade of it.
      if (this.#isPause(network.voiceActivity)) stft.spectrum.fill(0);
      else this.#bands.apply(network.gains, stft.spectrum);
    } else this.#filter?.pass(stft.spectrum);
    stft.synthesise(wet);
    return infer ? network.voiceActivity : 1;
  }

  checkpoint(into: Float32Array): void {
    let at = 0;
    for (const part of this.#parts()) {
      into.set(part, at);
      at += part.length;
    }
  }

  restore(from?: Float32Array): void {
    let at = 0;
    for (const part of this.#parts()) {
      if (from === undefined) part.fill(0);
      else part.set(from.subarray(at, at + part.length));
      at += part.length;
    }
  }

  setNoiseProfile(profile: NoiseProfile | undefined): void {
    this.#profile = profile;
    this.#prior = this.#makePrior();
  }

  close(): void {}

  #isPause(voiceActivity: number): boolean {
    this.#quiet[0] = voiceActivity >= VOICE ? 0 : Math.min(this.#quiet[0]! + 1, PAUSE_HOPS);
    return this.#silencePauses && this.#quiet[0] >= PAUSE_HOPS;
  }

  #makePrior(): NoisePrior | undefined {
    return this.#profile && new NoisePrior(this.#profile, this.#bands, this.#contract);
  }

  #parts(): Float32Array[] {
    const past = this.#filter === undefined ? [] : [this.#filter.past];
    return [...this.#stft.state, this.#quiet, this.#speech, ...past, ...this.#network.recurrent];
  }
}

/** Weighs the lowest bins of the last hops together. */
class DeepFilter {
  /** The low bins of the hops before, the last one first. */
  readonly past: Float32Array;
  readonly #taps: number;
  /** Values of one hop: real and imaginary part of each bin. */
  readonly #width: number;
  readonly #now: Float32Array;

  constructor({ bins, taps }: { bins: number; taps: number }) {
    this.#taps = taps;
    this.#width = 2 * bins;
    this.past = new Float32Array(DeepFilter.length({ bins, taps }));
    this.#now = new Float32Array(this.#width);
  }

  static length({ bins, taps }: { bins: number; taps: number }): number {
    return 2 * bins * (taps - 1);
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
      // Where the imaginary part of bin 0 would be, a packed spectrum has the highest bin.
      if (value > 0) spectrum[value + 1] = im;
    }
    this.#remember();
  }

  /** Only takes the hop into the past. */
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
