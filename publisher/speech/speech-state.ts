import type { Microseconds } from "../../base/index.js";
import { toPosition } from "../tracks/position.js";
import { heardOf, heardOfAll } from "./missed-audio.js";
import type { Playheads } from "./playback.js";
import type { SpeechTimeline } from "./speech-timeline.js";
import type { HeardText, Words, WordTiming } from "./words/words.js";

/** How a speech ended; `interrupted` also where its rest did not reach the listeners. */
export type SpeechOutcome = "finished" | "interrupted" | "failed";

/** One listener's part in a speech. */
export interface SpeechListener {
  /** The listener's random session id. */
  readonly id: number;
  /** Position in the source at its first report: more than 0 for a listener that joined late. */
  readonly fromMs: number;
  /** How far in the source it heard. */
  readonly heardMs: number;
  /** True when the listener reported this; false for a projection of its playhead. */
  readonly measured: boolean;
}

/** The one end of a speech. */
export interface SpeechResult {
  /** `failed`: its source could not be read to the end. */
  readonly outcome: SpeechOutcome;
  /** Milliseconds of the source that were heard, from its first sample: by the earliest listener that reports. */
  readonly heardMs: number;
  /** The text up to `heardMs`, without words from before the first listener joined. */
  readonly heardText: string;
  /** True with word timings; false for an estimate of the text. */
  readonly exact: boolean;
  /** True when a listener reported it; false for the clock's estimate. */
  readonly measured: boolean;
  /** Listeners that reported during the speech, at most 24 at a time. */
  readonly listeners: readonly SpeechListener[];
  /** The cause of a failure. */
  readonly error?: Error;
}

/** How far a speech was heard. */
export interface SpeechProgress {
  /** Milliseconds of the source from its first sample. Never falls; a measured value is never revised. */
  readonly ms: number;
  readonly measured: boolean;
}

/** The listeners' reports of a rewind: how far each heard, and how far all of them. */
export interface HeardReport {
  readonly heardUntil: number;
  readonly listeners: readonly { readonly id: number; readonly heardUntil: number; readonly measured: boolean }[];
}

interface Hearing {
  readonly from: number;
  readonly heard: number;
  readonly measured: boolean;
}

const SAMPLES_PER_MS = 48;
/** Listeners remembered for one speech; beyond this, the first one is dropped. */
const MAX_LISTENERS = 256;
/**
 * A listener this close to the end in its last report has heard the end by the time all have: where reports name all
 * listeners, only the last packets may be lost.
 */
const NEAR_END = { complete: 120 * SAMPLES_PER_MS, partial: 300 * SAMPLES_PER_MS };
/** A listener's first report comes at most this long after its first sample. */
const FIRST_REPORT = 300 * SAMPLES_PER_MS;

/** Options of {@link SpeechState}. */
export interface SpeechStateOptions {
  readonly words: Words;
  /** Samples of the source that were heard before. */
  readonly heard?: number;
  readonly measured?: boolean;
  /** See {@link SpeechState.from}. */
  readonly from?: number;
}

/** Knowledge about one speech: how far which listeners heard it, in words and milliseconds, and how it ended. */
export class SpeechState {
  readonly #options: SpeechStateOptions;
  readonly #done = Promise.withResolvers<SpeechResult>();
  readonly #listeners = new Map<number, Hearing>();
  #changed = Promise.withResolvers<void>();
  /** Whether the last reports named all listeners. */
  #isComplete = false;
  /** In samples of the source per channel. */
  #heard: number;
  #measured: boolean;
  /** Samples of the source, once known. */
  #length: number | undefined;
  #result: SpeechResult | undefined;

  constructor(options: SpeechStateOptions) {
    this.#options = options;
    this.#heard = options.heard ?? 0;
    this.#measured = options.measured ?? false;
  }

  get heard(): number {
    return this.#heard;
  }

  get measured(): boolean {
    return this.#measured;
  }

