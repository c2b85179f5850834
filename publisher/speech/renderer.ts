import {
  type Clock,
  fromMilliseconds,
  InputError,
  type Logger,
  type Microseconds,
  microseconds,
  StateError,
} from "../../base/index.js";
import { Denoiser } from "../denoise/denoiser.js";
import type { Model } from "../denoise/model.js";
import type { NoiseProfile } from "../denoise/noise-profile.js";
import { OverloadGuard } from "../denoise/overload-guard.js";
import type { Deadlines } from "../send/deadlines.js";
import { OpenedAudio, openAudio } from "../source/open-audio.js";
import { PacedSource } from "../source/paced-source.js";
import { SAMPLE_RATE } from "../source/resample.js";
import type { AudioSource } from "../source/source.js";
import type { AudioTrack } from "../tracks/audio-track.js";
import { toTime } from "../tracks/position.js";
import type { TimelineCut } from "../tracks/timeline-buffer.js";
import type { Wake } from "../wake.js";
import { PendingSplices, type Splice } from "./pending-splices.js";
import type { QueuedSpeech, TakenBack } from "./queued-speech.js";
import { type Block, SourceRenderer, tellsVoice } from "./source-renderer.js";
import type { Speech, SpeechControl } from "./speech.js";
import { SpeechQueue } from "./speech-queue.js";
import type { WordTiming } from "./words.js";

/** Options of {@link Renderer}. */
export interface RendererOptions {
  readonly mode: "live" | "ahead";
  readonly channels: 1 | 2;
  /** With DTX, pauses become digital silence. */
  readonly opus: { readonly dtx: boolean };
  readonly comfortNoiseDb?: number | undefined;
  readonly frameMs: number;
  readonly resumeWindowMs: number;
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  readonly audioTrack: AudioTrack;
  readonly logger: Logger;
  /** What speeches ask of the publisher. */
  readonly control: SpeechControl;
  /** Rung when a reading is done. */
  readonly wake: Wake;
}

/** What happened while rendering. */
export type RendererEvent =
  /** A speech begins there. */
  | { readonly kind: "began"; readonly at: Microseconds }
  /** What was not sent yet is so much later than planned: the source was too slow, or the way to the relay full. */
  | { readonly kind: "delayed"; readonly by: Microseconds };

/** A stretch of the timeline that repeats from its end on, in samples. */
export interface Stretch {
  readonly start: number;
  readonly end: number;
}

/** What is to be rendered otherwise. */
export interface RenderChange {
  /** Denoisers of another model, for what is being said. */
  readonly denoisers?: readonly Denoiser[] | undefined;
  /** Whether all that was rendered ahead is to be denoised anew. */
  readonly render?: boolean;
  readonly splices?: readonly Splice[];
  /** Ends the loop. */
  readonly unloop?: boolean;
}

/** What can be said; a stream holds 48 kHz audio in the broadcast's channels: `s16le` bytes, a WAV file, or samples. */
export type SpeechSource = OpenedAudio | AudioSource | AsyncIterable<Uint8Array> | AsyncIterable<Float32Array>;

/** Options of `say`. */
export interface SayOptions {
  /** The text that is said, for `heardText`. */
  readonly text?: string;
  /** When its words or characters are said; `speech.addWords` adds more. */
  readonly words?: readonly WordTiming[];
  /**
   * What becomes of paused speeches: `queue` waits behind them, `drop` interrupts them. Speeches that are not paused are
   * never touched. Default `queue`.
   */
  readonly after?: "queue" | "drop";
}

/** What a reading brought: no block at the end of a source. */
interface Reading {
  readonly speech: QueuedSpeech;
  readonly renderer: SourceRenderer;
  readonly block: Block | undefined;
  readonly error?: unknown;
}

/** Without a checkpoint, as after a change of model, the denoiser hears so much before what is said anew: 300 ms. */
const WARM_UP = 0.3 * SAMPLE_RATE;
/** What may wait beside a frame that lacks samples: a block and the encoder's look-ahead. */
const AROUND_FRAME = 0.02 * SAMPLE_RATE;
/** A live source later than this for a second has stood still. */
const LIVE_SLACK = fromMilliseconds(200);

