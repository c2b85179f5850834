import type { Microseconds } from "../../base/index.js";
import { VOICE_STEP, type VoiceFrame, voiceChance } from "../../container/index.js";

/** Options of {@link VoiceActivityTimeline}. */
export interface VoiceActivityTimelineOptions {
  /** Maximum frames held; the oldest is dropped first. Default 2048: more than a minute. */
  readonly maximumFrames?: number;
}

/** Frames dropped, by reason. */
export interface VoiceActivityTimelineCounters {
  /** Stale, by a rewind of the track or of the audio. */
  readonly stale: number;
  /** Dropped because there were too many. */
  readonly overflow: number;
}

interface Stretch extends VoiceFrame {
  readonly epoch: number;
  /** Its end: behind its last step, or where it was cut. */
  end: number;
}

/** How long the last value holds without a next one: frames come in batches, and the last of them is not full. */
const LINGER = 100_000;
/** Steps further behind the playhead are dropped. */
const KEEP = 1_000_000;

/** Voice activity by media time, to be read at the playhead. Pure: without streams or a clock. */
export class VoiceActivityTimeline {
  readonly #maximumFrames: number;
  #stretches: Stretch[] = [];
  #stale = 0;
  #overflow = 0;

  constructor({ maximumFrames = 2048 }: VoiceActivityTimelineOptions = {}) {
    this.#maximumFrames = maximumFrames;
  }

  /** Frames held. */
  get size(): number {
    return this.#stretches.length;
  }

  get counters(): VoiceActivityTimelineCounters {
    return { stale: this.#stale, overflow: this.#overflow };
  }

  /** Adds a frame of an epoch. */
  add({ timestamp, steps }: VoiceFrame, epoch: number): void {
    this.#stretches.push({ timestamp, steps, epoch, end: timestamp + steps.length * VOICE_STEP });
    if (this.#stretches.length <= this.#maximumFrames) return;
    this.#stretches.shift();
    this.#overflow++;
  }

  /** Cuts everything at or after `from` of an epoch before `epoch`: of any epoch by default. */
  cut(from: Microseconds, epoch = Number.POSITIVE_INFINITY): void {
    for (const held of this.#stretches) if (held.epoch < epoch) held.end = Math.min(held.end, from);
    const good = this.#stretches.filter(({ timestamp, end }) => timestamp < end);
    this.#stale += this.#stretches.length - good.length;
    this.#stretches = good;
  }

  /** Probability from 0 to 1 of a voice at `playhead`; undefined where the publisher reports none. */
  at(playhead: Microseconds): number | undefined {
    this.#stretches = this.#stretches.filter(({ end }) => end > playhead - KEEP);
    let nearest: Stretch | undefined;
    for (const held of this.#stretches) {
      if (held.timestamp > playhead || held.end + LINGER <= playhead) continue;
      if (nearest === undefined || reach(held, playhead) >= reach(nearest, playhead)) nearest = held;
    }
    if (nearest === undefined) return undefined;
    const step = Math.floor((reach(nearest, playhead) - nearest.timestamp) / VOICE_STEP);
    return voiceChance(nearest.steps[step] ?? 0);
  }

  clear(): void {
    this.#stretches = [];
  }
}

// The last moment of a stretch up to the playhead.
function reach({ end }: Stretch, playhead: number): number {
  return Math.min(playhead, end - 1);
}
