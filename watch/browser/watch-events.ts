import type { ListenerRewind, ListenerState } from "../options.js";
import type { BrowserListenerStats } from "./browser-listener.js";

/** State of an element: that of its listener, `idle` without one, `failed` after one that can never play. */
export type UnsayWatchState = ListenerState | "idle" | "failed";

/** Current position in the broadcast. */
export interface UnsayHeard {
  /** Media time of the audio that is audible now, in microseconds. */
  readonly playheadUs: number;
  /** Current level in decibels below full scale. */
  readonly levelDb: number;
}

/** The reason why playing ended. */
export interface UnsayFailure {
  /** Stable, such as `INSECURE_PAGE`, `NO_AUDIO_DECODER`, `UNAUTHORIZED`; `UNKNOWN` for errors without a code. */
  readonly code: string;
  /** One sentence. */
  readonly message: string;
}

/** Events of `<unsay-watch>` by name. */
export interface UnsayWatchEventMap {
  state: CustomEvent<UnsayWatchState>;
  rewind: CustomEvent<ListenerRewind>;
  heard: CustomEvent<UnsayHeard>;
  stats: CustomEvent<BrowserListenerStats>;
  /** A fault from which the element recovers by itself; once for each reason while the relay is out of reach. */
  problem: CustomEvent<Error>;
  /** It can't play, and does not try again until `play` is called. */
  error: CustomEvent<UnsayFailure>;
}
