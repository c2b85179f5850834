import { isTimedString, AudioOutput as LiveKitOutput, log } from "@livekit/agents";
import type { AudioFrame } from "@livekit/rtc-node";
import { z } from "zod";
import { validate } from "../../base/index.js";
import { openAudio, type Publisher, type Speech, type SpeechResult } from "../../publisher/index.js";
import { partSchemas } from "../options.js";

const optionsSchema = z.strictObject({
  publisher: partSchemas.publisher,
  sampleRate: z.number().int().min(8000).max(48_000).default(24_000),
});
/** Key of a frame's word timings in a LiveKit text-to-speech node. */
const TIMED_TRANSCRIPT = "lk.timed_transcripts";

/** A captured segment that is not finished: all frames up to `flush`, or until it is cleared. */
interface Segment {
  readonly speech: Speech;
  /** When its first sample was heard. */
  startedAt: number | undefined;
  isStarted: boolean;
  /** Up to where listeners heard it, and up to where its playback was reported, in milliseconds. */
  heardMs: number;
  reportedMs: number;
  hasText: boolean;
  /** Cleared, and only lacks the listeners' report: to resume its speech would say it after all. */
  isCleared: boolean;
}

/**
 * The audio output of a LiveKit `AgentSession` whose listeners are those of an unsay broadcast. It reports only what
 * they heard as played, `clearBuffer` takes back what they have not heard, and `pause` and `resume` lose no sample.
 */
export class AudioOutput extends LiveKitOutput {
  readonly #publisher: Pick<Publisher, "say">;
  #segments: Segment[] = [];
  #open: Segment | undefined;
  #isPaused = false;
  /** The text of the newest reply, and its segment. */
  #reply: { text: string; owner: Segment | undefined } | undefined;
  #finishing: Promise<void> = Promise.resolve();

  /** `sampleRate`: what the session converts frames to, in Hz. Default 24,000. The publisher is not closed. */
  constructor(publisher: Pick<Publisher, "say">, options: { readonly sampleRate?: number } = {}) {
    const { sampleRate } = validate("AudioOutput", optionsSchema, { publisher, ...options });
    super(sampleRate, undefined, { pause: true });
    this.#publisher = publisher;
  }

  override async captureFrame(frame: AudioFrame): Promise<void> {
    await super.captureFrame(frame);
    this.#open ??= this.#begin(frame);
    const { speech } = this.#open;
    this.#time(this.#open, frame);
    if (!speech.write(frame.data)) await speech.ready;
  }

  override flush(): void {
    super.flush();
    this.#open?.speech.end();
    this.#open = undefined;
  }

  override clearBuffer(): void {
    this.flush();
    for (const segment of this.#segments) {
      segment.isCleared = true;
      void segment.speech.interrupt();
    }
  }

  override pause(): void {
    super.pause();
    this.#isPaused = true;
    for (const { speech } of this.#kept) speech.pause();
  }

  override resume(): void {
    super.resume();
    if (!this.#isPaused) return;
    this.#isPaused = false;
    for (const { speech } of this.#kept) speech.resume();
  }

  /**
   * Adds text of the current or next reply, `isNew` with its first part: it may come before its audio. Without text,
   * and without timings in the frames, a finished segment has no transcript.
   */
  addText(text: string, { isNew }: { readonly isNew: boolean }): void {
    const last = this.#segments.at(-1);
    if (isNew || this.#reply === undefined)
      this.#reply = { text: "", owner: last?.hasText === false ? last : undefined };
    this.#reply.text += text;
    const { owner } = this.#reply;
    if (owner === undefined) return;
    owner.hasText = true;
    owner.speech.addText(text);
  }

  get #kept(): Segment[] {
    return this.#segments.filter(({ isCleared }) => !isCleared);
  }

  #begin({ sampleRate, channels }: AudioFrame): Segment {
    const speech = this.#publisher.say(openAudio({ sampleRate, channels, format: "s16le", name: "LiveKit" }));
    const segment: Segment = {
      speech,
      startedAt: undefined,
      isStarted: false,
      heardMs: 0,
      reportedMs: 0,
      hasText: false,
      isCleared: false,
    };
    this.#segments.push(segment);
    speech.on("started", () => {
      segment.startedAt = Date.now();
      this.#report();
    });
    speech.on("progress", ({ ms, measured }) => {
      if (measured) segment.heardMs = ms;
      this.#report();
    });
    // One after the other: the framework counts ends, and takes each for the oldest segment.
    this.#finishing = this.#finishing
      .then(async () => this.#finish(segment, await speech.done))
      .catch((e) => log().error(e));
    if (this.#isPaused) speech.pause();
    if (this.#reply !== undefined && this.#reply.owner === undefined) {
      this.#reply.owner = segment;
      segment.hasText = true;
      speech.addText(this.#reply.text);
    }
    return segment;
  }

  #time(segment: Segment, frame: AudioFrame): void {
    const timed: unknown = frame.userdata[TIMED_TRANSCRIPT];
    if (!Array.isArray(timed)) return;
    for (const word of timed) {
      if (!isTimedString(word) || word.startTime === undefined) continue;
      // Services round: a word may begin before the first sample, or end before it begins.
      const startMs = Math.max(0, word.startTime * 1000);
      if (!Number.isFinite(startMs)) continue;
      segment.hasText = true;
      const end = Number(word.endTime);
      const endMs = Number.isFinite(end) ? { endMs: Math.max(startMs, end * 1000) } : {};
      segment.speech.addWords([{ text: word.text, startMs, ...endMs }]);
    }
  }

  // Of the oldest segment alone: what is reported before the end of one is taken for a part of it.
  #report(): void {
    const [segment] = this.#segments;
    if (segment?.startedAt === undefined) return;
    if (!segment.isStarted) {
      segment.isStarted = true;
      this.onPlaybackStarted(segment.startedAt);
    }
    const { heardMs, reportedMs: offset } = segment;
    const duration = heardMs - offset;
    if (duration <= 0) return;
    segment.reportedMs = heardMs;
    this.onPlaybackProgressed({ startedAt: Date.now() - duration, offset, duration });
  }

  #finish(segment: Segment, { outcome, heardMs, heardText, measured }: SpeechResult): void {
    if (measured) segment.heardMs = heardMs;
    this.#report();
    this.#segments = this.#segments.filter((each) => each !== segment);
    if (this.#open === segment) this.#open = undefined;
    const synchronized = segment.hasText ? { synchronizedTranscript: heardText } : {};
    this.onPlaybackFinished({ playbackPosition: heardMs / 1000, interrupted: outcome !== "finished", ...synchronized });
    this.#report();
  }
}
