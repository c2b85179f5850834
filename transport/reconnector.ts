import { setTimeout as delay } from "node:timers/promises";
import { type Clock, InputError, monotonicClock, toMilliseconds, UnsayError } from "../base/index.js";
import { endOf } from "./refusal.js";
import type { CloseInfo, Session } from "./session.js";

/** How long the end of a session may come after what failed because of it. */
const ENDED_MS = 50;

/** How long to wait between attempts. */
export interface Backoff {
  /** Before the first repeat. Default 250. */
  readonly initialMs?: number;
  /** At most; doubled up to here. Default 8000. */
  readonly maxMs?: number;
}

/** Options of {@link Reconnector}. */
export interface ReconnectorOptions {
  /** Makes one attempt; the signal aborts it when the reconnector is closed. */
  readonly connect: (signal: AbortSignal) => Promise<Session>;
  /** Called with every session that was made; one that it throws for is closed and counts as a failed attempt. */
  readonly onSession: (session: Session) => void | Promise<void>;
  /** Called with why a session or an attempt ended and how long the wait before the next one is. */
  readonly onRetry?: (reason: Error | undefined, waitMs: number) => void;
  /** Goes on after refusals too, as a server does that outlives the set-up of its peer. Default false. */
  readonly persistent?: boolean;
  readonly backoff?: Backoff;
  /** Clock that measures how long a session lasted. Default: the process's monotonic clock. */
  readonly clock?: Clock;
  /** Random numbers in [0, 1) for the jitter. Default `Math.random`. */
  readonly random?: () => number;
  /** Waits between attempts. Default: a timer. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
}

/** What a {@link Reconnector} does at the moment. */
export type ReconnectorState = "connecting" | "connected" | "waiting" | "closed";

/**
 * Keeps a session: makes one, and another whenever it ends, after a wait that doubles with every failure and is spread
 * over its upper half, so that many clients of a relay that restarts do not all come back at once.
 *
 * Errors that no repeat can mend end it: an `InputError`, and a `TransportError` that is not `retryable`, such as a refused
 * token. A relay may refuse while connecting or by closing a session.
 */
export class Reconnector {
  /** Resolves when it has ended: with the error that ended it, or undefined after {@link close}. Never rejects. */
  readonly closed: Promise<Error | undefined>;
  #options: ReconnectorOptions;
  #abort = new AbortController();
  #session: Session | undefined;
  #state: ReconnectorState = "connecting";

  constructor(options: ReconnectorOptions) {
    this.#options = options;
    this.closed = this.#run();
  }

  /** What it does at the moment. */
  get state(): ReconnectorState {
    return this.#state;
  }

  /** The session at the moment, if any. */
  get session(): Session | undefined {
    return this.#session;
  }

  /** Ends it and the session; idempotent. */
  close(): void {
    this.#abort.abort();
    this.#session?.close();
  }

  async #run(): Promise<Error | undefined> {
    const { backoff: { initialMs = 250, maxMs = 8000 } = {}, onRetry, random = Math.random } = this.#options;
    const { clock = monotonicClock, sleep = timer } = this.#options;
    const { signal } = this.#abort;
    let waitMs = initialMs;
    // The constructor returns before anything is called back.
    await Promise.resolve();
    while (!signal.aborted) {
      this.#state = "connecting";
      const started = clock();
      const reason = await this.#attempt(signal);
      if (signal.aborted) break;
      if (reason && this.#isFinal(reason)) {
        this.#state = "closed";
        return reason;
      }
      // Whoever stayed for a while starts over; one who is thrown out at once waits longer each time.
      if (toMilliseconds(clock()) - toMilliseconds(started) > maxMs) waitMs = initialMs;
      const spreadMs = waitMs * (0.5 + random() / 2);
      this.#state = "waiting";
      onRetry?.(reason, spreadMs);
      await sleep(spreadMs, signal).catch(() => undefined);
      waitMs = Math.min(waitMs * 2, maxMs);
    }
    this.#state = "closed";
    return undefined;
  }

  #isFinal(reason: Error): boolean {
    if (reason instanceof InputError) return true;
    return this.#options.persistent !== true && reason instanceof UnsayError && !reason.retryable;
  }

  /** Makes one session and serves it to its end; why it ended. */
  async #attempt(signal: AbortSignal): Promise<Error | undefined> {
    let session: Session;
    try {
      session = await this.#options.connect(signal);
    } catch (cause) {
      return asError(cause);
    }
    this.#session = session;
    try {
      if (signal.aborted) return undefined;
      this.#state = "connected";
      await this.#options.onSession(session);
      return reasonOf(await session.closed);
    } catch (cause) {
      // A peer that ends the session gives its reason there, and whatever was under way fails for that reason.
      const ended = await Promise.race([session.closed, later(ENDED_MS)]);
      return (ended && reasonOf(ended)) ?? asError(cause);
    } finally {
      this.#session = undefined;
      session.close();
    }
  }
}

function asError(cause: unknown): Error {
  return cause instanceof Error ? cause : new Error(String(cause));
}

/** Why a session ended; undefined for an orderly end without a reason. */
function reasonOf(info: CloseInfo): Error | undefined {
  return info.lost === true || info.closeCode !== 0 || info.reason !== "" ? endOf(info) : undefined;
}

function later(ms: number): Promise<undefined> {
  return delay(ms, undefined, { ref: false });
}

async function timer(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal });
}
