import { type Clock, Inbox, InputError, monotonicClock, TransportError, UnsayError } from "../../base/index.js";
import { endOf } from "../refusal.js";
import type { CloseInfo, Session } from "../session.js";
import { ATTEMPT_MS, type Backoff, backoffMs, INITIAL_MS } from "./backoff.js";
import type { Liveness, WatchedSession } from "./liveness.js";
import { Outage } from "./outage.js";

/** The part of a session that a {@link Reconnector} needs. */
export interface Reconnectable {
  /** Resolves once, when the session has ended; never rejects. */
  readonly closed: Promise<CloseInfo>;
  close(): void;
}

/** Options of {@link Reconnector}. */
export interface ReconnectorOptions<S extends Reconnectable = Session> {
  /**
   * Makes one attempt; the signal aborts it when the reconnector is closed or the attempt takes too long. `urgent`: the
   * current session is silent, perhaps because its carrier is, so no carrier gets a long head start.
   */
  readonly connect: (signal: AbortSignal, urgent: boolean) => Promise<S>;
  /** Opens a session over a better carrier than the current one; undefined without any. */
  readonly upgrade?: (session: S, signal: AbortSignal) => Promise<S> | undefined;
  /**
   * Uses a new session, until it ends at most; a session that it throws for is closed and counts as a failed attempt.
   */
  readonly serve: (session: S) => void | Promise<void>;
  /** Watches the path of a session; without it only the carrier detects a dead path. */
  readonly watch?: (session: S) => WatchedSession<S>;
  /** Retries after refusals too, as a server does that outlives the set-up of its peer. Default false. */
  readonly persistent?: boolean;
  readonly backoff?: Backoff;
  /** Clock that measures how long a session lasted. Default: the process's monotonic clock. */
  readonly clock?: Clock;
  /** Random numbers in [0, 1) for the jitter. Default `Math.random`. */
  readonly random?: () => number;
  /** Waits between attempts. Default: a timer. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
}

/** A session or an attempt ended, and another attempt follows. */
export interface Retry {
  /** Why; undefined for an orderly end. */
  readonly reason: Error | undefined;
  /** Whether a retry before it, in the same outage, had the same reason. */
  readonly isRepeated: boolean;
  /** Delay before the next attempt, in milliseconds. */
  readonly waitMs: number;
}

/** State of a {@link Reconnector}. */
export type ReconnectorState = "connecting" | "connected" | "waiting" | "closed";

/** How long after a failure the end of the session that caused it may arrive. */
const ENDED_MS = 50;
/** How long a session lasts before a better carrier is tried, doubled with every attempt. */
const UPGRADE_MS = { first: 30_000, most: 600_000 };
/** How long the users of a session may take to end before the next session starts. */
const LEAVE_MS = 1000;

interface Served<S> {
  readonly reason: Error | undefined;
  /** The session that replaces a silent one. */
  readonly next: S | undefined;
}

/**
 * Keeps a session open: opens one, and another whenever it ends, after the delay of {@link backoffMs}.
 *
 * A session whose path falls silent gets a rival: the reconnector opens a new one beside it, which replaces it unless
 * the old path comes back first. So a dead path is replaced within seconds, and a peer that only stalled for a while is
 * kept.
 *
 * Errors that no retry can mend end it: an `InputError`, and a `TransportError` that is not `retryable`, such as a
 * refused token. A relay may refuse while connecting or by closing a session.
 */
export class Reconnector<S extends Reconnectable = Session> {
  /** Resolves when it has ended: with the error that ended it, or undefined after {@link close}. Never rejects. */
  readonly closed: Promise<Error | undefined>;
  /** Every retry, until {@link closed}; the newest 64 where nothing reads them. */
  readonly retries: AsyncIterable<Retry>;
  readonly #retries = new Inbox<Retry>({ most: 64 });
  readonly #options: ReconnectorOptions<S>;
  readonly #clock: Clock;
  readonly #abort = new AbortController();
  #session: S | undefined;
  #state: ReconnectorState = "connecting";
  #connected = false;
  #upgradeMs = UPGRADE_MS.first;
  readonly #outage: Outage;

  constructor(options: ReconnectorOptions<S>) {
    this.#options = options;
    this.#clock = options.clock ?? monotonicClock;
    this.#outage = new Outage(this.#clock);
    this.retries = this.#retries;
    this.closed = this.#run().finally(() => this.#retries.end());
  }

  get state(): ReconnectorState {
    return this.#state;
  }

  /** The current session, if any. */
  get session(): S | undefined {
    return this.#session;
  }

  /** Ends it and the session; idempotent. */
  close(): void {
    this.#abort.abort();
    this.#session?.close();
  }

  async #run(): Promise<Error | undefined> {
    const { signal } = this.#abort;
    let next: S | undefined;
    // The constructor returns before the first session.
    await Promise.resolve();
    while (!signal.aborted) {
      this.#state = "connecting";
      const served: Served<S> = await this.#attempt(next);
      const { reason } = served;
      next = served.next;
      if (signal.aborted) break;
      if (next === undefined && reason && this.#isFinal(reason)) {
        this.#state = "closed";
        return reason;
      }
      const waitMs = next === undefined ? this.#waitMs() : 0;
      this.#state = "waiting";
      this.#retries.push({ reason, isRepeated: this.#outage.repeats(reason?.message ?? ""), waitMs });
      if (next === undefined) await this.#sleep(waitMs);
    }
    next?.close();
    this.#state = "closed";
    return undefined;
  }

