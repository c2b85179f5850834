import { type Broadcast, Group, Time, type Track } from "@kixelated/moq";
import {
  type Clock,
  fromMilliseconds,
  type Logger,
  type Microseconds,
  microseconds,
  monotonicClock,
} from "../../base/index.js";
import { encodeLegacyFrame, type Frame, Timeline, type VideoRendition } from "../../container/index.js";
import { TokenBucket } from "../../flow/congestion/index.js";
import { GopCache } from "../video/gop-cache.js";
import { SourceTimes } from "../video/source-times.js";
import type { VideoSource } from "../video/video-source.js";
import type { Wake } from "../wake.js";

/** Options of {@link VideoTrack}. */
export interface VideoTrackOptions {
  /** Source of the video; the track closes it. */
  readonly source: VideoSource;
  /** How long a relay should keep groups, in milliseconds: the distance sent ahead, plus some. */
  readonly retainMs: number;
  /** See the publisher's option. */
  readonly rewindBy: "group" | "track";
  readonly logger: Logger;
  /** Rung when a frame can be sent that could not before. */
  readonly wake: Wake;
  readonly clock?: Clock;
}

/** Counters of a video track. */
export interface VideoTrackCounters {
  /** Groups begun. */
  readonly groups: number;
  /** Frames sent, including repeated ones. */
  readonly frames: number;
  /** Payload bytes of these. */
  readonly bytes: number;
  /** Rewinds. */
  readonly rewinds: number;
  /** Frames that could not be sent again for lack of room for their keyframe. */
  readonly skipped: number;
}

/** Below the audio track, which has 50. */
const PRIORITY = 25;
/** How far ahead of need to read. */
const READ_AHEAD = fromMilliseconds(500);
/** How far behind the playhead a rewind may go and still find its picture. */
const KEEP = fromMilliseconds(2000);
/** Frames needed sooner than this go at once, others as the bucket allows. */
const URGENT = fromMilliseconds(500);
/** Frames per second sent ahead in the long run: four times real time at 60 per second. */
const PACE = { perSecond: 240, burst: 16 };
/** Frames read and still needed; beyond this, a rewind starts at a later keyframe than it should. */
const MAX_HELD_BYTES = 32 * 1024 * 1024;
/** Maximum bytes sent again to show the picture of a moment between two keyframes. */
const MAX_PREROLL_BYTES = 1024 * 1024;
/** Fewer than a thousand, so that a microsecond each stays below a millisecond. */
const MAX_PREROLL_FRAMES = 900;

/**
 * The video track of a broadcast: encoded frames of a source on the broadcast's timeline, one group for each keyframe
 * and the frames that depend on it. Apart from the clock it is independent of the audio; its owner pauses, moves and
 * rewinds it.
 *
 * A group can only begin with a keyframe, but a rewind can be anywhere. So the first group after a rewind to `to` holds
 * the last keyframe before that moment and the frames behind it up to the picture of that moment, all stamped within a
 * millisecond from `to` on. The keyframe at exactly `to` signals the rewind. The last frame is the picture that stands
 * until the video continues, in the same group.
 */
export class VideoTrack {
  readonly #source: VideoSource;
  readonly #retainMs: number;
  readonly #rewindBy: "group" | "track";
  readonly #logger: Logger;
  readonly #wake: Wake;
  readonly #clock: Clock;
  readonly #interval: Microseconds;
  readonly #bucket = new TokenBucket(PACE);
  readonly #gops = new GopCache();
  readonly #counters = { groups: 0, frames: 0, bytes: 0, rewinds: 0, skipped: 0 };
  #timeline: Timeline;
  #number = 0;
  #name = "video";
  #broadcast: Broadcast.Producer | undefined;
  #track: Track.Producer | undefined;
  #group: { readonly producer: Group.Producer; readonly start: Microseconds } | undefined;
  /** Where the source's own times are on the timeline, while it runs. */
  #times: SourceTimes | undefined;
  /** The source's own time where it continues, while it does not run. */
  #position = microseconds(0);
  /** Media time since which it runs or is paused. */
  #since = microseconds(0);
  /** The latest timestamp sent on this timeline. */
  #last: Microseconds | undefined;
  /** Whether it had a subscriber at the last check. */
  #wasWanted = false;
  /** The next frame starts over: for a new subscriber, or after a pause. */
  #restart = true;
  /** The cut of a rewind that no group has signalled yet. */
  #cut: Microseconds | undefined;
  /** Sending continues at the next keyframe. */
  #skipping = false;
  #until = microseconds(0);
  #reading = false;
  #ended = false;
  #closed = false;

