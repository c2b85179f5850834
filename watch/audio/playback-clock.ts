import { InputError, type Microseconds, microseconds } from "../../base/index.js";
import { ArrivalStats } from "../report/arrival-stats.js";
import { JitterTarget, type JitterTargetOptions, MARGIN_FRAMES } from "./jitter-target.js";
import { framesAt, framesIn, millisecondsIn, SAMPLE_RATE, timestampAt } from "./samples.js";
import { CONTIGUOUS_FRAMES, StarvationMeter } from "./starvation-meter.js";

/** Options for {@link PlaybackClock}. */
export interface PlaybackClockOptions extends JitterTargetOptions {
  /**
   * How long the playhead waits for audio that is late: in a live broadcast, how far it may fall behind by that; else
   * each time. Audio that comes later than that still plays if nothing after it was heard: within as much again, and of
   * a publisher that marks no pauses however late, as its media time may stand still in them. Default 1000.
   */
  readonly maximumHoldMs?: number;
}

/** What a playhead has to know of the publisher. */
export interface PublisherTraits {
  /** Whether it marks the pauses it means. */
  readonly marksPauses: boolean;
  /** How far ahead of the playhead it sends at most, in milliseconds; undefined where that is not known. */
  readonly aheadMs?: number | undefined;
  /** Whether there is audio that the playhead may wait for. Default true. */
  readonly sendsAudio?: boolean;
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
  /** Times that audio was missing when it was due, one that lasts included; pauses that the publisher meant are none. */
  readonly underruns: number;
  /** Milliseconds of silence heard in its place. */
  readonly underrunMs: number;
  /** Times the playhead went on to where the broadcast is, after standing still or falling far behind. */
  readonly jumps: number;
}

/** Frames in a row that are late, and the time over which they came, until the playhead is set to them. */
const LATE_RUN = { frames: 25, span: framesIn(400) };
/** A playhead that stood still longer, or is further behind, goes on to where the broadcast is: more than a glitch. */
const JUMP_FRAMES = { still: framesIn(1000), behind: framesIn(3000) };
/** Groups in a row that land further ahead than the publisher sends, while so much is pulled: the playhead is behind. */
const AHEAD_RUN = { groups: 3, span: framesIn(100) };
/** A frame further ahead than this is on another timeline. */
const REACH_FRAMES = framesIn(30_000);

/**
 * The playhead, shared by audio and video but set by one of them, the audio where there is any: so that a rewind of
 * both moves it once, and a rewind of the other alone does not. It is anchored so that the first frame sounds one
 * jitter delay after it arrived, then moved only by what is played, at 1x.
 *
 * Frames that arrive early never move it. When audio is late it waits, and makes the wait good in the next pause. When
 * it has waited too long it runs on, but goes back for audio that comes after all as long as nothing later was heard: no
 * audio is lost for coming late alone. In a live broadcast, which need not pause, {@link excess} is what may be made
 * good by skipping audio.
 * It advances with the samples pulled and not with a wall clock, so it never drifts from the audio card. Only time in
 * which nothing pulled at all, as while a computer sleeps, is taken from the clock: see {@link lost}.
 */
export class PlaybackClock {
  readonly #jitter: JitterTarget;
  readonly #maximumHold: number;
  /** Position before what it has waited is taken off. */
  #free: number | undefined;
  #held = 0;
  #anchor = 0;
  /** Target at the anchor, which all delays are measured against. */
  #anchorTarget = 0;
  readonly #starvation = new StarvationMeter();
  /** Where the last audio heard ended: the playhead never goes back behind it. */
  #heard: number | undefined;
  readonly #lateRun = { frames: 0, since: 0 };
  readonly #aheadRun = { groups: 0, since: 0 };
  #maximumLead = REACH_FRAMES - JUMP_FRAMES.behind;
  #elapsed = 0;
  readonly #arrivals = new ArrivalStats();
  #live = false;
  #sendsAudio = true;
  #rewind: { readonly discontinuity: number; moved: boolean } | undefined;
  #anchors = 0;
  #recoveries = 0;
  #jumps = 0;

