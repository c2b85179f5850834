import { InputError, sleep, TransportError } from "../base/index.js";
import { type BrowserConnection, type BrowserConnectOptions, connect } from "./browser.js";
import { type Moq, openMoq, type RecordFormat } from "./moq.js";
import { ATTEMPT_MS, backoffMs, SETTLED_MS } from "./path/backoff.js";
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

/** What keeping a page connected brings: a session, or why there was none or it ended; another attempt follows. */
export type BrowserSessionEvent = BrowserSession | { readonly kind: "problem"; readonly error: unknown };

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
  let outageAt = performance.now();
  let attempt: { readonly timeoutMs?: number } = {};
  while (!signal.aborted) {
    let openedAt = Number.POSITIVE_INFINITY;
    try {
      for await (const session of oneSession(url, { ...options, ...attempt })) {
        openedAt = performance.now();
        attempt = { timeoutMs: Math.min(options.timeoutMs ?? ATTEMPT_MS, ATTEMPT_MS) };
        yield session;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof InputError || (error instanceof TransportError && !error.retryable)) throw error;
      yield { kind: "problem", error };
    }
    const now = performance.now();
    if (now - openedAt >= SETTLED_MS) outageAt = now;
    await sleep(backoffMs(now - outageAt, Math.random(), BACKOFF), signal);
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
