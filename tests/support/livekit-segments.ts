import { voice } from "@livekit/agents";
import { AudioFrame } from "@livekit/rtc-node";
import fc from "fast-check";
import { AudioOutput } from "../../agent/livekit/index.js";
import { VirtualStage } from "./virtual-stage.js";

/** Actions of a session on its audio output. */
export type SegmentStep =
  | { readonly do: "frame"; readonly ms: number; readonly isTimed: boolean }
  | { readonly do: "flush" | "clear" | "pause" | "resume" }
  | { readonly do: "wait"; readonly ms: number };

const frame = fc.record({
  do: fc.constant("frame" as const),
  ms: fc.integer({ min: 1, max: 30 }).map((tens) => tens * 10),
  isTimed: fc.boolean(),
});
const act = fc.record({
  do: fc.constantFrom("flush", "flush", "clear", "pause", "resume"),
}) as fc.Arbitrary<SegmentStep>;
const wait = fc.record({ do: fc.constant("wait" as const), ms: fc.integer({ min: 1, max: 400 }) });

/** Histories of an output, with four segments or so each. */
export const segmentHistories: fc.Arbitrary<SegmentStep[]> = fc.array(
  fc.oneof({ weight: 5, arbitrary: frame }, { weight: 5, arbitrary: act }, { weight: 4, arbitrary: wait }),
  { minLength: 3, maxLength: 22 },
);

const RATE = 48_000;
const SAMPLES_PER_MS = 48;
/** Every segment has a band of sample values of its own, in which its samples count; after ten a band comes again. */
const RANGE = 6000;
const BANDS = 5;
/** A report's rounding, and what a listener plays between two of its reports. */
const WITHIN_MS = 20;

interface Segment {
  lengthMs: number;
  readonly words: { readonly text: string; readonly endMs: number }[];
  isTimed: boolean;
  isCleared: boolean;
  /** How far the speaker played it. */
  reachedMs: number;
  /** How far it was heard by its end. */
  endedMs: number;
}

interface Finished {
  readonly playbackPosition: number;
  readonly interrupted: boolean;
  readonly synchronizedTranscript?: string;
}

/** Plays a history to an {@link AudioOutput} on a virtual clock, and finds where it breaks the contract of LiveKit. */
export class SegmentPlay {
  readonly faults: string[] = [];
  readonly #segments: Segment[] = [];
  readonly #stage: VirtualStage;
  readonly #output: AudioOutput;
  #open: Segment | undefined;
  #finished = 0;
  /** Of the segment that is being played. */
  #started = 0;
  #progressMs = 0;
  #before = { band: -1, place: -1 };

  constructor() {
    this.#stage = new VirtualStage({ aheadMs: 600, heard: (values) => this.#hear(values) });
    const { renderer } = this.#stage;
    this.#output = new AudioOutput({ say: (source, options = {}) => renderer.say(source, options) });
    this.#output.on(voice.AudioOutput.EVENT_PLAYBACK_STARTED, () => this.#start());
    this.#output.on(voice.AudioOutput.EVENT_PLAYBACK_PROGRESSED, (event) => this.#progress(event));
    this.#output.on(voice.AudioOutput.EVENT_PLAYBACK_FINISHED, (event) => this.#finish(event));
  }

  /** Segments that were captured. */
  get segments(): number {
    return this.#segments.length;
  }

