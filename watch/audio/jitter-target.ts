import { InputError } from "../../base/index.js";
import { framesIn, SAMPLE_RATE } from "./samples.js";

/** Options for {@link JitterTarget}. */
export interface JitterTargetOptions {
  /** Delay from the first frame's arrival to its audio, initially, and at least while `adaptive` is off. Default 80. */
  readonly jitterMs?: number;
  /** Whether the delay follows the measured arrival jitter. Where audio is sent ahead, a rewind returns it to `jitterMs`. Default true. */
  readonly adaptive?: boolean;
  /** The adaptive delay's lower bound. Default 40, or `jitterMs` where that is less. */
  readonly minimumJitterMs?: number;
  /** The adaptive delay's upper bound. Default 500, or `jitterMs` where that is more. */
  readonly maximumJitterMs?: number;
}

/** Options for a `PlaybackClock`. */
export interface PlaybackClockOptions extends JitterTargetOptions {
  /**
   * How long the playhead waits for late audio: in a live broadcast, the total it may fall behind by that; else each
   * time. Audio that is sent ahead and comes later still plays if nothing after it was heard, however late. Default
   * 1000.
   */
  readonly maximumHoldMs?: number;
}

/** Margin of a late frame: one packet. */
export const MARGIN_FRAMES = framesIn(20);
/** Jitter covers this many of the last buckets. */
const BUCKETS = 10;
const BUCKET_FRAMES = SAMPLE_RATE;

/** The target delay from arrival to audio, in frames at 48 kHz, following the latest arrivals of ten seconds. */
export class JitterTarget {
  /** The upper bound. */
  readonly maximum: number;
  readonly #adaptive: boolean;
  readonly #initial: number;
  readonly #minimum: number;
  #frames: number;
  #buckets: { readonly index: number; late: number }[] = [];

  /** @throws InputError `INVALID_OPTION` when an option is out of range. */
  constructor({
    jitterMs = 80,
    adaptive = true,
    minimumJitterMs = Math.min(40, jitterMs),
    maximumJitterMs = Math.max(500, jitterMs),
  }: JitterTargetOptions) {
    for (const [name, value] of Object.entries({ jitterMs, minimumJitterMs, maximumJitterMs }))
      if (!(value >= 0 && value <= 30_000))
        throw new InputError("INVALID_OPTION", `${name} must be from 0 to 30000, but is ${value}.`);
    if (minimumJitterMs > jitterMs || jitterMs > maximumJitterMs)
      throw new InputError("INVALID_OPTION", "jitterMs must lie between minimumJitterMs and maximumJitterMs.");
    this.#adaptive = adaptive;
    this.#minimum = framesIn(minimumJitterMs);
    this.maximum = framesIn(maximumJitterMs);
    this.#initial = framesIn(jitterMs);
    this.#frames = this.#initial;
  }

  /** The target delay. */
  get frames(): number {
    return this.#frames;
  }

  /** How much later than the anchored frame, relative to its timestamp, the latest frame of the window came. */
  get latest(): number | undefined {
    return this.#buckets.length === 0 ? undefined : Math.max(...this.#buckets.map(({ late }) => late));
  }

  /** Records, at clock position `at`, how much later than the anchored frame a frame came. */
  measure(at: number, late: number): void {
    const index = Math.floor(at / BUCKET_FRAMES);
    const bucket = this.#buckets.at(-1);
    if (bucket?.index === index) bucket.late = Math.max(bucket.late, late);
    else this.#buckets.push({ index, late });
    while (this.#buckets[0] && this.#buckets[0].index <= index - BUCKETS) this.#buckets.shift();
    this.aim(this.latest ?? 0, this.#buckets.length === BUCKETS);
  }

  /** Sets the target for a jitter: it only falls on the evidence of a whole window. */
  aim(jitter: number, whole: boolean): void {
    if (!this.#adaptive) return;
    const wanted = Math.round(Math.min(Math.max(jitter + MARGIN_FRAMES, this.#minimum), this.maximum));
    if (wanted > this.#frames || whole) this.#frames = wanted;
  }

  /** Returns to the initial delay, where it is more. */
  lower(): void {
    this.#frames = Math.min(this.#frames, this.#initial);
  }

  /** Forgets the measurements; the target stays. */
  clear(): void {
    this.#buckets = [];
  }
}
