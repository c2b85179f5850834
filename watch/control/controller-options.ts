import { fields, isBroadcast, isNumber, isObject, isSignal, isString, isUrl, type Logger } from "../../base/index.js";
import type { BulkSenderStats } from "../../flow/bulk/index.js";
import { isControllerId, type Operation } from "../../flow/control/index.js";
import type { Backoff, ConnectOptions } from "../../transport/index.js";

/** Options for `Controller`. */
export interface ControllerOptions {
  /** The relay; an `http:` URL means one with a certificate of its own making, pinned from `/certificate.sha256`. */
  readonly url: string | URL;
  /** Name of the broadcast, with or without its `.hang`. */
  readonly broadcast: string;
  /** Its name: letters, digits, `_` and `-`, at most 64. Random by default; give it where a token names it. */
  readonly id?: string;
  /** How long the publisher may be silent about a request before it is given up, in milliseconds. Default 10,000. */
  readonly timeoutMs?: number;
  /** Closes the controller; `closed` then resolves with the signal's reason. */
  readonly signal?: AbortSignal;
  /** How to connect. */
  readonly connect?: Omit<ConnectOptions, "signal">;
  /** Waits between attempts to connect again. */
  readonly backoff?: Backoff;
  /** Takes what goes on, pino's shape. Default: nothing is logged. */
  readonly logger?: Logger;
}

type WithoutId<T> = T extends unknown ? Omit<T, "requestId"> & { readonly requestId?: string } : never;

/** An operation to send; a `requestId` is made up where there is none. */
export type ControllerOperation = WithoutId<Operation>;

/**
 * What a controller is doing. `connecting`: there is no session. `waiting`: no publisher of the broadcast reads what it
 * sends. `ready`: one does.
 */
export type ControllerState = "connecting" | "waiting" | "ready" | "closed";

/** How far a payload is. */
export interface ControllerProgress {
  readonly requestId: string;
  /** Bytes that the publisher has acknowledged, of so many. */
  readonly ackedBytes: number;
  readonly bytes: number;
}

/** Events of a `Controller`. */
export interface ControllerEvents {
  /** What it is doing has changed. */
  state: [ControllerState];
  /** More of a payload has arrived; at most 20 times a second for each, and at its end. */
  progress: [ControllerProgress];
  /** Something went wrong that it recovers from by itself. */
  problem: [Error];
}

/** The numbers of a `Controller`; totals count from its start. */
export interface ControllerStats {
  readonly state: ControllerState;
  readonly connected: boolean;
  /** Why the last attempt to connect failed or the last session ended. */
  readonly problem: Error | undefined;
  /** Whether a publisher listens to it. */
  readonly heard: boolean;
  readonly sessions: number;
  /** Requests that have not ended. */
  readonly pending: number;
  /** Requests sent, repeats included. */
  readonly sent: number;
  /** Answers that could not be read. */
  readonly malformed: number;
  /** Payloads on their way, by request. */
  readonly payloads: Readonly<Record<string, BulkSenderStats>>;
}

/** What the options must be. */
export const CONTROLLER_RULES = fields<ControllerOptions>(
  { url: isUrl, broadcast: isBroadcast },
  {
    id: isString(isControllerId, "have 1 to 64 letters, digits, _ or -"),
    timeoutMs: isNumber({ min: 1, max: 2_147_483_647 }),
    signal: isSignal,
    connect: isObject,
    backoff: isObject,
    logger: isObject,
  },
);
