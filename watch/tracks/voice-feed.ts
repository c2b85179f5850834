import type { Group, Track } from "@kixelated/moq";
import { background, type Clock, fromMilliseconds, type Microseconds, monotonicClock } from "../../base/index.js";
import { decodeVoiceFrame, RewindConsumer } from "../../container/index.js";
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
  #track: Track.Subscriber | undefined;
  #consumer: RewindConsumer;
  #discontinuity = 0;
  #from: Microseconds | undefined;
  /** Whether the consumer is a new one whose first frame makes older steps stale. */
  #switched = true;
  #openGroups = 0;
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
    background("watch.voice", this.#subscribe(next));
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
    this.#track = undefined;
  }

  #obey({ discontinuity, from }: { readonly discontinuity: number; readonly from: Microseconds | undefined }): void {
    const isNews = discontinuity !== this.#discontinuity || from !== this.#from;
    this.#discontinuity = discontinuity;
    this.#from = from;
    // No frame of a new consumer is on the timeline yet.
    if (isNews && from !== undefined && !this.#switched) this.#timeline.cut(from);
  }

  async #subscribe({ broadcast, name, stop: { signal } }: Followed): Promise<void> {
    for await (const track of broadcast.subscriptions(name, { priority: PRIORITY, signal }))
      try {
        this.#begin(track);
        await Promise.all([this.#readGroups(track), this.#readDatagrams(track)]);
        return;
      } catch {
        // The feed subscribes again; audio plays without it all the same.
      }
  }

  // Its groups are newer than all others, whatever their numbers.
  #begin(track: Track.Subscriber): void {
    this.pump();
    this.#track = track;
    this.#consumer = this.#newConsumer();
    this.#discontinuity = 0;
    this.#from = undefined;
    this.#switched = true;
  }

  async #readGroups(track: Track.Subscriber): Promise<void> {
    for (let group = await track.recvGroup(); group; group = await track.recvGroup()) {
      if (this.#openGroups < MAX_OPEN_GROUPS) void this.#readGroup(track, group);
      else {
        this.#aborted++;
        group.close();
      }
    }
  }

  async #readGroup(track: Track.Subscriber, group: Group.Consumer): Promise<void> {
    this.#openGroups++;
    try {
      for (let frame = await group.readFrame(); frame; frame = await group.readFrame())
        this.#receive(track, group.sequence, frame.payload);
    } catch {
      // Stale or abandoned: the received part counts.
      this.#aborted++;
    } finally {
      this.#openGroups--;
      if (this.#track === track) this.#consumer.finish(group.sequence);
    }
  }

  // A group of one frame comes in a datagram.
  async #readDatagrams(track: Track.Subscriber): Promise<void> {
    for (let each = await track.recvDatagram(); each; each = await track.recvDatagram())
      this.#receive(track, each.sequence, each.payload);
  }

  #receive(track: Track.Subscriber, sequence: number, payload: Uint8Array): void {
    if (this.#track !== track) return;
    this.#frames++;
    try {
      const { timestamp, steps } = decodeVoiceFrame(payload);
      this.#consumer.receive(sequence, { timestamp, payload: steps, keyframe: true });
    } catch {
      this.#malformed++;
    }
  }

  #newConsumer(): RewindConsumer {
    return new RewindConsumer({ clock: this.#clock, gap: GAP, epochHold: GAP });
  }
}
