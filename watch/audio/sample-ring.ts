import { bestShift, InputError, type Microseconds } from "../../base/index.js";
import { Declicker, fadeCurve } from "../output/declicker.js";
import { framesAt, framesIn, timestampAt } from "./samples.js";

/** Origin of samples. */
export interface Provenance {
  /** Epoch of the group they were decoded from. */
  readonly epoch: number;
  /** Number of rewinds applied when their packet was handed to the decoder. */
  readonly generation: number;
}

/** Consecutive pulled frames of one origin; frames outside any run are silence. */
export interface Run extends Provenance {
  /** First frame in the pulled quantum. */
  readonly offset: number;
  readonly frames: number;
  /** Media time of the first frame. */
  readonly timestamp: Microseconds;
}

/** Options for {@link SampleRing}. */
export interface SampleRingOptions {
  readonly channels: 1 | 2;
  /** Capacity ahead of the reading position. Default 4000. */
  readonly capacityMs?: number;
  /** Length of a fade; at most 10. Default 5. */
  readonly fadeMs?: number;
}

/** Frames that a ring has dropped. */
export interface RingCounters {
  /** Frames written behind the reading position. */
  readonly lateFrames: number;
  /** Frames written too far ahead. */
  readonly overflowFrames: number;
  /** Frames cut off or given up before they were read. */
  readonly truncatedFrames: number;
}

interface Segment extends Provenance {
  start: number;
  end: number;
  /** Whether its end was faded out, so that nothing may be joined to it. */
  faded: boolean;
}

/** Longest stretch that {@link SampleRing.splice} removes. */
const MAX_SPLICE_FRAMES = framesIn(20);

/** How far a timestamp may be off the end of the audio before it and still continue it: timestamps are rounded. */
const SNAP_FRAMES = 24;

/**
 * Decoded audio by media time at 48 kHz: written in any order, read along the playhead, cut off at any point. Every
 * sample carries its origin. Unwritten positions are silence. Generations and joints are faded without reading any
 * sample that was cut off.
 */
export class SampleRing {
  readonly #channels: readonly Float32Array[];
  readonly #capacity: number;
  readonly #fade: Float32Array;
  readonly #declicker: Declicker;
  readonly #scratch: readonly Float32Array[];
  #segments: Segment[] = [];
  #floor: number | undefined;
  #continues: (Provenance & { readonly position: number }) | undefined;
  #lateFrames = 0;
  #overflowFrames = 0;
  #truncatedFrames = 0;

  /** @throws InputError `INVALID_OPTION` when an option is out of range. */
  constructor({ channels, capacityMs = 4000, fadeMs = 5 }: SampleRingOptions) {
    if (!(fadeMs > 0 && fadeMs <= 10))
      throw new InputError("INVALID_OPTION", `fadeMs must be above 0 and at most 10, but is ${fadeMs}.`);
    if (!(capacityMs >= 20 && capacityMs <= 60_000))
      throw new InputError("INVALID_OPTION", `capacityMs must be from 20 to 60000, but is ${capacityMs}.`);
    this.#capacity = framesIn(capacityMs);
    this.#channels = Array.from({ length: channels }, () => new Float32Array(this.#capacity));
    this.#fade = fadeCurve(framesIn(fadeMs));
    this.#scratch = this.#channels.map(() => new Float32Array(MAX_SPLICE_FRAMES + this.#fade.length));
    this.#declicker = new Declicker({ channels, fadeFrames: this.#fade.length });
  }

  get channels(): number {
    return this.#channels.length;
  }

  get counters(): RingCounters {
    return {
      lateFrames: this.#lateFrames,
      overflowFrames: this.#overflowFrames,
      truncatedFrames: this.#truncatedFrames,
    };
  }

  /** The next reading position; undefined before the first write or read. */
  get floor(): number | undefined {
    return this.#floor;
  }

  /** The position behind the last frame held, or undefined when empty. */
  get end(): number | undefined {
    return this.#segments.at(-1)?.end;
  }

