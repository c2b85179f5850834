import fc from "fast-check";
import { encodeMulaw } from "../../agent/caller/g711.js";
import { CallPlayback } from "../../agent/twilio/call-playback.js";
import { fromMilliseconds } from "../../base/index.js";
import { VirtualStage, type VirtualStageOptions } from "./virtual-stage.js";

/** Actions of a bot that speaks Media Streams, and of its listeners. */
export type MarkStep =
  | { readonly do: "media" | "wait"; readonly ms: number }
  | { readonly do: "mark" | "clear" }
  | { readonly do: "report"; readonly on: boolean };

const timed = (name: "media" | "wait", max: number) =>
  fc.record({ do: fc.constant(name), ms: fc.integer({ min: 1, max }) });
const bare = (name: "mark" | "clear") => fc.record({ do: fc.constant(name) });

/** Histories of a call. */
export const markHistories: fc.Arbitrary<MarkStep[]> = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: timed("media", 600) },
    { weight: 5, arbitrary: timed("wait", 400) },
    { weight: 5, arbitrary: bare("mark") },
    { weight: 2, arbitrary: bare("clear") },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("report" as const), on: fc.boolean() }) },
  ),
  { minLength: 3, maxLength: 24 },
);

/** How often the call has time go by, in milliseconds. */
const TICK_MS = 20;
/** Quieter than the bot, louder than what a resampler leaves before and behind it. */
const AUDIBLE = 300;
/** A frame's fade and a resampler's run-in are too quiet to count. */
const WITHIN_MS = 20;
const SAMPLES_PER_MS = 48;

/** A mark that came back. */
export interface AnsweredMark {
  readonly name: string;
  /** When, and how much of the bot's audio the speaker had played by then since the last clear, in milliseconds. */
  readonly at: number;
  readonly audibleMs: number;
}

/** A bot's audio and marks on a virtual clock; it finds marks that are lost, doubled, out of order or early. */
export class MarkPlay {
  readonly answered: AnsweredMark[] = [];
  readonly faults: string[] = [];
  readonly stage: VirtualStage;
  readonly #playback: CallPlayback;
  /** Audio before each mark since the last clear, in milliseconds; undefined where it need not be heard. */
  readonly #marks: (number | undefined)[] = [];
  #clearedMs = 0;
  #audible = 0;
  /** Silence since the last audible sample, and how long each was that more audio followed, in samples. */
  #silent = 0;
  readonly #silences: number[] = [];

  constructor(marks: "first" | "all", options: VirtualStageOptions = {}) {
    this.stage = new VirtualStage({ aheadMs: 600, ...options, heard: (values) => this.#hear(values) });
    const { renderer } = this.stage;
    this.#playback = new CallPlayback({ say: (source, how = {}) => renderer.say(source, how) }, marks);
  }

  /** Silences within what the speaker played, in milliseconds, but for what a quantum or a fade takes. */
  get holesMs(): readonly number[] {
    return this.#silences.map((samples) => samples / SAMPLES_PER_MS).filter((ms) => ms > 6);
  }

  /** Whether marks follow the clock, because no listener reports. */
  get isByClock(): boolean {
    return this.#playback.isByClock;
  }

  /** Does it all, then has everything played to its end. */
  async run(steps: readonly MarkStep[]): Promise<void> {
    for (const step of steps) await this.#do(step);
    this.stage.unreported = false;
    for (let i = 0; i < 40 && this.#playback.pendingMarks > 0; i++) await this.#wait(300);
    const names = this.answered.map(({ name }) => name);
    const wanted = this.#marks.map((_, index) => String(index));
    if (names.join() !== wanted.join()) this.faults.push(`${wanted.length} marks were set, [${names}] came back`);
  }

  async #do(step: MarkStep): Promise<void> {
    switch (step.do) {
      case "wait":
        return this.#wait(step.ms);
      case "media":
        return this.#playback.media(audioOf(step.ms), this.#now);
      case "report":
        this.stage.unreported = !step.on;
        return;
      case "clear":
        this.#take(this.#playback.clear(), false);
        this.#clearedMs = this.#playback.writtenMs;
        this.#audible = 0;
        return;
      case "mark":
        this.#marks.push(this.#playback.writtenMs - this.#clearedMs);
        this.#take(this.#playback.mark(String(this.#marks.length - 1)), true);
    }
  }

  get #now() {
    return fromMilliseconds(this.stage.now);
  }

  async #wait(ms: number): Promise<void> {
    for (const end = this.stage.now + ms; this.stage.now < end; ) {
      await this.stage.runTo(Math.min(end, this.stage.now + TICK_MS));
      const names = this.#playback.tick(this.#now);
      // Without reports the clock decides.
      this.#take(names, !this.#playback.isByClock && !this.stage.unreported);
    }
  }

  #take(names: readonly string[], mustBeHeard: boolean): void {
    const audibleMs = this.#audible / SAMPLES_PER_MS;
    for (const name of names) {
      const before = this.#marks[Number(name)] ?? 0;
      if (mustBeHeard && before > audibleMs + WITHIN_MS)
        this.faults.push(`mark ${name} behind ${before} ms came back when ${audibleMs} ms were played`);
      this.answered.push({ name, at: this.stage.now, audibleMs });
    }
  }

  #hear(values: Float32Array): void {
    for (const value of values) {
      if (Math.abs(value) <= AUDIBLE) {
        this.#silent++;
        continue;
      }
      if (this.#silent > 0 && this.#audible > 0) this.#silences.push(this.#silent);
      this.#silent = 0;
      this.#audible++;
    }
  }
}

/** A constant as mu-law: unlike a wave, no sample of it looks like silence. */
function audioOf(ms: number): Uint8Array {
  return encodeMulaw(new Float32Array(ms * 8).fill(0.3));
}
