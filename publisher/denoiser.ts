import { Bands, Stft } from "./features.js";
import { realFft } from "./fft.js";
import type { Model, ModelState } from "./model.js";

/** Everything a stream's next hop depends on. */
export interface DenoiserState {
  readonly stft: { readonly previous: Float32Array; readonly overlap: Float32Array };
  readonly model: readonly Float32Array[];
}

/** What one hop gave; the buffers are reused by the hop after the next. */
export interface DenoisedHop {
  /** The denoised hop. */
  readonly wet: Float32Array;
  /** The same hop as it came in. */
  readonly dry: Float32Array;
  /** Probability of speech, 0 to 1. */
  readonly voiceActivity: number;
}

/**
 * Denoises one channel, a hop (10 ms) at a time. Output runs exactly one hop behind the input: `process` returns the hop
 * given to the call before. The same input gives the same output, bit for bit.
 */
export class Denoiser {
  readonly model: Model;
  /** Samples of a hop. */
  readonly hop: number;
  readonly #stft: Stft;
  readonly #bands: Bands;
  readonly #state: ModelState;
  readonly #wet: [Float32Array, Float32Array];
  readonly #dry: [Float32Array, Float32Array, Float32Array];
  #turn = 0;
  #busy = false;

  private constructor(model: Model, stft: Stft) {
    this.model = model;
    this.hop = stft.hop;
    this.#stft = stft;
    this.#bands = new Bands(model.contract);
    this.#state = model.createState();
    const buffer = () => new Float32Array(this.hop);
    this.#wet = [buffer(), buffer()];
    this.#dry = [buffer(), buffer(), buffer()];
  }

  /** A new stream on a loaded model. */
  static async create(model: Model): Promise<Denoiser> {
    return new Denoiser(model, new Stft(await realFft(model.contract.window)));
  }

  /** How far the output lags behind the input, in samples; take it off the timestamps. */
  get delaySamples(): number {
    return this.hop;
  }

  /**
   * Takes one hop and returns the one before, denoised. With `infer` false the network is left out and wet is dry.
   * One call at a time.
   */
  async process(samples: Float32Array, { infer = true }: { infer?: boolean } = {}): Promise<DenoisedHop> {
    if (this.#busy) throw new Error("Denoiser.process was called before its last call had finished.");
    this.#busy = true;
    try {
      const stft = this.#stft;
      const state = this.#state;
      const turn = this.#turn;
      this.#turn = (turn + 1) % 6;
      const dry = this.#dry[(turn + 2) % 3]!;
      this.#dry[turn % 3]!.set(samples);
      const wet = this.#wet[turn % 2]!;
      stft.analyse(samples);
      let voiceActivity = 1;
      if (infer) {
        this.#bands.features(stft.spectrum, state.features);
        await state.run();
        this.#bands.apply(state.gains, stft.spectrum);
        voiceActivity = state.voiceActivity;
      }
      stft.synthesise(wet);
      return { wet, dry, voiceActivity };
    } finally {
      this.#busy = false;
    }
  }

  /** A copy of everything the next hop depends on. */
  checkpoint(): DenoiserState {
    return { stft: this.#stft.checkpoint(), model: this.#state.checkpoint() };
  }

  /** Goes back to a checkpoint of the same model, or to the beginning. */
  restore(state?: DenoiserState): void {
    this.#stft.restore(state?.stft);
    this.#state.restore(state?.model);
    const last = this.#dry[(this.#turn + 2) % 3]!;
    if (state === undefined) last.fill(0);
    else last.set(state.stft.previous);
  }
}
