import type { Clock, Microseconds } from "../../base/index.js";
import type { ListenerState } from "../../flow/report/index.js";
import type { Session } from "../../transport/index.js";
import type { ByteBudget } from "../broadcast/byte-budget.js";
import type { Logger } from "../ops/log.js";
import type { RelayCounters } from "../relay-counters.js";
import type { Version } from "../wire/version.js";
import type { BurstSmoother } from "./burst-smoother.js";
import type { WatchedTrack } from "./watched-track.js";

/** How to deliver groups to a watcher. */
export type DeliveryMode =
  /** Streams only: its version or carrier has no datagrams. */
  | "stream"
  /** As the publisher sent them: a stock client distinguishes the two. */
  | "mirror"
  /** The best of both: it reports, so it is our player, which merges datagrams and streams by sequence. */
  | "native";

/** A watcher's request for a track. */
export interface WatcherDelivery {
  /** 0 to 255, higher goes first among the session's tracks. */
  readonly priority: number;
  /** Older groups first. */
  readonly ordered: boolean;
  /** Last group wanted, or undefined for no end. */
  readonly endGroup: number | undefined;
}

/** Limits of one watcher; see `RelayLimits`. */
export interface WatcherLimits {
  readonly queueGroups: number;
  readonly queueBytes: number;
  readonly queueAge: Microseconds;
  readonly pendingStreams: number;
}

/** Options for `Watcher`. */
export interface WatcherOptions {
  readonly clock: Clock;
  readonly session: Session;
  readonly version: Version;
  /** Subscribe id of the session. */
  readonly subscribe: number;
  readonly delivery: WatcherDelivery;
  readonly track: WatchedTrack;
  readonly limits: WatcherLimits;
  /** Media in flight beyond the round trip, in milliseconds, to a watcher that reports. */
  readonly windowMs: number;
  readonly counters: RelayCounters;
  /** Reports of the sessions about the broadcast. */
  readonly listeners: ListenerStates;
  /** Id of its session among these. */
  readonly sessionId: string;
  /** Bytes of all groups to its session that the transport has not taken yet. */
  readonly pending: ByteBudget;
  /** Bytes of all groups that wait for watchers of its session. */
  readonly queued: ByteBudget;
  /** Spreads the datagrams of all watchers. */
  readonly smoother: BurstSmoother;
  /** Whether to send copies of every datagram; `auto` where the path loses packets and is not full. */
  readonly repeat: boolean | "auto";
  readonly log: Logger;
}

/** The reports of a broadcast's listeners, by session. */
export interface ListenerStates {
  /** A session's reported state; undefined before its first report. */
  listener(session: string): ListenerState | undefined;
}
