import type { Microseconds } from "../../base/index.js";
import type { PublisherTraits } from "./broadcast-lag.js";
import { CatchUp } from "./catch-up.js";
import type { ClockRewind } from "./generations.js";
import type { PlaybackClockOptions } from "./jitter-target.js";
import { PlaybackClock, type PlaybackCounters } from "./playback-clock.js";
import { type Provenance, type RingCounters, type Run, SampleRing, type SampleRingOptions } from "./sample-ring.js";
import { framesAt, framesIn, millisecondsIn, timestampAt } from "./samples.js";

/** Options for {@link Playout}. */
export interface PlayoutOptions extends SampleRingOptions, PlaybackClockOptions {
  /** A clock to share with video; by default one is created from the other options. */
  readonly clock?: PlaybackClock;
}

/** A rewind to apply to audio. */
export interface PlayoutRewind extends ClockRewind {
  /** Generation of newly decoded audio: older audio at or after `from` is stale. */
  readonly generation: number;
}

/** Result of the last rewind. */
export interface AppliedRewind {
  readonly discontinuity: number;
  readonly from: Microseconds;
  /**
   * End of the old timeline as heard, or as it will be heard from audio that is kept and decoded already. Undefined
   * while more kept audio may still be decoded.
   */
  readonly heardUntil: Microseconds | undefined;
}

/** A stretch of media time in which nothing was played, between audio that was. */
export interface MissedTime {
  readonly from: Microseconds;
  readonly to: Microseconds;
}

/** Running totals of a {@link Playout}. */
export interface PlayoutCounters extends PlaybackCounters, RingCounters {
  /** Milliseconds of audio played. */
  readonly playedMs: number;
  /** Milliseconds of stale audio played; anything above 0 is a fault. */
  readonly staleMs: number;
  /** Milliseconds of audio skipped to catch up with a live broadcast. */
  readonly skippedMs: number;
  /** Milliseconds of audio that came too late to be played. */
  readonly lateMs: number;
}

/** After this long without audio, none is audible. */
const HEARD_FRAMES = framesIn(50);
/** Decoders conceal what is shorter. */
const MISSED_FRAMES = framesIn(120);
/** Silence that is sent for longer is a pause. */
const SILENT_FRAMES = framesIn(500);
/** Audio whose last quantum or two stay below this peak, -60 dBFS, ended in silence. */
const SILENT_PEAK = 0.001;
/** The least step of 16-bit samples, -90 dBFS: a quiet room is audio, a frame of silence is not. */
const LEAST_PEAK = 1 / 32_768;

/**
 * The last stage before a speaker: the timestamped ring, read along the playback clock. It is pure, so it runs the same
 * in an AudioWorklet and in Node.
 */
export class Playout {
  readonly clock: PlaybackClock;
  readonly #ring: SampleRing;
  readonly #catchUp: CatchUp;
  #anchors = 0;
  #onHold = false;
  #boundary: { readonly generation: number; readonly from: number } | undefined;
  #applied: AppliedRewind | undefined;
  #heardUntil: number | undefined;
  #missed: MissedTime | undefined;
  /** Where the playhead was set first. */
  #begunAt: number | undefined;
  /** The same for audio from before the last rewind. */
  #heardOld = 0;
  #playedFrames = 0;
  #staleFrames = 0;
  /** Frames pulled since audio was audible. */
  #quietFrames = Number.POSITIVE_INFINITY;
  /** Frames pulled since a sample was audible. */
  #silentFrames = 0;
  /** Largest samples of the last two quanta that held audio. */
  #peaks: readonly [number, number] = [0, 0];

  constructor({ clock, ...options }: PlayoutOptions) {
    this.clock = clock ?? new PlaybackClock(options);
    this.#ring = new SampleRing(options);
    this.#catchUp = new CatchUp({ clock: this.clock, ring: this.#ring });
  }

  get channels(): number {
    return this.#ring.channels;
  }

  /** Media time of the next sample, or undefined without a timeline. */
  get playhead(): Microseconds | undefined {
    return this.clock.playhead;
  }

  /** Media time that is audible now: between a playout and the ear there is only the puller. */
  get heard(): Microseconds | undefined {
    return this.playhead;
  }

  /** See {@link PlaybackClock.started}. */
  get started(): boolean {
    return this.clock.started;
  }

  /** See {@link PlaybackClock.targetMs}. */
  get targetMs(): number {
    return this.clock.targetMs;
  }

  /** See {@link PlaybackClock.canWait}. */
  get canWait(): boolean {
    return this.clock.canWait;
  }

  /** See {@link PlaybackClock.patient}. */
  get patient(): boolean {
    return this.clock.patient;
  }

  /** See {@link PlaybackClock.due}. */
  get due(): Microseconds | undefined {
    return this.clock.due;
  }

