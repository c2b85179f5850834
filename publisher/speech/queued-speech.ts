import type { DenoiserState } from "../denoise/denoiser.js";
import type { PushAudio } from "../source/push-audio.js";
import type { AudioSource } from "../source/source.js";
import type { TimelineCut } from "../tracks/timeline-buffer.js";
import type { Playheads } from "./playback.js";
import type { Block, SourceRenderer } from "./source-renderer.js";
import { Speech, type SpeechControl, type SpeechPhase } from "./speech.js";
import { type HeardReport, type SpeechOutcome, SpeechState } from "./speech-state.js";
import { SpeechTimeline } from "./speech-timeline.js";
import { SpokenAudio } from "./words/spoken-audio.js";
import { Words, type WordTiming } from "./words/words.js";

/** A position where rendering can restart. */
export interface Checkpoint {
  /** In samples per channel since the start of the broadcast. */
  readonly position: number;
  readonly states: readonly DenoiserState[];
}

/** Options of {@link QueuedSpeech}. */
export interface QueuedSpeechOptions {
  readonly id: number;
  readonly source: AudioSource;
  readonly renderer?: SourceRenderer | undefined;
  readonly push?: PushAudio | undefined;
  readonly text?: string | undefined;
  readonly words?: readonly WordTiming[] | undefined;
  readonly control: SpeechControl;
}

/** A speech and its timeline from before a rewind cut it off. */
export interface TakenBack {
  readonly speech: QueuedSpeech;
  readonly before: SpeechTimeline;
}

/** One for every 100 ms that the timeline remembers, and some more. */
const MAX_CHECKPOINTS = 512;
/** Samples per channel in a step of voice activity. */
const STEP = 480;

/** A speech on its way to the timeline, with the audio that is rendered and not heard yet. */
export class QueuedSpeech {
  readonly id: number;
  readonly timeline = new SpeechTimeline();
  readonly #options: QueuedSpeechOptions;
  readonly #words: Words;
  readonly #spoken: SpokenAudio;
  #source: AudioSource;
  #renderer: SourceRenderer | undefined;
  #state: SpeechState;
  #speech: Speech;
  #checkpoints: readonly Checkpoint[] = [];
  #start = 0;
  #end: number | undefined;
  #error: Error | undefined;
  #isPaused = false;
  #isStarted = false;
  #isInterrupted = false;
  /** Interrupted parts that end once the listeners have reported how far they heard. */
  #ending: { readonly state: SpeechState; readonly speech: Speech }[] = [];
  /** Rewinds with reports pending: until they arrive, the place to continue is unknown. */
  #measuring = 0;
  /** Samples that were put back although listeners heard them. */
  #known = 0;
  /** Position of the cut. */
  #cutAt = 0;

  /** @throws InputError `INVALID_OPTION` for invalid words. */
  constructor(options: QueuedSpeechOptions) {
    this.#options = options;
    this.id = options.id;
    this.#source = options.source;
    this.#renderer = options.renderer;
    this.#spoken = new SpokenAudio(options.source.channels);
    this.#words = new Words(options.text, this.#spoken);
    this.#words.add(options.words ?? []);
    this.#state = this.#newState(0, false);
    this.#speech = this.#newSpeech();
  }

  /** The application's handle. */
  get speech(): Speech {
    return this.#speech;
  }

  get state(): SpeechState {
    return this.#state;
  }

  get source(): AudioSource {
    return this.#source;
  }

  get renderer(): SourceRenderer | undefined {
    return this.#renderer;
  }

  /** Position of its first sample on the timeline; after a resume, of the first one since. */
  get start(): number {
    return this.#start;
  }

  /** Position behind its last sample, once rendered. */
  get end(): number | undefined {
    return this.#end;
  }

  /** Sorted by position. */
  get checkpoints(): readonly Checkpoint[] {
    return this.#checkpoints;
  }