/** Says what is to be said: reads the sources one after the other, denoises them and writes them to the timeline. */
export class Renderer {
  readonly speeches: SpeechQueue;
  readonly guard: OverloadGuard;
  readonly #options: RendererOptions;
  readonly #clock: Clock;
  readonly #deadlines: Deadlines;
  readonly #audioTrack: AudioTrack;
  #model: Model | undefined;
  #noise: NoiseProfile | undefined;
  /** Readings under way, one for each renderer: what was taken back may still be waiting for its source. */
  readonly #readings = new Map<SourceRenderer, QueuedSpeech>();
  #results: readonly Reading[] = [];
  #events: RendererEvent[] = [];
  /** How far the muted source was read, in samples, so that a file is not read to its end meanwhile. */
  #mutedEnd = 0;
  readonly #splices: PendingSplices;
  #band: (Stretch & { readonly item: QueuedSpeech }) | undefined;
  #wrapped = false;
  #underruns = 0;
  readonly #paced = new WeakMap<SourceRenderer, PacedSource>();

  constructor(options: RendererOptions) {
    const { clock, deadlines, audioTrack, logger, channels, resumeWindowMs, control } = options;
    this.#options = options;
    this.#splices = new PendingSplices(channels);
    this.#clock = clock;
    this.#deadlines = deadlines;
    this.#audioTrack = audioTrack;
    this.speeches = new SpeechQueue({
      channels,
      resumeWindow: fromMilliseconds(resumeWindowMs),
      control,
      onCloseError: (error) => logger.debug({ err: error }, "A source could not be closed."),
    });
    this.guard = new OverloadGuard({
      clock,
      budget: fromMilliseconds(10),
      slack: () => deadlines.slack(toTime(audioTrack.end), clock()),
    });
  }

  /** Times the source was too slow and a hole was left. */
  get underruns(): number {
    return this.#underruns;
  }

  /** Probability of speech now, 0 to 1. */
  get voiceActivity(): number {
    return this.speeches.current?.renderer?.voiceActivity ?? 0;
  }

  /** Whether the model in force tells how likely it is that somebody speaks. */
  get tellsVoice(): boolean {
    return this.#model !== undefined && tellsVoice(this.#model);
  }

  /** Whether the next reading waits for the one before. */
  get reading(): boolean {
    const renderer = this.speeches.current?.renderer;
    return renderer !== undefined && this.#readings.has(renderer);
  }

  /** Whether a hop is being denoised or on its way: nothing may be changed then. */
  get busy(): boolean {
    return this.#results.length > 0 || [...this.#readings.keys()].some((renderer) => !renderer.waiting);
  }

  /** Whether everything was rendered and nothing waits. */
  get idle(): boolean {
    return this.speeches.idle;
  }

  /** The model that denoises what begins from now on. */
  get model(): Model | undefined {
    return this.#model;
  }

