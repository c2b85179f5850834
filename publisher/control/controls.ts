import { z } from "zod";
import { InputError, type Logger, StateError, UnsayError, validate } from "../../base/index.js";
import {
  type ControlEvent,
  ControlStage,
  type Preparation,
  parseOperation,
  type StagedChange,
} from "../../flow/control/index.js";
import type { Denoiser } from "../denoise/denoiser.js";
import { loadModel, type Model } from "../denoise/model.js";
import { analyseNoise, type NoiseProfile } from "../denoise/noise-profile.js";
import type { AudioSource } from "../source/source.js";
import type { Splice } from "../speech/pending-splices.js";
import type { Renderer } from "../speech/renderer.js";
import type { Block, SourceRenderer } from "../speech/source-renderer.js";
import type { AudioTrack } from "../tracks/audio-track.js";
import { type Knobs, knobsSchema } from "../tracks/mixer.js";
import { toPosition } from "../tracks/position.js";
import type { Wake } from "../wake.js";
import { decodeSplice, loadModelPayload, readRecording } from "./control-payloads.js";

/** Options of {@link Controls}. */
export interface ControlsOptions {
  readonly channels: 1 | 2;
  readonly knobs: Knobs;
  readonly renderer: Renderer;
  readonly audioTrack: AudioTrack;
  /** Models that a request can name: paths, or functions that load them. */
  readonly models: Readonly<Record<string, string | (() => Promise<Model>)>>;
  /** Opens a source that a request names. */
  readonly sources: ((name: string) => Promise<AudioSource>) | undefined;
  /** Rung when a request is ready for the next turn. */
  readonly wake: Wake;
  readonly logger?: Logger;
}

/** Parts of a publisher that control changes, besides rendering. */
export interface ControlTarget {
  /** The earliest position, in samples, at which listeners hear a change in full. */
  soonest(): number;
  interrupt(): void;
  /** False when there is nothing to resume. */
  resume(): boolean;
}

/** Result of preparing a request outside the turn. */
type Prepared =
  | { readonly op: "model"; readonly model: Model; readonly denoisers: readonly Denoiser[] }
  | { readonly op: "swap_source"; readonly sourceRenderer: SourceRenderer; readonly model: Model | undefined }
  | { readonly op: "noise_profile"; readonly profile: NoiseProfile }
  | { readonly op: "write_audio"; readonly splice: Splice };

/** All changes of one turn. */
interface Plan {
  denoisers: readonly Denoiser[] | undefined;
  source: SourceRenderer | undefined;
  splices: Splice[];
  render: boolean;
  remix: boolean;
  unloop: boolean;
}

/** Any object: its knobs are checked with those in force. */
const knobsShape = z.looseObject({});
/** Blocks of a source rendered before it replaces another. */
const PRIMED_BLOCKS = 8;

/**
 * Takes control requests and prepares the slow ones beside the loop. It applies all that are ready at the start of a
 * turn, with at most one rewind for all of them.
 */
export class Controls {
  readonly #options: ControlsOptions;
  readonly #stage: ControlStage<Prepared>;
  #ended = 0;
  readonly #waiting = new Map<string, (event: ControlEvent) => void>();
  /** A model that was loaded here and has to be closed here. */
  #owned: Model | undefined;
  #plan: Plan | undefined;
  #nextId = 0;

  constructor(options: ControlsOptions) {
    this.#options = options;
    this.#stage = new ControlStage({ knobs: options.knobs });
  }

  /** Knobs that are in force, or about to be. */
  get knobs(): Knobs {
    return this.#stage.knobs;
  }

  /** Ends of requests so far: one for each request. */
  get ended(): number {
    return this.#ended;
  }

  /** Rises with every turn that applied a change. */
  get controlEpoch(): number {
    return this.#stage.current.controlEpoch;
  }

  /** Takes the first model; `owned`: it is closed with the controls, or when another replaces it. */
  start(model: Model | undefined, { owned }: { owned: boolean }): void {
    this.#options.renderer.factory.model = model;
    if (owned) this.#owned = model;
  }

