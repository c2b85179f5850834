import { z } from "zod";
import { Resampler } from "../../publisher/index.js";
import { encodeAlaw, encodeMulaw } from "./g711.js";

/** Frames for a recogniser. */
export interface FrameOptions {
  /** Samples per second, 8,000 to 48,000. Default 16,000. */
  readonly sampleRate?: number;
  /** Length of a frame in milliseconds, 1 to 1,000. Default 20. */
  readonly frameMs?: number;
  /** Sample format of `bytes`. Default `s16le`. */
  readonly format?: "s16le" | "f32le" | "mulaw" | "alaw";
  /** Maximum backlog of a slow reader, in milliseconds, at least a frame; beyond it the oldest is dropped. Default 10,000. */
  readonly backlogMs?: number;
}

/** Consecutive samples of a caller, one channel. */
export interface CallerFrame {
  /** Its start, in milliseconds of the caller's audio. */
  readonly startMs: number;
  readonly sampleRate: number;
  /** From -1 to 1. */
  readonly samples: Float32Array;
  /** The same samples in the requested format. */
  readonly bytes: Uint8Array;
}

/** Options of {@link FrameReader}. */
export const frameOptionsSchema = z.strictObject({
  sampleRate: z.number().int().min(8000).max(48_000).default(16_000),
  frameMs: z.number().min(1).max(1000).default(20),
  format: z.enum(["s16le", "f32le", "mulaw", "alaw"]).default("s16le"),
  backlogMs: z.number().min(100).max(600_000).default(10_000),
});

/** A caller's frames at the reader's rate and length, for `for await`. */
export class FrameReader implements AsyncIterableIterator<CallerFrame, undefined> {
  readonly #options: z.output<typeof frameOptionsSchema>;
  readonly #resampler: Resampler;
  readonly #length: number;
  #rest = new Float32Array(0);
  #frames: CallerFrame[] = [];
  #startMs: number;
  #dropped = 0;
  #isEnded = false;
  /** Calls that wait for a frame, in order. */
  #waiting: PromiseWithResolvers<IteratorResult<CallerFrame, undefined>>[] = [];

  /** Its first frame begins at `startMs` of the caller's audio. */
  constructor(options: z.output<typeof frameOptionsSchema>, startMs: number) {
    this.#options = options;
    this.#startMs = startMs;
    this.#length = Math.max(1, Math.round((options.sampleRate * options.frameMs) / 1000));
    this.#resampler = new Resampler({ from: 48_000, to: options.sampleRate, channels: 1 });
  }

  /** Whether it was ended. */
  get ended(): boolean {
    return this.#isEnded;
  }

  /** Milliseconds of audio dropped because it was not read in time. */
  get droppedMs(): number {
    return (this.#dropped * this.#length * 1000) / this.#options.sampleRate;
  }

  /** Takes the next samples of the caller, at 48 kHz. */
  push(samples: Float32Array): void {
    if (this.#isEnded) return;
    const resampled = this.#resampler.process(samples);
    const joined = new Float32Array(this.#rest.length + resampled.length);
    joined.set(this.#rest);
    joined.set(resampled, this.#rest.length);
    let at = 0;
    for (; at + this.#length <= joined.length; at += this.#length) this.#add(joined.slice(at, at + this.#length));
    this.#rest = joined.slice(at);
  }

  /** Ends the frames; waiting ones can still be read. */
  end(): void {
    this.#isEnded = true;
    for (const { resolve } of this.#waiting.splice(0)) resolve({ done: true, value: undefined });
  }

  async next(): Promise<IteratorResult<CallerFrame, undefined>> {
    const frame = this.#frames.shift();
    if (frame !== undefined) return { done: false, value: frame };
    if (this.#isEnded) return { done: true, value: undefined };
    const call = Promise.withResolvers<IteratorResult<CallerFrame, undefined>>();
    this.#waiting.push(call);
    return call.promise;
  }

  async return(): Promise<IteratorResult<CallerFrame, undefined>> {
    this.#frames = [];
    this.end();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #add(samples: Float32Array): void {
    const { sampleRate, format, backlogMs } = this.#options;
    const ms = (this.#length * 1000) / sampleRate;
    const frame = { startMs: this.#startMs, sampleRate, samples, bytes: encode(samples, format) };
    this.#startMs += ms;
    const call = this.#waiting.shift();
    if (call === undefined) this.#frames.push(frame);
    else call.resolve({ done: false, value: frame });
    if (this.#frames.length > 1 && this.#frames.length * ms > backlogMs) {
      this.#frames.shift();
      this.#dropped++;
    }
  }
}

function encode(samples: Float32Array, format: z.output<typeof frameOptionsSchema>["format"]): Uint8Array {
  if (format === "mulaw") return encodeMulaw(samples);
  if (format === "alaw") return encodeAlaw(samples);
  if (format === "f32le") return new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
  // Not from a pool: a reader that passes on its buffer would pass on other memory of the process.
  const bytes = new Uint8Array(samples.length * 2);
  const view = new DataView(bytes.buffer);
  for (const [index, sample] of samples.entries())
    view.setInt16(index * 2, Math.max(-32_768, Math.min(32_767, Math.round(sample * 32_768))), true);
  return bytes;
}
