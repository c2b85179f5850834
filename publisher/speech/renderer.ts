import { z } from "zod";
import {
  type Clock,
  fromMilliseconds,
  type Logger,
  type Microseconds,
  microseconds,
  validate,
} from "../../base/index.js";
import { OverloadGuard } from "../denoise/overload-guard.js";
import type { Deadlines } from "../send/deadlines.js";
import { OpenedAudio, openAudio } from "../source/open-audio.js";
import { PacedSource } from "../source/paced-source.js";
import { SAMPLE_RATE } from "../source/resample.js";
import { type AudioSource, sourceSchema } from "../source/source.js";
import type { AudioTrack } from "../tracks/audio-track.js";
import { toTime } from "../tracks/position.js";
import type { Wake } from "../wake.js";
import type { QueuedSpeech, TakenBack } from "./queued-speech.js";
import { RendererFactory } from "./renderer-factory.js";
import { Revisions } from "./revisions.js";
import type { Block, SourceRenderer } from "./source-renderer.js";
import type { Speech, SpeechControl } from "./speech.js";
import { SpeechQueue } from "./speech-queue.js";
import type { WordTiming } from "./words/words.js";

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
  /** Actions of speeches on the publisher. */
  readonly control: SpeechControl;
  /** Rung when a read is done. */
  readonly wake: Wake;
}

/** Events of rendering. */
export type RendererEvent =
  /** A speech begins there. */
  | { readonly kind: "began"; readonly at: Microseconds }
  /** Audio not sent yet is later than planned: the source was too slow, or the path to the relay full. */
  | { readonly kind: "delayed"; readonly by: Microseconds };

/**
 * Sources of a speech. A stream holds 48 kHz audio in the broadcast's channels: `s16le` bytes, a WAV file, or samples.
 */
export type SpeechSource = OpenedAudio | AudioSource | AsyncIterable<Uint8Array> | AsyncIterable<Float32Array>;

/** Options of `say`. */
export interface SayOptions {
  /** The text of the speech, for `heardText`. */
  readonly text?: string;
  /** When each word or character is spoken; `speech.addWords` adds more. */
  readonly words?: readonly WordTiming[];
  /**
   * `queue`: wait behind paused speeches. `drop`: interrupt them. Speeches that are not paused stay as they are.
   * Default `queue`.
   */
  readonly after?: "queue" | "drop";
}

const sayOptionsSchema = z.strictObject({
  // The speech checks both, as it does for `addText` and `addWords`.
  text: z.custom<string>().optional(),
  words: z.custom<readonly WordTiming[]>().optional(),
  after: z.enum(["queue", "drop"]).default("queue"),
});

/** Result of a read; without a block at the end of a source. */
interface Reading {
  readonly speech: QueuedSpeech;
  readonly renderer: SourceRenderer;
  readonly block: Block | undefined;
  readonly error?: Error;
}

/** Samples that may wait beside an incomplete frame: a block and the encoder's look-ahead. */
const AROUND_FRAME = 0.02 * SAMPLE_RATE;
/** Silence at the end of a speech, or a frame: a decoder rings for some milliseconds, a speaker plays 2.7 ms at a time. */
const END_FRAMES = 0.02 * SAMPLE_RATE;
/** A live source that stays this late for a second has stalled. */
const LIVE_SLACK = fromMilliseconds(200);

/**
 * Renders the queued speeches: reads their sources one after the other, denoises them and writes them to the timeline.
 */
export class Renderer {
  readonly speeches: SpeechQueue;
  readonly guard: OverloadGuard;
  /** Changes to rendered audio. */
  readonly revisions: Revisions;
  readonly factory: RendererFactory;
  readonly #options: RendererOptions;
  readonly #clock: Clock;
  readonly #deadlines: Deadlines;
  readonly #audioTrack: AudioTrack;
  /** Reads in progress, one for each renderer: a speech that was cut off may still wait for its source. */
  readonly #readings = new Map<SourceRenderer, QueuedSpeech>();
  #results: readonly Reading[] = [];
  #events: RendererEvent[] = [];
  /** How far the muted source was read, in samples, so that a file is not read to its end meanwhile. */
  #mutedEnd = 0;
  /** A speech was rendered to its end, and the next may continue it within a frame. */
  #mayContinue = false;
  #underruns = 0;