  /**
   * Stages an operation; resolves with its one end. Rejects with an InputError or StateError when the operation is
   * refused.
   */
  async request(value: unknown, payload?: Uint8Array): Promise<ControlEvent> {
    const operation = parseOperation(value, payload);
    const { promise, resolve } = Promise.withResolvers<ControlEvent>();
    if (!this.#waiting.has(operation.requestId)) this.#waiting.set(operation.requestId, resolve);
    this.#stage.stage(operation, payload);
    this.#settle();
    this.#prepare();
    this.#options.wake.ring();
    return promise;
  }

  /**
   * Stages knobs.
   *
   * @throws InputError `INVALID_OPTION` that names the knob.
   */
  set(knobs: Partial<Knobs>): void {
    validate("Publisher.set", knobsShape, knobs);
    const wanted = validate("Publisher.denoise", knobsSchema, { ...this.knobs, ...knobs });
    this.#stage.stage({ op: "set", requestId: `library-set-${this.#nextId++}`, knobs: wanted });
    this.#settle();
    this.#options.wake.ring();
  }

  /** Whether a loop band is armed. */
  get banded(): boolean {
    return this.#options.renderer.revisions.armed;
  }

  /** Applies the requests that are ready. Not while a hop is being denoised. */
  tick(target: ControlTarget): void {
    const { renderer, audioTrack } = this.#options;
    const before = this.#stage.current.controlEpoch;
    const tick = this.#stage.beforeTick((change) => this.#apply(change, target));
    this.#settle();
    this.#prepare();
    const plan = this.#plan;
    this.#plan = undefined;
    if (tick.controlEpoch !== before && plan !== undefined) {
      const from = target.soonest();
      if (plan.source !== undefined) renderer.swap(from, plan.source);
      const { denoisers, splices, render, unloop } = plan;
      const isRendered = denoisers !== undefined || splices.length > 0 || render || unloop;
      const rendered = isRendered ? renderer.revisions.change(from, plan) : from;
      if (plan.remix && from < audioTrack.cursor) audioTrack.rewind(from);
      audioTrack.mark(tick.controlEpoch, plan.remix ? from : rendered);
    }
    if (this.banded) renderer.revisions.wrap(target.soonest());
  }

  /** Fails pending requests and closes the model. */
  async close(): Promise<void> {
    this.#stage.close();
    this.#settle();
    await this.#owned?.close();
  }

  /** Resolves the requests that have ended. */
  #settle(): void {
    for (const event of this.#stage.takeEnded()) {
      this.#ended++;
      this.#waiting.get(event.requestId)?.(event);
      this.#waiting.delete(event.requestId);
    }
  }

