import { Worker } from "node:worker_threads";
import { type Logger, ModelError } from "../../base/index.js";
import type { FromWorker, ToWorker, WorkerSetup } from "./denoise-thread.js";
import type { HopDenoiser, HopDenoiserOptions } from "./hop/hop-denoiser.js";
import { HopGate } from "./hop/hop-gate.js";
import { Flag, type HopMemory, hopMemory } from "./hop/hop-memory.js";
import type { Model } from "./model.js";
import type { NoiseProfile } from "./noise-profile.js";

/** Streams per worker; any more stay on the event loop. */
const MAX_STREAMS = 256;

interface Pending {
  resolve(): void;
  reject(error: Error): void;
}

const hosts = new WeakMap<Model, DenoiseWorker>();
/** Gates of running workers: `process.exit()` would end their threads in the middle of a hop. */
const gates = new Set<HopGate>();
process.on("exit", () => {
  for (const gate of gates) gate.stop();
  for (const gate of gates) gate.drain();
});

/**
 * The worker thread that denoises the streams of one model, all on one session. It starts on demand, and ends with the
 * model.
 */
export class DenoiseWorker {
  /** Resolves when the worker accepts streams; rejects with a ModelError `WORKER_FAILED` when it can't start. */
  readonly ready: Promise<void>;
  readonly #worker: Worker;
  readonly #ended: Promise<void>;
  readonly #gate = new HopGate();
  readonly #model: Model;
  readonly #streams = new Map<number, WorkerDenoiser>();
  readonly #loggers = new Set<Logger>();
  #running = false;
  #failure: ModelError | undefined;
  #closing = false;
  #ending = false;
  #next = 0;
  #pending = 0;

