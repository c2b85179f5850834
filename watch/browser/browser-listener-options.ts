import {
  fields,
  isBoolean,
  isBroadcast,
  isNumber,
  isObject,
  isRelayUrl,
  isSignal,
  isUrl,
  type Rule,
  type Schema,
} from "../../base/index.js";
import type { BrowserConnection, BrowserConnectOptions } from "../../transport/browser.js";
import type { ListenerLanding, ListenerRewind, ListenerState } from "../options.js";
import type { PlayerStats } from "../stats.js";

/** Options for {@link BrowserListener}. */
export interface BrowserListenerOptions {
  /** The relay; with an `http:` URL its self-signed certificate is pinned from `/certificate.sha256`. */
  readonly url: string | URL;
  /** Name of the broadcast, with or without its `.hang`, which publishers of other makes need not use. */
  readonly broadcast: string;
  /** Initial delay from arrival to audio, in milliseconds; it adapts from there. Default 80. */
  readonly jitterMs?: number;
  /** Canvas for the video; without it the listener does not subscribe to video. */
  readonly canvas?: HTMLCanvasElement;
  /**
   * URL of the audio worklet's script, for pages whose content security policy forbids `blob:` scripts. Default: a blob of
   * the script that this library carries.
   */
  readonly workletUrl?: string | URL;
  /**
   * Connects and reads the catalog, and waits for `play` before it takes any audio or counts as a listener. Default
   * false.
   */
  readonly paused?: boolean;
  /** Closes the listener; `closed` then resolves with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Options of the connection. */
  readonly connect?: BrowserConnectOptions;
  /**
   * How long to wait for a publisher before a `problem` event, in milliseconds; the listener keeps waiting after that.
   * Default 10,000.
   */
  readonly timeoutMs?: number;
}

/** Current numbers of a {@link BrowserListener}. */
export interface BrowserListenerStats extends PlayerStats {
  /** Transport of the session; undefined without a session. */
  readonly backend: BrowserConnection["backend"] | undefined;
  /** Current level in decibels below full scale; -Infinity for silence. */
  readonly levelDb: number;
  /** Pictures shown. */
  readonly imagesShown: number;
}

/** Events of a {@link BrowserListener} by name. */
export interface BrowserListenerEventMap {
  state: CustomEvent<ListenerState>;
  rewind: CustomEvent<ListenerRewind>;
  landing: CustomEvent<ListenerLanding>;
  /** A fault from which it recovers by itself; once for each reason while the relay is out of reach. */
  problem: CustomEvent<Error>;
  /** The same fault again, as at another attempt to reach the relay. */
  retry: CustomEvent<Error>;
  /** Ten times a second. */
  stats: CustomEvent<BrowserListenerStats>;
}

/** A delay from arrival to audio, in milliseconds. */
export const isJitter: Rule = isNumber({ min: 0, max: 10_000 });

/** What the options of a {@link BrowserListener} must be. */
export const BROWSER_LISTENER_RULES: Schema<BrowserListenerOptions> = fields<BrowserListenerOptions>(
  { url: isRelayUrl, broadcast: isBroadcast },
  {
    jitterMs: isJitter,
    canvas: isObject,
    workletUrl: isUrl,
    paused: isBoolean,
    signal: isSignal,
    connect: isObject,
    timeoutMs: isNumber({ min: 1, max: 2_147_483_647 }),
  },
);
