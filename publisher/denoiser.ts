import { StateError } from "../base/index.js";
import { checkpointLength, type Engine, LocalEngine } from "./engine.js";
import type { Model } from "./model.js";
import type { NoiseProfile } from "./noise-profile.js";

/** Everything a stream's next hop depends on, as one copy of a few kilobytes; see {@link Denoiser.checkpoint}. */
export interface DenoiserState {
  /** The model it belongs to: the hash of its file. */
  readonly model: string;
  readonly values: Float32Array;
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
  readonly #length: number;
  readonly #wet: [Float32Array, Float32Array];
  readonly #dry: [Float32Array, Float32Array, Float32Array];
  #engine: Engine;
  #turn = 0;
  #busy = false;

  private constructor(model: Model, engine: Engine) {
    this.model = model;
    this.hop = model.contract.hop;
    this.#length = checkpointLength(model.contract);
    this.#engine = engine;
    const buffer = () => new Float32Array(this.hop);
    this.#wet = [buffer(), buffer()];
    this.#dry = [buffer(), buffer(), buffer()];
  }

  /** A new stream on a loaded model. */
  static async create(model: Model): Promise<Denoiser> {
    return new Denoiser(model, await LocalEngine.create(model));
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
      const turn = this.#turn;
      this.#turn = (turn + 1) % 6;
      const dry = this.#dry[(turn + 2) % 3]!;
      this.#dry[turn % 3]!.set(samples);
      const wet = this.#wet[turn % 2]!;
      const voiceActivity = await this.#engine.process(samples, wet, infer);
      return { wet, dry, voiceActivity };
    } finally {
      this.#busy = false;
    }
  }

  /**
   * A copy of everything the next hop depends on, except the noise profile. `into`, a checkpoint that is not needed any
   * more, is written over instead of allocating. Between two calls of `process` only.
   */
  checkpoint(into?: DenoiserState): DenoiserState {
    this.#assertIdle("checkpoint");
    const state = into ?? { model: this.model.contract.sha256, values: new Float32Array(this.#length) };
    this.#assertFits(state);
    this.#engine.checkpoint(state.values);
    return state;
  }

  /**
   * Goes back to a checkpoint, of this stream or of another one on the same model, or to the beginning. Between two calls
   * of `process` only.
   *
   * @throws StateError `CHECKPOINT_MISFIT` for a checkpoint of another model.
   */
  restore(state?: DenoiserState): void {
    this.#assertIdle("restore");
    if (state !== undefined) this.#assertFits(state);
    this.#engine.restore(state?.values);
    const last = this.#dry[(this.#turn + 2) % 3]!;
    if (state === undefined) last.fill(0);
    else last.set(state.values.subarray(0, this.hop));
  }

  /**
   * Conditions the stream on a noise that was measured with `analyseNoise`, from the next hop on; undefined ends that.
   * `restore` leaves it as it is.
   */
  setNoiseProfile(profile: NoiseProfile | undefined): void {
    this.#engine.setNoiseProfile(profile);
  }

  /** Lets go of what the stream holds outside; idempotent. */
  close(): void {
    this.#engine.close();
  }

  #assertIdle(what: string): void {
    if (this.#busy) throw new Error(`Denoiser.${what} was called while a hop was being processed.`);
  }

  #assertFits({ model, values }: DenoiserState): void {
    if (model === this.model.contract.sha256 && values.length === this.#length) return;
    throw new StateError("CHECKPOINT_MISFIT", "The checkpoint is of another model than the stream runs on.");
  }
}
