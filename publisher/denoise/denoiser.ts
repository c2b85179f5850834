import { InputError, type Logger, ModelError, StateError } from "../../base/index.js";
import {
  checkpointLength,
  delaySamples,
  type HopDenoiser,
  type HopDenoiserOptions,
  hopSamples,
} from "./hop/hop-denoiser.js";
import { openHopDenoiser } from "./hop/open-hop-denoiser.js";
import type { Model } from "./model.js";
import type { NoiseProfile } from "./noise-profile.js";
import { DenoiseWorker, WorkerDenoiser } from "./worker-denoiser.js";

/** Everything that a stream's next hop depends on, as one copy of a few kilobytes; see {@link Denoiser.checkpoint}. */
export interface DenoiserState {
  /** The model it belongs to: the hash of its file. */
  readonly model: string;
  readonly values: Float32Array;
}

/** Result of one hop; the hop after the next reuses the buffers. */
export interface DenoisedHop {
  /** The denoised hop. */
  readonly wet: Float32Array;
  /** The same hop, undenoised. */
  readonly dry: Float32Array;
  /** Probability of speech, 0 to 1. */
  readonly voiceActivity: number;
}

/** Options of {@link Denoiser.create}. */
export interface DenoiserOptions {
  /**
   * Where inference runs: `here`, on the event loop; `worker`, in a thread that all streams of the model share; `auto`,
   * here while the process has one stream, in the worker once there are more. The audio is the same. Default `auto`.
   */
  readonly thread?: "auto" | "here" | "worker";
  /** Logs one warning, however many streams share the worker, when it has stopped and the work continues here. */
  readonly logger?: Logger;
  /**
   * Turns the residual after 400 ms without speech into digital silence, which Opus with DTX sends as next to nothing.
   * Only with a model that estimates voice activity. Default false.
   */
  readonly silencePauses?: boolean;
  /**
   * Keeps a quiet, steady floor of noise at this level under the output, -90 to -40 dBFS, so that pauses sound neither
   * dead nor pumping. Default: none.
   */
  readonly comfortNoiseDb?: number | undefined;
}

/** A stream counts as running for this long after its last hop, in milliseconds. */
const RUNNING_MS = 2000;
/** Hops between two checks for other streams: a quarter of a second. */
const LOOK_HOPS = 25;

/** Time of the last hop of each stream in this process. */
const lastHops = new Map<object, number>();

/**
 * Denoises one channel, a hop (10 ms with the shipped model) at a time. The output lags by a whole number of hops,
 * exactly one with the shipped model: there `process` returns the hop of the call before. The same input gives the same
 * output, bit for bit.
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
  /** The last hops: those that the output lags by, the current one and the one returned. */
  readonly #dry: readonly Float32Array[];
  readonly #thread: "auto" | "here" | "worker";
  readonly #options: HopDenoiserOptions;
  readonly #logger: Logger | undefined;
  /** Represents this stream in the count, without holding its memory. */
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
   * Opens a stream on a loaded model.
   *
   * @throws ModelError `WORKER_FAILED` when `thread` is `worker` and no worker can run.
   */
  static async create(model: Model, options: DenoiserOptions = {}): Promise<Denoiser> {
    const denoiser = new Denoiser(
      model,
      await openHopDenoiser(model, {
        silencePauses: options.silencePauses ?? false,
        comfortNoiseDb: options.comfortNoiseDb,
      }),
      options,
    );
    if (options.thread === "worker") {
      const host = DenoiseWorker.of(model);
      await host.ready;
      denoiser.#move(host);
    }
    return denoiser;
  }

  /** Whether the worker denoises this stream now. */
  get inWorker(): boolean {
    return this.#engine instanceof WorkerDenoiser;
  }

  /**
   * Takes one hop and returns the denoised hop that is ready. With `infer` false it skips the network, and wet is dry. One
   * call at a time.
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
   * A copy of everything the next hop depends on, except the noise profile. Overwrites `into`, an old checkpoint, instead
   * of allocating. Only between two calls of `process`.
   */
  checkpoint(into?: DenoiserState): DenoiserState {
    this.#assertIdle("checkpoint");
    const state = into ?? { model: this.model.contract.sha256, values: new Float32Array(this.checkpointLength) };
    this.#assertFits(state);
    this.#engine.checkpoint(state.values);
    return state;
  }

  /**
   * Restores a checkpoint, of this stream or of another one on the same model, or the initial state. Only between two
   * calls of `process`.
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
   * Conditions the stream, from the next hop on, on a noise measured with `analyseNoise`; undefined ends that.
   * `restore` does not change it.
   */
  setNoiseProfile(profile: NoiseProfile | undefined): void {
    this.#profile = profile;
    this.#engine.setNoiseProfile(profile);
  }

  /** Frees the stream's resources outside this object; idempotent. */
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
      // The worker's state is from after the hop before, so this hop simply runs again.
      await this.#settle(engine);
      return this.#engine.process(samples, wet, infer);
    }
  }

  // Counts this stream, and moves it to the worker once there are others.
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

  // Moves to the worker, between two hops: the worker then has the state.
  #move(host: DenoiseWorker): void {
    const before = this.#engine;
    this.#engine = host.open(this.#options, this.#logger);
    this.#hand(before, this.#engine);
  }

  // Moves back from a worker that has stopped.
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
