import { InputError, type Microseconds, microseconds } from "../../base/index.js";
import { ArrivalStats } from "../report/arrival-stats.js";
import { BroadcastLag, type PublisherTraits, REACH_FRAMES } from "./broadcast-lag.js";
import type { ClockRewind } from "./generations.js";
import { JitterTarget, MARGIN_FRAMES, type PlaybackClockOptions } from "./jitter-target.js";
import { PauseEnds } from "./pause-ends.js";
import { framesAt, framesIn, millisecondsIn, SAMPLE_RATE, timestampAt } from "./samples.js";
import { CONTIGUOUS_FRAMES, StarvationMeter } from "./starvation-meter.js";
import { Streak } from "./streak.js";

/** Running totals of a {@link PlaybackClock}. */
export interface PlaybackCounters {
  /** Times the playhead was set, the first time included. */
  readonly anchors: number;
  /** Of those, because frames no longer arrived in time, or a timestamp was out of reach. */
  readonly recoveries: number;
  /** Times that audio was missing when it was due, a current one included; intended pauses don't count. */
  readonly underruns: number;
  /** Milliseconds of silence heard in its place. */
  readonly underrunMs: number;
  /** Times the playhead jumped to the broadcast's position, after a stall or when far behind. */
  readonly jumps: number;
  /** Of these, all but pauses that ended early. */
  readonly stalls: number;
}

/** Late frames in a row, and the time over which they came, after which the playhead is set to them. */
const LATE = { times: 25, span: framesIn(400) };

/**
 * The playhead, shared by audio and video but set by one of them, the audio where there is any. So a rewind of both
 * moves it once, and a rewind of the other alone does not. Its anchor lets the first frame sound one jitter delay after
 * it arrived; then only played samples move it, at 1x.
 *
 * Early frames move it only at the end of a pause, where they are far ahead. When audio is late it waits, longer each
 * time, and makes up for the wait in the next pause. When it has waited too long it runs on. It goes back for audio
 * that arrives after all, as long as nothing later was heard: no audio is lost for coming late alone. In a live
 * broadcast, which need not pause, {@link excess} is the delay that skipping may remove. It advances with the samples
 * pulled, not with a wall clock. Sleep comes by {@link lost}.
 */
export class PlaybackClock {
  readonly #jitter: JitterTarget;
  readonly #maximumHold: number;
  /** Position without the time spent waiting. */
  #free: number | undefined;
  #held = 0;
  #anchor = 0;
  /** Target at the anchor, the reference of all delays. */
  #anchorTarget = 0;
  readonly #starvation = new StarvationMeter();
  /** End of the last audio heard: the playhead never goes back behind it. */
  #heard: number | undefined;
  readonly #late = new Streak(LATE);
  readonly #lag = new BroadcastLag();
  #elapsed = 0;
  readonly #pauseEnds = new PauseEnds();
  readonly #arrivals = new ArrivalStats();
  #live = false;
  #sendsAudio = true;
  #rewind: { readonly discontinuity: number; moved: boolean } | undefined;
  #anchors = 0;
  #recoveries = 0;
  #stalls = 0;
  #earlyEnds = 0;

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

  /** The playhead as media time; before the anchored frame is due, it is earlier than that frame. */
  get playhead(): Microseconds | undefined {
    return this.position === undefined ? undefined : timestampAt(this.position);
  }