  private constructor(model: Model) {
    this.#model = model;
    gates.add(this.#gate);
    this.#worker = startWorker({ contract: model.contract, bytes: model.bytes, gate: this.#gate.buffer });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.ready = promise;
    promise.catch(() => {});
    this.#worker.on("message", (message: FromWorker) => {
      if (message === "ready") {
        this.#running = true;
        this.#rest();
        resolve();
      } else if (typeof message === "number") this.#streams.get(message)?.settle();
      else this.#streams.get(message.stream)?.settle(new ModelError("INFERENCE_FAILED", message.failed));
    });
    const stop = (reason: string) => {
      this.#running = false;
      if (this.#failure !== undefined) return;
      this.#failure = new ModelError(
        "WORKER_FAILED",
        `The denoising worker of ${model.contract.name} stopped (${reason}); denoising goes on without it.`,
      );
      reject(this.#failure);
      for (const stream of this.#streams.values()) stream.settle(this.#failure);
      if (!this.#closing)
        for (const logger of this.#loggers) logger.warn({ err: this.#failure }, this.#failure.message);
      this.#streams.clear();
      this.#loggers.clear();
    };
    this.#worker.on("error", (error) => stop(error.message));
    const ended = Promise.withResolvers<void>();
    this.#ended = ended.promise;
    this.#worker.on("exit", (code) => {
      gates.delete(this.#gate);
      stop(`exit code ${code}`);
      ended.resolve();
    });
    model.closeWith(() => {
      this.#closing = true;
      return this.end();
    });
  }

  /** The worker of a model; starts it if need be. */
  static of(model: Model): DenoiseWorker {
    let host = hosts.get(model);
    if (host === undefined) {
      host = new DenoiseWorker(model);
      hosts.set(model, host);
    }
    return host;
  }

  /** Whether the worker accepts one more stream now. */
  get available(): boolean {
    return this.#running && this.#streams.size < MAX_STREAMS;
  }

  /** @internal Ends the worker after the current hops. Resolves when it has ended. */
  end(): Promise<void> {
    this.#ending = true;
    this.#gate.stop();
    this.#worker.ref();
    this.#worker.postMessage("end" satisfies ToWorker);
    return this.#ended;
  }

  /** Streams in the worker now. */
  get streams(): number {
    return this.#streams.size;
  }

  /** Opens a stream in the worker; only while {@link available}. */
  open(options: HopDenoiserOptions, logger?: Logger): WorkerDenoiser {
    const number = this.#next++;
    const memory = hopMemory(this.#model.contract);
    const engine = new WorkerDenoiser(memory, {
      hop: () => {
        if (this.#pending++ === 0) this.#worker.ref();
        this.#post(number);
      },
      done: () => {
        this.#pending--;
        this.#rest();
      },
      profile: (profile) => this.#post({ stream: number, profile }),
      close: () => {
        this.#streams.delete(number);
        this.#post({ stream: number, close: true });
      },
      failure: () => this.#failure,
    });
    this.#streams.set(number, engine);
    if (logger !== undefined) this.#loggers.add(logger);
    this.#post({ stream: number, open: memory.buffer, options });
    return engine;
  }

  /** Only hops in progress, and the wait for its end, keep the process alive. */
  #rest(): void {
    if (this.#pending === 0 && !this.#ending) this.#worker.unref();
  }

  #post(message: ToWorker): void {
    if (this.#running) this.#worker.postMessage(message);
  }
}

interface Wire {
  hop(): void;
  done(): void;
  profile(profile: NoiseProfile | undefined): void;
  close(): void;
  failure(): ModelError | undefined;
}

/** The local end of a stream in the worker. It always holds the checkpoint, so that the stream outlives the worker. */
export class WorkerDenoiser implements HopDenoiser {
  readonly #memory: HopMemory;
  readonly #wire: Wire;
  #waiting: Pending | undefined;
  #restored = false;
  #closed = false;

  constructor(memory: HopMemory, wire: Wire) {
    this.#memory = memory;
    this.#wire = wire;
  }

  async process(samples: Float32Array, wet: Float32Array, infer: boolean): Promise<number> {
    const failure = this.#wire.failure();
    if (failure !== undefined) throw failure;
    const { flags, input, voiceActivity } = this.#memory;
    input.set(samples);
    flags[Flag.infer] = infer ? 1 : 0;
    flags[Flag.restore] = this.#restored ? 1 : 0;
    this.#wire.hop();
    try {
      await new Promise<void>((resolve, reject) => {
        this.#waiting = { resolve, reject };
      });
    } finally {
      this.#wire.done();
    }
    this.#restored = false;
    wet.set(this.#memory.wet);
    return voiceActivity[0]!;
  }

  checkpoint(into: Float32Array): void {
    into.set(this.#memory.state);
  }

  restore(from?: Float32Array): void {
    if (from === undefined) this.#memory.state.fill(0);
    else this.#memory.state.set(from);
    this.#restored = true;
  }

  setNoiseProfile(profile: NoiseProfile | undefined): void {
    this.#wire.profile(profile);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#wire.close();
    // The result of a hop in progress is useless, but its caller must not wait for ever.
    this.settle();
  }

  /** Ends the wait for the hop. */
  settle(error?: Error): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (error === undefined) waiting?.resolve();
    else waiting?.reject(error);
  }
}

// Without the process's own flags, some of which (--input-type) change how Node reads the worker's entry.
function startWorker(setup: WorkerSetup): Worker {
  if (!import.meta.url.endsWith(".ts")) {
    return new Worker(new URL("./denoise-thread.js", import.meta.url), { execArgv: [], workerData: setup });
  }
  // From the sources, a worker first needs the TypeScript loader.
  const boot = `const { workerData: { loader, entry } } = require("node:worker_threads");
    import(loader).then(({ register }) => { register(); return import(entry); });`;
  const entry = new URL("./denoise-thread.ts", import.meta.url).href;
  return new Worker(boot, {
    eval: true,
    execArgv: [],
    workerData: { ...setup, loader: import.meta.resolve("tsx/esm/api"), entry },
  });
}
