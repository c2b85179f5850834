import { type Clock, fromMilliseconds, type Microseconds, monotonicClock } from "../../base/index.js";
import type { Playout } from "../audio/playout.js";
import type { Run } from "../audio/sample-ring.js";
import { framesIn, QUANTUM_FRAMES, SAMPLE_RATE } from "../audio/samples.js";

/** Destination of played audio besides the record: a file, a pipe. */
export interface AudioSink {
  /** Takes planar samples at 48 kHz, one array per channel, in playing order; valid only during the call. */
  write(samples: readonly Float32Array[]): void;
  /**
   * Takes the same samples of a live broadcast as soon as they are decoded, before their time to play: for a detector,
   * which needs no even pace. Valid only during the call.
   */
  early?(samples: readonly Float32Array[]): void;
  /** Finishes; resolves once everything is written. Idempotent. */
  close(): Promise<void>;
}

/** Consecutive samples of one origin, as played. */
export interface PlayedRun {
  /** Epoch of the group they came from; undefined for silence. */
  readonly epoch: number | undefined;
  /** Media time of the first sample; undefined for silence. */
  readonly timestamp: Microseconds | undefined;
  frames: number;
  /** Clock time at which the first sample was pulled. */
  readonly pulledAt: Microseconds;
  /** Clock time at which the last sample was pulled. */
  lastPulledAt: Microseconds;
}

/** Options for {@link VirtualSpeaker}. */
export interface VirtualSpeakerOptions {
  readonly playout: Playout;
  readonly sink?: AudioSink | undefined;
  readonly clock?: Clock;
}

/** Maximum audio pulled in one turn; a process that stalled for longer loses the rest of that time. */
const BURST = framesIn(200);
/** Maximum runs remembered. */
const MAX_RUNS = 16_384;
/** After a longer stall, the process pulls no live audio of that time. */
const STANDSTILL = framesIn(1000);
/** Time constant of the level meter. */
const LEVEL_SECONDS = 0.1;
const SILENCE_DB = -120;

/**
 * Stands in for an audio card: pulls quanta of 128 frames at the pace of the clock, and records the origin of every
 * sample. Pulled audio counts as heard.
 */
export class VirtualSpeaker {
  readonly #playout: Playout;
  readonly #sink: AudioSink | undefined;
  readonly #clock: Clock;
  readonly #quantum: readonly Float32Array[];
  readonly #record: PlayedRun[] = [];
  readonly #startedAt: Microseconds;
  #due = 0;
  #lostFrames = 0;
  #power = 0;
  #closed: Promise<void> | undefined;

  constructor(options: VirtualSpeakerOptions) {
    this.#playout = options.playout;
    this.#sink = options.sink;
    this.#clock = options.clock ?? monotonicClock;
    this.#startedAt = this.#clock();
    this.#quantum = Array.from({ length: options.playout.channels }, () => new Float32Array(QUANTUM_FRAMES));
  }

  /** Played runs, oldest first. */
  get record(): readonly Readonly<PlayedRun>[] {
    return this.#record;
  }

  /** Time in which nothing was pulled because the process stalled, in milliseconds. */
  get lostMs(): number {
    return (this.#lostFrames * 1e3) / SAMPLE_RATE;
  }

  /** Level of the last tenth of a second in decibels below full scale, -120 at the least. */
  get levelDb(): number {
    return Math.max(SILENCE_DB, 10 * Math.log10(Math.max(this.#power, 1e-12)));
  }

  /**
   * Pulls the audio that is due by the clock since the start; call it every few milliseconds. Returns whether there was
   * any.
   */
  turn(): boolean {
    if (this.#closed) return false;
    const now = this.#clock();
    const elapsed = Math.floor(((now - this.#startedAt) * SAMPLE_RATE) / 1e6);
    const behind = elapsed - this.#due;
    if (behind > BURST) {
      // After a stall no live audio is there yet: a burst would only make the playhead wait.
      const isLate = this.#playout.clock.live && behind > STANDSTILL;
      const lost = isLate ? behind : behind - BURST;
      this.#lostFrames += lost;
      this.#due += lost;
      this.#playout.lost(lost);
    }
    let pulled = false;
    for (; this.#due + QUANTUM_FRAMES <= elapsed; this.#due += QUANTUM_FRAMES) {
      this.#pull(now);
      pulled = true;
    }
    return pulled;
  }

  /** Stops and closes the sink; idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#sink?.close() ?? Promise.resolve();
    this.#power = 0;
    return this.#closed;
  }

  #pull(now: Microseconds): void {
    const quantum = this.#quantum;
    let at = 0;
    for (const run of this.#playout.pull(quantum)) {
      this.#note(undefined, run.offset - at, now);
      this.#note(run, run.frames, now);
      at = run.offset + run.frames;
    }
    this.#note(undefined, QUANTUM_FRAMES - at, now);
    let sum = 0;
    for (const channel of quantum) for (const sample of channel) sum += sample * sample;
    const share = 1 - Math.exp(-QUANTUM_FRAMES / (SAMPLE_RATE * LEVEL_SECONDS));
    this.#power += share * (sum / (QUANTUM_FRAMES * quantum.length) - this.#power);
    this.#sink?.write(quantum);
  }

  #note(run: Run | undefined, frames: number, now: Microseconds): void {
    if (frames <= 0) return;
    const last = this.#record.at(-1);
    const joins =
      last !== undefined &&
      last.epoch === run?.epoch &&
      (run === undefined || Math.abs(endOf(last) - run.timestamp) <= 1);
    if (joins) {
      last.frames += frames;
      last.lastPulledAt = now;
      return;
    }
    this.#record.push({ epoch: run?.epoch, timestamp: run?.timestamp, frames, pulledAt: now, lastPulledAt: now });
    if (this.#record.length > MAX_RUNS) this.#record.shift();
  }
}

function endOf(run: PlayedRun): number {
  return (run.timestamp ?? 0) + fromMilliseconds((run.frames * 1e3) / SAMPLE_RATE);
}
