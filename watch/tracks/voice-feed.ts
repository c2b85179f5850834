import { background, type Clock, fromMilliseconds, type Microseconds, monotonicClock } from "../../base/index.js";
import { decodeVoiceFrame, RewindConsumer } from "../../container/index.js";
import type { TrackEvent } from "../../transport/moq.js";
import type { OpenBroadcast } from "./broadcast-reader.js";
import { VoiceActivityTimeline, type VoiceActivityTimelineCounters } from "./voice-activity-timeline.js";

/** Running totals of a {@link VoiceFeed}. */
export interface VoiceFeedCounters extends VoiceActivityTimelineCounters {
  /** Frames received. */
  readonly frames: number;
  /** Invalid frames. */
  readonly malformed: number;
  /** Groups refused because too many were open, or reset before their end. */
  readonly aborted: number;
}

/** Audio has 100, video 50. */
const PRIORITY = 10;
/** Groups read at once; each holds up to two seconds. */
const MAX_OPEN_GROUPS = 64;
/** How long to wait for a missing group once a newer one is there: behind the playhead it is useless. */
const GAP = fromMilliseconds(60);

interface Followed {
  readonly broadcast: OpenBroadcast;
  readonly name: string;
  readonly run: string | undefined;
  readonly stop: AbortController;
}

/**
 * Reads the voice track that a catalog names, as long as there is one. The consumer decides what a rewind makes stale.
 */
export class VoiceFeed {
  readonly #timeline = new VoiceActivityTimeline();
  readonly #clock: Clock;
  #followed: Followed | undefined;
  #consumer: RewindConsumer;
  #discontinuity = 0;
  #from: Microseconds | undefined;
  /** Whether the consumer is a new one whose first frame makes older steps stale. */
  #switched = true;
  #frames = 0;
  #malformed = 0;
  #aborted = 0;

  constructor({ clock = monotonicClock }: { readonly clock?: Clock } = {}) {
    this.#clock = clock;
    this.#consumer = this.#newConsumer();
  }

  get counters(): VoiceFeedCounters {
    const { stale } = this.#consumer.counters;
    const { stale: cut, overflow } = this.#timeline.counters;
    const received = { frames: this.#frames, malformed: this.#malformed, aborted: this.#aborted };
    return { ...received, stale: stale + cut, overflow };
  }

  /** Follows the newest catalog of a broadcast: the track of that name in that run, or none. */
  follow(broadcast: OpenBroadcast, name: string | undefined, run?: string): void {
    const followed = this.#followed;
    if (followed?.broadcast === broadcast && followed.name === name && followed.run === run) return;
    this.close();
    if (name === undefined) {
      this.#timeline.clear();
      return;
    }
    const next = { broadcast, name, run, stop: new AbortController() };
    this.#followed = next;
    background("watch.voice", this.#read(next));
  }

  /** A group of this epoch made audio from `from` on stale, and the voice activity of older epochs with it. */
  takeBack(from: Microseconds, epoch: number): void {
    this.pump();
    this.#timeline.cut(from, epoch);
  }

  /** Probability from 0 to 1 of a voice at a media time; undefined where the publisher reports none. */
  at(playhead: Microseconds | undefined): number | undefined {
    this.pump();
    return playhead === undefined ? undefined : this.#timeline.at(playhead);
  }

  /** Moves received frames to the timeline, in order. */
  pump(): void {
    for (;;) {
      const delivery = this.#consumer.read();
      this.#obey(delivery ?? this.#consumer);
      if (!delivery) return;
      const { frame, epoch } = delivery;
      if (this.#switched) this.#timeline.cut(frame.timestamp);
      this.#switched = false;
      this.#timeline.add({ timestamp: frame.timestamp, steps: frame.payload }, epoch);
    }
  }

  /** Ends the subscription; idempotent. */
  close(): void {
    this.#followed?.stop.abort();
    this.#followed = undefined;
  }

  #obey({ discontinuity, from }: { readonly discontinuity: number; readonly from: Microseconds | undefined }): void {
    const isNews = discontinuity !== this.#discontinuity || from !== this.#from;
    this.#discontinuity = discontinuity;
    this.#from = from;
    // No frame of a new consumer is on the timeline yet.
    if (isNews && from !== undefined && !this.#switched) this.#timeline.cut(from);
  }

  async #read({ broadcast, name, stop: { signal } }: Followed): Promise<void> {
    const options = { priority: PRIORITY, signal, maxOpenGroups: MAX_OPEN_GROUPS };
    for await (const event of broadcast.follow(name, options)) {
      if (signal.aborted) return;
      // An end with an error needs nothing: another subscription follows, and audio plays without it all the same.
      if (event.kind === "subscribed") this.#begin();
      else if (event.kind === "frame") this.#receive(event);
      else if (event.kind === "end") this.#end(event);
    }
  }

  // Its groups are newer than all others, whatever their numbers.
  #begin(): void {
    this.pump();
    this.#consumer = this.#newConsumer();
    this.#discontinuity = 0;
    this.#from = undefined;
    this.#switched = true;
  }

  #receive({ sequence, payload }: Extract<TrackEvent, { kind: "frame" }>): void {
    this.#frames++;
    try {
      const { timestamp, steps } = decodeVoiceFrame(payload);
      this.#consumer.receive(sequence, { timestamp, payload: steps, keyframe: true });
    } catch {
      this.#malformed++;
    }
  }

  #end({ sequence, whole }: Extract<TrackEvent, { kind: "end" }>): void {
    // Of a stale or abandoned group the received part counts.
    if (!whole) this.#aborted++;
    this.#consumer.finish(sequence);
  }

  #newConsumer(): RewindConsumer {
    return new RewindConsumer({ clock: this.#clock, gap: GAP, epochHold: GAP });
  }
}
