import type { Microseconds } from "../../base/index.js";
import { epochOf, VOICE_STEP, type VoiceFrame, voiceChance } from "../../container/index.js";

/** Options of {@link VoiceActivityTimeline}. */
export interface VoiceActivityTimelineOptions {
  /** Frames held at most; the oldest goes first. Default 2048: more than a minute. */
  readonly maximumFrames?: number;
}

/** What became of the frames. */
export interface VoiceActivityTimelineCounters {
  /** Taken back, by the track or with the audio, before they came or after. */
  readonly stale: number;
  /** Dropped because there were too many. */
  readonly overflow: number;
}

interface Stretch extends VoiceFrame {
  /** Counts the subscriptions. */
  readonly run: number;
  readonly sequence: number;
  /** Where it ends: behind its last step, or where something newer takes over. */
  end: number;
}

/** How long the last chance stands where nothing is told: frames come in batches, the last of them not full. */
const LINGER = 100_000;
/** What is further behind the playhead is forgotten. */
const KEEP = 1_000_000;

/**
 * Where in the audio somebody speaks, by media time, to be asked at the playhead. The rewind rule holds as it does for
 * audio: a newer group takes back everything at or after its own start. Pure: it knows no streams and no clock.
 */
export class VoiceActivityTimeline {
  readonly #maximumFrames: number;
  #stretches: Stretch[] = [];
  #run = 0;
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

  /** A subscription begins, perhaps of another track: its groups are newer than all there were. */
  begin(): void {
    this.#run++;
  }

  /** Takes a frame of a group. */
  receive(sequence: number, { timestamp, steps }: VoiceFrame): void {
    const added: Stretch = { timestamp, steps, sequence, run: this.#run, end: timestamp + steps.length * VOICE_STEP };
    // A frame may come by datagram and by stream.
    if (this.#stretches.some((held) => isSame(held, added))) return;
    for (const held of this.#stretches) if (isNewer(held, added)) added.end = Math.min(added.end, held.timestamp);
    this.#cut((held) => isNewer(added, held), timestamp);
    if (added.end <= timestamp) {
      this.#stale++;
      return;
    }
    this.#stretches.push(added);
    if (this.#stretches.length <= this.#maximumFrames) return;
    this.#stretches.shift();
    this.#overflow++;
  }

  /** Sound from `from` on was taken back by a group of that epoch: so is what older epochs tell of it. */
  takeBack(from: Microseconds, epoch: number): void {
    this.#cut(({ run, sequence }) => run < this.#run || epochOf(sequence) < epoch, from);
  }

  /** The chance from 0 to 1 that somebody speaks in what is heard at `playhead`; undefined where nobody told. */
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

  /** Forgets everything. */
  clear(): void {
    this.#stretches = [];
  }

  #cut(isOlder: (held: Stretch) => boolean, from: number): void {
    for (const held of this.#stretches) if (isOlder(held)) held.end = Math.min(held.end, from);
    const good = this.#stretches.filter(({ timestamp, end }) => timestamp < end);
    this.#stale += this.#stretches.length - good.length;
    this.#stretches = good;
  }
}

function isNewer(one: Stretch, other: Stretch): boolean {
  return one.run === other.run ? one.sequence > other.sequence : one.run > other.run;
}

function isSame(one: Stretch, other: Stretch): boolean {
  const isSameGroup = one.run === other.run && one.sequence === other.sequence;
  return isSameGroup && one.timestamp === other.timestamp && one.steps.length === other.steps.length;
}

// The last moment of a stretch up to the playhead.
function reach({ end }: Stretch, playhead: number): number {
  return Math.min(playhead, end - 1);
}