  #isFinal(reason: Error): boolean {
    if (reason instanceof InputError) return true;
    return this.#options.persistent !== true && reason instanceof UnsayError && !reason.retryable;
  }

  #waitMs(): number {
    const { backoff, random = Math.random } = this.#options;
    return backoffMs(this.#outage.lengthMs, random(), backoff);
  }

  async #sleep(ms: number): Promise<void> {
    const { sleep = later } = this.#options;
    await sleep(ms, this.#abort.signal).catch(() => undefined);
  }

  /** Opens a session, unless there is one already, and serves it to its end. */
  async #attempt(ready: S | undefined): Promise<Served<S>> {
    let session: S;
    try {
      session = ready ?? (await this.#connect(this.#abort.signal, false));
    } catch (cause) {
      return { reason: asError(cause), next: undefined };
    }
    this.#connected = true;
    const started = this.#clock();
    try {
      return await this.#serve(session);
    } finally {
      this.#outage.lost(started);
      this.#session = undefined;
      session.close();
    }
  }

  async #connect(signal: AbortSignal, urgent: boolean): Promise<S> {
    if (!this.#connected) return this.#options.connect(signal, urgent);
    const timeout = AbortSignal.timeout(ATTEMPT_MS);
    try {
      return await this.#options.connect(AbortSignal.any([signal, timeout]), urgent);
    } catch (cause) {
      if (signal.aborted || !timeout.aborted) throw cause;
      throw new TransportError("CONNECT_TIMEOUT", `The relay did not answer in ${ATTEMPT_MS} ms.`, { cause });
    }
  }

  async #serve(made: S): Promise<Served<S>> {
    if (this.#abort.signal.aborted) return { reason: undefined, next: undefined };
    const { session, liveness } = this.#options.watch?.(made) ?? { session: made, liveness: undefined };
    this.#session = session;
    this.#state = "connected";
    const served = this.#use(session);
    if (liveness === undefined) return { reason: await served, next: undefined };
    const leave = new AbortController();
    const rival = this.#rival(liveness).then((next) => next && { next, silent: true });
    const signal = AbortSignal.any([this.#abort.signal, leave.signal]);
    const better = this.#better(session, signal).then((next) => ({ next, silent: false }));
    const took = await Promise.race([served.then(() => undefined), rival, better]);
    leave.abort();
    liveness.close();
    // A silent session that ended by itself leaves the concurrent attempt running.
    if (took === undefined) return { reason: await served, next: (await rival)?.next };
    for (const each of [rival, better]) void each.then((late) => late !== took && late?.next.close());
    session.close();
    await Promise.race([served, later(LEAVE_MS)]);
    return { reason: took.silent ? silence() : undefined, next: took.next };
  }

  async #use(session: S): Promise<Error | undefined> {
    try {
      await this.#options.serve(session);
      return reasonOf(await session.closed);
    } catch (cause) {
      // A peer that ends the session gives its reason there, which is also why pending work failed.
      const ended = await Promise.race([session.closed, later(ENDED_MS)]);
      return (ended && reasonOf(ended)) ?? asError(cause);
    }
  }

  /** A session over a better carrier, tried now and then; never resolves without one, or once the signal is aborted. */
  async #better(session: S, signal: AbortSignal): Promise<S> {
    const { upgrade, sleep = later } = this.#options;
    while (upgrade !== undefined && !signal.aborted) {
      await sleep(this.#upgradeMs, signal).catch(() => undefined);
      if (signal.aborted) break;
      const attempt = upgrade(session, AbortSignal.any([signal, AbortSignal.timeout(ATTEMPT_MS)]));
      if (attempt === undefined) break;
      this.#upgradeMs = Math.min(this.#upgradeMs * 2, UPGRADE_MS.most);
      const made = await attempt.catch(() => undefined);
      if (made !== undefined && !signal.aborted) return made;
      made?.close();
    }
    return new Promise(() => {});
  }

  /**
   * A new session, opened while the current one is silent; undefined when that one has ended and no attempt was
   * running.
   */
  async #rival(liveness: Liveness): Promise<S | undefined> {
    while (await liveness.silent()) {
      const stop = new AbortController();
      const attempt = this.#connect(AbortSignal.any([this.#abort.signal, stop.signal]), true).then(
        (made) => ({ made, revived: false }),
        () => ({ made: undefined, revived: false }),
      );
      const revived = liveness.revived().then((alive) => (alive ? { made: undefined, revived: true } : attempt));
      const first = await Promise.race([attempt, revived]);
      if (first.made !== undefined) return first.made;
      stop.abort();
      if (first.revived) void attempt.then(({ made }) => made?.close());
      else await this.#sleep(this.#options.backoff?.initialMs ?? INITIAL_MS);
    }
    return undefined;
  }
}

function silence(): Error {
  return new TransportError("SESSION_SILENT", "The relay fell silent; a new session took over.");
}

function asError(cause: unknown): Error {
  return cause instanceof Error ? cause : new Error(String(cause));
}

/** Why a session ended; undefined for an orderly end without a reason. */
function reasonOf(info: CloseInfo): Error | undefined {
  return info.lost === true || info.closeCode !== 0 || info.reason !== "" ? endOf(info) : undefined;
}

function later(ms: number, signal?: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve(undefined);
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done);
    if (signal?.aborted) done();
  });
}
