/** Samples per channel in a step: 10 ms at 48 kHz. */
const STEP = 480;
/** An hour; counting words makes no sense in a longer source. */
const MAX_STEPS = 360_000;
/** A step counts as voice within this many decibels of the loudest one, and above this level. */
const VOICE_RANGE_DB = 30;
const VOICE_FLOOR_DB = -55;
const QUIETEST_DB = -100;

/** Finds the voice in a source, by level alone: the base for estimating the heard text without word timings. */
export class VoicedAudio {
  readonly #channels: number;
  /** Level of each step in whole decibels under full scale. */
  #levels = new Uint8Array(1024);
  #steps = 0;
  #loudest = QUIETEST_DB;
  #sum = 0;
  #frames = 0;

  constructor(channels: number) {
    this.#channels = channels;
  }

  get length(): number {
    return this.#steps * STEP + this.#frames;
  }

  /**
   * Takes the next interleaved samples of the source. Skips those before `position`, which come again after a rewind.
   */
  write(position: number, samples: Float32Array): void {
    const known = Math.max(0, this.length - position) * this.#channels;
    for (let i = known; i < samples.length; i += this.#channels) {
      const value = samples[i]!;
      this.#sum += value * value;
      if (++this.#frames === STEP) this.#close();
    }
  }

  /** Milliseconds of voice up to a sample of the source. */
  voicedMs(position: number): number {
    const threshold = Math.max(VOICE_FLOOR_DB, this.#loudest - VOICE_RANGE_DB);
    const until = Math.min(this.#steps, position / STEP);
    let voiced = 0;
    for (let step = 0; step < until; step++) {
      if (-this.#levels[step]! >= threshold) voiced += Math.min(1, until - step);
    }
    return voiced * 10;
  }

  #close(): void {
    const level = Math.max(QUIETEST_DB, 10 * Math.log10(this.#sum / STEP + 1e-12));
    this.#sum = 0;
    this.#frames = 0;
    if (this.#steps >= MAX_STEPS) return;
    if (this.#steps === this.#levels.length) {
      const grown = new Uint8Array(this.#levels.length * 2);
      grown.set(this.#levels);
      this.#levels = grown;
    }
    this.#levels[this.#steps++] = Math.round(-Math.min(0, level));
    this.#loudest = Math.max(this.#loudest, level);
  }
}
