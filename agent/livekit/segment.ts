import { isTimedString, log } from "@livekit/agents";
import type { AudioFrame } from "@livekit/rtc-node";
import { InputError } from "../../base/index.js";
import { openAudio, type Publisher, Resampler, type Speech, type WordTiming } from "../../publisher/index.js";

/** Key of a frame's word timings in a LiveKit text-to-speech node. */
const TIMED_TRANSCRIPT = "lk.timed_transcripts";

/**
 * Audio ahead of the listeners for which a frame need not wait: the framework waits for each capture, for seconds where
 * the output is paused, before it clears what an interrupt left.
 */
const MAX_AHEAD_MS = 300_000;

/** A captured segment: all frames up to `flush`, or until it is cleared. */
export class Segment {
  readonly speech: Speech;
  #hasText = false;
  #hasTimings = false;
  readonly #sampleRate: number;
  readonly #channels: number;
  #writtenMs = 0;
  #isCleared = false;
  #startedAt: number | undefined;
  #resampler: { readonly from: number; readonly resampler: Resampler } | undefined;

  /** Its frames come in the format of the first; others are converted. */
  constructor(publisher: Pick<Publisher, "say">, { sampleRate, channels }: AudioFrame) {
    this.#sampleRate = sampleRate;
    this.#channels = channels;
    this.speech = publisher.say(openAudio({ sampleRate, channels, format: "s16le", name: "LiveKit" }));
    this.speech.on("started", () => {
      this.#startedAt = Date.now();
    });
  }

  /** When its first sample was heard, as `Date.now()`. */
  get startedAt(): number | undefined {
    return this.#startedAt;
  }

  /** Whether it only lacks the listeners' report: to resume its speech would say it after all. */
  get isCleared(): boolean {
    return this.#isCleared;
  }

  /** Whether text of its reply has come. */
  get hasText(): boolean {
    return this.#hasText;
  }

  /** Whether its speech knows any words: from the reply's text, or from the timings in its frames. */
  get hasTranscript(): boolean {
    return this.#hasText || this.#hasTimings;
  }

  /** Takes back what was not heard. */
  clear(): void {
    this.#isCleared = true;
    void this.speech.interrupt();
  }

  /** Adds text of the reply. */
  addText(text: string): void {
    this.#hasText = true;
    tolerate(() => this.speech.addText(text));
  }

  /** Takes a frame and its word timings. Returns whether there is room for more. */
  write(frame: AudioFrame): boolean {
    this.#time(frame);
    this.#writtenMs += (frame.samplesPerChannel * 1000) / frame.sampleRate;
    // Samples that a resampler still holds come before the first sample of another rate.
    const tail = this.#resampler?.from === frame.sampleRate ? undefined : this.#takeTail();
    const samples = this.#samplesOf(frame);
    const hasRoom = this.speech.write(tail === undefined ? samples : join(tail, samples));
    return hasRoom || this.#writtenMs - this.speech.heardMs < MAX_AHEAD_MS;
  }

  /** No more frames follow. Without room for the last milliseconds the speech ends before them. */
  end(): void {
    const tail = this.#takeTail();
    try {
      if (tail !== undefined) this.speech.write(tail);
    } catch (error) {
      log().warn(error);
    }
    this.speech.end();
  }

  #time({ userdata }: AudioFrame): void {
    const timed: unknown = userdata[TIMED_TRANSCRIPT];
    const words = Array.isArray(timed) ? timed.flatMap(timingOf) : [];
    if (words.length === 0) return;
    this.#hasTimings = true;
    tolerate(() => this.speech.addWords(words));
  }

  #samplesOf({ data, sampleRate, channels }: AudioFrame): Int16Array {
    if (sampleRate === this.#sampleRate && channels === this.#channels) return data;
    const mono = Float32Array.from({ length: data.length / channels }, (_, index) => {
      const of = data.subarray(index * channels, (index + 1) * channels);
      return of.reduce((sum, sample) => sum + sample, 0) / channels;
    });
    return this.#own(sampleRate === this.#sampleRate ? mono : this.#resample(mono, sampleRate));
  }

  #own(mono: Float32Array): Int16Array {
    return Int16Array.from({ length: mono.length * this.#channels }, (_, index) => {
      const sample = Math.round(mono[Math.floor(index / this.#channels)]!);
      return Math.max(-32_768, Math.min(32_767, sample));
    });
  }

  #resample(samples: Float32Array, from: number): Float32Array {
    this.#resampler ??= { from, resampler: new Resampler({ from, to: this.#sampleRate, channels: 1 }) };
    return this.#resampler.resampler.process(samples);
  }

  /** Ends the audio of another rate, and returns its last samples. */
  #takeTail(): Int16Array | undefined {
    const tail = this.#resampler?.resampler.flush();
    this.#resampler = undefined;
    return tail && this.#own(tail);
  }
}

// Texts and timings are extras: unusable ones cost no audio.
function tolerate(add: () => void): void {
  try {
    add();
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    log().warn(error);
  }
}

function join(first: Int16Array, second: Int16Array): Int16Array {
  const joined = new Int16Array(first.length + second.length);
  joined.set(first);
  joined.set(second, first.length);
  return joined;
}

function timingOf(word: unknown): readonly WordTiming[] {
  if (!isTimedString(word) || typeof word.text !== "string" || word.startTime === undefined) return [];
  // Services round: a word may begin before the first sample, or end before it begins, which says nothing of its end.
  const startMs = Math.max(0, word.startTime * 1000);
  if (!Number.isFinite(startMs)) return [];
  const endMs = Number(word.endTime) * 1000;
  return [{ text: word.text, startMs, ...(Number.isFinite(endMs) && endMs >= startMs && { endMs }) }];
}