  #prepare(): void {
    for (const preparation of this.#stage.takePreparations()) {
      void this.#run(preparation).then(
        (prepared) => {
          if (!this.#stage.prepared(preparation, prepared)) this.#discard(prepared);
          this.#options.wake.ring();
        },
        (error: unknown) => {
          this.#stage.prepareFailed(preparation, error instanceof Error ? error.message : String(error));
          this.#settle();
        },
      );
    }
  }

  async #run({ operation, payload }: Preparation): Promise<Prepared> {
    const { op } = operation;
    switch (op) {
      case "model": {
        const model = await this.#loadModel(operation.name, payload);
        return { op, model, denoisers: await this.#options.renderer.factory.makeDenoisers(model) };
      }
      case "swap_source":
        return this.#openSource(operation.source);
      case "noise_profile":
        return { op, profile: await analyseNoise(await readRecording(payload!)) };
      case "write_audio": {
        const samples = await decodeSplice(operation, payload!, this.#options.channels);
        return { op, splice: { at: toPosition(operation.at), samples, mode: operation.mode } };
      }
      default:
        throw new Error(`The operation ${op} has nothing to prepare.`);
    }
  }

  async #loadModel(name: string | undefined, payload: Uint8Array | undefined): Promise<Model> {
    if (payload !== undefined) return loadModelPayload(payload);
    const found = Object.hasOwn(this.#options.models, name!) ? this.#options.models[name!] : undefined;
    if (found === undefined) throw new InputError("UNKNOWN_MODEL", `There is no model named "${name}".`);
    return this.#offered(`model ${name}`, () => (typeof found === "string" ? loadModel(found) : found()));
  }

  /**
   * Opens what the application offers under a name. Every listener can read the answers, so an error that may hold a path
   * of this machine is for the log alone; an application's own words are passed on.
   */
  async #offered<T>(what: string, open: () => Promise<T>): Promise<T> {
    try {
      return await open();
    } catch (cause) {
      const mayHoldPath = cause instanceof UnsayError || (cause instanceof Error && "path" in cause);
      if (!mayHoldPath) throw cause;
      this.#options.logger?.warn({ err: cause }, `The ${what}, which a controller asked for, can't be opened.`);
      throw new InputError("NOT_OPENED", `The publisher can't open the ${what}; its log says why.`, { cause });
    }
  }

  async #openSource(name: string): Promise<Prepared> {
    const { sources, renderer, channels } = this.#options;
    if (sources === undefined)
      throw new InputError("UNKNOWN_SOURCE", "The publisher was given no sources to choose from.");
    const source = await this.#offered(`source ${name}`, () => sources(name));
    if (source.channels !== channels) {
      await source.close();
      throw new InputError(
        "INVALID_OPTION",
        `The source ${name} has ${source.channels} channel(s) instead of ${channels}.`,
      );
    }
    const { model } = renderer.factory;
    const sourceRenderer = await renderer.factory.makeRenderer(source);
    try {
      await this.#offered(`source ${name}`, () => prime(sourceRenderer));
    } catch (error) {
      await sourceRenderer.close();
      throw error;
    }
    return { op: "swap_source", sourceRenderer, model };
  }

  #discard(prepared: Prepared): void {
    const closing =
      prepared.op === "model"
        ? prepared.model.close()
        : prepared.op === "swap_source"
          ? prepared.sourceRenderer.close()
          : undefined;
    closing?.catch(() => {});
  }

  // Called for each change in order; only adds to the plan, except for plain settings.
  #apply(change: StagedChange<Prepared>, target: ControlTarget): void {
    const { renderer, audioTrack } = this.#options;
    this.#plan ??= {
      denoisers: undefined,
      source: undefined,
      splices: [],
      render: false,
      remix: false,
      unloop: false,
    };
    const plan = this.#plan;
    switch (change.kind) {
      case "interrupt":
        target.interrupt();
        break;
      case "resume":
        if (!target.resume()) throw new StateError("NOTHING_TO_RESUME", "There is nothing to resume.");
        break;
      case "knobs":
        audioTrack.setKnobs(change.knobs);
        plan.remix = true;
        break;
      case "noise_clear":
        renderer.factory.noise = undefined;
        plan.render = true;
        break;
      case "band":
        this.#setBand(change.band, plan);
        break;
      default:
        this.#applyPrepared(change.result, plan, target);
    }
  }

  #applyPrepared(prepared: Prepared, plan: Plan, target: ControlTarget): void {
    const { renderer } = this.#options;
    switch (prepared.op) {
      case "swap_source":
        plan.source = prepared.sourceRenderer;
        // The model was swapped while the source was being opened.
        if (prepared.model !== renderer.factory.model)
          prepared.sourceRenderer.reset(() => renderer.factory.makeDenoisers(renderer.factory.model));
        break;
      case "model": {
        renderer.factory.model = prepared.model;
        plan.source?.reset(() => renderer.factory.makeDenoisers(renderer.factory.model));
        plan.denoisers = prepared.denoisers;
        const old = this.#owned;
        this.#owned = prepared.model;
        // Streams of the old model get the new model's denoisers within this turn.
        void Promise.resolve().then(() => old?.close());
        break;
      }
      case "noise_profile":
        renderer.factory.noise = prepared.profile;
        plan.render = true;
        break;
      case "write_audio": {
        const { at, samples } = prepared.splice;
        const { last, current } = renderer.speeches;
        if (at + samples.length / this.#options.channels <= target.soonest()) {
          throw new InputError(
            "TIME_PASSED",
            "The time `at` has passed: that moment was already heard, or is about to be.",
          );
        }
        if (current === undefined && (last === undefined || last.end! <= at)) {
          throw new StateError("NOTHING_PLAYED", "Nothing is being said at that time.");
        }
        plan.splices.push(prepared.splice);
      }
    }
  }

  #setBand(band: Extract<StagedChange<Prepared>, { kind: "band" }>["band"], plan: Plan): void {
    if (band === undefined) plan.unloop = true;
    else this.#options.renderer.revisions.arm({ start: toPosition(band.start), end: toPosition(band.end) });
  }
}

/** Renders the first blocks of a source, so that it replaces another without a pause. */
async function prime(renderer: SourceRenderer): Promise<void> {
  const blocks: Block[] = [];
  while (blocks.length < PRIMED_BLOCKS) {
    const block = await renderer.read();
    if (block === undefined) break;
    blocks.push({ dry: block.dry.slice(), wet: block.wet.slice(), voice: block.voice });
  }
  renderer.unread(...blocks);
}
