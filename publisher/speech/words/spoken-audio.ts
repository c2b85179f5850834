/** Samples per channel in a step: 10 ms at 48 kHz. */
const STEP = 480;
/** Length of a step, in milliseconds. */
export const STEP_MS = 10;
/** An hour; counting words makes no sense in a longer source. */
const MAX_STEPS = 360_000;
const QUIETEST_DB = -100;
/** A speaker's loud sounds: this share of the steps is quieter. */
const LOUD_SHARE = 0.95;
const PAUSE_SHARE = 0.05;
/** Steps of a frequency's logarithm that fit a byte, from 1 Hz to 48 kHz. */
const PITCHES = 16;

/** What an alignment of a text with its audio hears, every 10 ms. */
export interface VoiceTrace {
  /** Number of steps so far. */
  readonly steps: number;
  /** Level of a speaker's loud sounds, in dBFS. */
  readonly loudDb: number;
  /** Level between words, in dBFS. */
  readonly quietDb: number;
  /** In dBFS. */
  levelDb(step: number): number;
  /** Mean frequency, weighted by power, as a logarithm to the base 2. */
  octave(step: number): number;
}

/** Level and frequency of a source: the base for estimating the heard text without word timings. */
export class SpokenAudio implements VoiceTrace {
  readonly #channels: number;
  /** Whole decibels under full scale. */
  #levels = new Uint8Array(1024);
  #octaves = new Uint8Array(1024);
  /** Number of steps of each level. */
  readonly #histogram = new Uint32Array(1 - QUIETEST_DB);
  /** Quantiles of the levels of the first `#ranked` steps. */
  readonly #ranks = new Map<number, number>();
  #ranked = 0;
  #steps = 0;
  #power = 0;
  #slope = 0;
  #last = 0;
  #frames = 0;

  constructor(channels: number) {
    this.#channels = channels;
  }

  /** Samples per channel so far. */
  get length(): number {
    return this.#steps * STEP + this.#frames;
  }

  get steps(): number {
    return this.#steps;
  }

  get loudDb(): number {
    return this.#quantile(LOUD_SHARE);
  }

  get quietDb(): number {
    return this.#quantile(PAUSE_SHARE);
  }

  levelDb(step: number): number {
    return -this.#levels[step]!;
  }

  octave(step: number): number {
    return this.#octaves[step]! / PITCHES;
  }

  /**
   * Takes the next interleaved samples of the source. Skips those before `position`, which come again after a rewind.
   */
  write(position: number, samples: Float32Array): void {
    const known = Math.max(0, this.length - position) * this.#channels;
    for (let i = known; i < samples.length; i += this.#channels) {
      const value = samples[i]!;
      this.#power += value * value;
      this.#slope += (value - this.#last) ** 2;
      this.#last = value;
      if (++this.#frames === STEP) this.#close();
    }
  }

  #close(): void {
    const level = Math.max(QUIETEST_DB, 10 * Math.log10(this.#power / STEP + 1e-12));
    // A sine's slope is its frequency times 2 pi, so that the ratio of both powers is a mean of squared frequencies.
    const hertz = (48_000 / (2 * Math.PI)) * Math.sqrt((this.#slope + 1e-12) / (this.#power + 1e-12));
    this.#power = 0;
    this.#slope = 0;
    this.#frames = 0;
    if (this.#steps >= MAX_STEPS) return;
    if (this.#steps === this.#levels.length) {
      this.#levels = grown(this.#levels);
      this.#octaves = grown(this.#octaves);
    }
    const under = Math.round(-Math.min(0, level));
    this.#levels[this.#steps] = under;
    this.#octaves[this.#steps++] = Math.round(Math.min(255, Math.max(0, PITCHES * Math.log2(hertz))));
    this.#histogram[under]!++;
  }

  #quantile(share: number): number {
    if (this.#ranked !== this.#steps) this.#ranks.clear();
    this.#ranked = this.#steps;
    const known = this.#ranks.get(share) ?? this.#rank(share);
    this.#ranks.set(share, known);
    return known;
  }

  #rank(share: number): number {
    let left = share * this.#steps;
    for (let under = this.#histogram.length - 1; under > 0; under--) {
      left -= this.#histogram[under]!;
      if (left < 0) return -under;
    }
    return 0;
  }
}

function grown(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const twice = new Uint8Array(bytes.length * 2);
  twice.set(bytes);
  return twice;
}
