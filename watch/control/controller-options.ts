import {
  fields,
  isBroadcast,
  isNumber,
  isObject,
  isRelayUrl,
  isSignal,
  isString,
  type Logger,
} from "../../base/index.js";
import type { BulkSenderStats } from "../../flow/bulk/index.js";
import { isControllerId, type Operation } from "../../flow/control/index.js";
import type { Backoff, ConnectOptions } from "../../transport/index.js";

/** Options for `Controller`. */
export interface ControllerOptions {
  /** The relay; with an `http:` URL its self-signed certificate is pinned from `/certificate.sha256`. */
  readonly url: string | URL;
  /** Name of the broadcast, with or without its `.hang`. */
  readonly broadcast: string;
  /**
   * Id of the controller: letters, digits, `_` and `-`, at most 64. Random by default; set it where a token names it.
   */
  readonly id?: string;
  /** How long the publisher may be silent about a request before it fails, in milliseconds. Default 10,000. */
  readonly timeoutMs?: number;
  /** Closes the controller; `closed` then resolves with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Options of the connection. */
  readonly connect?: Omit<ConnectOptions, "signal">;
  /** Delays between attempts to reconnect. */
  readonly backoff?: Backoff;
  /** Logs in pino's format. Default: no log. */
  readonly logger?: Logger;
}

type WithoutId<T> = T extends unknown ? Omit<T, "requestId"> & { readonly requestId?: string } : never;

/** An operation to send; without a `requestId` it gets one. */
export type ControllerOperation = WithoutId<Operation>;

/**
 * State of a controller. `connecting`: without a session. `waiting`: no publisher of the broadcast reads its requests.
 * `ready`: one does.
 */
export type ControllerState = "connecting" | "waiting" | "ready" | "closed";

/** Progress of a payload. */
export interface ControllerProgress {
  readonly requestId: string;
  /** Bytes that the publisher has acknowledged, and their total. */
  readonly ackedBytes: number;
  readonly bytes: number;
}

/** Events of a `Controller`. */
export interface ControllerEvents {
  /** The state changed. */
  state: [ControllerState];
  /** More of a payload has arrived; at most 20 times a second per payload, and at its end. */
  progress: [ControllerProgress];
  /** A fault from which it recovers by itself. */
  problem: [Error];
}

/** Numbers of a `Controller`; totals count from its start. */
export interface ControllerStats {
  readonly state: ControllerState;
  readonly connected: boolean;
  /** Reason why the last attempt to connect failed or the last session ended. */
  readonly problem: Error | undefined;
  /** Whether a publisher reads its requests. */
  readonly heard: boolean;
  readonly sessions: number;
  /** Requests that have not ended. */
  readonly pending: number;
  /** Requests sent, repeats included. */
  readonly sent: number;
  /** Answers that could not be read. */
  readonly malformed: number;
  /** Payloads in transfer, by request. */
  readonly payloads: Readonly<Record<string, BulkSenderStats>>;
}

/** Rules of the options. */
export const CONTROLLER_RULES = fields<ControllerOptions>(
  { url: isRelayUrl, broadcast: isBroadcast },
  {
    id: isString(isControllerId, "have 1 to 64 letters, digits, _ or -"),
    timeoutMs: isNumber({ min: 1, max: 2_147_483_647 }),
    signal: isSignal,
    connect: isObject,
    backoff: isObject,
    logger: isObject,
  },
);
