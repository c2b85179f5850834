import { type Clock, microseconds, race } from "../../base/index.js";
import { voiceStep } from "../../container/index.js";
import type { Denoiser, DenoiserState } from "../denoise/denoiser.js";
import type { Model } from "../denoise/model.js";
import type { NoiseProfile } from "../denoise/noise-profile.js";
import type { OverloadGuard } from "../denoise/overload-guard.js";
import { type SampleFilter, SampleQueue, type SpliceMode } from "../source/sample-queue.js";
import type { AudioSource } from "../source/source.js";
import { type TimelineCut, withoutStart } from "../tracks/timeline-buffer.js";

/** Options of {@link SourceRenderer}. */
export interface SourceRendererOptions {
  readonly source: AudioSource;
  /** One for each channel of the source; without any, the audio stays undenoised. */
  readonly denoisers?: readonly Denoiser[];
  readonly guard: OverloadGuard;
  readonly clock: Clock;
  /** Called before every hop: whether denoised audio is wanted. */
  readonly wanted?: () => boolean;
  readonly filter?: SampleFilter;
}

/** Audio rendered by one step. */
export interface Block extends TimelineCut {
  /** Denoiser states at the end of the block, every few hops: rendering can restart there. */
  readonly checkpoint?: readonly DenoiserState[] | undefined;
}

/** Samples of a block without a denoiser: 10 ms. */
const BLOCK = 480;
/** Hops between two checkpoints, at least: a few kilobytes for 100 ms. */
const CHECKPOINT_HOPS = 10;
/** Values of a checkpoint per hop since the last one, at most: models with more state are copied less often. */
const CHECKPOINT_VALUES = 2048;

/**
 * Turns a source into blocks of dry and wet audio. It compensates the denoiser's delay, so output and input line up to
 * the sample, from the first to the last.
 */
export class SourceRenderer {
  readonly #samples: SampleQueue;
  readonly #guard: OverloadGuard;
  readonly #clock: Clock;
  readonly #wanted: () => boolean;
  #denoisers: readonly Denoiser[] = [];
  #makeDenoisers: (() => Promise<readonly Denoiser[]>) | undefined;
  #noise: NoiseProfile | undefined;
  #hop = BLOCK;
  #hopIn = new Float32Array(0);
  #dry = new Float32Array(0);
  #wet = new Float32Array(0);
  /** Hops of lag in the denoisers. */
  #lag = 1;
  /** Hops that the denoisers hold: taken and not returned yet. */
  #held = new Float32Array(0);
  /** Hops taken by the denoisers since they started. */
  #taken = 0;
  /** Checkpoints from before each of the held hops. */
  #checkpoints: (readonly DenoiserState[] | undefined)[] = [];
  #backlog: TimelineCut[] = [];
  /** Blocks put in front of the backlog since one was taken from it, or since the current read began. */
  #inFront = 0;
  #refilled = Promise.withResolvers<void>();
  /** Samples per channel that entered and left the denoisers. */
  #received = 0;
  #rendered = 0;
  #sinceCheckpoint = 0;
  #voiceActivity = 1;
  /** Voice activity of the last hop, as a part of its block. */
  #voice: Uint8Array | undefined;
  #waiting = true;
  #closed = false;