  /** Whether audio of the broadcast is audible, or was within the last 50 ms. */
  get playing(): boolean {
    return this.#quietFrames < HEARD_FRAMES;
  }

  /** Whether the playhead moves: the timeline has begun and does not wait. In a pause it moves without audio. */
  get moving(): boolean {
    return this.clock.started && !this.clock.holding && !this.#onHold;
  }

  /** See {@link PlaybackClock.resting}. */
  get resting(): boolean {
    return this.clock.resting;
  }

  /** Milliseconds of decoded audio at or after the playhead. */
  get bufferedMs(): number {
    return millisecondsIn(this.#ring.framesFrom(this.clock.position ?? Number.NEGATIVE_INFINITY));
  }

  /** Media time behind the last sample that was played, silence aside; before any, where the playhead began. */
  get heardUntil(): Microseconds | undefined {
    const until = this.#heardUntil ?? this.#begunAt;
    return until === undefined ? undefined : timestampAt(until);
  }

  /** The last stretch in which no audio was there to play, such as a pause, once audio began again behind it. */
  get missed(): MissedTime | undefined {
    return this.#missed;
  }

  /** The last rewind applied. */
  get applied(): AppliedRewind | undefined {
    return this.#applied;
  }

  get counters(): PlayoutCounters {
    return {
      ...this.clock.counters,
      ...this.#ring.counters,
      playedMs: millisecondsIn(this.#playedFrames),
      staleMs: millisecondsIn(this.#staleFrames),
      skippedMs: millisecondsIn(this.#catchUp.skippedFrames),
      lateMs: millisecondsIn(this.#ring.counters.lateFrames),
    };
  }

  /** See {@link PlaybackClock.arrive}. */
  arrive(timestamp: Microseconds, begins?: boolean): Microseconds {
    const lead = this.clock.arrive(timestamp, begins);
    this.#follow();
    return lead;
  }

  /** See {@link PlaybackClock.landed}. */
  landed(timestamp: Microseconds, copy = false): void {
    this.clock.landed(timestamp, copy);
  }

  /** See {@link PlaybackClock.lost}. */
  lost(frames: number): void {
    this.clock.lost(frames);
    this.#quietFrames += frames;
  }

  /** See {@link PlaybackClock.setPublisher}. */
  setPublisher(publisher: PublisherTraits): void {
    this.clock.setPublisher(publisher);
  }

  /** Sets whether the broadcast is live: then audio is skipped where the delay exceeds the target. */
  setLive(live: boolean): void {
    this.clock.setLive(live);
  }

  /** Stores decoded audio. Returns how many frames were in time and in reach. */
  write(timestamp: Microseconds, samples: readonly Float32Array[], provenance: Provenance): number {
    this.#follow();
    return this.#ring.write(timestamp, samples, provenance);
  }

  /** Cuts stale audio; for the playhead see {@link PlaybackClock.rewind}. */
  rewind({ generation, ...rewind }: PlayoutRewind): void {
    const { from, discontinuity } = rewind;
    const cut = framesAt(from);
    const position = this.clock.position;
    const isAhead = position !== undefined && position < cut;
    // Audio before the cut may be lost, or be a pause: then only playing it finds out how much is heard.
    const isDecoded = this.#ring.nextAudio(cut - 1) === cut - 1;
    this.clock.rewind(rewind);
    this.#ring.truncate(from, generation);
    const refined = this.#applied?.discontinuity === discontinuity ? this.#applied : undefined;
    if (!refined) this.#heardOld = this.#heardUntil ?? 0;
    const heard = Math.max(isAhead ? cut : 0, this.#heardUntil ?? 0);
    const limit =
      refined?.heardUntil === undefined ? heard : Math.min(framesAt(refined.heardUntil), Math.max(cut, position ?? 0));
    const isSettled = refined?.heardUntil !== undefined || !isAhead || isDecoded;
    this.#applied = { discontinuity, from, heardUntil: isSettled ? timestampAt(limit) : undefined };
    this.#boundary = { generation, from: cut };
    // What was heard or missed behind the cut says nothing about its replacement.
    if (this.#missed !== undefined && framesAt(this.#missed.to) > cut) this.#missed = undefined;
    if (this.#heardUntil !== undefined) this.#heardUntil = Math.min(this.#heardUntil, cut);
  }

  /** Pauses the playhead, or moves it again: while it is unknown how far back a rewind goes. */
  hold(on: boolean): void {
    this.#onHold = on;
  }

  /** Drops everything, for a new timeline. */
  reset(): void {
    this.clock.reset();
    this.#ring.seek();
    this.#boundary = undefined;
    this.#heardUntil = undefined;
    this.#missed = undefined;
    this.#begunAt = undefined;
  }

  /**
   * Fills `output` (planar) with the next frames, or silence without any, and advances the playhead. Returns the origin
   * of the audible frames.
   */
  pull(output: readonly Float32Array[]): Run[] {
    const runs = this.#pull(output);
    if (runs.length > 0) this.#note(output);
    this.#noteQuiet(runs.length > 0, output[0]?.length ?? 0);
    if (this.clock.live) this.#catchUp.heard(output);
    return runs;
  }

  // Silence that is sent, as behind an interrupt's cut, starts no audio: it only continues it, as between words.
  #noteQuiet(isAudio: boolean, frames: number): void {
    const isAudible = isAudio && this.#peaks[1] >= LEAST_PEAK;
    this.#silentFrames = isAudible ? 0 : this.#silentFrames + frames;
    if (isAudible || (isAudio && this.playing && this.#silentFrames < SILENT_FRAMES)) this.#quietFrames = 0;
    else this.#quietFrames += frames;
  }

  #note(output: readonly Float32Array[]): void {
    let peak = 0;
    for (const channel of output) for (const sample of channel) peak = Math.max(peak, Math.abs(sample));
    this.#peaks = [this.#peaks[1], peak];
  }

  /** Whether the last audio ended on purpose: in silence, or where a rewind cut it. */
  get #endedInSilence(): boolean {
    return Math.max(...this.#peaks) < SILENT_PEAK || this.#heardUntil === this.#boundary?.from;
  }

  #pull(output: readonly Float32Array[]): Run[] {
    const frames = output[0]?.length ?? 0;
    this.#follow();
    const position = this.clock.position;
    if (position === undefined) {
      this.#ring.silence(output, 0, frames);
      this.clock.advance(frames);
      return [];
    }
    if (this.#onHold) {
      this.#ring.silence(output, 0, frames);
      this.clock.advance(0, frames, 0);
      return [];
    }
    if (this.clock.rebuffers((this.#ring.end ?? position) - position)) {
      this.#ring.silence(output, 0, frames);
      this.clock.advance(0, frames, frames);
      return [];
    }
    const next = this.#ring.nextAudio(position);
    if (next === undefined || next > position) {
      const gap = next === undefined ? 0 : next - position;
      if (gap > 0 && this.clock.catchUp(gap) > 0) return this.#pull(output);
    }
    if (this.clock.live) this.#catchUp.skip(position);
    return this.#play(output, this.clock.position ?? position);
  }

  #play(output: readonly Float32Array[], position: number): Run[] {
    const frames = output[0]?.length ?? 0;
    const ready = Math.max(0, (this.#ring.end ?? position) - position);
    const missing = Math.max(0, frames - ready);
    if (missing > 0) this.clock.starve(this.#endedInSilence);
    const waited = this.#endsOldTimeline ? 0 : Math.min(missing, this.clock.patience);
    const runs = this.#ring.read(output, position, 0, frames - waited);
    if (waited > 0) this.#ring.silence(output, frames - waited, waited);
    this.clock.advance(frames - waited, waited, missing);
    for (const run of runs) this.#account(run);
    this.#settle();
    return runs;
  }

  /** Whether it plays up to a cut: no audio before it is worth a wait. */
  get #endsOldTimeline(): boolean {
    return this.#boundary !== undefined && this.#applied?.heardUntil === undefined;
  }

  /** Once the playhead is behind the cut, no more of the old timeline is to come. */
  #settle(): void {
    const applied = this.#applied;
    const boundary = this.#boundary;
    if (!applied || applied.heardUntil !== undefined || !boundary) return;
    if ((this.clock.position ?? Number.POSITIVE_INFINITY) < boundary.from) return;
    this.#applied = { ...applied, heardUntil: timestampAt(this.#heardOld) };
  }

  #account({ frames, timestamp, generation }: Run): void {
    const start = framesAt(timestamp);
    this.#playedFrames += frames;
    const until = this.#heardUntil ?? start;
    if (start - until > MISSED_FRAMES) this.#missed = { from: timestampAt(until), to: timestamp };
    this.#heardUntil = start + frames;
    this.clock.heard(start + frames);
    const boundary = this.#boundary;
    if (!boundary || generation >= boundary.generation) return;
    this.#heardOld = start + frames;
    const heardUntil = timestampAt(start + frames);
    const known = this.#applied?.heardUntil;
    if (this.#applied && known !== undefined && heardUntil > known) this.#applied = { ...this.#applied, heardUntil };
    this.#staleFrames += Math.min(frames, Math.max(0, start + frames - boundary.from));
  }

  /** The clock may have been set by video, gone back for late audio, or skipped silence. */
  #follow(): void {
    const { anchors } = this.clock.counters;
    const { position } = this.clock;
    if (anchors !== this.#anchors) {
      this.#anchors = anchors;
      this.#begunAt ??= position;
      this.#ring.seek(position);
    } else if (position !== undefined && position !== (this.#ring.floor ?? position)) this.#ring.moveTo(position);
  }
}
