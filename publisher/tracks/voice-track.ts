import { type Broadcast, Group, Time, type Track } from "@kixelated/moq";
import { fromMilliseconds, type Microseconds, microseconds } from "../../base/index.js";
import { encodeVoiceFrame, epochStart, VOICE_STEP } from "../../container/index.js";

/** A source of voice activity for the audio. */
export interface VoiceSource {
  /** Probability of a voice in the 10 ms from `step` times 10 ms on, in the units of a voice frame. */
  voice(step: number): number;
}

/** Options of {@link VoiceTrack}. */
export interface VoiceTrackOptions {
  /** How long a relay should keep groups, in milliseconds: the distance sent ahead, plus some. */
  readonly retainMs: number;
  /** See the publisher's option. */
  readonly rewindBy: "group" | "track";
  readonly source: VoiceSource;
}

/** Counters of a voice track. */
export interface VoiceTrackCounters {
  readonly groups: number;
  readonly frames: number;
}

/** Below audio and video, which have 50 and 25. */
const PRIORITY = 10;
/** Steps due later than this go in fewer frames. */
const NEAR = fromMilliseconds(400);
/** Steps per frame: 50 ms, well within a listener's jitter delay, or 200 ms. */
const LEAST_STEPS = { near: 5, far: 20 };
const MOST_STEPS = 50;
/** Steps in a group: 2 s. With so few groups, a relay never takes the track for audio. */
const GROUP_STEPS = 200;

/**
 * The voice track of a broadcast: the probability of speech for every 10 ms of encoded audio. It is written only while
 * it has a subscriber, and rewinds with the audio: its groups are numbered in the audio's epochs, and the first one
 * after a rewind starts at the cut.
 */
export class VoiceTrack {
  readonly #options: VoiceTrackOptions;
  readonly #counters = { groups: 0, frames: 0 };
  #broadcast: Broadcast.Producer | undefined;
  #track: Track.Producer | undefined;
  #offered = false;
  #number = 0;
  #group: { readonly producer: Group.Producer; readonly start: number } | undefined;
  #lastSequence = -1;
  /** The next step to write; undefined without subscribers. */
  #step: number | undefined;

  constructor(options: VoiceTrackOptions) {
    this.#options = options;
  }

  /** Its name for the catalog; undefined while no model detects voices. */
  get name(): string | undefined {
    if (!this.#offered) return undefined;
    return this.#number === 0 ? "voice" : `voice${this.#number}`;
  }

  get counters(): VoiceTrackCounters {
    return { ...this.#counters };
  }

  /** Publishes the track on a new session's broadcast, in place of the old one. */
  attach(broadcast: Broadcast.Producer): void {
    this.#broadcast = broadcast;
    this.#publish();
  }

  /** Offers the track while a model detects voices, and ends it otherwise. */
  offer(on: boolean): void {
    if (on === this.#offered) return;
    this.#offered = on;
    if (on) this.#publish();
    else this.#renew();
  }

  /** Makes everything written from `to` on stale. */
  rewind(to: Microseconds): void {
    const step = Math.floor(to / VOICE_STEP);
    if (this.#step === undefined || this.#step <= step) return;
    if (this.#options.rewindBy === "track") {
      this.#renew();
      this.#publish();
      return;
    }
    this.#endGroup(this.#group !== undefined && this.#group.start >= step);
    this.#step = step;
  }

  /**
   * Writes the steps that are due.
   *
   * @param heard Playhead of the earliest listener; earlier steps are useless.
   * @param until End of the encoded audio.
   * @param epoch The audio's epoch.
   */
  pump({ heard, until, epoch }: { heard: Microseconds; until: Microseconds; epoch: number }): void {
    if (this.#track?.closed.peek() !== undefined || this.#track?.used.peek() !== true) {
      this.#endGroup();
      this.#step = undefined;
      return;
    }
    const oldest = Math.max(0, Math.floor(heard / VOICE_STEP));
    if (this.#step === undefined || this.#step < oldest) {
      this.#endGroup();
      this.#step = oldest;
    }
    const end = Math.floor(until / VOICE_STEP);
    while (this.#step < end) {
      const count = Math.min(end - this.#step, MOST_STEPS);
      const { near, far } = LEAST_STEPS;
      // A group that may signal a rewind does not wait.
      const least = this.#group === undefined ? 1 : this.#step * VOICE_STEP - heard < NEAR ? near : far;
      if (count < least) return;
      this.#write(this.#track, { step: this.#step, count, epoch });
      this.#step += count;
    }
  }

  /** Ends the track; idempotent. */
  close(): void {
    this.#offered = false;
    this.#renew();
  }

  #publish(): void {
    const { name } = this;
    this.#group = undefined;
    this.#step = undefined;
    if (name === undefined || this.#broadcast === undefined || this.#broadcast.closed.peek() !== undefined) return;
    this.#track = this.#broadcast.createTrack(name, {
      timescale: Time.Timescale.MICRO,
      latencyMax: this.#options.retainMs,
      priority: PRIORITY,
      ordered: true,
    });
  }

  // Ends the track for good: the next one has another name.
  #renew(): void {
    if (this.#track === undefined) return;
    this.#endGroup();
    this.#track.close();
    this.#track = undefined;
    this.#step = undefined;
    this.#number++;
  }

  #write(track: Track.Producer, { step, count, epoch }: { step: number; count: number; epoch: number }): void {
    if (this.#group !== undefined && step - this.#group.start >= GROUP_STEPS) this.#endGroup();
    if (this.#group === undefined) {
      this.#lastSequence = Math.max(this.#lastSequence + 1, epochStart(epoch));
      this.#group = { producer: new Group.Producer(this.#lastSequence), start: step };
      track.writeGroup(this.#group.producer);
      this.#counters.groups++;
    }
    const timestamp = microseconds(step * VOICE_STEP);
    const steps = Uint8Array.from({ length: count }, (_, index) => this.#options.source.voice(step + index));
    const payload = encodeVoiceFrame({ timestamp, steps });
    this.#group.producer.writeFrame({ payload, timestamp: Time.Timestamp.fromMicros(timestamp) });
    this.#counters.frames++;
  }

  #endGroup(takenBack = false): void {
    this.#group?.producer.close(takenBack ? new Error("taken back") : undefined);
    this.#group = undefined;
  }
}