  constructor({ source, denoisers = [], guard, clock, wanted = () => true, filter }: SourceRendererOptions) {
    this.#samples = new SampleQueue(source, {
      apply: (samples, offset) => filter?.apply(samples, this.#ahead + offset),
    });
    this.#guard = guard;
    this.#clock = clock;
    this.#wanted = wanted;
    this.#setDenoisers(denoisers);
  }

  /** The source. */
  get source(): AudioSource {
    return this.#samples.source;
  }

  /** Probability of speech in the last hop, 0 to 1. */
  get voiceActivity(): number {
    return this.#voiceActivity;
  }

  /** Whether a read waits for the source or has not begun. Only then may anything change. */
  get waiting(): boolean {
    return this.#waiting;
  }

  get denoises(): boolean {
    return this.#denoisers.length > 0 || this.#makeDenoisers !== undefined;
  }

  /** Samples per channel taken from the source and not returned yet. */
  get ahead(): number {
    return this.#ahead + this.#samples.length;
  }

  /** Whether a stretch repeats. */
  get looping(): boolean {
    return this.#samples.looping;
  }

  /** Puts blocks back in front; copies them. */
  unread(...blocks: TimelineCut[]): void {
    const copies = blocks
      .filter(({ dry }) => dry.length > 0)
      .map(({ dry, wet, voice }) => ({ dry: dry.slice(), wet: wet.slice(), voice }));
    this.#backlog.unshift(...copies);
    this.#inFront += copies.length;
    this.#refilled.resolve();
    this.#refilled = Promise.withResolvers();
  }

  /** Puts the block of the last read back, behind the blocks put in front since that read began. */
  putBack({ dry, wet, voice }: TimelineCut): void {
    this.#backlog.splice(this.#inFront, 0, { dry: dry.slice(), wet: wet.slice(), voice });
  }

  /** Skips up to `frames` samples per channel of the blocks put back; returns how many. */
  skip(frames: number): number {
    const { channels } = this.source;
    let left = frames;
    while (left > 0 && this.#backlog.length > 0) {
      const first = this.#backlog.shift()!;
      const length = first.dry.length / channels;
      if (length > left) this.#backlog.unshift(withoutStart(first, left, channels));
      else this.#inFront = Math.max(0, this.#inFront - 1);
      left -= Math.min(left, length);
    }
    return frames - left;
  }

  /** The next block, or undefined at the end. The next call reuses its buffers. One call at a time. */
  async read(): Promise<Block | undefined> {
    for (;;) {
      this.#waiting = true;
      if (this.#makeDenoisers !== undefined) await this.#makeReady();
      else if (this.#backlog.length === 0) await this.#fill();
      // A change made meanwhile comes first.
      if (this.#makeDenoisers !== undefined) continue;
      this.#waiting = false;
      const given = this.#backlog.shift();
      this.#inFront = 0;
      if (given !== undefined) return given;
      if (!this.#samples.isReady(this.#dry.length)) continue;
      const { channels } = this.source;
      const filled = this.#samples.take(this.#dry) / channels;
      if (this.#denoisers.length === 0) {
        if (filled === 0) return undefined;
        const block = this.#dry.subarray(0, filled * channels);
        return { dry: block, wet: block };
      }
      if (filled === 0 && this.#rendered >= this.#received) return undefined;
      this.#received += filled;
      this.#checkpoints.push(this.#checkpoint());
      await this.#denoise();
      if (this.#closed) return undefined;
      if (this.#checkpoints.length > this.#lag) this.#checkpoints.shift();
      if (++this.#taken <= this.#lag) continue;
      const checkpoint = this.#checkpoints[0];
      const length = Math.min(this.#hop, this.#received - this.#rendered) * channels;
      this.#rendered += length / channels;
      const [dry, wet] = [this.#dry.subarray(0, length), this.#wet.subarray(0, length)];
      return { dry, wet, voice: this.#voice, checkpoint };
    }
  }

  /**
   * Goes back over `dry`, the end of the returned audio, to render it again: from a checkpoint, with other denoisers,
   * or from their start. Not while busy.
   */
  rewind(
    dry: Float32Array,
    {
      states,
      denoisers,
    }: { states?: readonly DenoiserState[] | undefined; denoisers?: readonly Denoiser[] | undefined },
  ): void {
    const pending = (this.#received - this.#rendered) * this.source.channels;
    const start = Math.max(0, this.#lag - this.#taken) * this.#dry.length;
    const held = this.#held.slice(start, start + pending);
    this.#samples.unshift(dry, ...this.#backlog.splice(0).map((block) => block.dry), held);
    if (denoisers !== undefined) {
      this.#release();
      this.#setDenoisers(denoisers);
    } else {
      for (const [channel, denoiser] of this.#denoisers.entries()) denoiser.restore(states?.[channel]);
      this.#startOver();
    }
  }

  /** Replaces the denoisers by those of `make` before the next block; the output continues from there. */
  reset(make: () => Promise<readonly Denoiser[]>): void {
    this.rewind(new Float32Array(0), { denoisers: [] });
    this.#makeDenoisers = make;
  }

  /** Conditions the denoisers, from the next hop on. */
  setNoiseProfile(profile: NoiseProfile | undefined): void {
    this.#noise = profile;
    for (const denoiser of this.#denoisers) denoiser.setNoiseProfile(profile);
  }

  /**
   * Changes samples not rendered yet, `offset` samples per channel behind the rendered ones; only just after a rewind.
   */
  edit(offset: number, samples: Float32Array, mode: SpliceMode): void {
    this.#samples.edit(offset, samples, mode);
  }

  /** The next samples taken from the source, at most `frames` per channel; only just after a rewind. */
  peek(frames: number): Float32Array {
    return this.#samples.peek(frames);
  }

  /** Repeats `samples` from `offset` on, starting at `phase`; only just after a rewind. */
  loop(samples: Float32Array, offset: number, phase: number): void {
    this.#samples.loop(samples, offset, phase);
  }

  /** Continues the source at `offset`; only just after a rewind. */
  unloop(offset: number): void {
    this.#samples.unloop(offset);
  }

  /** Closes the source; rewinding still works. Idempotent. */
  async closeSource(): Promise<void> {
    await this.#samples.close();
  }

  /** Closes the source and the denoisers; idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#backlog.length = 0;
    this.#release();
    await this.#samples.close();
  }

  // Samples taken off the queue and not returned.
  get #ahead(): number {
    const backlog = this.#backlog.reduce((sum, { dry }) => sum + dry.length, 0) / this.source.channels;
    return backlog + this.#received - this.#rendered;
  }

  // Samples may be put back while the source delivers nothing.
  async #fill(): Promise<void> {
    const values = this.#dry.length;
    if (!this.#samples.isReady(values)) await race([this.#samples.fill(values), this.#refilled.promise]);
  }

  async #makeReady(): Promise<void> {
    const make = this.#makeDenoisers!;
    const denoisers = await make();
    if (this.#makeDenoisers !== make) {
      for (const denoiser of denoisers) denoiser.close();
      return;
    }
    this.#makeDenoisers = undefined;
    this.#setDenoisers(denoisers);
  }

  #setDenoisers(denoisers: readonly Denoiser[]): void {
    this.#makeDenoisers = undefined;
    this.#denoisers = denoisers;
    this.#hop = denoisers[0]?.hop ?? BLOCK;
    const { channels } = this.source;
    this.#hopIn = new Float32Array(this.#hop);
    this.#dry = new Float32Array(this.#hop * channels);
    this.#wet = new Float32Array(this.#hop * channels);
    this.#lag = (denoisers[0]?.delaySamples ?? this.#hop) / this.#hop;
    this.#held = new Float32Array(this.#lag * this.#hop * channels);
    if (this.#noise !== undefined) for (const denoiser of denoisers) denoiser.setNoiseProfile(this.#noise);
    this.#startOver();
  }

  #startOver(): void {
    this.#received = 0;
    this.#rendered = 0;
    this.#taken = 0;
    this.#checkpoints = [];
    this.#sinceCheckpoint = 0;
  }

  #release(): void {
    for (const denoiser of this.#denoisers) denoiser.close();
    this.#denoisers = [];
  }

  #checkpoint(): readonly DenoiserState[] | undefined {
    const every = Math.max(CHECKPOINT_HOPS, Math.ceil((this.#denoisers[0]?.checkpointLength ?? 0) / CHECKPOINT_VALUES));
    if (this.#taken === 0 || ++this.#sinceCheckpoint < every) return undefined;
    this.#sinceCheckpoint = 0;
    return this.#denoisers.map((denoiser) => denoiser.checkpoint());
  }

  // Sends the dry buffer through the denoisers; afterwards both buffers hold the hop that is ready.
  async #denoise(): Promise<void> {
    const { channels } = this.source;
    const infer = this.#wanted() && this.#guard.admit();
    const started = this.#clock();
    let voiceActivity = 0;
    this.#held.copyWithin(0, this.#dry.length);
    this.#held.set(this.#dry, this.#held.length - this.#dry.length);
    // Once closed, the rest of the hop is useless.
    for (let c = 0; c < channels && !this.#closed; c++) {
      for (let i = 0; i < this.#hop; i++) this.#hopIn[i] = this.#dry[i * channels + c]!;
      const hop = await this.#denoisers[c]!.process(this.#hopIn, { infer });
      for (let i = 0; i < this.#hop; i++) {
        this.#dry[i * channels + c] = hop.dry[i]!;
        this.#wet[i * channels + c] = hop.wet[i]!;
      }
      voiceActivity = Math.max(voiceActivity, hop.voiceActivity);
    }
    this.#voiceActivity = voiceActivity;
    const isKnown = infer && this.#denoisers.every(({ model }) => detectsVoice(model));
    this.#voice = isKnown ? Uint8Array.of(voiceStep(voiceActivity)) : undefined;
    if (infer) this.#guard.record(microseconds(this.#clock() - started));
  }
}

/** Whether a model estimates voice activity. */
export function detectsVoice({ contract }: Model): boolean {
  return contract.outputs.voiceActivity !== undefined;
}