  /** The earliest audio that the playhead would go back for now. */
  get earliest(): Microseconds | undefined {
    return this.position === undefined ? undefined : timestampAt(this.#earliest);
  }

  /** Position of the playhead without its current wait for audio. */
  get due(): Microseconds | undefined {
    return this.position === undefined ? undefined : timestampAt(this.position + this.#starvation.waited);
  }

  get started(): boolean {
    return this.position !== undefined && this.position >= this.#anchor;
  }

  get holding(): boolean {
    return this.#starvation.rebuffering || (this.#starvation.starving && this.patience > 0);
  }

  /**
   * Whether nothing is missing although no audio is there: before the start, and in a pause that the publisher intended
   * or, where it marks none, may have intended. A live broadcast goes on in a pause: where audio ended in silence there,
   * the rest was just as likely lost.
   */
  get resting(): boolean {
    const mayBePause = this.#starvation.starving && this.#mayStandStill;
    return this.#free === undefined || (!this.#live && (this.#starvation.pausing || mayBePause));
  }

  /** The current target delay from arrival to audio, in milliseconds. */
  get targetMs(): number {
    return millisecondsIn(this.#jitter.frames);
  }

  get patience(): number {
    const waited = this.#live ? this.#held : this.#starvation.waited;
    return this.started && this.#sendsAudio && !this.#lag.isLost ? Math.max(0, this.#maximumHold - waited) : 0;
  }

  /** Whether the playhead of a broadcast sent ahead may still wait for audio that is late. */
  get canWait(): boolean {
    return !this.#live && this.patience > 0;
  }

  /** Whether the broadcast is live, so that delay over the target is useless. */
  get live(): boolean {
    return this.#live;
  }

  /**
   * Frames by which the playhead of a live broadcast is further behind than necessary: the usual frame's delay over the
   * target, less what the latest frame of the last 2 s needs as a margin. 0 without 2 s of evidence, and always where
   * the broadcast is not live.
   */
  get excess(): number {
    if (!this.started || this.#starvation.starving) return 0;
    const recent = this.#arrivals.recent(this.#elapsed);
    if (recent === undefined) return 0;
    const delay = this.#elapsed - this.#position;
    return Math.max(0, Math.min(delay - recent.usual - this.#jitter.frames, delay - recent.latest - MARGIN_FRAMES));
  }

  /**
   * Whether the playhead of a live broadcast should wait for a missing frame although others are in time: its delay is
   * under the target, and the audio that was too late in the last ten seconds is longer than the wait.
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
      jumps: this.#stalls + this.#earlyEnds,
      stalls: this.#stalls,
    };
  }

  /**
   * Takes a media frame of the track that sets the playhead, in playing order, once it is ready. Returns its lead,
   * which is negative when it is late. `begins`: an utterance or an epoch begins with it.
   */
  arrive(timestamp: Microseconds, begins = false): Microseconds {
    const frame = framesAt(timestamp);
    if (begins) this.#pauseEnds.add(frame, this.position);
    if (this.#free === undefined || frame - this.#position > REACH_FRAMES) this.#anchorAt(frame, begins);
    else if (frame < this.#position && !this.#mayReturn(frame) && this.#late.note(this.#elapsed)) this.#anchorAt(frame);
    if (frame >= this.#position || this.#mayReturn(frame)) {
      this.#late.break();
      if (this.#starvation.starving || frame < this.#position) this.#resume(frame, begins);
    }
    const lead = frame - this.#position;
    if (!this.#live) this.#jitter.measure(this.#elapsed, this.#anchorTarget + this.#held - lead);
    return microseconds((lead * 1e6) / SAMPLE_RATE);
  }

  setLive(live: boolean): void {
    if (live === this.#live) return;
    this.#live = live;
    this.#arrivals.clear();
    this.#jitter.clear();
  }

  setPublisher(publisher: PublisherTraits): void {
    const { marksPauses, sendsAudio = true } = publisher;
    this.#starvation.marked = marksPauses;
    this.#lag.setPublisher(publisher);
    this.#sendsAudio = sendsAudio;
  }

  /** Takes a group's first frame on arrival, whether or not it is to be decoded yet. `copy`: it had come before. */
  landed(timestamp: Microseconds, copy = false): void {
    const frame = framesAt(timestamp);
    if (!copy) this.#keepUp(frame);
    // Earlier groups were sent in no order that would say anything about the path.
    if (!this.#live || !this.started) return;
    this.#arrivals.note(this.#elapsed, this.#elapsed - frame, { missed: frame < this.#position, copy });
    const recent = this.#arrivals.recent(this.#elapsed);
    if (recent === undefined) return;
    // Lateness that no delay would have covered, as after a stall, is not jitter.
    const latest = this.#arrivals.latest(recent.usual + this.#jitter.maximum) ?? recent.usual;
    this.#jitter.aim(latest - recent.usual, this.#arrivals.whole(this.#elapsed));
  }

  /**
   * Takes time in which nothing pulled at all: the playhead stalled while everything else went on. After more than a
   * second it moves on by as much, to where it would be.
   */
  lost(frames: number): void {
    this.#elapsed += frames;
    if (this.#free !== undefined && this.#lag.stalled(frames, this.#elapsed))
      this.#jumpTo(this.#position + frames, this.#anchorTarget + this.#held);
  }

  heard(until: number): void {
    this.#heard = until;
    this.#lag.heard(until - this.#anchor);
  }

  /** No audio is left to play. `isPause`: the audio ended in silence. */
  starve(isPause: boolean): void {
    if (this.started) this.#starvation.begin(isPause);
  }

  /** Whether the playhead still waits after an underrun, with `ready` frames there. */
  rebuffers(ready: number): boolean {
    return this.#starvation.rebuffers(ready, this.#elapsed);
  }

  /** Moves over frames that are not played. */
  skip(frames: number): void {
    const made = Math.min(this.#held, frames);
    this.#held -= made;
    if (this.#free === undefined || made === frames) return;
    this.#free += frames - made;
    this.#anchorTarget -= frames - made;
  }

  /**
   * Advances by frames pulled, and by `waited` frames in which the playhead stood for lack of audio; `missing` of all
   * these were silent because no audio was there.
   */
  advance(frames: number, waited = 0, missing = waited): void {
    this.#elapsed += frames + waited;
    if (this.#free === undefined) return;
    this.#free += frames + waited;
    this.#held += waited;
    this.#starvation.pass(missing, waited);
  }

  /**
   * In a pause of `gap` frames, makes up for time spent waiting, as far as arrivals allow, and for all time by which the
   * playhead is behind others. Returns the frames skipped.
   */
  catchUp(gap: number): number {
    const next = this.#position + gap;
    if (this.#pauseEnds.has(next) && this.#isBehind(next)) return this.#endPause(next);
    const latest = this.#live ? this.#arrivals.latest() : undefined;
    const delay = latest === undefined ? this.#anchorTarget + this.#held : this.#elapsed - this.#position;
    const slack = delay - (latest ?? this.#jitter.latest ?? 0) - MARGIN_FRAMES;
    const skipped = Math.floor(Math.max(0, Math.min(gap, Math.max(Math.min(this.#held, slack), this.excess))));
    this.skip(skipped);
    return skipped;
  }

  /**
   * Applies a rewind; what is left in front of it plays at once. Returns true when the playhead was past `from`: then the
   * next frame sets it, at most once per rewind, and begins within `jitterMs` where audio is sent ahead.
   */
  rewind({ discontinuity, from }: ClockRewind): boolean {
    if (this.#rewind?.discontinuity !== discontinuity) this.#rewind = { discontinuity, moved: false };
    this.#starvation.stopRebuffering();
    this.#pauseEnds.rewind(framesAt(from));
    if (this.#rewind.moved || this.#free === undefined || this.#position < framesAt(from)) return false;
    this.#rewind.moved = true;
    this.#starvation.forget();
    if (this.#lag.wasRewoundMeanwhile(this.#position - framesAt(from), this.#elapsed)) return true;
    this.#free = undefined;
    if (!this.#live) {
      this.#jitter.clear();
      this.#jitter.lower();
    }
    return true;
  }

  /** Forgets the timeline, for a new one; keeps what it learnt about jitter. */
  reset(): void {
    this.#free = undefined;
    this.#pauseEnds.rewind(0);
    this.#rewind = undefined;
    this.#starvation.forget();
  }

  /** By how much a wait pays off, in frames; see {@link patient}. */
  get #shortfall(): number {
    const recent = this.#live && this.started ? this.#arrivals.recent(this.#elapsed) : undefined;
    if (recent === undefined) return 0;
    const shortfall = recent.usual + this.#jitter.frames - (this.#elapsed - this.#position);
    return this.#arrivals.missed * MARGIN_FRAMES >= shortfall ? Math.max(0, shortfall) : 0;
  }

  get #position(): number {
    return (this.#free ?? 0) - this.#held;
  }

  #anchorAt(frame: number, begins = false): void {
    if (this.#free !== undefined) this.#recoveries++;
    this.#lag.anchored({ again: this.#anchors > 0, begins });
    this.#anchors++;
    this.#arrivals.clear();
    this.#held = 0;
    this.#starvation.forget();
    this.#heard = undefined;
    this.#late.break();
    this.#anchor = frame;
    this.#anchorTarget = this.#jitter.frames;
    this.#free = frame - this.#jitter.frames;
  }

  /** Whether a late frame may still be played, because nothing after it was heard. */
  #mayReturn(frame: number): boolean {
    return frame >= this.#earliest;
  }

  get #earliest(): number {
    const within = this.#position - this.#maximumHold;
    if (this.#heard === undefined) return this.#mayStandStill ? this.#position - REACH_FRAMES : within;
    if (!this.#starvation.starving || this.#lag.isLost) return this.#position;
    const continuing = this.#heard - CONTIGUOUS_FRAMES;
    return this.#live ? Math.max(continuing, within) : continuing;
  }

  /** Whether media time may stand still in a pause: our publisher's never does, and a live broadcast has to keep up. */
  get #mayStandStill(): boolean {
    return !this.#live && !this.#starvation.marked;
  }

  #resume(frame: number, begins: boolean): void {
    const free = this.#free ?? 0;
    const shortfall = this.#shortfall;
    const stoodStill = this.#position - frame > this.#maximumHold;
    const now = this.#live ? undefined : this.#elapsed;
    const isFirst = !this.#lag.hasBegun;
    const isPause = this.#starvation.end({ frame, due: free, heard: this.#heard, isFirst, begins, stoodStill, now });
    const position = Math.max(Math.min(this.#position, frame), Math.min(free, frame - this.#jitter.frames / 2));
    this.#held = Math.round(free - position + shortfall);
    if (!isPause || this.#live || this.#heard === undefined) return;
    this.#endPause(frame);
  }

  /** Whether the first frame of an utterance is there so early that the playhead must be behind others. */
  #isBehind(frame: number): boolean {
    const early = frame - this.#jitter.frames - this.#position;
    return !this.#live && this.#starvation.marked && this.#lag.isBehind(early);
  }

  /**
   * A pause leaves nothing to make up, and later frames are measured against the first one after it. Returns the frames
   * skipped.
   */
  #endPause(frame: number): number {
    const before = this.#position;
    const isBehind = this.#isBehind(frame);
    this.#earlyEnds += Number(isBehind);
    this.#free = isBehind ? frame - this.#jitter.frames : before;
    this.#held = 0;
    this.#anchorTarget = frame - this.#free;
    this.#jitter.clear();
    return this.#free - before;
  }

  /** Leaves a playhead that is behind others: at a join, and where groups land further ahead than their publisher sends. */
  #keepUp(frame: number): void {
    if (this.#free === undefined) return;
    const { frames } = this.#jitter;
    const isWaiting = !this.started && !this.#live;
    if (isWaiting && this.#lag.isJoining(frame - this.#anchor, frames)) this.skip(this.#anchor - this.#position);
    if (this.#lag.landed(frame - this.#position, this.#elapsed, this.#live ? frames : undefined))
      this.#jumpTo(frame - frames, frames);
  }

  #jumpTo(position: number, target: number): void {
    this.#stalls++;
    this.#free = position;
    this.#held = 0;
    this.#anchorTarget = target;
    this.#heard = position;
    this.#lag.jumped();
    this.#starvation.forget();
    this.#arrivals.clear();
    this.#jitter.clear();
    this.#late.break();
  }
}
