import { type Clock, microseconds, race } from "../../base/index.js";
import { voiceStep } from "../../container/index.js";
import type { Denoiser, DenoiserState } from "../denoise/denoiser.js";
import type { Model } from "../denoise/model.js";
import type { NoiseProfile } from "../denoise/noise-profile.js";
import type { OverloadGuard } from "../denoise/overload-guard.js";
import { SampleQueue, type SpliceMode } from "../source/sample-queue.js";
import type { AudioSource } from "../source/source.js";
import { type TimelineCut, withoutStart } from "../tracks/timeline-buffer.js";

/** Options of {@link SourceRenderer}. */
export interface SourceRendererOptions {
  readonly source: AudioSource;
  /** One for each channel of the source; none means the audio goes out as it is. */
  readonly denoisers?: readonly Denoiser[];
  readonly guard: OverloadGuard;
  readonly clock: Clock;
  /** Asked before every hop: is the denoised audio wanted at all? */
  readonly wanted?: () => boolean;
  /** Changes samples as they come from the source, `offset` samples per channel behind what was rendered. */
  readonly onSamples?: (samples: Float32Array, offset: number) => void;
}

/** Sound rendered by one step. */
export interface Block extends TimelineCut {
  /** Of the denoisers where the block ends, every so often: rendering can start there anew. */
  readonly checkpoint?: readonly DenoiserState[] | undefined;
}

/** Samples of a block where there is no denoiser: 10 ms. */
const BLOCK = 480;
/** Hops from one checkpoint to the next, at least: a few kilobytes for 100 ms. */
const CHECKPOINT_HOPS = 10;
/** Values of a checkpoint for each hop since the one before, at most: models with more state are copied less often. */
const CHECKPOINT_VALUES = 2048;