  /** Where in the source the first listener joined, in samples: no listener got what comes before. */
  get from(): number {
    if (this.#options.from !== undefined || this.#listeners.size === 0) return this.#options.from ?? 0;
    const first = Math.min(...[...this.#listeners.values()].map(({ from }) => from));
    return Math.max(0, first - FIRST_REPORT);
  }

  get progress(): SpeechProgress {
    return { ms: this.#result?.heardMs ?? this.#heard / SAMPLES_PER_MS, measured: this.#measured };
  }

  get text(): HeardText {
    if (this.#result !== undefined) return { text: this.#result.heardText, exact: this.#result.exact };
    const { words } = this.#options;
    const isWhole = this.#length !== undefined && this.#heard >= this.#length;
    const { from } = this;
    const [ms, fromMs] = [this.#heard / SAMPLES_PER_MS, from / SAMPLES_PER_MS];
    return words.heard({ ms, fromMs, isWhole, isComplete: this.#length !== undefined });
  }

  get listeners(): readonly SpeechListener[] {
    if (this.#result !== undefined) return this.#result.listeners;
    return [...this.#listeners].map(([id, { from, heard, measured }]) => ({
      id,
      fromMs: from / SAMPLES_PER_MS,
      heardMs: heard / SAMPLES_PER_MS,
      measured,
    }));
  }

  get result(): SpeechResult | undefined {
    return this.#result;
  }

  get done(): Promise<SpeechResult> {
    return this.#done.promise;
  }

  /** Resolves with the next progress, or the end. */
  get changed(): Promise<void> {
    return this.#changed.promise;
  }

  /** See {@link Words.add}; without effect after the end. */
  addWords(words: readonly WordTiming[]): void {
    if (this.#result === undefined) this.#options.words.add(words);
  }

  /** See {@link Words.addText}; without effect after the end. */
  addText(text: string): void {
    if (this.#result === undefined) this.#options.words.addText(text);
  }

  /** Samples of the source; undefined while more may come. */
  get length(): number | undefined {
    return this.#length;
  }

  setLength(length: number | undefined): void {
    this.#length = length;
  }

  /** Applies the listeners' reports. Returns whether the speech advanced. */
  observe(playheads: Playheads, timeline: SpeechTimeline): boolean {
    if (timeline.start === undefined || this.#result !== undefined) return false;
    this.#isComplete = playheads.isComplete;
    const sourceAt = (time: Microseconds) => timeline.sourceAt(toPosition(time));
    for (const one of playheads.listeners) this.#hear(one.id, sourceAt(heardOf(one, timeline, this.#length)), true);
    return this.#advance(sourceAt(heardOfAll(playheads, timeline, this.#length)), playheads.measured);
  }

  /**
   * Applies the listeners' reports of a rewind that cut the speech off; `before` is its timeline until then. Returns
   * whether it advanced.
   */
  settleRewind({ heardUntil, listeners }: HeardReport, before: SpeechTimeline): boolean {
    for (const one of listeners) this.#hear(one.id, before.sourceAt(toPosition(one.heardUntil)), one.measured);
    const isMeasured = listeners.some(({ measured }) => measured);
    const heard = before.sourceAt(toPosition(heardUntil));
    // A listener's measurement replaces the clock's estimate, in either direction.
    if (isMeasured && !this.#measured) this.#heard = Math.min(this.#heard, heard);
    this.#measured ||= isMeasured;
    return this.#advance(heard, isMeasured);
  }

  /** Ends it; only the first end counts. Returns the result, or undefined when it had ended before. */
  end(outcome: SpeechOutcome, error?: Error): SpeechResult | undefined {
    if (this.#result !== undefined) return undefined;
    if (outcome === "finished" && this.#length !== undefined) this.#hearAll(this.#length);
    const { text, exact } = this.text;
    const { listeners } = this;
    const heardMs = this.#heard / SAMPLES_PER_MS;
    const heard = { heardMs, heardText: text, exact, measured: this.#measured };
    this.#result = { outcome, ...heard, listeners, ...(error && { error }) };
    this.#done.resolve(this.#result);
    this.#stir();
    return this.#result;
  }

  #hear(id: number, heard: number, measured: boolean): void {
    const before = this.#listeners.get(id);
    this.#listeners.set(id, {
      from: before?.from ?? heard,
      heard: Math.max(heard, before?.heard ?? 0),
      measured: measured || (before?.measured === true && heard <= before.heard),
    });
    if (this.#listeners.size <= MAX_LISTENERS) return;
    const [oldest] = this.#listeners.keys();
    this.#listeners.delete(oldest!);
  }

  #hearAll(length: number): void {
    this.#heard = Math.max(this.#heard, length);
    const near = this.#isComplete ? NEAR_END.complete : NEAR_END.partial;
    for (const [id, hearing] of this.#listeners) {
      if (hearing.heard >= length - near) this.#listeners.set(id, { ...hearing, heard: length });
    }
  }

  #advance(heard: number, measured: boolean): boolean {
    if (heard <= this.#heard) return false;
    this.#heard = heard;
    this.#measured = measured;
    this.#stir();
    return true;
  }

  #stir(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}
