import { VOICE_UNKNOWN } from "../../container/index.js";

/** Audio cut off a {@link TimelineBuffer}: both versions, interleaved, equally long. */
export interface TimelineCut {
  readonly dry: Float32Array;
  readonly wet: Float32Array;
  /**
   * Voice activity: a step of a voice frame for every 10 ms, and the last one for the rest. Undefined where unknown.
   */
  readonly voice?: Uint8Array | undefined;
}

/** Samples per channel in a step of voice: 10 ms. */
const STEP = 480;

/** A cut without its first `frames` samples per channel. */
export function withoutStart({ dry, wet, voice }: TimelineCut, frames: number, channels: number): TimelineCut {
  const from = frames * channels;
  return { dry: dry.subarray(from), wet: wet.subarray(from), voice: voice?.subarray(Math.floor(frames / STEP)) };
}

/**
 * The rendered audio on the broadcast's timeline: the original ("dry") and denoised ("wet") samples from the playhead
 * to the end of the rendered audio, so that both can be mixed again or taken back, together with their voice activity.
 * Positions count samples per channel from the start of the broadcast; unwritten positions read as silence.
 */
export class TimelineBuffer {
  readonly channels: number;
  readonly #capacity: number;
  readonly #dry: Float32Array;
  readonly #wet: Float32Array;
  readonly #voice: Uint8Array;
  #end = 0;
  /** The furthest end so far: audio a ring's length before it is overwritten. */
  #furthest = 0;

  /** `capacity`: samples per channel remembered before the end. */
  constructor({ channels, capacity }: { channels: number; capacity: number }) {
    this.channels = channels;
    this.#capacity = capacity;
    this.#dry = new Float32Array(capacity * channels);
    this.#wet = new Float32Array(capacity * channels);
    // Blocks need not be aligned, so one more step at either end.
    this.#voice = new Uint8Array(Math.floor(capacity / STEP) + 2);
  }

  /** Position of the next block. */
  get end(): number {
    return this.#end;
  }

  /** The earliest position in memory. */
  get oldest(): number {
    return this.#furthest - this.#capacity;
  }

  /** Appends a block; `dry` and `wet` may be the same. See {@link TimelineCut} for `voice`. */
  write(dry: Float32Array, wet: Float32Array, voice?: Uint8Array): void {
    this.#writeVoice(dry.length / this.channels, voice);
    this.#each(this.#end, dry.length / this.channels, (at, from, length) => {
      this.#dry.set(dry.subarray(from, from + length), at);
      this.#wet.set(wet.subarray(from, from + length), at);
    });
    this.#advance(this.#end + dry.length / this.channels);
  }

  /** Advances the end over silence; a position behind the end changes nothing. */
  seek(position: number): void {
    const gap = Math.min(position - this.#end, this.#capacity);
    if (gap <= 0) return;
    this.#each(position - gap, gap, (at, _from, length) => {
      this.#dry.fill(0, at, at + length);
      this.#wet.fill(0, at, at + length);
    });
    for (let step = Math.ceil((position - gap) / STEP); step < position / STEP; step++)
      this.#voice[step % this.#voice.length] = 0;
    this.#advance(position);
  }

  /** Reads from `position` as many samples as `dry` and `wet` hold. */
  read(position: number, dry: Float32Array, wet: Float32Array): void {
    dry.fill(0);
    wet.fill(0);
    const start = Math.max(position, this.#furthest - this.#capacity, 0);
    const length = Math.min(position + dry.length / this.channels, this.#end) - start;
    if (length <= 0) return;
    const offset = (start - position) * this.channels;
    this.#each(start, length, (at, from, count) => {
      dry.set(this.#dry.subarray(at, at + count), offset + from);
      wet.set(this.#wet.subarray(at, at + count), offset + from);
    });
  }

  /** The voice activity from `step` times 10 ms on; 0 where nothing was written. */
  voice(step: number): number {
    if (step * STEP >= this.#end) return 0;
    return step * STEP < this.oldest ? VOICE_UNKNOWN : this.#voice[step % this.#voice.length]!;
  }

  /** Cuts everything from `position` on off the end and returns it. */
  cut(position: number): TimelineCut {
    const start = Math.max(position, this.#furthest - this.#capacity, 0);
    const frames = Math.max(0, this.#end - start);
    const length = frames * this.channels;
    const voice = Uint8Array.from({ length: Math.ceil(frames / STEP) }, (_, index) =>
      this.voice(Math.floor((start + (index + 0.5) * STEP) / STEP)),
    );
    const cut = { dry: new Float32Array(length), wet: new Float32Array(length), voice };
    this.read(start, cut.dry, cut.wet);
    this.#end = Math.min(this.#end, Math.max(position, 0));
    return cut;
  }

  // A step that two blocks share belongs to the later one.
  #writeVoice(frames: number, voice: Uint8Array | undefined): void {
    const start = this.#end;
    if (frames === 0) return;
    for (let step = Math.floor(start / STEP); step < (start + frames) / STEP; step++) {
      const index = Math.floor(((step + 0.5) * STEP - start) / STEP);
      const value = voice?.[Math.max(0, Math.min(index, voice.length - 1))];
      this.#voice[step % this.#voice.length] = value ?? VOICE_UNKNOWN;
    }
  }

  #advance(end: number): void {
    this.#end = end;
    this.#furthest = Math.max(this.#furthest, end);
  }

  // Calls with array indices: place in the ring, place in the block, length; twice where the ring wraps.
  #each(position: number, frames: number, visit: (at: number, from: number, length: number) => void): void {
    const skipped = Math.max(0, frames - this.#capacity);
    let done = skipped;
    while (done < frames) {
      const at = (position + done) % this.#capacity;
      const count = Math.min(frames - done, this.#capacity - at);
      visit(at * this.channels, done * this.channels, count * this.channels);
      done += count;
    }
  }
}