  /** Does it all, then has everything played to its end. */
  async run(steps: readonly SegmentStep[]): Promise<void> {
    const stage = this.#stage;
    for (const step of steps) await this.#do(step);
    this.#output.flush();
    this.#output.resume();
    for (let i = 0; i < 40 && this.#finished < this.#segments.length; i++) await stage.runTo(stage.now + 300);
    if (this.#finished !== this.#segments.length)
      this.faults.push(`${this.#segments.length} segments had ${this.#finished} ends`);
    await stage.runTo(stage.now + 200);
    // What is before a cut is still heard after it was reported, a jitter buffer later at most.
    for (const [number, { endedMs, reachedMs }] of this.#segments.entries())
      if (endedMs > reachedMs + WITHIN_MS)
        this.faults.push(`segment ${number} ended at ${endedMs}, but the speaker played ${reachedMs}`);
    if (this.#output.pendingPlayoutSegments !== 0) this.faults.push("the framework counts segments that are open");
  }

  async #do(step: SegmentStep): Promise<void> {
    const { now } = this.#stage;
    switch (step.do) {
      case "frame":
        return this.#capture(step.ms, step.isTimed);
      case "flush":
        this.#output.flush();
        this.#open = undefined;
        return;
      case "clear":
        for (const segment of this.#segments.slice(this.#finished)) segment.isCleared = true;
        this.#output.clearBuffer();
        this.#open = undefined;
        return;
      case "wait":
        return this.#stage.runTo(now + step.ms);
      default:
        this.#output[step.do]();
    }
  }

  async #capture(ms: number, isTimed: boolean): Promise<void> {
    const segment = this.#open ?? this.#begin(isTimed);
    const band = (this.#segments.length - 1) % (2 * BANDS);
    const [sign, base] = [band < BANDS ? 1 : -1, 1000 + (band % BANDS) * RANGE];
    const first = segment.lengthMs * SAMPLES_PER_MS;
    const samples = Int16Array.from(
      { length: ms * SAMPLES_PER_MS },
      (_, index) => sign * (base + ((first + index) % RANGE)),
    );
    const text = `word${segment.words.length}`;
    const [startTime, endTime] = [segment.lengthMs / 1000, (segment.lengthMs + ms) / 1000];
    const timed = segment.isTimed
      ? { "lk.timed_transcripts": [voice.createTimedString({ text, startTime, endTime })] }
      : {};
    segment.lengthMs += ms;
    segment.words.push({ text, endMs: segment.lengthMs });
    await this.#output.captureFrame(new AudioFrame(samples, RATE, 1, samples.length, timed));
  }

  #begin(isTimed: boolean): Segment {
    const segment = { lengthMs: 0, words: [], isTimed, isCleared: false, reachedMs: 0, endedMs: 0 };
    this.#segments.push(segment);
    this.#open = segment;
    return segment;
  }

  #start(): void {
    this.#started++;
    if (this.#started > 1) this.faults.push(`segment ${this.#finished} started ${this.#started} times`);
  }

  #progress({ offset, duration }: { readonly offset: number; readonly duration: number }): void {
    const segment = this.#segments[this.#finished]!;
    if (this.#started !== 1) this.faults.push(`segment ${this.#finished} progressed before its start`);
    if (duration <= 0 || Math.abs(offset - this.#progressMs) > 1e-6)
      this.faults.push(`progress of ${duration} from ${offset} follows ${this.#progressMs}`);
    this.#progressMs = offset + duration;
    if (this.#progressMs > segment.reachedMs + WITHIN_MS)
      this.faults.push(`progress to ${this.#progressMs}, but the speaker played ${segment.reachedMs}`);
  }

  #finish({ playbackPosition, interrupted, synchronizedTranscript }: Finished): void {
    const number = this.#finished++;
    const segment = this.#segments[number];
    const ms = playbackPosition * 1000;
    const say = (fault: string) => this.faults.push(`segment ${number} ${fault}`);
    if (segment === undefined) return void say("ended, but was not captured");
    const { lengthMs, reachedMs, isCleared, isTimed, words } = segment;
    if (ms < this.#progressMs - 1e-6) say(`ended at ${ms}, but had progressed to ${this.#progressMs}`);
    if (ms > lengthMs + 1e-6) say(`ended at ${ms} of ${lengthMs}`);
    segment.endedMs = ms;
    if (ms < reachedMs - WITHIN_MS) say(`ended at ${ms}, but the speaker played ${reachedMs}`);
    if (!isCleared && interrupted) say("was interrupted, but not cleared");
    if (!interrupted && Math.abs(ms - lengthMs) > 1) say(`was heard to its end, but ended at ${ms} of ${lengthMs}`);
    if (isTimed) {
      const wanted = words.filter(({ endMs }) => endMs <= ms + 1e-3).map(({ text }) => text);
      if (synchronizedTranscript !== wanted.join(" ")) say(`ended at ${ms} with "${synchronizedTranscript}"`);
    }
    this.#started = 0;
    this.#progressMs = 0;
  }

  #hear(values: Float32Array): void {
    for (const value of values) {
      const code = Math.abs(value) - 1000;
      const band = code < 0 ? -1 : Math.floor(code / RANGE) + (value < 0 ? BANDS : 0);
      const place = code % RANGE;
      const { band: before, place: last } = this.#before;
      this.#before = { band, place };
      // In a fade a sample is not what it was.
      if (band < 0 || band !== before || (place - last + RANGE) % RANGE !== 1) continue;
      const segment = this.#segments.findLast((_, index) => index % (2 * BANDS) === band);
      if (segment === undefined) continue;
      const reached = Math.round(segment.reachedMs * SAMPLES_PER_MS);
      const ahead = (place - (reached % RANGE) + RANGE) % RANGE;
      if (ahead < RANGE / 2) segment.reachedMs = (reached + ahead + 1) / SAMPLES_PER_MS;
    }
  }
}