  constructor(options: VideoTrackOptions) {
    this.#source = options.source;
    this.#retainMs = options.retainMs;
    this.#rewindBy = options.rewindBy;
    this.#logger = options.logger;
    this.#wake = options.wake;
    this.#clock = options.clock ?? monotonicClock;
    this.#interval = microseconds(1e6 / (options.source.framerate ?? 1));
    this.#timeline = new Timeline();
    if (options.rewindBy === "track") this.#name = "video0";
    this.#fill();
  }

  /** Its entry in the catalog: name and decoder configuration. */
  get renditions(): Record<string, VideoRendition> {
    const { codec, width, height, framerate } = this.#source;
    const rendition: VideoRendition = {
      codec,
      container: { kind: "legacy" },
      codedWidth: width,
      codedHeight: height,
      jitter: Math.ceil(this.#interval / 1000),
      ...(framerate !== undefined && { framerate }),
    };
    return { [this.#name]: rendition };
  }

  get counters(): VideoTrackCounters {
    return { ...this.#counters };
  }

  get epoch(): number {
    return this.#timeline.epoch;
  }

  /** Media time up to which frames were sent; while it runs, up to which they were requested. */
  get frontier(): Microseconds {
    const sent = this.#last === undefined ? 0 : this.#last + this.#interval;
    return microseconds(this.running && !this.ended ? Math.max(sent, this.#until) : sent);
  }

  /** Whether it runs: started, and not paused since. */
  get running(): boolean {
    return this.#times !== undefined;
  }

  /** Whether all of the source was sent. */
  get ended(): boolean {
    return this.#ended && this.#gops.next === undefined;
  }

  /** Publishes the track on a new session's broadcast, in place of the old one. */
  attach(broadcast: Broadcast.Producer): void {
    this.#broadcast = broadcast;
    this.#publish();
  }

  /** Starts at media time `at`, or continues after a pause; no effect while it runs. */
  start(at: Microseconds): void {
    if (this.#times !== undefined) return;
    this.#times = new SourceTimes(microseconds(at - this.#position));
    this.#since = at;
    // The next frames continue the group of the picture that stood until now.
    this.#restart ||= this.#group === undefined;
    this.#wake.ring();
  }

  /** Delays frames not sent yet by `by`, like the audio beside them. */
  delay(by: Microseconds): void {
    if (by <= 0) return;
    const { next, end = -1 } = this.#gops;
    const unsent = this.#restart ? this.#position : (next?.timestamp ?? microseconds(end + 1));
    this.#times?.delay(unsent, by);
  }

  /**
   * Pauses at media time `to` and makes everything sent from there on stale: aborts the group in progress, or ends it
   * where it began before, moves to the next epoch and sends the picture of that moment. Returns whether anything
   * became stale.
   */
  rewind(to: Microseconds): boolean {
    if (this.#times === undefined) return false;
    this.#position = microseconds(Math.max(0, this.#times.sourceTime(to)));
    this.#times = undefined;
    this.#since = to;
    const stale = this.#last !== undefined && this.#last >= to;
    if (!stale) return false;
    this.#takeBack(to);
    this.#endGroup();
    this.#restart = true;
    if (this.#wanted) this.#begin(to);
    return true;
  }

  /** Sends the frames before `until`; `heard` is the playhead of the earliest listener. */
  pump(heard: Microseconds, until: Microseconds): void {
    this.#until = until;
    const oldest = microseconds((this.#times?.sourceTime(heard) ?? this.#position) - KEEP);
    this.#times?.forget(oldest);
    this.#gops.trim(oldest);
    this.#fill();
    if (!this.#wanted) {
      this.#wasWanted = false;
      this.#pass(heard);
      return;
    }
    this.#restart ||= !this.#wasWanted;
    this.#wasWanted = true;
    if (this.#restart && !this.#begin(microseconds(Math.max(heard, this.#since)))) return;
    const now = this.#clock();
    for (let frame = this.#gops.next; frame !== undefined && this.#times !== undefined; frame = this.#gops.next) {
      if (this.#skipping && !frame.keyframe) {
        this.#counters.skipped++;
        this.#gops.take();
        continue;
      }
      const timestamp = this.#times.mediaTime(frame.timestamp);
      if (timestamp >= until) return;
      if (timestamp - heard > URGENT && this.#bucket.take(now) === 0) return;
      this.#skipping = false;
      this.#gops.take();
      this.#send(frame, timestamp);
    }
    if (this.ended) this.#endGroup();
  }

  /** Ends the track and closes the source; idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#endGroup();
    this.#track?.close();
    await this.#source.close();
  }

  get #wanted(): boolean {
    return this.#track?.closed.peek() === undefined && this.#track?.used.peek() === true;
  }

  #publish(): void {
    const broadcast = this.#broadcast;
    if (broadcast === undefined || this.#closed) return;
    const track = broadcast.createTrack(this.#name, {
      timescale: Time.Timescale.MICRO,
      latencyMax: this.#retainMs,
      priority: PRIORITY,
      ordered: true,
    });
    this.#track = track;
    this.#group = undefined;
    this.#wasWanted = false;
    track.used.subscribe((used) => {
      if (track === this.#track && used) this.#wake.ring();
    });
  }

  // Without subscribers, frames whose time has passed are over.
  #pass(heard: Microseconds): void {
    for (let frame = this.#gops.next; frame !== undefined && this.#times !== undefined; frame = this.#gops.next) {
      if (this.#times.mediaTime(frame.timestamp) >= heard) return;
      this.#gops.take();
    }
  }

  // Starts over at a media time; false when the frames of that time have not been read yet.
  #begin(at: Microseconds): boolean {
    const time = microseconds(Math.max(0, this.#times?.sourceTime(at) ?? this.#position));
    const { end } = this.#gops;
    if (end === undefined || (end < time && !this.#ended)) return false;
    if (this.#last !== undefined && this.#last >= at) this.#takeBack(at);
    if (this.#restart && !this.#wanted) return false;
    this.#endGroup();
    this.#restart = false;
    const start = this.#cut === undefined ? at : this.#timeline.rewind(microseconds(Math.min(this.#cut, at))).to;
    this.#cut = undefined;
    const preroll = this.#gops.wind(time);
    const bytes = preroll.reduce((sum, { payload }) => sum + payload.byteLength, 0);
    const tooMuch = preroll.length > MAX_PREROLL_FRAMES || (preroll.length > 1 && bytes > MAX_PREROLL_BYTES);
    for (const [index, frame] of (tooMuch ? preroll.slice(0, 1) : preroll).entries()) {
      this.#send(frame, microseconds(start + index));
    }
    this.#skipping = tooMuch;
    return true;
  }

  #takeBack(to: Microseconds): void {
    this.#counters.rewinds++;
    if (this.#group !== undefined && this.#group.start >= to) {
      this.#group.producer.close(new Error("taken back"));
      this.#group = undefined;
    }
    this.#last = undefined;
    if (this.#rewindBy === "group") {
      this.#cut = microseconds(Math.min(to, this.#cut ?? to));
      return;
    }
    const old = this.#track;
    this.#number++;
    this.#name = `video${this.#number}`;
    this.#timeline = new Timeline();
    this.#endGroup();
    this.#publish();
    old?.close();
  }

  #send(frame: Frame, wanted: Microseconds): void {
    const track = this.#track;
    if (track === undefined) return;
    const timestamp = microseconds(Math.max(wanted, (this.#last ?? -1) + 1));
    if (frame.keyframe || this.#group === undefined) {
      this.#endGroup();
      const { sequence } = this.#timeline.next(timestamp, this.#interval);
      this.#group = { producer: new Group.Producer(sequence), start: timestamp };
      track.writeGroup(this.#group.producer);
      this.#counters.groups++;
    }
    const payload = encodeLegacyFrame({ timestamp, payload: frame.payload });
    this.#group.producer.writeFrame({ payload, timestamp: Time.Timestamp.fromMicros(timestamp) });
    this.#last = timestamp;
    this.#counters.frames++;
    this.#counters.bytes += payload.byteLength;
  }

  #endGroup(): void {
    this.#group?.producer.close();
    this.#group = undefined;
  }

  // Reads until enough is buffered; one pass at a time.
  #fill(): void {
    if (this.#reading || this.#closed) return;
    this.#reading = true;
    this.#read()
      .catch((error: unknown) => {
        this.#ended = true;
        if (!this.#closed) this.#logger.warn({ err: error, source: this.#source.name }, "The video could not be read.");
      })
      .finally(() => {
        this.#reading = false;
      });
  }

  async #read(): Promise<void> {
    let more = false;
    while (!this.#ended && !this.#closed && this.#isShort()) {
      if (this.#gops.bytes > MAX_HELD_BYTES) this.#gops.dropTaken();
      if (this.#gops.bytes > MAX_HELD_BYTES) break;
      const frame = await this.#source.read();
      if (frame === undefined) this.#end();
      else this.#gops.push(frame);
      more = true;
    }
    if (more) this.#wake.ring();
  }

  #end(): void {
    this.#ended = true;
    for (const warning of this.#source.warnings ?? []) this.#logger.warn({ source: this.#source.name }, warning);
  }

  #isShort(): boolean {
    const { end } = this.#gops;
    const needed = this.#times?.sourceTime(this.#until) ?? this.#position;
    return end === undefined || end < needed + READ_AHEAD;
  }
}
