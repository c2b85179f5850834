import { InputError, type Microseconds, monotonicClock, sleep, TransportError } from "../base/index.js";
import { type BrowserConnection, type BrowserConnectOptions, connect } from "./browser.js";
import { type Moq, openMoq, type RecordFormat } from "./moq.js";
import { ATTEMPT_MS, backoffMs } from "./path/backoff.js";
import { Outage } from "./path/outage.js";
import { endOf } from "./refusal.js";

/** How to keep a page connected. */
export interface BrowserSessionsOptions extends BrowserConnectOptions {
  /** The format of the relay's records. */
  readonly records: RecordFormat;
  /** Ends the session and the attempts. */
  readonly signal: AbortSignal;
}

/** A session with MoQ on it; it ends with the next turn of the loop over {@link browserSessions}. */
export interface BrowserSession extends Moq {
  readonly kind: "session";
  readonly backend: BrowserConnection["backend"];
  /** Resolves when the session has ended, with the relay's reason if it gave one; never rejects. */
  readonly closed: Promise<Error | undefined>;
  /** Whether datagrams queue up because the connection does not take them as fast as they are sent. */
  readonly backedUp: boolean;
  /** Sends one record beside the protocol; false when it cannot go. */
  send(record: Uint8Array): boolean;
}

/** Why there was no session or it ended; another attempt follows. */
export interface BrowserSessionProblem {
  readonly kind: "problem";
  readonly error: Error;
  /** Whether it was so before in the same outage. */
  readonly isRepeated: boolean;
}

/** A session of a page, or a problem on the way to one. */
export type BrowserSessionEvent = BrowserSession | BrowserSessionProblem;

/** People wait before a page. */
const BACKOFF = { maxMs: 4000 };

/**
 * Keeps a page connected to a relay: opens one session after the other until the signal aborts. The reader serves each
 * before it asks for the next.
 *
 * @throws TransportError where no other attempt can help, such as `UNAUTHORIZED`.
 */
export async function* browserSessions(
  url: URL,
  options: BrowserSessionsOptions,
): AsyncGenerator<BrowserSessionEvent, void> {
  const { signal } = options;
  const outage = new Outage(monotonicClock);
  let attempt: { readonly timeoutMs?: number } = {};
  while (!signal.aborted) {
    let openedAt: Microseconds | undefined;
    let problem: Error | undefined;
    try {
      for await (const session of oneSession(url, { ...options, ...attempt })) {
        openedAt = monotonicClock();
        attempt = { timeoutMs: Math.min(options.timeoutMs ?? ATTEMPT_MS, ATTEMPT_MS) };
        yield session;
      }
    } catch (cause) {
      if (signal.aborted) return;
      if (cause instanceof InputError || (cause instanceof TransportError && !cause.retryable)) throw cause;
      problem = cause instanceof Error ? cause : new TransportError("BROKEN", String(cause));
    }
    if (openedAt !== undefined) outage.lost(openedAt);
    if (problem) yield { kind: "problem", error: problem, isRepeated: outage.repeats(problem.message) };
    await sleep(backoffMs(outage.lengthMs, Math.random(), BACKOFF), signal);
  }
}

/** One session, until it ends; it throws the reason where the relay ended it. */
async function* oneSession(
  url: URL,
  { records: format, signal, ...options }: BrowserSessionsOptions,
): AsyncGenerator<BrowserSession, void> {
  const session = await connect(url, options);
  const { transport, backend } = session;
  const close = (): void => transport.close();
  const end = transport.closed.then(
    ({ closeCode = 0, reason = "" }) => (closeCode === 0 ? undefined : endOf({ closeCode, reason })),
    () => undefined,
  );
  // A dead path that the browser has not noticed, which would take it 30 s.
  void session.liveness.silent().then((silent) => silent && close());
  signal.addEventListener("abort", close);
  try {
    signal.throwIfAborted();
    const { connection, records } = await openMoq(session, { records: format, signal });
    yield {
      kind: "session",
      backend,
      connection,
      records,
      closed: end,
      get backedUp() {
        return session.backedUp;
      },
      send: (record) => session.sendDatagram(record),
    };
    const reason = await end;
    if (reason) throw reason;
  } finally {
    signal.removeEventListener("abort", close);
    close();
  }
}