  /** Whether it may not begin: it is paused, or the place to continue is not known yet. */
  get isHeld(): boolean {
    return this.#isPaused || this.#measuring > 0;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  get phase(): SpeechPhase {
    if (this.#isPaused) return "paused";
    return this.timeline.start === undefined && this.#state.heard === 0 ? "queued" : "speaking";
  }

  /** Sets the renderer of its source, or of a source that replaces it. */
  setRenderer(renderer: SourceRenderer): void {
    this.#renderer = renderer;
    this.#source = renderer.source;
  }

  /** Begins or continues at `at`. Returns where the part that listeners have heard since the cut would begin. */
  begin(at: number): number {
    const from = at - this.#known;
    const moved = from - this.#cutAt;
    this.#checkpoints = this.#checkpoints
      .map(({ position, states }) => ({ position: position + moved, states }))
      .filter(({ position }) => position >= at);
    this.#start = at;
    this.#known = 0;
    return from;
  }

  /** Another source replaces its own from `at` on. */
  replace(renderer: SourceRenderer, at: number): void {
    this.setRenderer(renderer);
    this.timeline.cut(at);
    this.#start = at;
    this.#end = undefined;
    this.#checkpoints = [];
    this.#state.setLength(undefined);
  }

  /** A block of it was written at `at`. */
  wrote(at: number, { dry, checkpoint }: Block): void {
    const { channels } = this.#source;
    const frames = dry.length / channels;
    const { position } = this.timeline;
    this.timeline.write(at, frames);
    this.#spoken.write(position, dry.subarray((frames - (this.timeline.position - position)) * channels));
    if (checkpoint === undefined) return;
    const added = { position: at + frames, states: checkpoint };
    this.#checkpoints = [...this.#checkpoints.slice(1 - MAX_CHECKPOINTS), added];
  }

  /** This many samples were read and not written: a muted source. */
  passed(frames: number): void {
    this.timeline.seek(this.timeline.position + frames);
  }

  /** It was rendered to its end, at `end`. */
  finish(end: number): void {
    this.#end = end;
    this.#state.setLength(this.timeline.position);
  }

  /** More is to be rendered after all, from the next cut of the timeline on. */
  revive(): void {
    this.#end = undefined;
  }

  /** Audio at or after `from` moved by `by`. */
  moved(from: number, by: number): void {
    this.timeline.move(from, by);
    if (this.#start >= from) this.#start += by;
    if (this.#end !== undefined && this.#end > from) this.#end += by;
    this.#checkpoints = this.#checkpoints.map(({ position, states }) => ({
      position: position > from ? position + by : position,
      states,
    }));
  }

  /** The same audio is rendered again from `at` on; drops the checkpoints behind `at`, or all of them. */
  rendersFrom(at: number, { keep }: { readonly keep: boolean }): void {
    this.#checkpoints = keep ? this.#checkpoints.filter(({ position }) => position <= at) : [];
  }

