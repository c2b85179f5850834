import { type Clock, type Logger, type Microseconds, settlesWithin } from "../../base/index.js";
import { Denoiser } from "../denoise/denoiser.js";
import type { Model } from "../denoise/model.js";
import type { NoiseProfile } from "../denoise/noise-profile.js";
import type { OverloadGuard } from "../denoise/overload-guard.js";
import { PacedSource } from "../source/paced-source.js";
import type { AudioSource } from "../source/source.js";
import type { AudioTrack } from "../tracks/audio-track.js";
import type { Wake } from "../wake.js";
import type { QueuedSpeech } from "./queued-speech.js";
import type { Revisions } from "./revisions.js";
import { detectsVoice, SourceRenderer } from "./source-renderer.js";
import type { SpeechQueue } from "./speech-queue.js";

/** Options of {@link RendererFactory}. */
export interface RendererFactoryOptions {
  readonly mode: "live" | "ahead";
  readonly channels: 1 | 2;
  /** With DTX, pauses become digital silence. */
  readonly opus: { readonly dtx: boolean };
  readonly comfortNoiseDb?: number | undefined;
  readonly clock: Clock;
  readonly guard: OverloadGuard;
  readonly speeches: SpeechQueue;
  readonly revisions: Revisions;
  readonly audioTrack: AudioTrack;
  readonly logger: Logger;
  /** How long ago the next sample of a live source was due. */
  readonly lag: () => Microseconds;
  /** Rung when a renderer is made. */
  readonly wake: Wake;
}

/** A renderer without denoisers is made at once, and one whose model is in use within a turn of the publisher. */
const MAKE_MS = 10;

/** Makes the renderer of each source, with the model and the noise profile in force. */
export class RendererFactory {
  readonly #options: RendererFactoryOptions;
  readonly #makings = new WeakMap<QueuedSpeech, Promise<void>>();
  #model: Model | undefined;
  #noise: NoiseProfile | undefined;

  constructor(options: RendererFactoryOptions) {
    this.#options = options;
  }

  /** Whether the current model estimates voice activity. */
  get detectsVoice(): boolean {
    return this.#model !== undefined && detectsVoice(this.#model);
  }

  /** The model for everything that begins from now on. */
  get model(): Model | undefined {
    return this.#model;
  }

  set model(model: Model | undefined) {
    this.#model = model;
    for (const item of this.#options.speeches.waiting) item.renderer?.reset(() => this.makeDenoisers(this.#model));
  }

  get noise(): NoiseProfile | undefined {
    return this.#noise;
  }

  /** Conditions everything denoised from now on; {@link Revisions.change} applies it to rendered audio. */
  set noise(profile: NoiseProfile | undefined) {
    this.#noise = profile;
    const { speeches } = this.#options;
    for (const item of [speeches.last, ...speeches.waiting]) item?.renderer?.setNoiseProfile(profile);
  }

  /** Denoisers for every channel; none without a model. */
  async makeDenoisers(model: Model | undefined): Promise<Denoiser[]> {
    const denoisers: Denoiser[] = [];
    if (model === undefined) return denoisers;
    const { opus, comfortNoiseDb, logger } = this.#options;
    const options = { silencePauses: opus.dtx, comfortNoiseDb, logger };
    for (let c = 0; c < this.#options.channels; c++) denoisers.push(await Denoiser.create(model, options));
    return denoisers;
  }

  /**
   * Makes a speech's renderer; false while that takes long. Its denoisers may take seconds to load, in which the
   * publisher sends, reads reports and interrupts all the same.
   */
  async make(speech: QueuedSpeech): Promise<boolean> {
    const begun = this.#makings.get(speech);
    const making = begun ?? this.#made(speech);
    this.#makings.set(speech, making);
    if (!(await settlesWithin(begun === undefined ? MAKE_MS : 0, making))) return false;
    await making;
    return speech.renderer !== undefined;
  }

  /** Creates a renderer of a source with the current model. */
  async makeRenderer(source: AudioSource): Promise<SourceRenderer> {
    const { mode, guard, clock, audioTrack, speeches, revisions, lag } = this.#options;
    const model = this.#model;
    const denoisers = await this.makeDenoisers(model);
    const renderer: SourceRenderer = new SourceRenderer({
      source: mode === "live" && !source.stored ? new PacedSource({ source, lag }) : source,
      denoisers,
      guard,
      clock,
      // Audio rendered ahead may be mixed differently later. Live audio that is fully dry needs no denoising.
      wanted: () => mode === "ahead" || audioTrack.needsWet,
      filter: {
        apply: (samples, offset) => {
          if ((speeches.current ?? speeches.next)?.renderer === renderer)
            revisions.splice(samples, audioTrack.end + offset);
        },
      },
    });
    renderer.setNoiseProfile(this.#noise);
    // A model chosen meanwhile.
    if (this.#model !== model) renderer.reset(() => this.makeDenoisers(this.#model));
    return renderer;
  }

  async #made(speech: QueuedSpeech): Promise<void> {
    const { speeches, wake } = this.#options;
    const renderer = await this.makeRenderer(speech.source);
    const isWanted = speech.renderer === undefined && speeches.waiting.includes(speech);
    if (isWanted) speech.setRenderer(renderer);
    else await renderer.close();
    wake.ring();
  }
}
