import { race } from "../../base/index.js";
import { type AudioSource, SourceReader } from "./source.js";

/** How a splice joins the queued samples. */
export type SpliceMode = "replace" | "sum";

/** A stretch of audio that repeats in place of the source. */
interface Loop {
  readonly samples: Float32Array;
  /** Index of the next value. */
  at: number;
}

/** Values of a repeating stretch queued at once. */
const LOOP_PIECE = 960;

/** Changes samples as they come from a source. */
export interface SampleFilter {
  /** Changes samples in place; the first lies `offset` samples per channel behind what was taken out before. */
  apply(samples: Float32Array, offset: number): void;
}

/**
 * A source's samples on their way to the denoiser. Samples can be put back, changed or repeated. Positions are samples
 * per channel from the front.
 */
export class SampleQueue {
  readonly source: AudioSource;
  readonly #reader: SourceReader;
  /** Changes samples as they come from the source; `offset` is their distance from the front. */
  readonly #filter: SampleFilter | undefined;
  #pieces: Float32Array[] = [];
  #values = 0;
  #fetching: Promise<void> | undefined;
  #error: { readonly error: unknown } | undefined;
  #stir = Promise.withResolvers<void>();
  #ended = false;
  #loop: Loop | undefined;
  /** Samples that follow the loop. */
  #after: Float32Array[] = [];

  constructor(source: AudioSource, filter?: SampleFilter) {
    this.source = source;
    this.#reader = new SourceReader(source);
    this.#filter = filter;
  }

  /** Samples per channel queued. */
  get length(): number {
    return this.#values / this.source.channels;
  }

  /** Whether a stretch repeats. */
  get looping(): boolean {
    return this.#loop !== undefined;
  }

  /** Whether `values` are queued, or the source has ended. */
  isReady(values: number): boolean {
    return this.#values >= values || (this.#ended && this.#loop === undefined);
  }

  /** Waits until `values` are queued, or the source has ended. */
  async fill(values: number): Promise<void> {
    while (this.#values < values) {
      if (this.#error !== undefined) throw this.#error.error;
      if (this.#loop !== undefined) this.#repeat(this.#loop);
      else if (this.#ended) return;
      // Samples may be put back while the source delivers nothing.
      else await race([this.#fetch(), this.#stir.promise]);
    }
  }

  /** Moves samples from the front to `into`; returns how many values, and fills the rest with silence. */
  take(into: Float32Array): number {
    let filled = 0;
    while (filled < into.length && this.#pieces.length > 0) {
      const first = this.#pieces[0]!;
      const piece = first.subarray(0, into.length - filled);
      into.set(piece, filled);
      filled += piece.length;
      if (piece.length === first.length) this.#pieces.shift();
      else this.#pieces[0] = first.subarray(piece.length);
    }
    this.#values -= filled;
    into.fill(0, filled);
    return filled;
  }

  /** Puts samples back in front. */
  unshift(...pieces: readonly Float32Array[]): void {
    this.#pieces.unshift(...pieces.filter((piece) => piece.length > 0));
    this.#count();
  }

  /** Changes queued samples from `offset` on; a negative offset drops the start of the samples. */
  edit(offset: number, samples: Float32Array, mode: SpliceMode): void {
    const { channels } = this.source;
    const all = this.#join();
    splice(all, offset * channels, samples, mode);
    this.#pieces = all.length > 0 ? [all] : [];
  }

  /** The first `frames` samples per channel, if queued. */
  peek(frames: number): Float32Array {
    return this.#join().slice(0, frames * this.source.channels);
  }

  /** Repeats `samples` from `offset` on, starting at `phase`; later samples wait until the loop ends. */
  loop(samples: Float32Array, offset: number, phase: number): void {
    const after = this.#truncate(offset);
    if (this.#loop === undefined) this.#after = [after];
    this.#loop = { samples, at: phase * this.source.channels };
  }

  /** Ends the loop at `offset`, where the waiting samples continue. */
  unloop(offset: number): void {
    if (this.#loop === undefined) return;
    this.#truncate(offset);
    this.#loop = undefined;
    this.#pieces.push(...this.#after.splice(0));
    this.#count();
  }

  /** Closes the source; idempotent. Queued samples stay. */
  async close(): Promise<void> {
    this.#ended = true;
    this.#loop = undefined;
    this.#stir.resolve();
    await this.source.close();
  }

  #fetch(): Promise<void> {
    this.#fetching ??= this.#reader.read().then(
      (samples) => {
        this.#fetching = undefined;
        if (samples === undefined) this.#ended = true;
        else if (!this.#ended) this.#arrived(samples);
      },
      (error: unknown) => {
        this.#fetching = undefined;
        this.#error = { error };
      },
    );
    return this.#fetching;
  }

  #arrived(samples: Float32Array): void {
    if (this.#loop !== undefined) {
      this.#after.push(samples);
      return;
    }
    this.#filter?.apply(samples, this.length);
    this.#pieces.push(samples);
    this.#values += samples.length;
  }

  #repeat(loop: Loop): void {
    const piece = loop.samples.slice(loop.at, loop.at + LOOP_PIECE);
    loop.at = (loop.at + piece.length) % loop.samples.length;
    this.#pieces.push(piece);
    this.#values += piece.length;
  }

  #truncate(offset: number): Float32Array {
    const all = this.#join();
    const at = Math.max(0, offset * this.source.channels);
    this.#pieces = at > 0 && all.length > 0 ? [all.subarray(0, at)] : [];
    this.#count();
    return all.slice(at);
  }

  #join(): Float32Array {
    const all = new Float32Array(this.#values);
    let at = 0;
    for (const piece of this.#pieces) {
      all.set(piece, at);
      at += piece.length;
    }
    return all;
  }

  #count(): void {
    this.#values = this.#pieces.reduce((sum, { length }) => sum + length, 0);
    this.#stir.resolve();
    this.#stir = Promise.withResolvers<void>();
  }
}

/** Puts `samples` over `target` from `at` on (both in values), where they overlap. */
export function splice(target: Float32Array, at: number, samples: Float32Array, mode: SpliceMode): void {
  const start = Math.max(0, at);
  const end = Math.min(target.length, at + samples.length);
  for (let i = start; i < end; i++) {
    const value = samples[i - at]!;
    target[i] = mode === "sum" ? target[i]! + value : value;
  }
}
