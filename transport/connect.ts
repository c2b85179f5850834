import { guard, InputError, TransportError } from "../base/index.js";
import { CarrierError, combine } from "./carrier-error.js";
import { validateConnect } from "./options.js";
import { connectQuic, type QuicConnectOptions } from "./quic/quic.js";
import type { Backend, Session } from "./session.js";
import { fetchFingerprint } from "./tcp/fingerprint.js";
import { connectHttp2 } from "./tcp/http2.js";
import { connectQmux } from "./tcp/qmux.js";

/** Options of {@link connect}. */
export interface ConnectOptions extends QuicConnectOptions {
  /** Backends to try. Default: `quic` and `qmux`, which one MoQ relay offers on one port number. */
  readonly backends?: readonly Backend[];
  /** Head start of QUIC over the other backends, in milliseconds. Default 300. */
  readonly headStartMs?: number;
}

const DEFAULT_BACKENDS: readonly Backend[] = ["quic", "qmux"];
const DEFAULT_HEAD_START_MS = 300;
const DEFAULT_TIMEOUT_MS = 10_000;
/**
 * Time for QUIC from its start once every other carrier has failed: a dead UDP port never answers, and a refused TCP
 * port is answer enough. A path of 300 ms takes a second for QUIC and CONNECT.
 */
const ALONE_MS = 1_800;

/**
 * Opens a session to a server over the backend that answers first. QUIC starts at once and the others a little later,
 * or as soon as QUIC has failed, so blocked UDP costs no more than the head start.
 *
 * `https://` trusts the system's certificate authorities, or only `certificateHashes` when given. `http://`, for
 * development, fetches the hash of the server's certificate from `/certificate.sha256` on the same port and pins it;
 * `certificateHashes` are refused there.
 *
 * @throws InputError `INVALID_URL`, `INVALID_OPTION`. When no backend succeeded, one TransportError that lists the
 * failure of each; its `retryable` says whether another attempt may succeed: not for `UNAUTHORIZED`, `NOT_GRANTED`,
 * `CERTIFICATE_UNTRUSTED` and `UNSUPPORTED_VERSION`.
 */
export async function connect(target: string | URL, options: ConnectOptions = {}): Promise<Session> {
  const url = parseUrl(target);
  validateConnect(url, options);
  const { backends = DEFAULT_BACKENDS, headStartMs = DEFAULT_HEAD_START_MS, signal: outer } = options;
  const { timeoutMs = DEFAULT_TIMEOUT_MS } = options;

  const abort = new AbortController();
  const signal = outer ? AbortSignal.any([outer, abort.signal]) : abort.signal;
  const attempts: Promise<Session>[] = [];
  const alone = new AbortController();
  let winner: Session | undefined;
  let timer: NodeJS.Timeout | undefined;
  const isPlain = url.protocol === "http:" && backends.includes("quic");
  const pinned = isPlain ? fetchFingerprint(url, timeoutMs, signal).then((hash) => [hash]) : undefined;
  pinned?.catch(() => undefined);
  try {
    for (const backend of [...backends].sort(quicFirst)) {
      const previous = attempts[0];
      const attempt = (async () => {
        // The head start belongs to QUIC itself: fetching the hash does not count.
        if (previous) await pinned?.catch(() => undefined);
        if (previous) await headStart(previous, headStartMs);
        if (signal.aborted || winner) throw new TransportError("ABORTED", `Connecting to ${url.host} was given up.`);
        const session = await dial(backend, url, { ...options, signal, unanswered: alone.signal }, pinned);
        // Two may succeed at the same moment: only one is needed.
        if (winner) session.close();
        else winner = session;
        return session;
      })();
      attempt.catch(() => undefined);
      attempts.push(attempt);
    }
    const others = attempts.slice(1);
    if (others.length > 0) {
      const started = performance.now();
      void Promise.allSettled(others).then((results) => {
        if (results.some(({ status }) => status === "fulfilled")) return;
        timer = setTimeout(
          guard("transport.alone", () => alone.abort()),
          Math.max(0, ALONE_MS - (performance.now() - started)),
        );
      });
    }
    return await Promise.any(attempts);
  } catch (cause) {
    throw cause instanceof AggregateError ? combine(cause.errors, url.host) : cause;
  } finally {
    clearTimeout(timer);
    abort.abort();
  }
}

async function dial(
  backend: Backend,
  url: URL,
  options: QuicConnectOptions,
  pinned: Promise<Uint8Array[]> | undefined,
): Promise<Session> {
  switch (backend) {
    case "quic": {
      if (pinned === undefined) return connectQuic(url, options);
      const secure = new URL(url);
      secure.protocol = "https:";
      return await connectQuic(secure, { ...options, certificateHashes: await pinned }).catch((cause: unknown) => {
        throw renewed(cause, url.host);
      });
    }
    case "qmux":
      return connectQmux(url, options);
    case "http2":
      return connectHttp2(url, options);
    default:
      throw new InputError("INVALID_OPTION", `options.backends must not name ${String(backend)}.`);
  }
}

// A relay that restarts or rotates its certificate may do so between the hash and the handshake; the next attempt fits.
function renewed(cause: unknown, host: string): unknown {
  if (!(cause instanceof TransportError) || cause.code !== "CERTIFICATE_UNTRUSTED") return cause;
  const detail = "the server's certificate is not the one whose hash it served";
  return new CarrierError("CONNECT_FAILED", { host, carrier: "quic", detail }, { cause });
}

function quicFirst(a: Backend, b: Backend): number {
  return Number(b === "quic") - Number(a === "quic");
}

/** Resolves after a while, or as soon as the previous attempt has failed. */
function headStart(previous: Promise<unknown>, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    previous.catch(() => {
      clearTimeout(timer);
      resolve();
    });
    // The timer is no longer needed, and would keep the process alive.
    previous.then(
      () => {
        clearTimeout(timer);
        resolve();
      },
      () => undefined,
    );
  });
}

function parseUrl(target: string | URL): URL {
  let url: URL;
  try {
    url = new URL(target);
  } catch (cause) {
    throw new InputError("INVALID_URL", `The URL ${String(target)} is not a URL.`, { cause });
  }
  if (url.protocol !== "https:" && url.protocol !== "http:") {
    throw new InputError("INVALID_URL", `The URL ${url.href} must begin with https:// or http://.`);
  }
  return url;
}
