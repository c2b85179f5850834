import { InputError, type Microseconds, microseconds } from "../base/index.js";
import { Landings } from "./landings.js";
import { framesAt, framesIn, millisecondsIn, SAMPLE_RATE, timestampAt } from "./samples.js";

/** Options for {@link PlaybackClock}. */
export interface PlaybackClockOptions {
  /** Delay from the first frame's arrival to its sound, at first and at least while `adaptive` is off. Default 80. */
  readonly jitterMs?: number;
  /** Whether the delay follows the measured arrival jitter. Where sound is sent ahead, a rewind returns it to `jitterMs`. Default true. */
  readonly adaptive?: boolean;
  /** The adaptive delay's lower bound. Default 40, or `jitterMs` where that is less. */
  readonly minimumJitterMs?: number;
  /** The adaptive delay's upper bound. Default 500, or `jitterMs` where that is more. */
  readonly maximumJitterMs?: number;
  /** How far the playhead may fall behind by waiting for sound that is late. Default 1000. */
  readonly maximumHoldMs?: number;
}

/** A rewind of the track that sets the playhead. */
export interface ClockRewind {
  /** How many rewinds the track has seen, this one included; the same number again refines it. */
  readonly discontinuity: number;
  /** From where on the old timeline is taken back. */
  readonly from: Microseconds;
}

/** Running totals of a {@link PlaybackClock}. */
export interface PlaybackCounters {
  /** Times the playhead was set anew, the first time included. */
  readonly anchors: number;
  /** Of those, because nothing arrived in time any more or a timestamp was out of reach. */
  readonly recoveries: number;
  /** Times that sound which was late made the playhead wait. */
  readonly underruns: number;
  /** How long the listener heard nothing because of that. */
  readonly underrunMs: number;
}

/** A late frame's surplus over its delay: one packet. */
const MARGIN_FRAMES = framesIn(20);
/** Jitter is what was seen in this many of the last buckets. */
const BUCKETS = 10;
const BUCKET_FRAMES = SAMPLE_RATE;
/** Frames in a row that are late from end to end, until the playhead is set anew. */
const LATE_RUN = 25;
/** A frame further ahead than this is on another timeline. */
const REACH_FRAMES = framesIn(30_000);

/**
 * The playhead, shared by audio and video but set by one of them, the audio where there is any: so that a rewind of
 * both moves it once, and a rewind of the other alone does not. It is anchored so that the first frame sounds one
 * jitter delay after it arrived, then moved only by what is played, at 1x.
 *
 * Frames that arrive early never move it. When sound is late it waits, and makes the wait good in the next pause. In a
 * live broadcast, which need not pause, {@link excess} tells what may be made good by skipping sound.
 * It advances with the samples pulled and not with a wall clock, so it never drifts from the sound card.
 */
export class PlaybackClock {
  readonly #adaptive: boolean;
  readonly #initial: number;
  readonly #minimum: number;
  readonly #maximum: number;
  readonly #maximumHold: number;
  #target: number;
  /** Position before what it has waited is taken off. */
  #free: number | undefined;
  #held = 0;
  #anchor = 0;
  /** Target at the anchor, which all delays are measured against. */
  #anchorTarget = 0;
  #starved: number | undefined;
  #lateRun = 0;
  #elapsed = 0;
  #buckets: { readonly index: number; late: number }[] = [];
  readonly #landings = new Landings();
  #live = false;
  #rewind: { readonly discontinuity: number; moved: boolean } | undefined;
  #anchors = 0;
  #recoveries = 0;
  #underruns = 0;
  #underrunFrames = 0;

  /** Throws an `InputError` (`INVALID_OPTION`) when an option is out of range. */
  constructor({
    jitterMs = 80,
    adaptive = true,
    minimumJitterMs = Math.min(40, jitterMs),
    maximumJitterMs = Math.max(500, jitterMs),
    maximumHoldMs = 1000,
  }: PlaybackClockOptions = {}) {
    const limits = { jitterMs, minimumJitterMs, maximumJitterMs, maximumHoldMs };
    for (const [name, value] of Object.entries(limits))
      if (!(value >= 0 && value <= 30_000))
        throw new InputError("INVALID_OPTION", `${name} must be from 0 to 30000, but is ${value}.`);
    if (minimumJitterMs > jitterMs || jitterMs > maximumJitterMs)
      throw new InputError("INVALID_OPTION", "jitterMs must lie between minimumJitterMs and maximumJitterMs.");
    this.#adaptive = adaptive;
    this.#minimum = framesIn(minimumJitterMs);
    this.#maximum = framesIn(maximumJitterMs);
    this.#maximumHold = framesIn(maximumHoldMs);
    this.#initial = framesIn(jitterMs);
    this.#target = this.#initial;
  }

