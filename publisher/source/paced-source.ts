import { bestShift, type Microseconds, microseconds } from "../../base/index.js";
import { SAMPLE_RATE } from "./resample.js";
import { type AudioSource, SourceReader } from "./source.js";

/** Options of {@link PacedSource}. */
export interface PacedSourceOptions {
  readonly source: AudioSource;
  /** Distance between now and the timeline position of the next sample read. */
  readonly lag: () => Microseconds;
}

const milliseconds = (value: number): number => (value * SAMPLE_RATE) / 1000;

/** Maximum audio queued. A source that fills this delivers faster than it captures, so it is not live. */
const MAX_QUEUED = milliseconds(30_000);
/** Audio delivered at once. */
const PIECE = milliseconds(10);
/** The smallest lateness within this time counts: the rest varies with the source's chunks. */
const WINDOW = milliseconds(1000);
/** Lateness at which corrections start, and at which they stop. */
const WORTH = { begin: milliseconds(25), end: milliseconds(10) };
/** Lateness beyond this is skipped at once: a minute of it would take minutes in small skips. */
const LIMIT = milliseconds(3000);
const FADE = milliseconds(5);
/** Longest stretch skipped or repeated at once: a period of a low voice, and more where it is quiet. */
const LONGEST = { quiet: milliseconds(20), loud: milliseconds(15) };
/** Quiet: a peak under -40 dBFS, or 26 dB under the loudest peak of the last seconds. */
const QUIET = { peak: 0.01, share: 0.05 };
const FORGET = Math.exp(-PIECE / (3 * SAMPLE_RATE));

/**
 * A live source at the pace of the wall clock. It reads the source as fast as that delivers, so that no audio waits
 * unseen in a pipe. It corrects lasting lateness with a crossfade where that is least audible: it skips short stretches
 * where the source's clock is fast or audio waited, and repeats some where the clock is slow. Chunks and short stalls
 * whose audio arrives in time change nothing.
 */
export class PacedSource implements AudioSource {
  readonly #source: AudioSource;
  readonly #reader: SourceReader;
  readonly #lag: () => Microseconds;
  readonly #fade: Float32Array;
  #queue = new Float32Array(0);
  /** The last samples delivered: as many as a repeat may need. */
  #past = new Float32Array(0);
  #reading = false;
  #isOver = false;
  #error: { readonly error: unknown } | undefined;
  #wake: (() => void) | undefined;
  /** Samples per channel delivered. */
  #given = 0;
  /** In samples per channel, over the last second: how late the next sample was, and how much was queued. */
  #lateness: { readonly at: number; readonly late: number; readonly queued: number }[] = [];
  #isMakingGood = false;
  #notBefore = 0;
  #loudest = 0;

  constructor({ source, lag }: PacedSourceOptions) {
    this.#source = source;
    this.#reader = new SourceReader(source);
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

  /** Microseconds of lasting lateness of the source, beyond the queue. */
  get behind(): Microseconds {
    return microseconds(((this.#late - this.#backlog) * 1e6) / SAMPLE_RATE);
  }

  /** The timeline left a hole: the next sample goes there later by `by`. */
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

  /** Keeps one read of the source in flight while there is room. */
  #fetch(): void {
    if (this.#reading || this.#isOver || this.#error !== undefined || this.#frames >= MAX_QUEUED) return;
    this.#reading = true;
    this.#reader.read().then(
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
    // With more audio queued, as from a file, nothing is late.
    const queued = this.#reading ? this.#frames : 0;
    const at = this.#given;
    this.#lateness.push({ at, late: this.#reading ? queued + lag : 0, queued });
    while (this.#lateness[0]!.at < at - WINDOW) this.#lateness.shift();
  }

  /** Lateness that does not depend on the source's chunks; 0 without a second of evidence. */
  get #late(): number {
    return this.#given < WINDOW ? 0 : Math.min(...this.#lateness.map(({ late }) => late));
  }

  /** The queued part of that lateness. */
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
    // A third faster where much is late, then a fifth, then 5 %; half of that again where it is quiet.
    const spacing = isQuiet ? 2 : late > milliseconds(500) ? 3 : late > milliseconds(100) ? 5 : 20;
    this.#notBefore = this.#given + Math.min(done, most) * spacing;
  }

  /** Skips `least` to `most` frames, at the best match. */
  #skip(least: number, most: number): number {
    const { channels } = this;
    const whole = Math.floor(Math.max(0, Math.min(least, this.#frames - most - FADE)));
    const planes = this.#planes(this.#queue.subarray(whole * channels, (whole + most + FADE) * channels));
    const skipped = whole + bestShift(planes, { length: FADE, shortest: FADE, longest: most });
    const head = this.#queue;
    const rest = this.#queue.slice(skipped * channels);
    this.#crossfade(rest, head);
    this.#queue = rest;
    return skipped;
  }

  /** Repeats up to `most` frames of the last output, at the best match. */
  #repeat(most: number): number {
    const { channels } = this;
    const past = this.#past.length / channels;
    if (past < LONGEST.quiet || this.#frames < FADE) return 0;
    const longest = Math.max(FADE, Math.min(most, past));
    // Going back continues from there: it compares the coming audio backwards with the audio before.
    const around = join(this.#past, this.#queue.subarray(0, FADE * channels));
    const planes = this.#planes(around).map((plane) => plane.reverse());
    const repeated = bestShift(planes, { length: FADE, shortest: FADE, longest });
    const again = this.#past.slice((past - repeated) * channels);
    const queue = join(again, this.#queue);
    this.#crossfade(queue, this.#queue);
    this.#queue = queue;
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
