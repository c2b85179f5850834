import type * as Moq from "@kixelated/moq";
import type { Clock, Logger, Microseconds } from "../base/index.js";
import type { AudioOutput } from "./audio/audio-pipeline.js";
import type { Playout } from "./audio/playout.js";
import type { AudioDecoders } from "./audio/switchable-decoder.js";
import type { VideoClock } from "./video/video-pipeline.js";
import type { VideoDecoders } from "./video/video-player.js";

/**
 * What a listener is doing. `connecting`: there is no session. `waiting`: the broadcast, or media that can be played, is
 * not there. `ready`: it is subscribed, and no audio is heard now, in a pause, because it is missing, or because the
 * output stands still. `playing`: audio of the broadcast is heard now; what is left of it also plays without a session.
 */
export type ListenerState = "connecting" | "waiting" | "ready" | "playing" | "closed";

/** A rewind as a listener applied it. */
export interface ListenerRewind {
  /** How many rewinds there were, this one included; the same number again refines it. */
  readonly discontinuity: number;
  /** Media time from which on everything was taken back. */
  readonly from: Microseconds;
  /** Up to where the old timeline was heard. */
  readonly heardUntil: Microseconds;
}

/** The first frame of a group as it came while the listener plays. */
export interface ListenerLanding {
  readonly sequence: number;
  readonly timestamp: Microseconds;
  /** How long before its turn it was there; below zero when it was late. */
  readonly lead: Microseconds;
}

/** Where the audio goes, and what the playhead is taken from: a {@link Playout}, here or in another thread. */
export type PlayerOutput = AudioOutput &
  Pick<
    Playout,
    | "landed"
    | "setLive"
    | "setPublisher"
    | "heard"
    | "started"
    | "moving"
    | "playing"
    | "resting"
    | "applied"
    | "bufferedMs"
    | "targetMs"
    | "counters"
  > & {
    /** What video is timed by. */
    readonly clock: VideoClock;
  };

/** Options of {@link Player}. */
export interface PlayerOptions {
  /** Name of the broadcast. */
  readonly broadcast: string;
  readonly output: PlayerOutput;
  readonly decoders: AudioDecoders;
  /** What decodes video; without it video is not subscribed to. */
  readonly video?: VideoDecoders<{ close(): void }> | undefined;
  readonly clock: Clock;
  /** How far ahead of the playhead audio is decoded, in milliseconds. Default: that of `AudioPipeline`. */
  readonly horizonMs?: number;
  /** Whether reports go to the relay; `broadcast`: on a broadcast of the listener's own alone. Default true. */
  readonly report?: boolean | "broadcast";
  readonly logger?: Logger | undefined;
}

/** A session as a player uses it. */
export interface PlayerSession {
  readonly connection: Moq.Connection.Established;
  /** What the relay sends beside the protocol, until the session ends. */
  readonly records: AsyncIterable<Uint8Array>;
  /** Settles when the session has ended. */
  readonly closed: Promise<unknown>;
  /** Sends a report beside the protocol; false when it can't go. */
  send(record: Uint8Array): boolean;
  /** Whether what is sent queues up. */
  readonly backedUp: boolean;
}

/** What a player has to say, in its order. */
export type PlayerEvent =
  | { readonly kind: "state"; readonly detail: ListenerState }
  | { readonly kind: "rewind"; readonly detail: ListenerRewind }
  | { readonly kind: "landing"; readonly detail: ListenerLanding }
  | { readonly kind: "problem"; readonly detail: Error };
