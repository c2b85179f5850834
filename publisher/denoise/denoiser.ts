import { InputError, type Logger, ModelError, StateError } from "../../base/index.js";
import {
  checkpointLength,
  delaySamples,
  type HopDenoiser,
  type HopDenoiserOptions,
  hopSamples,
} from "./hop/hop-denoiser.js";
import { openHopDenoiser } from "./hop/open-hop-denoiser.js";
import type { Levers } from "./levers.js";
import type { Model } from "./model.js";
import type { NoiseProfile } from "./noise-profile.js";
import { DenoiseWorker, WorkerDenoiser } from "./worker-denoiser.js";

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

/** Options of {@link Denoiser.create}. */
export interface DenoiserOptions {
  /**
   * Where the work is done: `here`, on the event loop; `worker`, in a thread that all streams of the model share; `auto`,
   * here as long as the process has one stream, in the worker as soon as there are more. The audio is the same. Default
   * `auto`.
   */
  readonly thread?: "auto" | "here" | "worker";
  /** Gets one warning, however many streams share the worker, when it has stopped and the work continues here. */
  readonly logger?: Logger;
  /**
   * Turn what is left where nobody has spoken for 400 ms into digital silence, for which Opus with DTX sends next to
   * nothing. Only with a model that tells voice activity. Default false.
   */
  readonly silencePauses?: boolean;
  /**
   * Keeps a quiet, steady floor of noise at this level under what is left, -90 to -40 dB against full scale, so that pauses
   * are neither dead nor pumping. Default: none.
   */
  readonly comfortNoiseDb?: number | undefined;
  /** @internal For the bench; on the event loop alone. */
  readonly levers?: Levers;
}

/** A stream counts as running for so long after its last hop, in milliseconds. */
const RUNNING_MS = 2000;
/** Hops from one look at the other streams to the next: a quarter of a second. */
const LOOK_HOPS = 25;

/** When each stream of this process had its last hop. */
const lastHops = new Map<object, number>();

/**
 * Denoises one channel, a hop (10 ms with the shipped model) at a time. Output runs a whole number of hops behind the input,
 * exactly one with the shipped model: there `process` returns the hop given to the call before. The same input gives the same output, bit for bit.
 */
export class Denoiser {
  readonly model: Model;
  /** Samples of a hop. */
  readonly hop: number;
  /** How far the output lags behind the input, in samples, a whole number of hops; take it off the timestamps. */
  readonly delaySamples: number;
  /** Values of a checkpoint. */
  readonly checkpointLength: number;
  readonly #wet: [Float32Array, Float32Array];
  /** The hops taken last, as many as the output lags behind, the one that comes in and the one given out. */
  readonly #dry: readonly Float32Array[];
  readonly #thread: "auto" | "here" | "worker";
  readonly #options: HopDenoiserOptions;
  readonly #logger: Logger | undefined;
  /** Stands for this stream in the count without keeping its memory. */
  readonly #token = {};
  #engine: HopDenoiser;
  #profile: NoiseProfile | undefined;
  #hops = 0;
  #turn = 0;
  #busy = false;
  #closed = false;

  private constructor(model: Model, engine: HopDenoiser, options: DenoiserOptions) {
    const { thread = "auto", logger, silencePauses = false, comfortNoiseDb } = options;
    this.model = model;
    this.#options = { silencePauses, comfortNoiseDb };
    this.#thread = thread;
    this.#logger = logger;
    this.hop = hopSamples(model.contract);
    this.delaySamples = delaySamples(model.contract);
    this.checkpointLength = checkpointLength(model.contract);
    this.#engine = engine;
    const buffer = () => new Float32Array(this.hop);
    this.#wet = [buffer(), buffer()];
    this.#dry = Array.from({ length: this.delaySamples / this.hop + 2 }, buffer);
  }

  /**
   * A new stream on a loaded model.
   *
   * @throws ModelError `WORKER_FAILED` when `thread` is `worker` and there can be none.
   */
  static async create(model: Model, options: DenoiserOptions = {}): Promise<Denoiser> {
    const denoiser = new Denoiser(
      model,
      await openHopDenoiser(
        model,
        { silencePauses: options.silencePauses ?? false, comfortNoiseDb: options.comfortNoiseDb },
        options.levers,
      ),
      options,
    );
    if (options.thread === "worker") {
      const host = DenoiseWorker.of(model);
      await host.ready;
      denoiser.#move(host);
    }
    return denoiser;
  }

