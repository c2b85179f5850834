import type { RelayCounters } from "./relay-counters.js";

/** What a relay is doing, from {@link Relay.stats}. */
export interface RelayStats {
  readonly sessions: number;
  readonly broadcasts: number;
  /** Publishers whose name a newer one has taken. */
  readonly displaced: number;
  readonly tracks: number;
  readonly watchers: number;
  readonly listeners: number;
  /** TCP connections that are no session. */
  readonly connections: number;
  readonly cachedBytes: number;
  /** Bytes of frames that have not come in full. */
  readonly partialBytes: number;
  /** Bytes of groups that the transport has not taken yet. */
  readonly pendingBytes: number;
  readonly queuedBytes: number;
  readonly queuedGroups: number;
  readonly counters: RelayCounters;
}

/** What a relay knows of one listener that reports, from {@link Relay.listeners}. */
export interface RelayListener {
  /** Path of the broadcast it listens to. */
  readonly broadcast: string;
  /** How much longer its newest report took to come than the quickest one lately, in milliseconds. */
  readonly stalenessMs: number;
  /** Its playhead now, in microseconds of media time. */
  readonly playheadUs: number;
  readonly playing: boolean;
}
