import { type Clock, microseconds } from "../base/index.js";
import type { Denoiser } from "./denoiser.js";
import type { OverloadGuard } from "./overload.js";
import type { AudioSource } from "./source.js";
import type { TapeCut } from "./tape.js";

/** Options of {@link Renderer}. */
export interface RendererOptions {
  readonly source: AudioSource;
  /** One for each channel of the source; none means the sound goes out as it is. */
  readonly denoisers?: readonly Denoiser[];
  readonly guard: OverloadGuard;
  readonly clock: Clock;
  /** Asked before every hop: is the denoised sound wanted at all? */
  readonly wanted?: () => boolean;
}

/** Samples of a block where there is no denoiser: 10 ms. */
const BLOCK = 480;

/**
 * Turns a source into blocks of dry and wet sound with the denoiser's delay taken out: what comes out lines up with what
 * went in, to the sample, from the first to the last.
 */
export class Renderer {
  readonly source: AudioSource;
  readonly #denoisers: readonly Denoiser[];
  readonly #guard: OverloadGuard;
  readonly #clock: Clock;
  readonly #wanted: () => boolean;
  readonly #hop: number;
  readonly #hopIn: Float32Array;
  readonly #dry: Float32Array;
  readonly #wet: Float32Array;
  readonly #backlog: TapeCut[] = [];
  #chunk: Float32Array = new Float32Array(0);
  #ended = false;
  #received = 0;
  #rendered = 0;
  #primed = false;
  #voiceActivity = 1;

  constructor({ source, denoisers = [], guard, clock, wanted = () => true }: RendererOptions) {
    this.source = source;
    this.#denoisers = denoisers;
    this.#guard = guard;
    this.#clock = clock;
    this.#wanted = wanted;
    this.#hop = denoisers[0]?.hop ?? BLOCK;
    this.#hopIn = new Float32Array(this.#hop);
    this.#dry = new Float32Array(this.#hop * source.channels);
    this.#wet = new Float32Array(this.#hop * source.channels);
  }

  /** Probability of speech in the last hop, 0 to 1. */
  get voiceActivity(): number {
    return this.#voiceActivity;
  }

  /** Puts blocks back in front; they are copied. */
  unread(...blocks: TapeCut[]): void {
    const copies = blocks
      .filter(({ dry }) => dry.length > 0)
      .map(({ dry, wet }) => ({ dry: dry.slice(), wet: wet.slice() }));
    this.#backlog.unshift(...copies);
  }

  /** The next block, or undefined at the end. Its buffers are used again by the next call. One call at a time. */
  async read(): Promise<TapeCut | undefined> {
    const waiting = this.#backlog.shift();
    if (waiting !== undefined) return waiting;
    const { channels } = this.source;
    for (;;) {
      const filled = await this.#fill();
      if (filled === 0 && (this.#denoisers.length === 0 || this.#rendered >= this.#received)) return undefined;
      if (this.#denoisers.length === 0) {
        const block = this.#dry.subarray(0, filled * channels);
        this.#rendered += filled;
        return { dry: block, wet: block };
      }
      await this.#denoise();
      if (!this.#primed) {
        this.#primed = true;
        continue;
      }
      const length = Math.min(this.#hop, this.#received - this.#rendered) * channels;
      this.#rendered += length / channels;
      return { dry: this.#dry.subarray(0, length), wet: this.#wet.subarray(0, length) };
    }
  }

  /** Lets go of the source; idempotent. */
  async close(): Promise<void> {
    this.#ended = true;
    this.#backlog.length = 0;
    for (const denoiser of this.#denoisers) denoiser.close();
    await this.source.close();
  }

  // Fills the dry buffer from the source; returns how many samples per channel were real, the rest is silence.
  async #fill(): Promise<number> {
    const wanted = this.#dry.length;
    let filled = 0;
    while (filled < wanted && !this.#ended) {
      if (this.#chunk.length === 0) {
        const next = await this.source.read();
        if (next === undefined) this.#ended = true;
        else this.#chunk = next;
        continue;
      }
      const piece = this.#chunk.subarray(0, wanted - filled);
      this.#dry.set(piece, filled);
      this.#chunk = this.#chunk.subarray(piece.length);
      filled += piece.length;
    }
    this.#dry.fill(0, filled);
    const frames = filled / this.source.channels;
    this.#received += frames;
    return frames;
  }

  // Sends the dry buffer through the denoisers; afterwards both buffers hold the hop before.
  async #denoise(): Promise<void> {
    const { channels } = this.source;
    const infer = this.#wanted() && this.#guard.admit();
    const started = this.#clock();
    let voiceActivity = 0;
    for (let c = 0; c < channels; c++) {
      for (let i = 0; i < this.#hop; i++) this.#hopIn[i] = this.#dry[i * channels + c]!;
      const hop = await this.#denoisers[c]!.process(this.#hopIn, { infer });
      for (let i = 0; i < this.#hop; i++) {
        this.#dry[i * channels + c] = hop.dry[i]!;
        this.#wet[i * channels + c] = hop.wet[i]!;
      }
      voiceActivity = Math.max(voiceActivity, hop.voiceActivity);
    }
    this.#voiceActivity = voiceActivity;
    if (infer) this.#guard.record(microseconds(this.#clock() - started));
  }
}
