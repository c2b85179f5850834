import { AudioOutput as LiveKitOutput, log } from "@livekit/agents";
import type { AudioFrame } from "@livekit/rtc-node";
import { z } from "zod";
import { validate } from "../../base/index.js";
import type { Publisher, SpeechResult } from "../../publisher/index.js";
import { partSchemas } from "../options.js";
import { Segment } from "./segment.js";

const optionsSchema = z.strictObject({
  publisher: partSchemas.publisher,
  sampleRate: z.number().int().min(8000).max(48_000).default(24_000),
});

/**
 * The audio output of a LiveKit `AgentSession` whose listeners are those of an unsay broadcast. It reports only what
 * they heard as played, `clearBuffer` takes back what they have not heard, and `pause` and `resume` lose no sample.
 */
export class AudioOutput extends LiveKitOutput {
  readonly #publisher: Pick<Publisher, "say">;
  /** Those that are not finished, in order; one without audio was refused by the publisher. */
  #segments: (Segment | undefined)[] = [];
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
    // All at once: what the session does next, without waiting, comes behind this frame.
    const counted = super.captureFrame(frame);
    this.#open ??= this.#begin(frame);
    const { speech } = this.#open;
    if (!this.#open.write(frame)) await speech.ready;
    await counted;
  }

  override flush(): void {
    super.flush();
    const segment = this.#open;
    this.#open = undefined;
    segment?.end();
  }

  override clearBuffer(): void {
    this.flush();
    // Text whose audio never came is taken back with it.
    if (this.#reply?.owner === undefined) this.#reply = undefined;
    for (const segment of this.#kept) this.#clear(segment);
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
    const { owner } = this.#reply;
    if (owner === undefined) this.#reply.text += text;
    else owner.addText(text);
  }

  get #kept(): Segment[] {
    return this.#segments.flatMap((segment) => (segment === undefined || segment.isCleared ? [] : [segment]));
  }

  #begin(frame: AudioFrame): Segment {
    let segment: Segment | undefined;
    try {
      segment = new Segment(this.#publisher, frame);
      return this.#follow(segment);
    } catch (error) {
      // The framework counted it: without an end it would wait for one for ever.
      this.flush();
      if (segment !== undefined) this.#clear(segment);
      throw error;
    } finally {
      this.#segments.push(segment);
      this.#finishInTurn(segment);
    }
  }

  #clear(segment: Segment): void {
    segment.isCleared = true;
    void segment.speech.interrupt();
  }

  #follow(segment: Segment): Segment {
    const { speech } = segment;
    speech.on("started", () => {
      segment.startedAt = Date.now();
      this.#report();
    });
    speech.on("progress", ({ ms, measured }) => {
      if (measured) segment.heardMs = ms;
      this.#report();
    });
    if (this.#isPaused) speech.pause();
    if (this.#reply !== undefined && this.#reply.owner === undefined) {
      this.#reply.owner = segment;
      segment.addText(this.#reply.text);
    }
    return segment;
  }

  // One after the other: the framework counts ends, and takes each for the oldest segment.
  #finishInTurn(segment: Segment | undefined): void {
    this.#finishing = this.#finishing
      .then(async () => this.#finish(segment, await segment?.speech.done))
      .catch((e) => log().error(e));
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

  #finish(segment: Segment | undefined, result: SpeechResult | undefined): void {
    if (segment && result?.measured) segment.heardMs = result.heardMs;
    this.#report();
    this.#segments.shift();
    if (this.#open === segment) this.#open = undefined;
    const heardMs = result?.heardMs ?? 0;
    const synchronized = segment?.hasText ? { synchronizedTranscript: result!.heardText } : {};
    const interrupted = result?.outcome !== "finished";
    this.onPlaybackFinished({ playbackPosition: heardMs / 1000, interrupted, ...synchronized });
    this.#report();
  }
}
