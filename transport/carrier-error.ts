import { TransportError } from "../base/index.js";
import type { Backend } from "./session.js";

/** Names of the carriers in messages. */
const NAMES: Readonly<Record<Backend | "webtransport", string>> = {
  quic: "QUIC",
  qmux: "WebSocket",
  http2: "HTTP/2",
  webtransport: "WebTransport",
};

/** Failure of one carrier to connect. @internal */
export class CarrierError extends TransportError {
  readonly carrier: Backend | "webtransport";
  /** The failure, to follow a colon: without a capital or a full stop. */
  readonly detail: string;

  constructor(
    code: string,
    { host, carrier, detail }: { host: string; carrier: Backend | "webtransport"; detail: string },
    options?: ErrorOptions,
  ) {
    super(code, `Cannot connect to ${host} over ${NAMES[carrier]}: ${detail}.`, options);
    this.carrier = carrier;
    this.detail = detail;
  }
}

/** Turns any error of a carrier's library into a {@link CarrierError}; our own errors stay as they are. @internal */
export function carrierError(cause: unknown, host: string, carrier: Backend | "webtransport"): TransportError {
  if (cause instanceof TransportError) return cause;
  const { code, detail } = describe(cause);
  return new CarrierError(code, { host, carrier, detail }, { cause });
}

/**
 * One error for an attempt whose carriers all failed; its sentence lists each failure. Its code is the most informative
 * one: a relay's own answer, then an untrusted certificate, then a failure that another attempt may mend.
 *
 * @internal
 */
export function combine(errors: readonly unknown[], host: string): unknown {
  const failures = errors.filter((error) => error instanceof TransportError);
  const [first] = failures;
  if (first === undefined || failures.length < errors.length) return errors[0];
  const answer = failures.find((error) => !(error instanceof CarrierError) && !error.retryable);
  if (answer !== undefined && ANSWERS.has(answer.code)) return answer;
  if (failures.length === 1) return first;
  const untrusted = failures.find(({ code }) => code === "CERTIFICATE_UNTRUSTED");
  const { code } = untrusted ?? failures.find(({ retryable }) => retryable) ?? first;
  const each = failures.map((error) =>
    error instanceof CarrierError
      ? `over ${NAMES[error.carrier]}, ${error.detail}`
      : error.message.replace(/\.$/, "").replace(/^(?:The|Cannot) /, (word) => word.toLowerCase()),
  );
  return new TransportError(code, `Cannot connect to ${host}: ${[...new Set(each)].join("; ")}.`, {
    cause: new AggregateError(failures),
  });
}

/** Codes of a relay that refuses a client for good. */
const ANSWERS: ReadonlySet<string> = new Set([
  "UNAUTHORIZED",
  "NOT_GRANTED",
  "UNSUPPORTED_VERSION",
  "UPSTREAM_IS_SELF",
  "WRONG_HOST",
  "WRONG_ORIGIN",
]);

/** Sentences for errors of the system and TLS during connecting. */
const SYSTEM: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nothing listens on that port",
  ECONNRESET: "the server ended the connection",
  EPIPE: "the server ended the connection",
  EACCES: "the system does not permit the connection",
  EADDRNOTAVAIL: "the host is not reachable",
  EMFILE: "this process has too many files and connections open",
  EPERM: "the system does not permit the connection",
  EHOSTUNREACH: "the host is not reachable",
  ENETUNREACH: "the network is not reachable",
  ENOTFOUND: "the host name is unknown",
  EAI_AGAIN: "the host name cannot be looked up now",
  ETIMEDOUT: "the host did not answer",
};
/** Messages of Node's TLS and the QUIC binding for a certificate that does not prove the server's identity. */
const UNTRUSTED =
  /self[- ]signed certificate|unable to (?:verify|get)|CERT_|ERR_TLS_CERT|invalid peer certificate|certificate has expired|not one of options\.certificateHashes|does not match certificate/i;

/** Errors of the carriers' libraries, with their codes, and their meaning for a user. */
const SAID: readonly (readonly [RegExp, string])[] = [
  [/invalid DNS name|failed to lookup|not known/i, "the host name is unknown"],
  [/failed to exchange h3 connect/i, "the server does not take WebTransport sessions at this address"],
  [/wrong.version.number|packet length too long|EPROTO/i, "the server does not speak TLS at that port"],
  [/secure TLS connection was|socket hang up|other side closed|UND_ERR_SOCKET/, "the server ended the connection"],
  [/HPE_/, "the server does not speak HTTP at that port"],
  [/Sec-WebSocket|Upgrade header|subprotocol/, "the server does not speak WebSocket at this address"],
  [/due to timeout|timed out/i, "the server did not answer in time"],
  [/^bad port|: bad port/, "that port belongs to another protocol"],
  [/SSL routines|ERR_SSL|\berror:[0-9A-F]{8}:/, "the server and this client do not agree on TLS"],
];

/** A library's error as a code and half a sentence. @internal */
export function describe(cause: unknown): { readonly code: string; readonly detail: string } {
  const root = rootOf(cause);
  const said = root instanceof Error ? root.message : String(root);
  const system = (root as { code?: unknown } | undefined)?.code;
  if (UNTRUSTED.test(said) || (typeof system === "string" && UNTRUSTED.test(system)))
    return { code: "CERTIFICATE_UNTRUSTED", detail: `the server's certificate is not trusted (${short(said)})` };
  const known = typeof system === "string" ? SYSTEM[system] : undefined;
  if (known !== undefined) return { code: "CONNECT_FAILED", detail: known };
  const [, status] = /^Unexpected server response: (\d+)$/.exec(said) ?? [];
  if (status !== undefined) return { code: "CONNECT_FAILED", detail: `the server answered with HTTP status ${status}` };
  const meant = SAID.find(([pattern]) => pattern.test(`${said} ${String(system)}`));
  return { code: "CONNECT_FAILED", detail: meant?.[1] ?? short(said) };
}

/** Why a server can't be reached, as the end of a sentence that names it. */
export function whyUnreachable(cause: unknown): string {
  return describe(cause).detail;
}

// `fetch` and happy eyeballs wrap the informative error.
function rootOf(cause: unknown): unknown {
  if (cause instanceof AggregateError && cause.errors.length > 0) return rootOf(cause.errors[0]);
  return cause instanceof Error && cause.cause instanceof Error ? rootOf(cause.cause) : cause;
}

function short(text: string): string {
  const last = text.split(": ").slice(-2).join(": ");
  return (last.length < 8 ? text : last).replace(/\.$/, "");
}