/**
 * Turns a source into blocks of dry and wet audio with the denoiser's delay taken out: what comes out lines up with what
 * went in, to the sample, from the first to the last.
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
  /** Hops by which the denoisers lag. */
  #lag = 1;
  /** The hops the denoisers hold: taken and not given out yet. */
  #held = new Float32Array(0);
  /** Hops they took since they began. */
  #taken = 0;
  /** Checkpoints from before each of the hops held. */
  #checkpoints: (readonly DenoiserState[] | undefined)[] = [];
  #backlog: TimelineCut[] = [];
  /** Blocks that were put in front of the backlog since the reading in progress began. */
  #inFront = 0;
  #refilled = Promise.withResolvers<void>();
  /** Samples per channel that the denoisers took and gave out. */
  #received = 0;
  #rendered = 0;
  #sinceCheckpoint = 0;
  #voiceActivity = 1;
  /** What the last hop tells of a voice, as a part of its block. */
  #voice: Uint8Array | undefined;
  #waiting = true;
  #closed = false;

  constructor({ source, denoisers = [], guard, clock, wanted = () => true, onSamples }: SourceRendererOptions) {
    this.#samples = new SampleQueue(source, (samples, offset) => onSamples?.(samples, this.#ahead + offset));
    this.#guard = guard;
    this.#clock = clock;
    this.#wanted = wanted;
    this.#setDenoisers(denoisers);
  }

  /** What it renders. */
  get source(): AudioSource {
    return this.#samples.source;
  }

  /** Probability of speech in the last hop, 0 to 1. */
  get voiceActivity(): number {
    return this.#voiceActivity;
  }

  /** Whether a reading waits for the source or has not begun. Only then may anything be changed. */
  get waiting(): boolean {
    return this.#waiting;
  }

  /** Whether it has denoisers. */
  get denoises(): boolean {
    return this.#denoisers.length > 0 || this.#makeDenoisers !== undefined;
  }

  /** Samples per channel taken from the source beyond what was given out. */
  get ahead(): number {
    return this.#ahead + this.#samples.length;
  }

  /** Whether a stretch repeats. */
  get looping(): boolean {
    return this.#samples.looping;
  }

  /** Puts blocks back in front; they are copied. */
  unread(...blocks: TimelineCut[]): void {
    const copies = blocks
      .filter(({ dry }) => dry.length > 0)
      .map(({ dry, wet, voice }) => ({ dry: dry.slice(), wet: wet.slice(), voice }));
    this.#backlog.unshift(...copies);
    this.#inFront += copies.length;
    this.#refilled.resolve();
    this.#refilled = Promise.withResolvers();
  }

  /** Puts the block of the last reading back: behind those that were put in front since that reading began. */
  putBack({ dry, wet, voice }: TimelineCut): void {
    this.#backlog.splice(this.#inFront, 0, { dry: dry.slice(), wet: wet.slice(), voice });
  }

  /** Leaves out up to `frames` samples per channel of what was put back; returns how many. */
  skip(frames: number): number {
    const { channels } = this.source;
    let left = frames;
    while (left > 0 && this.#backlog.length > 0) {
      const first = this.#backlog.shift()!;
      const length = first.dry.length / channels;
      if (length > left) this.#backlog.unshift(withoutStart(first, left, channels));
      left -= Math.min(left, length);
    }
    return frames - left;
  }

  /** The next block, or undefined at the end. Its buffers are used again by the next call. One call at a time. */
  async read(): Promise<Block | undefined> {
    for (;;) {
      this.#waiting = true;
      if (this.#makeDenoisers !== undefined) await this.#makeReady();
      else if (this.#backlog.length === 0) await this.#fill();
      // What was changed meanwhile comes first.
      if (this.#makeDenoisers !== undefined) continue;
      this.#waiting = false;
      const given = this.#backlog.shift();
      if (given !== undefined) {
        this.#inFront = Math.max(0, this.#inFront - 1);
        return given;
      }
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
   * Goes back over `dry`, the end of what was given out, to render it again: from a checkpoint, with other denoisers, or
   * from their beginning. Not while it is busy.
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

  /** Takes denoisers made by `make` before the next block; what is given out goes on from there. */
  reset(make: () => Promise<readonly Denoiser[]>): void {
    this.rewind(new Float32Array(0), { denoisers: [] });
    this.#makeDenoisers = make;
  }

  /** Conditions the denoisers, from the next hop on. */
  setNoiseProfile(profile: NoiseProfile | undefined): void {
    this.#noise = profile;
    for (const denoiser of this.#denoisers) denoiser.setNoiseProfile(profile);
  }

  /** Changes samples that were not rendered yet, `offset` samples per channel behind what was; just after a rewind only. */
  edit(offset: number, samples: Float32Array, mode: SpliceMode): void {
    this.#samples.edit(offset, samples, mode);
  }

  /** The next samples that were taken from the source, at most `frames` per channel; just after a rewind only. */
  peek(frames: number): Float32Array {
    return this.#samples.peek(frames);
  }

  /** Repeats `samples` from `offset` on, `phase` first; just after a rewind only. */
  loop(samples: Float32Array, offset: number, phase: number): void {
    this.#samples.loop(samples, offset, phase);
  }

  /** Goes on with the source at `offset`; just after a rewind only. */
  unloop(offset: number): void {
    this.#samples.unloop(offset);
  }

  /** Lets go of the source, but can still be rewound; idempotent. */
  async closeSource(): Promise<void> {
    await this.#samples.close();
  }

  /** Lets go of everything; idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#backlog.length = 0;
    this.#release();
    await this.#samples.close();
  }

  // What was taken off the feed and not given out.
  get #ahead(): number {
    const backlog = this.#backlog.reduce((sum, { dry }) => sum + dry.length, 0) / this.source.channels;
    return backlog + this.#received - this.#rendered;
  }

  // Samples may be put back while the source is silent.
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
    // Closed meanwhile, the rest of the hop is of no use to anybody.
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
    const isKnown = infer && this.#denoisers.every(({ model }) => tellsVoice(model));
    this.#voice = isKnown ? Uint8Array.of(voiceStep(voiceActivity)) : undefined;
    if (infer) this.#guard.record(microseconds(this.#clock() - started));
  }
}

/** Whether a model tells how likely it is that somebody speaks. */
export function tellsVoice({ contract }: Model): boolean {
  return contract.outputs.voiceActivity !== undefined;
}
