import { bestShift, type Microseconds, microseconds } from "../../base/index.js";
import { SAMPLE_RATE } from "./resample.js";
import type { AudioSource } from "./source.js";

/** Options of {@link PacedSource}. */
export interface PacedSourceOptions {
  readonly source: AudioSource;
  /** How much later than now what is read next goes to the timeline. */
  readonly lag: () => Microseconds;
}

const milliseconds = (value: number): number => (value * SAMPLE_RATE) / 1000;

/** Audio queued at most. A source that fills this delivers faster than it captures, so it is no live one. */
const MAX_QUEUED = milliseconds(30_000);
/** Audio given out at once. */
const PIECE = milliseconds(10);
/** Over what time the least lateness counts: the rest of it comes and goes with the source's chunks. */
const WINDOW = milliseconds(1000);
/** Lateness that is made good, and what is left of it. */
const WORTH = { begin: milliseconds(25), end: milliseconds(10) };
/** More lateness than this is left out at once: a minute of it would take minutes in small skips. */
const LIMIT = milliseconds(3000);
const FADE = milliseconds(5);
/** Longest stretch left out or repeated at once: a period of a low voice, and more where it is quiet. */
const LONGEST = { quiet: milliseconds(20), loud: milliseconds(15) };
/** Quiet: a peak under -40 dBFS, or 26 dB under the loudest of the last seconds. */
const QUIET = { peak: 0.01, share: 0.05 };
const FORGET = Math.exp(-PIECE / (3 * SAMPLE_RATE));

/**
 * A live source at the pace of the wall clock. It reads the source as fast as that delivers, so that nothing waits unseen
 * in a pipe, and makes good what stays late: it leaves out short stretches where the source's clock is fast or audio
 * waited, repeats some where the clock is slow, each with a crossfade where it is heard least. The source's chunks and
 * short stalls, whose audio comes in time after all, change nothing.
 */
export class PacedSource implements AudioSource {
  readonly #source: AudioSource;
  readonly #lag: () => Microseconds;
  readonly #fade: Float32Array;
  #queue = new Float32Array(0);
  /** What was given out last: as much as can be repeated. */
  #past = new Float32Array(0);
  #reading = false;
  #isOver = false;
  #error: { readonly error: unknown } | undefined;
  #wake: (() => void) | undefined;
  /** Samples per channel given out. */
  #given = 0;
  /** In samples per channel, of the last second: how late what was read next was, and how much of it was queued. */
  #lateness: { readonly at: number; readonly late: number; readonly queued: number }[] = [];
  #isMakingGood = false;
  #notBefore = 0;
  #loudest = 0;
  #skipped = 0;
  #repeated = 0;

  constructor({ source, lag }: PacedSourceOptions) {
    this.#source = source;
    this.#lag = lag;
    this.#fade = Float32Array.from({ length: FADE }, (_, i) => 0.5 + 0.5 * Math.cos((Math.PI * (i + 0.5)) / FADE));
  }

  get name(): string {
    return this.#source.name;
  }

  get channels(): 1 | 2 {
    return this.#source.channels;
  }

  get warnings(): readonly string[] {
    return this.#source.warnings ?? [];
  }