  /** Frames of audio at or after a position, not read yet. */
  framesFrom(position: number): number {
    const from = Math.max(position, this.#floor ?? position);
    let frames = 0;
    for (const { start, end } of this.#segments) frames += Math.max(0, end - Math.max(start, from));
    return frames;
  }

  /** The first position at or after `position` that holds audio. */
  nextAudio(position: number): number | undefined {
    for (const { start, end } of this.#segments) if (end > position) return Math.max(start, position);
    return undefined;
  }

  /** The largest sample of `frames` frames at `position`; undefined unless they are audio of one origin throughout. */
  peak(position: number, frames: number): number | undefined {
    const segment = this.#segments.find(({ start, end }) => start <= position && end > position);
    if (segment === undefined || segment.end < position + frames) return undefined;
    let peak = 0;
    for (const channel of this.#channels)
      for (let at = position; at < position + frames; at++) peak = Math.max(peak, Math.abs(channel[this.#index(at)]!));
    return peak;
  }

  /**
   * Removes `least` to `most` frames (20 ms at most) at `position`, which has to be the end of the last read. It picks
   * the best match and crossfades over the joint. Reading has to continue behind the removed frames. Returns their
   * number: 0 unless the audio is of one origin throughout.
   */
  splice(position: number, least: number, most: number): number {
    const fade = this.#fade.length;
    const before = this.#continues;
    const segment = this.#segments.find(({ start, end }) => start <= position && end > position);
    if (segment === undefined || segment.faded || before?.position !== position) return 0;
    if (before.epoch !== segment.epoch || before.generation !== segment.generation) return 0;
    // The audio mixed in comes from before its target, so that no later cut can miss any of it.
    const shortest = Math.max(least, fade);
    const longest = Math.min(most, MAX_SPLICE_FRAMES, segment.end - position - fade);
    if (longest < shortest) return 0;
    const skipped = this.#match(position, shortest, longest);
    for (const channel of this.#channels)
      for (let index = 0; index < fade; index++) {
        const place = this.#index(position + skipped + index);
        const gain = this.#fade[index]!;
        channel[place] = channel[this.#index(position + index)]! * gain + channel[place]! * (1 - gain);
      }
    this.#continues = { ...before, position: position + skipped };
    return skipped;
  }

  /**
   * Stores planar samples (one array per channel, mono is copied to all) that start at `timestamp`, over older ones.
   * Returns how many frames it stored: none behind the reading position or too far ahead.
   */
  write(timestamp: Microseconds, samples: readonly Float32Array[], { epoch, generation }: Provenance): number {
    const length = samples[0]?.length ?? 0;
    if (length === 0) return 0;
    let origin = framesAt(timestamp);
    for (const segment of this.#segments) {
      const continued = segment.generation === generation && !segment.faded;
      if (continued && Math.abs(segment.end - origin) <= SNAP_FRAMES) origin = segment.end;
    }
    this.#floor ??= origin;
    const start = Math.max(origin, this.#floor);
    const end = Math.min(origin + length, this.#floor + this.#capacity);
    this.#lateFrames += Math.min(length, start - origin);
    this.#overflowFrames += Math.min(length, origin + length - end);
    if (end <= start) return 0;
    for (let index = 0; index < this.#channels.length; index++) {
      const source = samples[index] ?? samples[0]!;
      this.#copyIn(this.#channels[index]!, source.subarray(start - origin, end - origin), start);
    }
    this.#carve(start, end, () => true);
    this.#insert({ start, end, epoch, generation, faded: false });
    return end - start;
  }

  /**
   * Cuts everything at or after `from` that is older than `generation` (of any age by default), keeps the audio before,
   * and fades its last milliseconds out. Returns how many frames it cut.
   */
  truncate(from: Microseconds, generation = Number.POSITIVE_INFINITY): number {
    const cut = framesAt(from);
    const taken = this.#carve(cut, Number.POSITIVE_INFINITY, (segment) => segment.generation < generation);
    this.#truncatedFrames += taken;
    for (const segment of this.#segments)
      if (segment.end === cut && segment.generation < generation) this.#fadeOut(segment);
    return taken;
  }

  /** Continues reading at `position`, and keeps the audio behind it. */
  moveTo(position: number): void {
    // Reading may go back; audio beyond the capacity then shares its place with future audio.
    if (this.#floor !== undefined && position < this.#floor)
      this.#truncatedFrames += this.#carve(position + this.#capacity, Number.POSITIVE_INFINITY, () => true);
    this.#floor = position;
    while (this.#segments[0] && this.#segments[0].end <= position) this.#segments.shift();
  }

  /** Drops everything and continues reading at `position`, or where the next write starts. */
  seek(position?: number): void {
    this.#truncatedFrames += this.framesFrom(this.#floor ?? Number.NEGATIVE_INFINITY);
    this.#segments = [];
    this.#floor = position;
  }

  /**
   * Fills `output` (planar, one array per channel) from `offset` on with `frames` frames from `position` on, and drops
   * everything before their end. Returns the origin of the audible frames.
   */
  read(output: readonly Float32Array[], position: number, offset: number, frames: number): Run[] {
    const runs: Run[] = [];
    const end = position + frames;
    let at = position;
    for (const segment of this.#segments) {
      if (segment.end <= at) continue;
      if (segment.start >= end) break;
      if (segment.start > at) this.silence(output, offset + at - position, segment.start - at);
      at = Math.max(at, segment.start);
      const count = Math.min(segment.end, end) - at;
      const { epoch, generation } = segment;
      const place = offset + at - position;
      for (let index = 0; index < output.length; index++)
        this.#copyOut(this.#channels[index] ?? this.#channels[0]!, output[index]!, place, at, count);
      const before = this.#continues;
      const joined = before?.position === at && before.generation === generation;
      this.#declicker.audio(output, place, count, !joined);
      runs.push({ offset: place, frames: count, timestamp: timestampAt(at), epoch, generation });
      at += count;
      this.#continues = { position: at, epoch, generation };
    }
    if (at < end) this.silence(output, offset + at - position, end - at);
    this.moveTo(end);
    return runs;
  }

  /** Fills `frames` frames of `output` with silence, with the last audio fading into it, without moving on. */
  silence(output: readonly Float32Array[], offset: number, frames: number): void {
    this.#declicker.silence(output, offset, frames);
    this.#continues = undefined;
  }

  #match(position: number, shortest: number, longest: number): number {
    const length = this.#fade.length;
    const planes = this.#channels.map((channel, index) => {
      const plane = this.#scratch[index]!.subarray(0, longest + length);
      this.#copyOut(channel, plane, 0, position, plane.length);
      return plane;
    });
    return bestShift(planes, { length, shortest, longest });
  }

  #carve(start: number, end: number, applies: (segment: Segment) => boolean): number {
    let taken = 0;
    const kept: Segment[] = [];
    for (const segment of this.#segments) {
      if (segment.end <= start || segment.start >= end || !applies(segment)) {
        kept.push(segment);
        continue;
      }
      taken += Math.min(segment.end, end) - Math.max(segment.start, start);
      if (segment.start < start) kept.push({ ...segment, end: start, faded: false });
      if (segment.end > end) kept.push({ ...segment, start: end });
    }
    this.#segments = kept;
    return taken;
  }

  #insert(added: Segment): void {
    const index = this.#segments.findIndex((segment) => segment.start >= added.end);
    const place = index < 0 ? this.#segments.length : index;
    const before = this.#segments[place - 1];
    const joins =
      before?.end === added.start &&
      before.epoch === added.epoch &&
      before.generation === added.generation &&
      !before.faded;
    if (joins) before.end = added.end;
    else this.#segments.splice(place, 0, added);
  }

  #fadeOut(segment: Segment): void {
    if (segment.faded) return;
    segment.faded = true;
    const length = Math.min(this.#fade.length, segment.end - Math.max(segment.start, this.#floor ?? segment.start));
    const step = this.#fade.length / length;
    for (let index = 0; index < length; index++) {
      const gain = this.#fade[Math.floor((index + 0.5) * step)]!;
      const place = this.#index(segment.end - length + index);
      for (const channel of this.#channels) channel[place] = channel[place]! * gain;
    }
  }

  #index(position: number): number {
    return ((position % this.#capacity) + this.#capacity) % this.#capacity;
  }

  #copyIn(channel: Float32Array, source: Float32Array, position: number): void {
    const place = this.#index(position);
    const first = Math.min(source.length, this.#capacity - place);
    channel.set(source.subarray(0, first), place);
    channel.set(source.subarray(first), 0);
  }

  #copyOut(channel: Float32Array, output: Float32Array, offset: number, position: number, count: number): void {
    const place = this.#index(position);
    const first = Math.min(count, this.#capacity - place);
    output.set(channel.subarray(place, place + first), offset);
    output.set(channel.subarray(0, count - first), offset + first);
  }
}
