import { InputError, type Logger, type Microseconds, StateError } from "../../base/index.js";
import type { PushAudio } from "../source/push-audio.js";
import type { AudioSource } from "../source/source.js";
import { toPosition } from "../tracks/position.js";
import type { TimelineCut } from "../tracks/timeline-buffer.js";
import { heardOfAll } from "./missed-audio.js";
import type { Playheads } from "./playback.js";
import { QueuedSpeech, type TakenBack } from "./queued-speech.js";
import type { SourceRenderer } from "./source-renderer.js";
import type { Speech, SpeechControl, SpeechPhase } from "./speech.js";
import type { WordTiming } from "./words/words.js";

/** Interrupted speeches, in order, kept for `resume`. */
interface Interrupted {
  readonly at: Microseconds;
  readonly speeches: readonly QueuedSpeech[];
}

/** Options of {@link SpeechQueue}. */
export interface SpeechQueueOptions {
  readonly channels: 1 | 2;
  /** How long an interrupt can be resumed. */
  readonly resumeWindow: Microseconds;
  readonly control: SpeechControl;
  readonly logger: Logger;
}

/** Options of a queued source. */
export interface QueueOptions {
  readonly renderer?: SourceRenderer;
  readonly push?: PushAudio | undefined;
  readonly text?: string | undefined;
  readonly words?: readonly WordTiming[] | undefined;
}

const MAX_QUEUE = 256;
/** Speeches rendered to their end and not yet heard; at this number, no other begins. */
const MAX_ENDED = 64;
const SAMPLES_PER_MS = 48;
/** The last packets of a speech may be lost like any others, and listeners conceal up to this much. */
const TAIL = 120 * SAMPLES_PER_MS;
/** This far behind a speech's end, playheads have nothing more of its last packets to report. */
const UNREPORTED = 500 * SAMPLES_PER_MS;
/** Playheads that passed more in silence go back for it while nothing else was heard, unless it is as late as that. */
const LATE = 5000 * SAMPLES_PER_MS;

/** The speech that plays, those that wait, and those that were interrupted. */
export class SpeechQueue {
  readonly #options: SpeechQueueOptions;
  #queue: QueuedSpeech[] = [];
  #ended: QueuedSpeech[] = [];
  #current: QueuedSpeech | undefined;
  #muted: QueuedSpeech | undefined;
  #interrupted: Interrupted | undefined;
  /** Resumed speeches that have not begun: until they do, an interrupt is the same one as before. */
  #resumed: ReadonlySet<QueuedSpeech> = new Set();
  #nextId = 1;

  constructor(options: SpeechQueueOptions) {
    this.#options = options;
  }

  /** Whether another speech has to wait until one of those rendered was heard. */
  get full(): boolean {
    return this.#ended.length >= MAX_ENDED;
  }

  /** The speech being rendered. */
  get current(): QueuedSpeech | undefined {
    return this.#current;
  }

  /** The speech that plays, or played last. */
  get last(): QueuedSpeech | undefined {
    return this.#current ?? this.#ended.at(-1);
  }

  /** A live source that is read on but muted. */
  get muted(): QueuedSpeech | undefined {
    return this.#muted;
  }

  /** The next to begin; undefined while it is held, which holds all behind it too. */
  get next(): QueuedSpeech | undefined {
    const [first] = this.#queue;
    return first?.isHeld === true ? undefined : first;
  }

  /** Number of waiting speeches. */
  get queued(): number {
    return this.#queue.length;
  }

  /** Whether no speech plays or waits. */
  get idle(): boolean {
    return this.#current === undefined && this.#queue.length === 0;
  }

  /** Whether resumed speeches wait that have not begun. */
  get isResuming(): boolean {
    return this.#resumed.size > 0;
  }

  /** Every speech on the timeline, in order: those rendered and not yet heard, and the one being rendered. */
  get onTimeline(): readonly QueuedSpeech[] {
    return this.#current === undefined ? this.#ended : [...this.#ended, this.#current];
  }