  /**
   * Takes back its part of the audio that was cut off the timeline at `position`; continuing writes that part again.
   * `start`: where the rest of the cut begins; `keep`: false for live audio, which passes. Returns its state from
   * before.
   */
  takeBack(
    position: number,
    cut: TimelineCut,
    { start, keep }: { readonly start: number; readonly keep: boolean },
  ): TakenBack {
    const before = this.timeline.copy();
    // Audio that was to be rendered again and is not yet waits in the renderer already.
    this.timeline.cut(start + cut.dry.length / this.#source.channels);
    const blocks = keep ? this.#blocksOf(start, cut) : [];
    this.timeline.cut(position);
    if (start > position) this.timeline.seek(before.sourceAt(start));
    this.#renderer?.unread(...blocks);
    this.#checkpoints = this.#checkpoints.filter((checkpoint) => checkpoint.position > position);
    this.#cutAt = position;
    this.#known = 0;
    this.#end = undefined;
    return { speech: this, before };
  }

  /** Until `measured`, how far listeners heard the stale audio is unknown. */
  measure(): void {
    this.#measuring++;
  }

  /** Listeners reported how far they heard the stale audio: the speech continues behind that. */
  measured(report: HeardReport, before: SpeechTimeline): void {
    this.#measuring--;
    const isFurther = this.#state.settleRewind(report, before);
    if (isFurther && this.#state.result === undefined) this.#announce();
    for (const { state } of this.#ending) if (state !== this.#state) state.settleRewind(report, before);
    if (this.#measuring === 0) this.#endInterrupted();
    const known = this.#renderer?.skip(Math.max(0, this.#state.heard - this.timeline.position)) ?? 0;
    this.#known += known;
    this.passed(known);
  }

  /** Applies the listeners' reports; emits progress. */
  observe(playheads: Playheads): void {
    if (!this.isHeld && this.#state.observe(playheads, this.timeline)) this.#announce();
  }

  /** Whether listeners have heard all of it. */
  get isHeard(): boolean {
    const { length } = this.#state;
    return length !== undefined && this.#state.heard >= length;
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.#speech.emit("resumed");
  }

  /** Emits `paused`, once the position is known. */
  announcePause(): void {
    if (this.#isPaused) this.#speech.emit("paused", this.#state.progress);
  }

  /** Its source can't be read any further. */
  fail(error: Error): void {
    this.#error = error;
    this.#words.breakOff();
  }

  /** It was heard to its end, as far as the publisher knows. */
  heardToEnd(): void {
    this.#endAs(this.#error === undefined ? "finished" : "failed", this.#state, this.#speech);
  }

  /** Its end will not reach the listeners any more. */
  lost(): void {
    this.#endAs(this.#error === undefined ? "interrupted" : "failed", this.#state, this.#speech);
  }

  /** Ends it once the listeners have reported how far they heard. */
  interrupt(): void {
    if (this.#isInterrupted) return;
    this.#isPaused = false;
    this.#isInterrupted = true;
    this.#options.push?.release();
    this.#ending.push({ state: this.#state, speech: this.#speech });
    if (this.#measuring === 0) this.#endInterrupted();
  }

  /** Continues after an interrupt as another speech, whose positions continue those of this one. */
  again(): Speech {
    this.#isInterrupted = false;
    this.#options.push?.hold();
    this.#isStarted = false;
    const { length, heard, measured } = this.#state;
    this.#state = this.#newState(heard, measured);
    this.#state.setLength(length);
    this.#speech = this.#newSpeech(this.#speech);
    return this.#speech;
  }

  /** Closes its source; the speech can't be said any more. */
  async closeSource(): Promise<void> {
    await (this.#renderer?.close() ?? this.#source.close());
  }

  /** Ends it unless it has ended, and closes its source. */
  async close(): Promise<void> {
    this.interrupt();
    this.#endInterrupted();
    await this.closeSource();
  }

  #endInterrupted(): void {
    for (const { state, speech } of this.#ending.splice(0)) {
      const isWhole = state.length !== undefined && state.heard >= state.length && this.#error === undefined;
      this.#endAs(isWhole ? "finished" : "interrupted", state, speech);
    }
  }

  #endAs(outcome: SpeechOutcome, state: SpeechState, speech: Speech): void {
    const result = state.end(outcome, outcome === "failed" ? this.#error : undefined);
    if (result !== undefined) speech.emit("finished", result);
  }

  #blocksOf(start: number, { dry, wet, voice }: TimelineCut): TimelineCut[] {
    const { channels } = this.#source;
    return this.timeline.piecesFrom(start).map(({ at, length }) => {
      const [from, to] = [at - start, at - start + length];
      return {
        dry: dry.subarray(from * channels, to * channels),
        wet: wet.subarray(from * channels, to * channels),
        voice: voice?.subarray(Math.floor(from / STEP), Math.ceil(to / STEP)),
      };
    });
  }

  #announce(): void {
    const { progress } = this.#state;
    if (!this.#isStarted) this.#speech.emit("started", { measured: progress.measured });
    this.#isStarted = true;
    this.#speech.emit("progress", progress);
  }

  #newState(heard: number, measured: boolean): SpeechState {
    const before = heard > 0 ? { from: this.#state.from } : {};
    return new SpeechState({ words: this.#words, heard, measured, ...before });
  }

  #newSpeech(continues?: Speech): Speech {
    const { id, push, control } = this.#options;
    return new Speech({ id, push, control, state: this.#state, ...(continues && { continues }) });
  }
}