  /** Milliseconds of audio left out, and repeated, so far. */
  get counters(): { readonly skippedMs: number; readonly repeatedMs: number } {
    return { skippedMs: (this.#skipped * 1000) / SAMPLE_RATE, repeatedMs: (this.#repeated * 1000) / SAMPLE_RATE };
  }

  /** Microseconds by which the source delivers later than now for good, beyond what is queued. */
  get behind(): Microseconds {
    return microseconds(((this.#late - this.#backlog) * 1e6) / SAMPLE_RATE);
  }

  /** What comes next goes to the timeline so much later than it would have: over a hole. */
  moved(by: Microseconds): void {
    this.#reduce((by * SAMPLE_RATE) / 1e6, 0);
  }

  async read(): Promise<Float32Array | undefined> {
    this.#fetch();
    this.#measure();
    while (this.#frames === 0 && !this.#isOver && this.#error === undefined)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    if (this.#frames === 0) {
      if (this.#error !== undefined) throw this.#error.error;
      return undefined;
    }
    this.#makeGood();
    return this.#give(PIECE);
  }

  async close(): Promise<void> {
    this.#isOver = true;
    this.#queue = new Float32Array(0);
    this.#wake?.();
    await this.#source.close();
  }

  get #frames(): number {
    return this.#queue.length / this.channels;
  }

  /** Keeps one reading of the source under way as long as there is room. */
  #fetch(): void {
    if (this.#reading || this.#isOver || this.#error !== undefined || this.#frames >= MAX_QUEUED) return;
    this.#reading = true;
    this.#source.read().then(
      (samples) => {
        this.#reading = false;
        if (samples === undefined) this.#isOver = true;
        else if (!this.#isOver) this.#queue = join(this.#queue, samples);
        this.#wake?.();
        this.#fetch();
      },
      (error: unknown) => {
        this.#reading = false;
        this.#error = { error };
        this.#wake?.();
      },
    );
  }

  #measure(): void {
    const lag = Math.max(0, (this.#lag() * SAMPLE_RATE) / 1e6);
    // With more of it there already, as in a file, nothing is late.
    const queued = this.#reading ? this.#frames : 0;
    const at = this.#given;
    this.#lateness.push({ at, late: this.#reading ? queued + lag : 0, queued });
    while (this.#lateness[0]!.at < at - WINDOW) this.#lateness.shift();
  }

  /** How late the audio is whatever the source's chunks do; 0 without evidence of a second. */
  get #late(): number {
    return this.#given < WINDOW ? 0 : Math.min(...this.#lateness.map(({ late }) => late));
  }

  /** The part of it that is queued. */
  get #backlog(): number {
    return this.#given < WINDOW ? 0 : Math.min(...this.#lateness.map(({ queued }) => queued));
  }

  #reduce(late: number, queued: number): void {
    this.#lateness = this.#lateness.map((before) => ({
      at: before.at,
      late: before.late - late,
      queued: before.queued - queued,
    }));
  }

  #makeGood(): void {
    const late = this.#late;
    if (late > WORTH.begin) this.#isMakingGood = true;
    if (late < WORTH.end) this.#isMakingGood = false;
    if (!this.#isMakingGood || this.#given < this.#notBefore) return;
    const isQuiet = this.#isQuiet();
    const most = Math.max(FADE, Math.min(Math.floor(late), LONGEST[isQuiet ? "quiet" : "loud"]));
    const isWaiting = this.#backlog >= most + FADE;
    const done = isWaiting ? this.#skip(Math.max(0, this.#backlog - LIMIT), most) : this.#repeat(most);
    if (done === 0) return;
    this.#reduce(done, isWaiting ? done : 0);
    // A third faster where much is late, a fifth, and at last 5 %; half as fast again where it is quiet.
    const spacing = isQuiet ? 2 : late > milliseconds(500) ? 3 : late > milliseconds(100) ? 5 : 20;
    this.#notBefore = this.#given + Math.min(done, most) * spacing;
  }

  /** Leaves out `least` frames and as many more, up to `most`, as fit best. */
  #skip(least: number, most: number): number {
    const { channels } = this;
    const whole = Math.floor(Math.max(0, Math.min(least, this.#frames - most - FADE)));
    const planes = this.#planes(this.#queue.subarray(whole * channels, (whole + most + FADE) * channels));
    const skipped = whole + bestShift(planes, { length: FADE, shortest: FADE, longest: most });
    const head = this.#queue;
    const rest = this.#queue.slice(skipped * channels);
    this.#crossfade(rest, head);
    this.#queue = rest;
    this.#skipped += skipped;
    return skipped;
  }

  /** Repeats the end of what was given out: as much, up to `most`, as fits best. */
  #repeat(most: number): number {
    const { channels } = this;
    const past = this.#past.length / channels;
    if (past < LONGEST.quiet || this.#frames < FADE) return 0;
    const longest = Math.max(FADE, Math.min(most, past));
    // Going back is going on from there: compared backwards, what comes now against what came then.
    const around = join(this.#past, this.#queue.subarray(0, FADE * channels));
    const planes = this.#planes(around).map((plane) => plane.reverse());
    const repeated = bestShift(planes, { length: FADE, shortest: FADE, longest });
    const again = this.#past.slice((past - repeated) * channels);
    const queue = join(again, this.#queue);
    this.#crossfade(queue, this.#queue);
    this.#queue = queue;
    this.#repeated += repeated;
    return repeated;
  }

  /** Fades from `before` into the start of `after`. */
  #crossfade(after: Float32Array, before: Float32Array): void {
    const { channels } = this;
    const length = Math.min(FADE * channels, after.length, before.length);
    for (let i = 0; i < length; i++) {
      const gain = this.#fade[Math.floor(i / channels)]!;
      after[i] = before[i]! * gain + after[i]! * (1 - gain);
    }
  }

  #give(frames: number): Float32Array {
    const { channels } = this;
    const piece = this.#queue.slice(0, frames * channels);
    this.#queue = this.#queue.subarray(piece.length);
    this.#given += piece.length / channels;
    this.#past = join(this.#past, piece).slice(-LONGEST.quiet * channels);
    this.#loudest = Math.max(peak(piece), this.#loudest * FORGET);
    return piece;
  }

  #isQuiet(): boolean {
    const { channels } = this;
    const threshold = Math.max(QUIET.peak, this.#loudest * QUIET.share);
    const ahead = this.#queue.subarray(0, (LONGEST.quiet + 2 * FADE) * channels);
    return peak(ahead) <= threshold && peak(this.#past.subarray(-2 * FADE * channels)) <= threshold;
  }

  #planes(interleaved: Float32Array): Float32Array[] {
    const { channels } = this;
    return Array.from({ length: channels }, (_, channel) =>
      Float32Array.from({ length: interleaved.length / channels }, (_, i) => interleaved[i * channels + channel]!),
    );
  }
}

function join(one: Float32Array, other: Float32Array): Float32Array<ArrayBuffer> {
  const joined = new Float32Array(one.length + other.length);
  joined.set(one);
  joined.set(other, one.length);
  return joined;
}

function peak(samples: Float32Array): number {
  let highest = 0;
  for (const sample of samples) highest = Math.max(highest, Math.abs(sample));
  return highest;
}