  /** Every speech that may still be rendered, except the current one and those rendered to their end. */
  get waiting(): readonly QueuedSpeech[] {
    const all = [this.#muted, ...(this.#interrupted?.speeches ?? []), ...this.#queue];
    return [...new Set(all.filter((speech) => speech !== undefined))];
  }

  /** Whether it was interrupted and can be resumed. */
  isInterrupted(speech: QueuedSpeech): boolean {
    return this.#interrupted?.speeches.includes(speech) ?? false;
  }

  /** Finds a speech that has not ended or can be resumed. */
  find(id: number): QueuedSpeech | undefined {
    return [...this.onTimeline, ...this.waiting].find((speech) => speech.id === id);
  }

  phase(id: number): SpeechPhase {
    return this.find(id)?.phase ?? "done";
  }

  /**
   * Queues a source; earlier interrupts can't be resumed any more.
   *
   * @throws InputError `INVALID_OPTION` for a source with other channels, or for invalid words; StateError
   * `QUEUE_FULL`.
   */
  add(source: AudioSource, options: QueueOptions = {}): Speech {
    const { channels, control } = this.#options;
    if (source.channels !== channels) {
      throw new InputError(
        "INVALID_OPTION",
        `The source ${source.name} has ${source.channels} channel(s), but the option channels is ${channels}.`,
      );
    }
    if (this.#queue.length >= MAX_QUEUE) {
      throw new StateError("QUEUE_FULL", `${MAX_QUEUE} speeches wait already; wait for one to be done.`);
    }
    const queued = new QueuedSpeech({ ...options, id: this.#nextId, source, control });
    this.#nextId++;
    this.dropInterrupted();
    this.#queue.push(queued);
    return queued.speech;
  }

  /** Makes the next speech the current one, from `at` on; for the result see {@link QueuedSpeech.begin}. */
  begin(at: number): number {
    const speech = this.#queue.shift();
    if (speech === undefined) return at;
    // A speech that continues alone after its interrupt makes the others impossible to resume.
    if (!this.#resumed.has(speech)) this.dropInterrupted();
    this.#resumed = new Set();
    this.#current = speech;
    return speech.begin(at);
  }

  /** The current speech was rendered to its end. */
  finish(end: number): void {
    const speech = this.#current;
    if (speech === undefined) return;
    this.#current = undefined;
    speech.finish(end);
    this.#ended.push(speech);
    (speech.renderer?.closeSource() ?? speech.source.close()).catch(this.#logCloseError);
  }

  /** Ends the speeches that were heard, or that will not be heard any more. */
  settle(playheads: Pick<Playheads, "earliest" | "passed"> & Partial<Pick<Playheads, "counted" | "isOverdue">>): void {
    const gone = toPosition(playheads.passed);
    for (let first = this.#ended[0]; first !== undefined; first = this.#ended[0]) {
      const end = first.end!;
      const reached = heardOfAll(playheads, first.timeline, first.state.length);
      const heard = toPosition(reached);
      // They have heard something later, and so don't go back for its end.
      const isMissed = reached < playheads.earliest;
      const isHeard =
        heard >= end || (heard >= end - TAIL && (isMissed || (!playheads.isOverdue && gone >= end + UNREPORTED)));
      if (!isHeard && !isMissed && gone < end + LATE) return;
      this.#ended.shift();
      if (isHeard) first.heardToEnd();
      else first.lost();
      this.abandon(first);
    }
  }

  /** Applies the listeners' reports. */
  observe(playheads: Playheads): void {
    for (const speech of this.onTimeline) speech.observe(playheads);
  }

  /** The current speech, or else the last rendered one that lies behind `position`, to be rendered again. */
  revive(position: number): QueuedSpeech | undefined {
    const last = this.#ended.at(-1);
    if (this.#current !== undefined || last === undefined || last.end! <= position) return this.#current;
    this.#ended.pop();
    last.revive();
    this.#current = last;
    return last;
  }

  /** Audio on the timeline at or after `from` moved by `by`. */
  moved(from: number, by: number): void {
    for (const speech of this.onTimeline) speech.moved(from, by);
  }

  /** The muted source ended. */
  finishMuted(): void {
    this.#muted = undefined;
  }

  /**
   * Gives every speech its part of the audio cut off the timeline at `position`, to be said next and in the same order;
   * `mute`: a live source is read on, muted. Returns the speeches as they were before.
   */
  takeBack(
    position: number,
    cut: TimelineCut,
    { start, mute }: { readonly start: number; readonly mute: boolean },
  ): readonly TakenBack[] {
    const touched = this.onTimeline.filter(({ end }) => end === undefined || end > position);
    const taken = touched.map((speech) => speech.takeBack(position, cut, { start, keep: !mute }));
    this.#ended = this.#ended.filter((speech) => !touched.includes(speech));
    if (mute) this.#muted = this.#current;
    this.#current = undefined;
    this.#queue.unshift(...touched);
    return taken;
  }

  /**
   * Interrupts every current and queued speech after {@link takeBack}, and keeps them for `resume`. With nothing to
   * interrupt, not even video (`more`), it keeps the earlier interrupted ones.
   */
  interruptAll(now: Microseconds, { more }: { readonly more: boolean }): readonly QueuedSpeech[] {
    const speeches = this.#queue.splice(0);
    if (speeches.length === 0 && !more) return speeches;
    const muted = this.#muted;
    this.dropInterrupted();
    if (muted !== undefined && speeches.includes(muted)) this.#muted = muted;
    this.#interrupted = { at: now, speeches };
    this.#resumed = new Set();
    for (const speech of speeches) speech.interrupt();
    return speeches;
  }

  /** Interrupts a waiting speech, and keeps it for `resume` until another speech is queued. */
  interruptOne(speech: QueuedSpeech, now: Microseconds): void {
    this.#queue = this.#queue.filter((one) => one !== speech);
    if (this.#resumed.has(speech)) this.#resumed = new Set([...this.#resumed].filter((one) => one !== speech));
    if (this.#interrupted?.speeches.includes(speech)) return;
    speech.interrupt();
    const muted = this.#muted;
    this.dropInterrupted();
    if (muted === speech) this.#muted = muted;
    if (this.#queue.length === 0) this.#interrupted = { at: now, speeches: [speech] };
    else this.#leave(speech);
  }

  /** Queues the interrupted speeches again, in front; undefined when there are none, or they are too old. */
  resume(now: Microseconds): readonly Speech[] | undefined {
    const interrupted = this.#interrupted;
    if (interrupted === undefined || this.#isExpired(interrupted, now)) return undefined;
    this.#interrupted = undefined;
    this.#queue.unshift(...interrupted.speeches);
    this.#resumed = new Set(interrupted.speeches);
    return interrupted.speeches.map((speech) => speech.again());
  }

  /** In a live broadcast, makes interrupted or paused audio audible again. Returns false without any. */
  unmute(): boolean {
    const [first] = this.#queue;
    if (first === undefined || first !== this.#muted || first.isPaused || this.#current !== undefined) return false;
    this.#muted = undefined;
    this.#queue.shift();
    this.#resumed = new Set();
    this.#current = first;
    return true;
  }

  /** Interrupts paused speeches. */
  dropPaused(): void {
    const paused = this.#queue.filter(({ isPaused }) => isPaused);
    this.#queue = this.#queue.filter(({ isPaused }) => !isPaused);
    for (const speech of paused) {
      speech.interrupt();
      this.#leave(speech);
    }
  }

  /** A waiting speech was heard to its end after all. */
  finishWaiting(speech: QueuedSpeech): void {
    if (!this.#queue.includes(speech)) return;
    this.#queue = this.#queue.filter((one) => one !== speech);
    this.#finish(speech);
  }

  /** Forgets speeches that were interrupted too long ago to be resumed. */
  expire(now: Microseconds): void {
    if (this.#interrupted !== undefined && this.#isExpired(this.#interrupted, now)) this.dropInterrupted();
  }

  /** Forgets the speeches that were interrupted last. */
  dropInterrupted(): void {
    const interrupted = this.#interrupted;
    this.#interrupted = undefined;
    for (const speech of interrupted?.speeches ?? []) this.#leave(speech);
  }

  abandon(speech: QueuedSpeech): void {
    speech.close().catch(this.#logCloseError);
  }

  /** Ends all speeches. */
  close(): void {
    const all = [...this.onTimeline, ...this.waiting];
    this.#interrupted = undefined;
    this.#muted = undefined;
    this.#current = undefined;
    this.#ended = [];
    this.#queue = [];
    for (const speech of new Set(all)) this.abandon(speech);
  }

  readonly #logCloseError = (error: unknown): void => {
    this.#options.logger.debug({ err: error }, "A source could not be closed.");
  };

  #finish(speech: QueuedSpeech): void {
    speech.heardToEnd();
    this.abandon(speech);
  }

  // Its end is known once the listeners have reported it.
  #leave(speech: QueuedSpeech): void {
    if (this.#muted === speech) this.#muted = undefined;
    speech.closeSource().catch(this.#logCloseError);
  }

  #isExpired(interrupted: Interrupted, now: Microseconds): boolean {
    return now - interrupted.at > this.#options.resumeWindow;
  }
}