  /** Whether the work is done in the worker now. */
  get inWorker(): boolean {
    return this.#engine instanceof WorkerDenoiser;
  }

  /**
   * Takes one hop and returns the one that is ready, denoised. With `infer` false the network is left out and wet is dry.
   * One call at a time.
   */
  async process(samples: Float32Array, { infer = true }: { infer?: boolean } = {}): Promise<DenoisedHop> {
    if (this.#busy) throw new Error("Denoiser.process was called before its last call had finished.");
    if (this.#closed) throw new StateError("CLOSED", "The denoiser was used after close().");
    if (samples.length !== this.hop) {
      throw new InputError("HOP_MISFIT", `The denoiser takes hops of ${this.hop} samples, not ${samples.length}.`);
    }
    this.#busy = true;
    try {
      if (this.#hops++ % LOOK_HOPS === 0) this.#look();
      const turn = this.#turn;
      const count = this.#dry.length;
      this.#turn = (turn + 1) % (2 * count);
      const dry = this.#dry[(turn + 2) % count]!;
      this.#dry[turn % count]!.set(samples);
      const wet = this.#wet[turn % 2]!;
      const voiceActivity = await this.#run(samples, wet, infer);
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
    const state = into ?? { model: this.model.contract.sha256, values: new Float32Array(this.checkpointLength) };
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
    const count = this.#dry.length;
    for (let i = 0; i < count - 2; i++) {
      const dry = this.#dry[(this.#turn + 2 + i) % count]!;
      if (state === undefined) dry.fill(0);
      else dry.set(state.values.subarray(i * this.hop, (i + 1) * this.hop));
    }
  }

  /**
   * Conditions the stream on a noise that was measured with `analyseNoise`, from the next hop on; undefined ends that.
   * `restore` leaves it as it is.
   */
  setNoiseProfile(profile: NoiseProfile | undefined): void {
    this.#profile = profile;
    this.#engine.setNoiseProfile(profile);
  }

  /** Lets go of what the stream holds outside; idempotent. */
  close(): void {
    this.#closed = true;
    lastHops.delete(this.#token);
    this.#engine.close();
  }

  async #run(samples: Float32Array, wet: Float32Array, infer: boolean): Promise<number> {
    const engine = this.#engine;
    try {
      return await engine.process(samples, wet, infer);
    } catch (error) {
      if (!(error instanceof ModelError && error.code === "WORKER_FAILED")) throw error;
      // The worker's end of the stream was up to date after the hop before, so this hop is simply done again.
      await this.#settle(engine);
      return this.#engine.process(samples, wet, infer);
    }
  }

  // Counts this stream in, and moves it to the worker once there are others.
  #look(): void {
    if (this.#thread !== "auto") return;
    const now = performance.now();
    lastHops.delete(this.#token);
    for (const [token, last] of lastHops) if (now - last > RUNNING_MS) lastHops.delete(token);
    lastHops.set(this.#token, now);
    if (lastHops.size < 2 || this.inWorker) return;
    const host = DenoiseWorker.of(this.model);
    if (host.available) this.#move(host);
  }

  // To the worker, between two hops: from there on it has the state.
  #move(host: DenoiseWorker): void {
    const before = this.#engine;
    this.#engine = host.open(this.#options, this.#logger);
    this.#hand(before, this.#engine);
  }

  // Back from a worker that has stopped.
  async #settle(before: HopDenoiser): Promise<void> {
    this.#engine = await openHopDenoiser(this.model, this.#options);
    this.#hand(before, this.#engine);
  }

  #hand(before: HopDenoiser, after: HopDenoiser): void {
    const state = new Float32Array(this.checkpointLength);
    before.checkpoint(state);
    after.setNoiseProfile(this.#profile);
    after.restore(state);
    before.close();
  }

  #assertIdle(what: string): void {
    if (this.#busy) throw new Error(`Denoiser.${what} was called while a hop was being processed.`);
  }

  #assertFits({ model, values }: DenoiserState): void {
    if (model === this.model.contract.sha256 && values.length === this.checkpointLength) return;
    throw new StateError("CHECKPOINT_MISFIT", "The checkpoint is of another model than the stream runs on.");
  }
}
