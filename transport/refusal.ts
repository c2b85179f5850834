import { TransportError } from "../base/index.js";
import type { CloseInfo } from "./session.js";

/** The code with which moq-lite peers close an unauthorized session. */
const UNAUTHORIZED_CODE = 6;
/** A reason in our relays' format: a stable code, and one sentence for a person. */
const REASON = /^([A-Z][A-Z0-9_]{2,63}): (.+)$/s;
const MAX_REASON = 500;

/** Why a server refuses a session: an HTTP status, and a message for the client where its carrier can transport it. */
export interface Refusal {
  readonly status: number;
  /** Stable code such as `UNAUTHORIZED`. */
  readonly code: string;
  /** One sentence. */
  readonly message: string;
}

/** A refusal from an HTTP status alone. */
export function refusalOf(status: number): Refusal {
  const unauthorized = status === 401 || status === 403;
  const code = unauthorized ? "UNAUTHORIZED" : "CONNECT_FAILED";
  return { status, code, message: `The server refused the session with HTTP status ${status}.` };
}

/** Close info of a session that is accepted only to be refused, so that every carrier transports the reason. */
export function closeInfoOf({ status, code, message }: Refusal): CloseInfo {
  return { closeCode: status === 401 || status === 403 ? UNAUTHORIZED_CODE : status, reason: `${code}: ${message}` };
}

/**
 * The error for the end of a session that this side did not request: the peer's own code and sentence where given,
 * `UNAUTHORIZED` for moq-lite's code of that meaning, otherwise `SESSION_ENDED`, which another attempt may mend.
 */
export function endOf({ closeCode, reason, lost }: CloseInfo): TransportError {
  const said = printable(reason);
  const coded = lost === true ? undefined : readReason(said);
  if (coded) return coded;
  if (closeCode === UNAUTHORIZED_CODE && lost !== true)
    return new TransportError("UNAUTHORIZED", said === "" ? "The relay does not allow the session." : said);
  const why = said === "" ? "" : `: ${said.replace(/\.$/, "")}`;
  const what = lost === true ? "The connection to the relay broke" : "The relay ended the session";
  return new TransportError("SESSION_ENDED", `${what}${why}.`);
}

/** Reads `CODE: sentence`; undefined for any other text. */
export function readReason(text: string): TransportError | undefined {
  const [, code, message] = REASON.exec(printable(text)) ?? [];
  return code === undefined || message === undefined ? undefined : new TransportError(code, message);
}

/** A peer's text for a terminal or a log. */
function printable(text: string): string {
  // Control characters could steer the terminal that shows the message.
  return text
    .slice(0, MAX_REASON)
    .replace(/[\p{C}\s]+/gu, " ")
    .trim();
}
