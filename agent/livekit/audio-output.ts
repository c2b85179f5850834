import { AudioOutput as LiveKitOutput, log, type voice } from "@livekit/agents";
import type { AudioFrame } from "@livekit/rtc-node";
import { z } from "zod";
import { validate } from "../../base/index.js";
import type { Publisher } from "../../publisher/index.js";
import { partSchemas } from "../options.js";
import { Segment } from "./segment.js";

const partsSchema = z.strictObject({ publisher: partSchemas.publisher });

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
  /** The newest segment of the current reply, finished or not. */
  #newest: Segment | undefined;
  #playing: Promise<void> = Promise.resolve();

  /** The publisher is not closed. Frames may have any rate. There are no options. */
  constructor(publisher: Pick<Publisher, "say">, options: Readonly<Record<string, never>> = {}) {
    validate("AudioOutput", partsSchema, { ...options, publisher });
    super(undefined, undefined, { pause: true });
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
    for (const segment of this.#kept) segment.clear();
  }

  /** The session asks once a reply's text and audio are complete: what comes after that belongs to the next one. */
  override waitForPlayout(): Promise<voice.PlaybackFinishedEvent> {
    this.#reply = undefined;
    this.#newest = undefined;
    return super.waitForPlayout();
  }

  /** While it was detached, replies were text alone. */
  override onAttached(): void {
    super.onAttached();
    if (this.#reply?.owner === undefined) this.#reply = undefined;
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
   * Adds text of the current or next reply, `isNew` with its first part: it may come before or after its audio. Without
   * text, and without timings in the frames, a finished segment has no transcript.
   */
  addText(text: string, { isNew }: { readonly isNew: boolean }): void {
    if (isNew) this.#reply = { text: "", owner: this.#lacksText() };
    // The rest of a text that was taken back.
    if (this.#reply === undefined) return;
    const { owner } = this.#reply;
    if (owner === undefined) this.#reply.text += text;
    else owner.addText(text);
  }

  /** The newest segment, if its reply's text has not come; it may have been heard to its end before. */
  #lacksText(): Segment | undefined {
    const newest = this.#newest;
    return newest === undefined || newest.hasText || newest.isCleared ? undefined : newest;
  }

  get #kept(): Segment[] {
    return this.#segments.flatMap((segment) => (segment === undefined || segment.isCleared ? [] : [segment]));
  }

  #begin(frame: AudioFrame): Segment {
    const segment = this.#enqueue(frame);
    this.#newest = segment;
    if (this.#isPaused) segment.speech.pause();
    if (this.#reply !== undefined && this.#reply.owner === undefined) {
      this.#reply.owner = segment;
      segment.addText(this.#reply.text);
    }
    return segment;
  }

  // One after the other: the framework counts ends, and takes each for the oldest segment. It has counted one that the
  // publisher refuses, too, and would wait for its end for ever.
  #enqueue(frame: AudioFrame): Segment {
    let segment: Segment | undefined;
    try {
      segment = new Segment(this.#publisher, frame);
      return segment;
    } catch (error) {
      super.flush();
      throw error;
    } finally {
      this.#segments.push(segment);
      this.#playing = this.#playing
        .then(() => segment && this.#follow(segment))
        .catch((error) => log().error(error))
        .then(() => this.#finish(segment))
        .catch((error) => log().error(error));
    }
  }

  async #follow(segment: Segment): Promise<void> {
    const { speech } = segment;
    let isStarted = false;
    let reportedMs = 0;
    const report = (ms: number) => {
      const duration = ms - reportedMs;
      if (duration > 0) this.onPlaybackProgressed({ startedAt: Date.now() - duration, offset: reportedMs, duration });
      reportedMs = ms;
    };
    for await (const { ms, measured } of speech.progress()) {
      // It may have started while the segment before it lacked its end.
      if (!isStarted) this.onPlaybackStarted(segment.startedAt ?? Date.now());
      isStarted = true;
      if (measured) report(ms);
    }
    // It may have ended before the clock's estimate.
    const { heardMs, measured } = await speech.done;
    if (measured) report(heardMs);
  }

  async #finish(segment: Segment | undefined): Promise<void> {
    const result = await segment?.speech.done;
    this.#segments.shift();
    const heardMs = result?.heardMs ?? 0;
    const transcript = segment?.hasTranscript ? { synchronizedTranscript: result!.heardText } : {};
    const interrupted = result?.outcome !== "finished";
    this.onPlaybackFinished({ playbackPosition: heardMs / 1000, interrupted, ...transcript });
  }
}
