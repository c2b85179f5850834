import type { Group, Track } from "@kixelated/moq";
import type { Microseconds } from "../../base/index.js";
import { decodeVoiceFrame } from "../../container/index.js";
import type { OpenBroadcast } from "./broadcast-reader.js";
import { VoiceActivityTimeline, type VoiceActivityTimelineCounters } from "./voice-activity-timeline.js";

/** Running totals of a {@link VoiceFeed}. */
export interface VoiceFeedCounters extends VoiceActivityTimelineCounters {
  /** Frames received. */
  readonly frames: number;
  /** Frames that were none. */
  readonly malformed: number;
  /** Groups refused because too many were open, or reset before their end. */
  readonly aborted: number;
}

/** Sound has 100, pictures 50. */
const PRIORITY = 10;
/** Groups read at once; each holds up to two seconds. */
const MAX_OPEN_GROUPS = 64;

/** Reads the voice track that a catalog names, as long as there is one. */
export class VoiceFeed {
  readonly #line = new VoiceActivityTimeline();
  #broadcast: OpenBroadcast | undefined;
  #name: string | undefined;
  #track: Track.Subscriber | undefined;
  #openGroups = 0;
  #frames = 0;
  #malformed = 0;
  #aborted = 0;

  get counters(): VoiceFeedCounters {
    const received = { frames: this.#frames, malformed: this.#malformed, aborted: this.#aborted };
    return { ...received, ...this.#line.counters };
  }

  /** Follows what the newest catalog of a broadcast says: the track of that name, or none. */
  follow(broadcast: OpenBroadcast, name: string | undefined): void {
    if (broadcast === this.#broadcast && name === this.#name) return;
    this.close();
    this.#broadcast = broadcast;
    this.#name = name;
    if (name === undefined) {
      this.#line.clear();
      return;
    }
    const isWanted = () => this.#broadcast === broadcast && this.#name === name;
    void broadcast.keep(name, { priority: PRIORITY, isWanted, optional: true }, (track) => this.#run(track));
  }

  /** Sound from `from` on was taken back by a group of that epoch. */
  takeBack(from: Microseconds, epoch: number): void {
    this.#line.takeBack(from, epoch);
  }

  /** The chance from 0 to 1 that somebody speaks in what is heard at a media time; undefined where nobody told. */
  at(playhead: Microseconds | undefined): number | undefined {
    return playhead === undefined ? undefined : this.#line.at(playhead);
  }

  /** Ends the subscription; idempotent. */
  close(): void {
    this.#broadcast = undefined;
    this.#track?.close();
    this.#track = undefined;
  }

  async #run(track: Track.Subscriber): Promise<void> {
    this.#track = track;
    this.#line.begin();
    await Promise.all([this.#readGroups(track), this.#readDatagrams(track)]);
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
      // Taken back, or left behind: what came of it counts.
      this.#aborted++;
    } finally {
      this.#openGroups--;
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
      this.#line.receive(sequence, decodeVoiceFrame(payload));
    } catch {
      this.#malformed++;
    }
  }
}
