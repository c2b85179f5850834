import {
  fields,
  hasMethods,
  isBoolean,
  isBroadcast,
  isNumber,
  isObject,
  isOneOf,
  isRelayUrl,
  isSignal,
  type Logger,
  type Schema,
} from "../base/index.js";
import type { Backend, Backoff, ConnectOptions } from "../transport/index.js";
import type { ListenerLanding, ListenerRewind, ListenerState } from "./options.js";
import type { AudioSink } from "./output/virtual-speaker.js";
import type { PlayerStats } from "./stats.js";

/** Options for {@link Listener}. */
export interface ListenerOptions {
  /** The relay; with an `http:` URL its self-signed certificate is pinned from `/certificate.sha256`. */
  readonly url: string | URL;
  /** Name of the broadcast, with or without its `.hang`, which publishers of other makes need not use. */
  readonly broadcast: string;
  /** Delay from the first frame's arrival to its audio, in milliseconds; it adapts from there. Default 80. */
  readonly jitterMs?: number;
  /** False keeps the delay at `jitterMs`. Default true. */
  readonly adaptive?: boolean;
  /** How often the virtual speaker pulls due audio and records it, in milliseconds. Default 10. */
  readonly pullIntervalMs?: number;
  /** Channels of the played audio. Default 1. */
  readonly channels?: 1 | 2;
  /** Destination of the audio besides the virtual speaker's record. Closed with the listener. */
  readonly sink?: AudioSink;
  /** How long to wait for the broadcast before giving up, in milliseconds. Default 10,000. */
  readonly timeoutMs?: number;
  /**
   * Whether to report received and played audio to the relay. By default reports go in datagrams, on a stream where the
   * session has none, and on the listener's own broadcast where the relay does not answer; `stream` and `broadcast`
   * force one of these. Default true.
   */
  readonly report?: boolean | "stream" | "broadcast";
  /** Closes the listener; `closed` then resolves with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Options of the connection. */
  readonly connect?: Omit<ConnectOptions, "signal">;
  /** Delays between attempts to reconnect. */
  readonly backoff?: Backoff;
  /** Logs in pino's format. Default: no log. */
  readonly logger?: Logger;
}

/** Numbers of a {@link Listener}; totals count from its start. */
export interface ListenerStats extends PlayerStats {
  /** Transport of the session, while there is one. */
  readonly backend: Backend | undefined;
  /** Level of the last tenth of a second in decibels below full scale, -120 at the least. */
  readonly levelDb: number;
  /** Milliseconds in which this process stood still for so long that nothing was pulled: audio due then was not heard. */
  readonly stalledMs: number;
}

/** Events of a {@link Listener}. */
export interface ListenerEvents {
  /** The state changed. */
  state: [ListenerState];
  /** A rewind was applied. */
  rewind: [ListenerRewind];
  /** A group began to arrive. */
  landing: [ListenerLanding];
  /** A fault from which it recovers by itself. */
  problem: [Error];
}

/** What the options of a {@link Listener} must be. */
export const LISTENER_RULES: Schema<ListenerOptions> = fields<ListenerOptions>(
  { url: isRelayUrl, broadcast: isBroadcast },
  {
    jitterMs: isNumber({ min: 0, max: 10_000 }),
    adaptive: isBoolean,
    pullIntervalMs: isNumber({ min: 1, max: 100 }),
    channels: isOneOf(1, 2),
    sink: hasMethods("write", "close"),
    timeoutMs: isNumber({ min: 1, max: 2_147_483_647 }),
    report: isOneOf(true, false, "stream", "broadcast"),
    signal: isSignal,
    connect: isObject,
    backoff: isObject,
    logger: isObject,
  },
);