  /** Throws an `InputError` (`INVALID_OPTION`) when an option is out of range. */
  constructor({ maximumHoldMs = 1000, ...options }: PlaybackClockOptions = {}) {
    if (!(maximumHoldMs >= 0 && maximumHoldMs <= 30_000))
      throw new InputError("INVALID_OPTION", `maximumHoldMs must be from 0 to 30000, but is ${maximumHoldMs}.`);
    this.#jitter = new JitterTarget(options);
    this.#maximumHold = framesIn(maximumHoldMs);
  }

  /** The playhead on the grid of 48 kHz frames; undefined before the first frame and after a rewind behind it. */
  get position(): number | undefined {
    return this.#free === undefined ? undefined : this.#free - this.#held;
  }

  /** The playhead as media time; before the anchored frame's turn it is earlier than that frame. */
  get playhead(): Microseconds | undefined {
    return this.position === undefined ? undefined : timestampAt(this.position);
  }

  /** The earliest audio that the playhead goes back for when it comes now. */
  get earliest(): Microseconds | undefined {
    return this.position === undefined ? undefined : timestampAt(this.#earliest);
  }

  /** Where the playhead would be had it not waited for the audio that it waits for now. */
  get due(): Microseconds | undefined {
    return this.position === undefined ? undefined : timestampAt(this.position + this.#starvation.waited);
  }

  /** Whether the anchored frame's turn has come. */
  get started(): boolean {
    return this.position !== undefined && this.position >= this.#anchor;
  }

  /** Whether the playhead stands still, waiting for audio. */
  get holding(): boolean {
    return this.#starvation.starving && this.patience > 0;
  }

  /**
   * Whether nothing is missing although nothing is there: before the start, and in a pause that the publisher meant or,
   * where it marks none, may have meant.
   */
  get resting(): boolean {
    const mayBePause = this.#starvation.starving && this.#mayStandStill;
    return this.#free === undefined || this.#starvation.pausing || mayBePause;
  }

  /** The delay from arrival to audio that is aimed at now, in milliseconds. */
  get targetMs(): number {
    return millisecondsIn(this.#jitter.frames);
  }

  /** Frames that the playhead may still wait. */
  get patience(): number {
    const waited = this.#live ? this.#held : this.#starvation.waited;
    return this.started && this.#sendsAudio ? Math.max(0, this.#maximumHold - waited) : 0;
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
    if (!this.started || this.#starvation.starving) return 0;
    const recent = this.#arrivals.recent(this.#elapsed);
    if (recent === undefined) return 0;
    const delay = this.#elapsed - this.#position;
    return Math.max(0, Math.min(delay - recent.usual - this.#jitter.frames, delay - recent.latest - MARGIN_FRAMES));
  }

  /**
   * Whether the playhead of a live broadcast had better wait for a frame that is missing beside others in time: it plays
   * with less delay than is aimed at, and what came too late in the last ten seconds is more audio than the wait costs.
   */
  get patient(): boolean {
    return this.#shortfall > 0 && this.patience > 0;
  }

  get counters(): PlaybackCounters {
    return {
      anchors: this.#anchors,
      recoveries: this.#recoveries,
      underruns: this.#starvation.underruns,
      underrunMs: millisecondsIn(this.#starvation.underrunFrames),
      jumps: this.#jumps,
    };
  }

  /**
   * Tells of a media frame of the track that sets the playhead, in the order played, once it is ready. Returns how long before its turn it is there,
   * which is negative when it is late.
   */
  arrive(timestamp: Microseconds): Microseconds {
    const frame = framesAt(timestamp);
    if (this.#free === undefined || frame - this.#position > REACH_FRAMES) this.#anchorAt(frame);
    else if (frame < this.#position && !this.#mayReturn(frame) && this.#isLateForGood()) this.#anchorAt(frame);
    if (frame >= this.#position || this.#mayReturn(frame)) {
      this.#lateRun.frames = 0;
      if (this.#starvation.starving || frame < this.#position) this.#resume(frame);
    }
    const lead = frame - this.#position;
    if (!this.#live) this.#jitter.measure(this.#elapsed, this.#anchorTarget + this.#held - lead);
    return microseconds((lead * 1e6) / SAMPLE_RATE);
  }

  /** Says whether the broadcast is live. */
  setLive(live: boolean): void {
    if (live === this.#live) return;
    this.#live = live;
    this.#arrivals.clear();
    this.#jitter.clear();
  }

  /** Says what the publisher promises. */
  setPublisher({ marksPauses, aheadMs, sendsAudio = true }: PublisherTraits): void {
    this.#starvation.marked = marksPauses;
    this.#maximumLead = aheadMs === undefined ? REACH_FRAMES - JUMP_FRAMES.behind : framesIn(aheadMs);
    this.#sendsAudio = sendsAudio;
  }

  /** Takes a group's first frame when it arrives, whether or not it is its turn to be decoded. */
  landed(timestamp: Microseconds): void {
    this.#keepUp(framesAt(timestamp));
    // What comes before was sent in no order that would say something about the path.
    if (!this.#live || !this.started) return;
    const frame = framesAt(timestamp);
    this.#arrivals.note(this.#elapsed, this.#elapsed - frame, frame < this.#position);
    const recent = this.#arrivals.recent(this.#elapsed);
    if (recent === undefined) return;
    // What no delay would have covered, as after a standstill, is no jitter.
    const latest = this.#arrivals.latest(recent.usual + this.#jitter.maximum) ?? recent.usual;
    this.#jitter.aim(latest - recent.usual, this.#arrivals.whole(this.#elapsed));
  }

  /**
   * Takes note of time in which nothing was pulled at all: the playhead stood still, and everything else went on. After
   * more than a second it moves on by as much, to where it would be.
   */
  lost(frames: number): void {
    this.#elapsed += frames;
    if (this.#free !== undefined && frames >= JUMP_FRAMES.still)
      this.#jumpTo(this.#position + frames, this.#anchorTarget + this.#held);
  }

  /** Takes note of audio heard up to there. */
  heard(until: number): void {
    this.#heard = until;
  }

  /** Nothing is there to be played any more. `isPause`: the audio ended in silence. */
  starve(isPause: boolean): void {
    if (this.started) this.#starvation.begin(isPause);
  }

  /** Moves on over frames that are not played. */
  skip(frames: number): void {
    const made = Math.min(this.#held, frames);
    this.#held -= made;
    if (this.#free === undefined || made === frames) return;
    this.#free += frames - made;
    this.#anchorTarget -= frames - made;
  }

  /**
   * Moves on by frames pulled, and by `waited` frames during which the playhead stood still for lack of audio; `missing`
   * of all these were silent because nothing was there.
   */
  advance(frames: number, waited = 0, missing = waited): void {
    this.#elapsed += frames + waited;
    if (this.#free === undefined) return;
    this.#free += frames + waited;
    this.#held += waited;
    this.#starvation.pass(missing, waited);
  }

  /**
   * Makes up, in a pause of `gap` frames, for time spent waiting as far as arrivals allow. Returns the frames skipped.
   */
  catchUp(gap: number): number {
    const latest = this.#live ? this.#arrivals.latest() : undefined;
    const delay = latest === undefined ? this.#anchorTarget + this.#held : this.#elapsed - this.#position;
    const slack = delay - (latest ?? this.#jitter.latest ?? 0) - MARGIN_FRAMES;
    const skipped = Math.floor(Math.max(0, Math.min(gap, Math.max(Math.min(this.#held, slack), this.excess))));
    this.skip(skipped);
    return skipped;
  }

  /**
   * Applies a rewind. Returns true when the playhead was past `from`: then everything old is void and the next frame
   * sets the playhead anew, at most once in a rewind. Where audio is sent ahead it begins within `jitterMs` then,
   * whatever delay there was: what follows the first frame comes faster than it is played, and soon covers any jitter.
   */
  rewind({ discontinuity, from }: ClockRewind): boolean {
    if (this.#rewind?.discontinuity !== discontinuity) this.#rewind = { discontinuity, moved: false };
    if (this.#rewind.moved || this.#free === undefined || this.#position < framesAt(from)) return false;
    this.#rewind.moved = true;
    this.#free = undefined;
    this.#starvation.forget();
    if (!this.#live) {
      this.#jitter.clear();
      this.#jitter.lower();
    }
    return true;
  }

  /** Forgets the timeline, for a new one; what was learnt about jitter stays. */
  reset(): void {
    this.#free = undefined;
    this.#rewind = undefined;
    this.#starvation.forget();
  }

  /** By how much a wait is worth it, in frames; see {@link patient}. */
  get #shortfall(): number {
    const recent = this.#live && this.started ? this.#arrivals.recent(this.#elapsed) : undefined;
    if (recent === undefined) return 0;
    const shortfall = recent.usual + this.#jitter.frames - (this.#elapsed - this.#position);
    return this.#arrivals.missed * MARGIN_FRAMES >= shortfall ? Math.max(0, shortfall) : 0;
  }

  get #position(): number {
    return (this.#free ?? 0) - this.#held;
  }

  #anchorAt(frame: number): void {
    if (this.#free !== undefined) this.#recoveries++;
    this.#anchors++;
    this.#arrivals.clear();
    this.#held = 0;
    this.#starvation.forget();
    this.#heard = undefined;
    this.#lateRun.frames = 0;
    this.#aheadRun.groups = 0;
    this.#anchor = frame;
    this.#anchorTarget = this.#jitter.frames;
    this.#free = frame - this.#jitter.frames;
  }

  /** Whether a frame that is late may be played all the same, because nothing after it was heard. */
  #mayReturn(frame: number): boolean {
    return frame >= this.#earliest;
  }

  get #earliest(): number {
    const within = this.#position - this.#maximumHold;
    if (this.#heard === undefined) return this.#mayStandStill ? this.#position - REACH_FRAMES : within;
    if (!this.#starvation.starving) return this.#position;
    const continuing = this.#heard - CONTIGUOUS_FRAMES;
    return this.#mayStandStill ? continuing : Math.max(continuing, within);
  }

  /** Whether media time may stand still in a pause: our publisher's never does, and a live broadcast has to keep up. */
  get #mayStandStill(): boolean {
    return !this.#live && !this.#starvation.marked;
  }

  #isLateForGood(): boolean {
    if (this.#lateRun.frames++ === 0) this.#lateRun.since = this.#elapsed;
    return this.#lateRun.frames >= LATE_RUN.frames && this.#elapsed - this.#lateRun.since >= LATE_RUN.span;
  }

  #resume(frame: number): void {
    const free = this.#free ?? 0;
    const shortfall = this.#shortfall;
    const stoodStill = this.#position - frame > this.#maximumHold;
    const isPause = this.#starvation.end({ frame, due: free, heard: this.#heard, stoodStill });
    const position = Math.max(Math.min(this.#position, frame), Math.min(free, frame - this.#jitter.frames / 2));
    this.#held = Math.round(free - position + shortfall);
    if (!isPause || this.#live || this.#heard === undefined) return;
    // A pause leaves nothing to make good, and what follows it is measured against its own first frame.
    this.#free = free - this.#held;
    this.#held = 0;
    this.#anchorTarget = frame - this.#free;
    this.#jitter.clear();
  }

  /** Follows a broadcast whose groups land further ahead than its publisher sends: the playhead is behind by the rest. */
  #keepUp(frame: number): void {
    const limit = (this.#live ? this.#jitter.frames : this.#maximumLead) + JUMP_FRAMES.behind;
    const run = this.#aheadRun;
    if (this.#free === undefined || frame - this.#position <= limit) run.groups = 0;
    else {
      if (run.groups++ === 0) run.since = this.#elapsed;
      const isBehind = run.groups >= AHEAD_RUN.groups && this.#elapsed - run.since >= AHEAD_RUN.span;
      if (isBehind) this.#jumpTo(frame - this.#jitter.frames, this.#jitter.frames);
    }
  }

  #jumpTo(position: number, target: number): void {
    this.#jumps++;
    this.#free = position;
    this.#held = 0;
    this.#anchorTarget = target;
    this.#heard = position;
    this.#aheadRun.groups = 0;
    this.#starvation.forget();
    this.#arrivals.clear();
    this.#jitter.clear();
    this.#lateRun.frames = 0;
  }
}