  set model(model: Model | undefined) {
    this.#model = model;
    for (const item of this.speeches.waiting) item.renderer?.reset(() => this.makeDenoisers(this.#model));
  }

  /** Conditions everything that is denoised from now on; see {@link change} for what is rendered already. */
  set noise(profile: NoiseProfile | undefined) {
    this.#noise = profile;
    for (const item of [this.speeches.last, ...this.speeches.waiting]) item?.renderer?.setNoiseProfile(profile);
  }

  /** Queues something to say. */
  say(source: SpeechSource, { text, words, after = "queue" }: SayOptions): Speech {
    const opened = isSource(source) || source instanceof OpenedAudio ? source : openAudio({ stream: source });
    const { push } = opened instanceof OpenedAudio ? opened : {};
    const read = opened instanceof OpenedAudio ? opened.source(this.#options.channels) : opened;
    const speech = this.speeches.add(read, { push, text, words });
    if (after === "drop") this.speeches.dropPaused();
    return speech;
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

  /** A renderer of a source on the model in force. */
  async makeRenderer(source: AudioSource): Promise<SourceRenderer> {
    const paced = this.#options.mode === "live" && !source.stored ? this.#pace(source) : undefined;
    const renderer: SourceRenderer = new SourceRenderer({
      source: paced ?? source,
      denoisers: await this.makeDenoisers(this.#model),
      guard: this.guard,
      clock: this.#clock,
      // What is rendered ahead may be mixed otherwise later; live audio that nobody hears denoised need not be.
      wanted: () => this.#options.mode === "ahead" || this.#audioTrack.needsWet,
      onSamples: (samples, offset) => {
        if (this.speeches.current?.renderer === renderer) this.#splices.apply(samples, this.#audioTrack.end + offset);
      },
    });
    renderer.setNoiseProfile(this.#noise);
    if (paced !== undefined) this.#paced.set(renderer, paced);
    return renderer;
  }

  /** Writes what the readings of the last tick brought. */
  take(): readonly RendererEvent[] {
    const results = this.#results;
    this.#results = [];
    for (const result of results) if (result.speech.renderer === result.renderer) this.#write(result);
    const events = this.#events;
    this.#events = [];
    return events;
  }

  /** Moves what was not sent yet to `position`, in samples: where it can still be heard in full. */
  delay(position: number): void {
    const { unsent } = this.#audioTrack;
    const by = this.#audioTrack.delay(position);
    this.speeches.moved(unsent, by);
    this.#events.push({ kind: "delayed", by: microseconds(toTime(by)) });
  }

  /** Starts to read what is needed by now; false when nothing is, or its reading is under way. */
  async read(): Promise<boolean> {
    const speech = await this.#next();
    const renderer = speech?.renderer;
    if (speech === undefined || renderer === undefined || this.#readings.has(renderer)) return false;
    if (this.#results.some((result) => result.renderer === renderer)) return false;
    this.#readings.set(renderer, speech);
    const done = (result: { block: Block | undefined; error?: unknown }) => {
      if (!this.#readings.delete(renderer)) return;
      this.#results = [...this.#results, { speech, renderer, ...result }];
      this.#options.wake.ring();
    };
    renderer.read().then(
      (block) => done({ block }),
      (error: unknown) => done({ block: undefined, error }),
    );
    return true;
  }

  /**
   * Takes everything at or after `position` off the timeline. Each speech keeps its part, to be said next; in a live
   * broadcast it is read on unheard instead.
   */
  takeBack(position: number): readonly TakenBack[] {
    const { end } = this.#audioTrack;
    const cut = this.#audioTrack.cut(position);
    const start = Math.max(position, end - cut.dry.length / this.#options.channels);
    const { current } = this.speeches;
    const taken = this.speeches.takeBack(position, cut, { start, mute: this.#options.mode === "live" });
    if (current === undefined || taken.some(({ speech }) => speech === current)) {
      this.#mutedEnd = position;
      this.#band = undefined;
      this.#splices.clear();
    }
    return taken;
  }

  /**
   * Renders from `from` on anew what was rendered ahead, as `change` says, and takes back what was sent of it. Returns
   * the first position that is different.
   */
  change(from: number, { denoisers, render = false, splices = [], unloop = false }: RenderChange): number {
    const audioTrack = this.#audioTrack;
    const item = this.speeches.revive(from);
    const renderer = item?.renderer;
    if (item === undefined || renderer === undefined) {
      for (const denoiser of denoisers ?? []) denoiser.close();
      return Math.max(from, audioTrack.end);
    }
    const { channels } = this.#options;
    const read = audioTrack.end + renderer.ahead;
    const inside = splices.filter(({ at }) => at < read);
    this.#splices.keep(splices.filter(({ at, samples }) => at + samples.length / channels > read));
    const ends = unloop && renderer.looping;
    if (unloop) this.#band = undefined;
    const everything = denoisers !== undefined || (render && renderer.denoises) || ends;
    const soonest = Math.min(...splices.map(({ at }) => at), ...(everything || splices.length === 0 ? [from] : []));
    const at = Math.max(from, item.start, soonest);
    if (!everything && inside.length === 0) return at;
    this.#goBack(item, renderer, at, denoisers);
    for (const { at: position, samples, mode } of inside) {
      const late = Math.max(0, at - position);
      renderer.edit(position + late - audioTrack.end, samples.subarray(late * channels), mode);
    }
    if (ends) {
      renderer.unloop(at - audioTrack.end);
      item.timeline.cut(at);
      item.timeline.unloop(at);
    }
    return at;
  }

  /**
   * Repeats a stretch of the timeline from its end on, or from `from` where that has passed.
   *
   * @throws StateError `NOTHING_PLAYED` when nothing is being said; InputError `BAND_TOO_OLD` when it is not remembered.
   */
  arm(band: Stretch): void {
    const item = this.speeches.current;
    if (item === undefined) throw new StateError("NOTHING_PLAYED", "Nothing is being said that could be repeated.");
    if (band.start < Math.max(this.#audioTrack.oldest, item.start) || band.end - band.start > this.#audioTrack.memory) {
      throw new InputError(
        "BAND_TOO_OLD",
        `band must lie within what is being said, and not more than ${this.#audioTrack.memory / SAMPLE_RATE} s back.`,
      );
    }
    this.#band = { ...band, item };
    this.#wrapped = false;
  }

  /** Starts the loop that is armed once the audio has come to its end; returns where, in samples. */
  wrap(from: number): number | undefined {
    const band = this.#band;
    const renderer = band?.item.renderer;
    if (band === undefined || renderer === undefined || this.#wrapped || band.item !== this.speeches.current) return;
    const audioTrack = this.#audioTrack;
    const read = audioTrack.end + renderer.ahead;
    if (read < band.end) return;
    const at = Math.min(Math.max(from, band.end), Math.max(read, band.end));
    this.#goBack(band.item, renderer, at, undefined);
    const known = audioTrack.end;
    const head = audioTrack.recall(band.start, Math.min(band.end, known));
    const tail = renderer.peek(Math.max(0, band.end - known));
    const samples = new Float32Array(head.length + tail.length);
    samples.set(head);
    samples.set(tail, head.length);
    renderer.loop(samples, at - known, (at - band.start) % (band.end - band.start));
    band.item.timeline.cut(at);
    band.item.timeline.loop(at);
    this.#wrapped = true;
    return at;
  }

  /** Goes on at `from` with another source in place of the one that is being said. */
  swap(from: number, renderer: SourceRenderer): void {
    const { speeches } = this;
    const { source } = renderer;
    const item = speeches.revive(from);
    renderer.setNoiseProfile(this.#noise);
    if (item === undefined) {
      speeches.add(source, { renderer });
      return;
    }
    const audioTrack = this.#audioTrack;
    const at = Math.max(from, item.start);
    const old = item.renderer;
    if (at < audioTrack.cursor) audioTrack.rewind(at);
    audioTrack.cut(at);
    audioTrack.startAt(at);
    (old?.close() ?? item.source.close()).catch((error: unknown) =>
      this.#options.logger.debug({ err: error }, "A source could not be closed."),
    );
    if (old !== undefined) this.#readings.delete(old);
    item.replace(renderer, audioTrack.end);
    this.#band = undefined;
  }

  /** Lets go of everything. */
  close(): void {
    this.speeches.close();
    for (const speech of this.#readings.values()) this.speeches.abandon(speech);
  }

  // Takes back what was sent from `at` on, and makes the renderer start again there or a little before.
  #goBack(item: QueuedSpeech, renderer: SourceRenderer, at: number, denoisers: readonly Denoiser[] | undefined): void {
    const audioTrack = this.#audioTrack;
    if (at < audioTrack.cursor) audioTrack.rewind(at);
    const checkpoint =
      denoisers === undefined ? item.checkpoints.findLast(({ position }) => position <= at) : undefined;
    const warm = renderer.denoises || denoisers !== undefined ? at - WARM_UP : at;
    const start = checkpoint?.position ?? Math.max(warm, item.start, audioTrack.oldest);
    const { dry } = audioTrack.cut(Math.min(start, audioTrack.end));
    renderer.rewind(dry, { states: checkpoint?.states, denoisers });
    item.rendersFrom(start, { keep: denoisers === undefined });
  }

  #write({ speech, renderer, block, error }: Reading): void {
    const { speeches } = this;
    if (error !== undefined) {
      speech.fail(error instanceof Error ? error : new Error(String(error)));
      this.#options.logger.warn({ err: error, source: speech.source.name }, "A source could not be read.");
    }
    if (block === undefined) this.#logWarnings(speech.source);
    if (speech === speeches.muted) {
      if (block === undefined) speeches.finishMuted();
      else this.#pass(speech, block.dry.length / this.#options.channels);
    } else if (speech !== speeches.current) {
      if (block !== undefined) renderer.putBack(block);
    } else if (block === undefined) {
      this.#catchUp(speech);
      speeches.finish(this.#audioTrack.end);
      // Listeners take silence for the end of a speech, and audio that breaks off for a fault.
      if (speeches.next === undefined) this.#audioTrack.write(this.#silence);
    } else {
      this.#catchUp(speech);
      const at = this.#audioTrack.end;
      this.#audioTrack.write(block);
      speech.wrote(at, block);
    }
  }

  #pass(speech: QueuedSpeech, frames: number): void {
    this.#mutedEnd += frames;
    speech.passed(frames);
  }

  #logWarnings(source: AudioSource): void {
    for (const warning of source.warnings ?? []) this.#options.logger.warn({ source: source.name }, warning);
  }

  // An utterance that begins when listeners are at the end of the one before leaves a hole: the pause was meant.
  #startAt(position: number): void {
    const { end } = this.#audioTrack;
    this.#audioTrack.startAt(position < end ? end : Math.max(position, end > 0 ? end + this.#frame : 0));
  }

  // Where the source was too slow, what is not encoded yet moves on to where it can still be heard in full.
  #catchUp(item: QueuedSpeech): void {
    const audioTrack = this.#audioTrack;
    const now = this.#clock();
    if (this.#options.mode === "live" && item.renderer && this.#paced.has(item.renderer)) {
      this.#skipBehind(this.#paced.get(item.renderer)!, now);
      return;
    }
    // More waits than a frame lacks: that is not the source's fault. What is rendered anew may start before what is sent next.
    const { unsent } = audioTrack;
    const isWaiting = audioTrack.end - unsent < this.#frame + AROUND_FRAME && unsent >= audioTrack.cursor;
    const from = isWaiting ? unsent : Math.max(audioTrack.end, audioTrack.cursor);
    if (toTime(from) >= this.#deadlines.late(now)) return;
    if (item.start < from) this.#underruns++;
    this.delay(this.#deadlines.next(now));
  }

  #begin(at: Microseconds): void {
    this.#events.push({ kind: "began", at });
    this.#options.wake.ring();
  }

  // A live source that stood still goes on at the time it is captured, over a hole.
  #skipBehind(paced: PacedSource, now: Microseconds): void {
    const end = toTime(this.#audioTrack.end);
    if (end >= this.#deadlines.late(now) || paced.behind < LIVE_SLACK) return;
    this.#underruns++;
    this.#audioTrack.startAt(this.#deadlines.next(now));
    const by = microseconds(toTime(this.#audioTrack.end) - end);
    paced.moved(by);
    this.#events.push({ kind: "delayed", by });
  }

  #pace(source: AudioSource): PacedSource {
    const lag = () => {
      const { current, muted } = this.speeches;
      const item = muted ?? current;
      const position = (item === muted ? this.#mutedEnd : this.#audioTrack.end) + (item?.renderer?.ahead ?? 0);
      return microseconds(this.#deadlines.wall(this.#clock()) - toTime(position));
    };
    return new PacedSource({ source, lag });
  }

  get #frame(): number {
    return (this.#options.frameMs * SAMPLE_RATE) / 1000;
  }

  get #silence(): TimelineCut {
    const silence = new Float32Array(this.#frame * this.#options.channels);
    return { dry: silence, wet: silence };
  }

  // The item to read from now, begun if need be; undefined when none, or when enough is rendered.
  async #next(): Promise<QueuedSpeech | undefined> {
    const now = this.#clock();
    const { speeches } = this;
    if (speeches.unmute()) this.#begin(toTime(this.#deadlines.next(now)));
    if (speeches.muted !== undefined && speeches.current === undefined && speeches.next === undefined) {
      return toTime(this.#mutedEnd) < this.#deadlines.wall(now) ? speeches.muted : undefined;
    }
    if (speeches.current === undefined) {
      const speech = speeches.next;
      if (speech === undefined) return undefined;
      // Denoisers are made before the speech leaves the queue, so that an interrupt meanwhile finds it there.
      if (speech.renderer === undefined) speech.setRenderer(await this.makeRenderer(speech.source));
      if (speeches.next !== speech || speeches.current !== undefined) return undefined;
      this.#startAt(this.#deadlines.next(now));
      this.#begin(toTime(Math.max(0, speeches.begin(this.#audioTrack.end))));
    }
    return toTime(this.#audioTrack.end) < this.#deadlines.target(now) ? speeches.current : undefined;
  }
}

function isSource(source: SpeechSource): source is AudioSource {
  return "read" in source && "channels" in source;
}