  /** The playhead on the grid of 48 kHz frames; undefined before the first frame and after a rewind behind it. */
  get position(): number | undefined {
    return this.#free === undefined ? undefined : this.#free - this.#held;
  }

  /** The playhead as media time; before the anchored frame's turn it is earlier than that frame. */
  get playhead(): Microseconds | undefined {
    return this.position === undefined ? undefined : timestampAt(this.position);
  }

  /** Where the playhead would be had it never waited for late sound. */
  get due(): Microseconds | undefined {
    return this.#free === undefined ? undefined : timestampAt(this.#free);
  }

  /** Whether the anchored frame's turn has come. */
  get started(): boolean {
    return this.position !== undefined && this.position >= this.#anchor;
  }

  /** Whether the playhead stands still, waiting for sound. */
  get holding(): boolean {
    return this.#starved !== undefined && this.#held < this.#maximumHold;
  }

  /** The delay from arrival to sound that is aimed at now, in milliseconds. */
  get targetMs(): number {
    return millisecondsIn(this.#target);
  }

  /** Frames that the playhead may still wait. */
  get patience(): number {
    return this.started ? Math.max(0, this.#maximumHold - this.#held) : 0;
  }

  /** Whether the broadcast is live, so that what is left of the delay over the target is of no use. */
  get live(): boolean {
    return this.#live;
  }

  /**
   * Frames by which the playhead of a live broadcast is further behind than it has to be: the usual frame's delay over
   * the target, and no more than leaves the latest frame of the last 2 s a margin. 0 without evidence of 2 s, and always
   * where the broadcast is not live.
   */
  get excess(): number {
    if (!this.started || this.#starved !== undefined) return 0;
    const recent = this.#landings.recent(this.#elapsed);
    if (recent === undefined) return 0;
    const delay = this.#elapsed - this.#position;
    return Math.max(0, Math.min(delay - recent.usual - this.#target, delay - recent.latest - MARGIN_FRAMES));
  }

  get counters(): PlaybackCounters {
    return {
      anchors: this.#anchors,
      recoveries: this.#recoveries,
      underruns: this.#underruns,
      underrunMs: millisecondsIn(this.#underrunFrames),
    };
  }

  /**
   * Tells of a media frame of the track that sets the playhead, in the order played, once it is ready. Returns how long before its turn it is there,
   * which is negative when it is late.
   */
  arrive(timestamp: Microseconds): Microseconds {
    const frame = framesAt(timestamp);
    if (this.#free === undefined || frame - (this.#free - this.#held) > REACH_FRAMES) this.#anchorAt(frame);
    else if (frame < this.#free - this.#held && ++this.#lateRun >= LATE_RUN) this.#anchorAt(frame);
    if (frame >= this.#position) this.#lateRun = 0;
    if (this.#starved !== undefined && frame >= this.#position) this.#resume(frame);
    const lead = frame - this.#position;
    if (!this.#live) this.#measure(this.#anchorTarget + this.#held - lead);
    return microseconds((lead * 1e6) / SAMPLE_RATE);
  }

  /** Says whether the broadcast is live. */
  setLive(live: boolean): void {
    if (live === this.#live) return;
    this.#live = live;
    this.#landings.clear();
    this.#buckets = [];
  }

  /** Tells of a media frame when it has come, for the first time and whether or not it is its turn to be decoded. */
  landed(timestamp: Microseconds): void {
    // What comes before was sent in no order that would say something about the path.
    if (!this.#live || !this.started) return;
    this.#landings.note(this.#elapsed, this.#elapsed - framesAt(timestamp));
    const recent = this.#landings.recent(this.#elapsed);
    if (recent === undefined) return;
    this.#aim((this.#landings.latest ?? 0) - recent.usual, this.#landings.whole(this.#elapsed));
  }

  /** Tells of time in which nothing was pulled at all: the playhead stood still, and everything else went on. */
  lost(frames: number): void {
    this.#elapsed += frames;
  }

  /** Moves on over frames that are not played. */
  skip(frames: number): void {
    const made = Math.min(this.#held, frames);
    this.#held -= made;
    if (this.#free === undefined || made === frames) return;
    this.#free += frames - made;
    this.#anchorTarget -= frames - made;
  }

  /** Moves on by frames played, and by `waited` frames during which the playhead stood still for lack of sound. */
  advance(frames: number, waited = 0): void {
    this.#elapsed += frames + waited;
    if (this.#free === undefined) return;
    this.#free += frames + waited;
    this.#held += waited;
    if (waited > 0) this.#starved ??= 0;
    if (this.#starved !== undefined) this.#starved += frames + waited;
  }

  /**
   * Makes up, in a pause of `gap` frames, for time spent waiting as far as arrivals allow. Returns the frames skipped.
   */
  catchUp(gap: number): number {
    const latest = this.#live ? this.#landings.latest : undefined;
    const delay = latest === undefined ? this.#anchorTarget + this.#held : this.#elapsed - this.#position;
    const slack = delay - (latest ?? this.#latest() ?? 0) - MARGIN_FRAMES;
    const skipped = Math.floor(Math.max(0, Math.min(gap, Math.max(Math.min(this.#held, slack), this.excess))));
    this.skip(skipped);
    return skipped;
  }

  /**
   * Applies a rewind. Returns true when the playhead was past `from`: then everything old is void and the next frame
   * sets the playhead anew, at most once in a rewind. Where sound is sent ahead it begins within `jitterMs` then,
   * whatever delay there was: what follows the first frame comes faster than it is played, and soon covers any jitter.
   */
  rewind({ discontinuity, from }: ClockRewind): boolean {
    if (this.#rewind?.discontinuity !== discontinuity) this.#rewind = { discontinuity, moved: false };
    if (this.#rewind.moved || this.#free === undefined || this.#position < framesAt(from)) return false;
    this.#rewind.moved = true;
    this.#free = undefined;
    if (!this.#live) {
      this.#buckets = [];
      this.#target = Math.min(this.#target, this.#initial);
    }
    return true;
  }

  /** Forgets the timeline, for a new one; what was learnt about jitter stays. */
  reset(): void {
    this.#free = undefined;
    this.#rewind = undefined;
  }

  get #position(): number {
    return (this.#free ?? 0) - this.#held;
  }

  #anchorAt(frame: number): void {
    if (this.#free !== undefined) this.#recoveries++;
    this.#anchors++;
    this.#landings.clear();
    this.#held = 0;
    this.#starved = undefined;
    this.#lateRun = 0;
    this.#anchor = frame;
    this.#anchorTarget = this.#target;
    this.#free = frame - this.#target;
  }

  #resume(frame: number): void {
    const starved = this.#starved ?? 0;
    this.#starved = undefined;
    const free = this.#free ?? 0;
    // Sound that was due before it came was late; anything else was a pause.
    if (frame < free) {
      this.#underruns++;
      this.#underrunFrames += Math.min(starved, free - frame);
    }
    const position = Math.max(this.#position, Math.min(free, frame - this.#target / 2));
    this.#held = Math.round(free - position);
  }

  #measure(late: number): void {
    const index = Math.floor(this.#elapsed / BUCKET_FRAMES);
    const bucket = this.#buckets.at(-1);
    if (bucket?.index === index) bucket.late = Math.max(bucket.late, late);
    else this.#buckets.push({ index, late });
    while (this.#buckets[0] && this.#buckets[0].index <= index - BUCKETS) this.#buckets.shift();
    this.#aim(this.#latest() ?? 0, this.#buckets.length === BUCKETS);
  }

  /** Aims at the delay that a jitter asks for: down only on the evidence of a whole window. */
  #aim(jitter: number, whole: boolean): void {
    if (!this.#adaptive) return;
    const wanted = Math.round(Math.min(Math.max(jitter + MARGIN_FRAMES, this.#minimum), this.#maximum));
    if (wanted > this.#target || whole) this.#target = wanted;
  }

  /** How much later than the anchored frame, against its timestamp, the latest of the window came. */
  #latest(): number | undefined {
    return this.#buckets.length === 0 ? undefined : Math.max(...this.#buckets.map(({ late }) => late));
  }
}