  constructor(options: RendererOptions) {
    const { clock, deadlines, audioTrack, logger, channels, resumeWindowMs, control } = options;
    this.#options = options;
    this.#clock = clock;
    this.#deadlines = deadlines;
    this.#audioTrack = audioTrack;
    this.speeches = new SpeechQueue({
      channels,
      resumeWindow: fromMilliseconds(resumeWindowMs),
      control,
      logger,
    });
    this.guard = new OverloadGuard({
      clock,
      budget: fromMilliseconds(10),
      slack: () => deadlines.slack(toTime(audioTrack.end), clock()),
    });
    const { speeches, guard } = this;
    this.revisions = new Revisions({ channels, speeches, audioTrack });
    const { revisions } = this;
    this.factory = new RendererFactory({ ...options, speeches, guard, revisions, lag: () => this.#lag });
  }

  /** Times the source was too slow and left a hole. */
  get underruns(): number {
    return this.#underruns;
  }

  /** Probability of speech now, 0 to 1. */
  get voiceActivity(): number {
    return this.speeches.current?.renderer?.voiceActivity ?? 0;
  }

  /** Whether all audio rendered can be sent: nothing continues it, so silence fills the last frame. */
  get ended(): boolean {
    return this.speeches.current === undefined && !this.#mayContinue;
  }

  /** Whether the next read waits for the one before. */
  get reading(): boolean {
    const renderer = (this.speeches.current ?? this.speeches.next)?.renderer;
    return renderer !== undefined && this.#readings.has(renderer);
  }

  /** Whether a hop is in the denoiser: nothing may change then. */
  get busy(): boolean {
    return this.#results.length > 0 || [...this.#readings.keys()].some((renderer) => !renderer.waiting);
  }

  /** Whether everything is rendered and the queue is empty. */
  get idle(): boolean {
    return this.speeches.idle;
  }

  /** Queues a speech. */
  say(source: SpeechSource, options: SayOptions): Speech {
    const { text, words, after } = validate("Publisher.say", sayOptionsSchema, options);
    const isOwn = isSource(source);
    if (isOwn) validate("AudioSource", sourceSchema, source);
    const opened = isOwn || source instanceof OpenedAudio ? source : openAudio({ stream: source });
    const { push } = opened instanceof OpenedAudio ? opened : {};
    const read = opened instanceof OpenedAudio ? opened.source(this.#options.channels) : opened;
    const speech = this.speeches.add(read, { push, text, words });
    if (after === "drop") this.speeches.dropPaused();
    return speech;
  }

  /** Writes the blocks read since the last turn. */
  take(): readonly RendererEvent[] {
    const results = this.#results;
    const mayContinue = this.#mayContinue;
    this.#results = [];
    for (const result of results) if (result.speech.renderer === result.renderer) this.#write(result);
    if (mayContinue) this.#endInTime();
    const events = this.#events;
    this.#events = [];
    return events;
  }

  /** Moves audio not sent yet to `position`, in samples, where listeners can still hear all of it. */
  delay(position: number): void {
    const { unsent } = this.#audioTrack;
    const by = this.#audioTrack.delay(position);
    this.speeches.moved(unsent, by);
    this.#events.push({ kind: "delayed", by: microseconds(toTime(by)) });
  }

  /** Reads audio that is needed by now; false when none is, or its read is in progress. */
  async read(): Promise<boolean> {
    const speech = await this.#next();
    const renderer = speech?.renderer;
    if (speech === undefined || renderer === undefined || this.#readings.has(renderer)) return false;
    if (this.#results.some((result) => result.renderer === renderer)) return false;
    this.#readings.set(renderer, speech);
    const done = (result: { block: Block | undefined; error?: Error }) => {
      if (!this.#readings.delete(renderer)) return;
      this.#results = [...this.#results, { speech, renderer, ...result }];
      this.#options.wake.ring();
    };
    renderer.read().then(
      (block) => done({ block }),
      (error: unknown) => done({ block: undefined, error: error instanceof Error ? error : new Error(String(error)) }),
    );
    return true;
  }

  /**
   * Cuts everything at or after `position` off the timeline. Each speech keeps its part, to be said next; in a live
   * broadcast the source is read on, muted.
   */
  takeBack(position: number): readonly TakenBack[] {
    const { end } = this.#audioTrack;
    const cut = this.#audioTrack.cut(position);
    const start = Math.max(position, end - cut.dry.length / this.#options.channels);
    const { current } = this.speeches;
    const taken = this.speeches.takeBack(position, cut, { start, mute: this.#options.mode === "live" });
    if (taken.length > 0) this.#mayContinue = false;
    if (current === undefined || taken.some(({ speech }) => speech === current)) {
      this.#mutedEnd = position;
      this.revisions.clear();
    }
    return taken;
  }

  /** Continues at `from` with another source in place of the current one. */
  swap(from: number, renderer: SourceRenderer): void {
    const { speeches } = this;
    const { source } = renderer;
    const item = speeches.revive(from);
    renderer.setNoiseProfile(this.factory.noise);
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
    this.revisions.disarm();
  }

  /** Closes all speeches and readers. */
  close(): void {
    this.speeches.close();
    for (const speech of this.#readings.values()) this.speeches.abandon(speech);
  }

  #write({ speech, renderer, block, error }: Reading): void {
    const { speeches } = this;
    if (error !== undefined) {
      speech.fail(error);
      this.#options.logger.warn({ err: error, source: speech.source.name }, "A source could not be read.");
    }
    if (block === undefined) this.#logWarnings(speech.source);
    if (speech === speeches.muted) {
      if (block === undefined) speeches.finishMuted();
      else this.#pass(speech, block.dry.length / this.#options.channels);
    } else if (speech !== speeches.current && !this.#begins(speech)) {
      if (block !== undefined) renderer.putBack(block);
    } else if (block === undefined) {
      this.#catchUp(speech);
      speeches.finish(this.#audioTrack.end);
      this.#mayContinue = true;
      if (speeches.next === undefined) this.#endInTime();
    } else {
      this.#catchUp(speech);
      const at = this.#audioTrack.end;
      this.#audioTrack.write(block);
      speech.wrote(at, block);
    }
  }

  // A speech begins with its first block: however late that is, the end of the one before is sent in time.
  #begins(speech: QueuedSpeech): boolean {
    const { speeches } = this;
    if (speeches.current !== undefined || speeches.next !== speech) return false;
    this.#mayContinue = false;
    this.#startAt(this.#deadlines.next(this.#clock()));
    this.#begin(toTime(Math.max(0, speeches.begin(this.#audioTrack.end))));
    return true;
  }

  // Sends the end of a speech that none continues, while listeners can still hear it in time.
  #endInTime(): void {
    const { speeches } = this;
    if (!this.#mayContinue || speeches.current !== undefined) return;
    const due = this.#deadlines.next(this.#clock()) + this.#frame;
    if (speeches.next !== undefined && this.#audioTrack.unsent > due) return;
    this.#mayContinue = false;
    this.#audioTrack.finish(Math.max(this.#frame, END_FRAMES));
  }

  #pass(speech: QueuedSpeech, frames: number): void {
    this.#mutedEnd += frames;
    speech.passed(frames);
  }

  #logWarnings(source: AudioSource): void {
    for (const warning of source.warnings ?? []) this.#options.logger.warn({ source: source.name }, warning);
  }

  // A speech that begins when listeners are at the end of the one before leaves a hole: the pause was intended.
  #startAt(position: number): void {
    const { end, earliest } = this.#audioTrack;
    this.#audioTrack.startAt(position < end ? end : Math.max(position, end > 0 ? earliest + this.#frame : 0));
  }

  // Where the source was too slow, audio not encoded yet moves to where listeners can still hear all of it.
  #catchUp(item: QueuedSpeech): void {
    const audioTrack = this.#audioTrack;
    const now = this.#clock();
    if (item.source instanceof PacedSource) {
      this.#skipBehind(item.source, now);
      return;
    }
    // More audio waits than a frame lacks, so the source is not at fault. Audio rendered again may start before the
    // next frame to send.
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

  // A live source that stalled continues at the time of capture, behind a hole.
  #skipBehind(paced: PacedSource, now: Microseconds): void {
    const end = toTime(this.#audioTrack.end);
    if (end >= this.#deadlines.late(now) || paced.behind < LIVE_SLACK) return;
    this.#underruns++;
    this.#audioTrack.startAt(this.#deadlines.next(now));
    const by = microseconds(toTime(this.#audioTrack.end) - end);
    paced.moved(by);
    this.#events.push({ kind: "delayed", by });
  }

  // How long ago the next sample of a live source was due.
  get #lag(): Microseconds {
    const { current, muted } = this.speeches;
    const item = muted ?? current;
    const position = (item === muted ? this.#mutedEnd : this.#audioTrack.end) + (item?.renderer?.ahead ?? 0);
    return microseconds(this.#deadlines.wall(this.#clock()) - toTime(position));
  }

  get #frame(): number {
    return (this.#options.frameMs * SAMPLE_RATE) / 1000;
  }

  // The speech to read from now; undefined without one, or when enough is rendered.
  async #next(): Promise<QueuedSpeech | undefined> {
    const now = this.#clock();
    const { speeches } = this;
    if (speeches.unmute()) this.#begin(toTime(this.#deadlines.next(now)));
    if (speeches.muted !== undefined && speeches.current === undefined && speeches.next === undefined) {
      return toTime(this.#mutedEnd) < this.#deadlines.wall(now) ? speeches.muted : undefined;
    }
    const speech = speeches.current ?? speeches.next;
    if (speech === undefined || (speech !== speeches.current && speeches.full)) return undefined;
    // Denoisers are created before the speech leaves the queue, so that an interrupt meanwhile finds it there.
    if (speech.renderer === undefined && !(await this.factory.make(speech))) return undefined;
    if ((speeches.current ?? speeches.next) !== speech) return undefined;
    return toTime(this.#audioTrack.end) < this.#deadlines.target(now) ? speech : undefined;
  }
}

// A stream of Node has a read() too.
function isSource(source: SpeechSource): source is AudioSource {
  if (typeof source !== "object" || source === null || !("read" in source)) return false;
  return "channels" in source || !(Symbol.asyncIterator in source);
}
