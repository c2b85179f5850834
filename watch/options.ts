import type * as Moq from "@kixelated/moq";
import type { Clock, Logger, Microseconds } from "../base/index.js";
import type { AudioOutput } from "./audio/audio-pipeline.js";
import type { Playout } from "./audio/playout.js";
import type { AudioDecoders } from "./decoders/switchable-decoder.js";
import type { VideoClock } from "./video/video-pipeline.js";
import type { VideoDecoders } from "./video/video-player.js";

/**
 * State of a listener. `connecting`: without a session. `waiting`: the broadcast, or media that can be played, is
 * missing. `ready`: subscribed, but no audio is audible now, in a pause, because it is missing, or because the output
 * has stalled. `playing`: audio of the broadcast is audible now; buffered audio also plays without a session.
 */
export type ListenerState = "connecting" | "waiting" | "ready" | "playing" | "closed";

/** A rewind that a listener applied. */
export interface ListenerRewind {
  /** Number of rewinds so far; a repeated number refines the rewind. */
  readonly discontinuity: number;
  /** Media time from which on everything is stale. */
  readonly from: Microseconds;
  /** How far the listener heard the old timeline. */
  readonly heardUntil: Microseconds;
}

/** The first frame of a group that landed, from the group on that sets the playhead. */
export interface ListenerLanding {
  readonly sequence: number;
  readonly timestamp: Microseconds;
  /** Its lead over its due time; negative when it was late. */
  readonly lead: Microseconds;
}

/** Takes the audio and provides the playhead: a {@link Playout}, here or in another thread. */
export type PlayerOutput = AudioOutput &
  Pick<
    Playout,
    | "landed"
    | "setLive"
    | "setPublisher"
    | "heard"
    | "heardUntil"
    | "missed"
    | "started"
    | "moving"
    | "playing"
    | "resting"
    | "applied"
    | "bufferedMs"
    | "targetMs"
    | "counters"
  > & {
    /** Clock of the video. */
    readonly clock: VideoClock;
    /** Whether it takes audio yet; until then frames wait. Default true. */
    readonly isOpen?: boolean;
  };

/** Options of {@link Player}. */
export interface PlayerOptions {
  /** Name of the broadcast. */
  readonly broadcast: string;
  readonly output: PlayerOutput;
  readonly decoders: AudioDecoders;
  /** Video decoders; without them the player does not subscribe to video. */
  readonly video?: VideoDecoders<{ close(): void }> | undefined;
  readonly clock: Clock;
  /** How far ahead of the playhead to decode audio, in milliseconds. Default: that of `AudioPipeline`. */
  readonly horizonMs?: number;
  /** Whether to report to the relay; `broadcast`: only on the listener's own broadcast. Default true. */
  readonly report?: boolean | "broadcast";
  /** Whether to wait for `begin` before it subscribes to media and reports. Default false. */
  readonly paused?: boolean | undefined;
  readonly logger?: Logger | undefined;
}

/** A player's view of a session. */
export interface PlayerSession {
  readonly connection: Moq.Connection.Established;
  /** Records that the relay sends beside the protocol, until the session ends. */
  readonly records: AsyncIterable<Uint8Array>;
  /** Settles when the session has ended. */
  readonly closed: Promise<unknown>;
  /** Sends a report beside the protocol; false when it can't go. */
  send(record: Uint8Array): boolean;
  /** Whether sent data queues up. */
  readonly backedUp: boolean;
}

/** Events of a player, in order. */
export type PlayerEvent =
  | { readonly kind: "state"; readonly detail: ListenerState }
  | { readonly kind: "rewind"; readonly detail: ListenerRewind }
  | { readonly kind: "landing"; readonly detail: ListenerLanding }
  | { readonly kind: "problem"; readonly detail: Error }
  /** A problem that was reported before, in the same outage. */
  | { readonly kind: "retry"; readonly detail: Error };
