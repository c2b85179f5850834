import type { Microseconds } from "../base/index.js";

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
