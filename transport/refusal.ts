import { TransportError } from "../base/index.js";
import type { CloseInfo } from "./session.js";

/** The code that moq-lite peers close a session with when they do not allow it. */
const UNAUTHORIZED_CODE = 6;
/** A reason as relays of ours give it: a stable code, and one sentence for a person. */
const REASON = /^([A-Z][A-Z0-9_]{2,63}): (.+)$/s;
const MAX_REASON = 500;

/** Why a server does not take a session: an HTTP status, and what a client reads where its carrier can carry it. */
export interface Refusal {
  readonly status: number;
  /** Stable code such as `UNAUTHORIZED`. */
  readonly code: string;
  /** One sentence. */
  readonly message: string;
}

/** A refusal where only the HTTP status is known. */
export function refusalOf(status: number): Refusal {
  const unauthorized = status === 401 || status === 403;
  const code = unauthorized ? "UNAUTHORIZED" : "CONNECT_FAILED";
  return { status, code, message: `The server refused the session with HTTP status ${status}.` };
}

/** What a session that is taken only to be refused is closed with, so that every carrier carries the reason. */
export function closeInfoOf({ status, code, message }: Refusal): CloseInfo {
  return { closeCode: status === 401 || status === 403 ? UNAUTHORIZED_CODE : status, reason: `${code}: ${message}` };
}

/**
 * The error that a session's end is for the end that did not ask for it: the peer's own code and sentence where it gave
 * one, `UNAUTHORIZED` for moq-lite's code of that meaning, otherwise `SESSION_ENDED`, which another attempt may mend.
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

/** Reads `CODE: sentence`; undefined when it is something else. */
export function readReason(text: string): TransportError | undefined {
  const [, code, message] = REASON.exec(printable(text)) ?? [];
  return code === undefined || message === undefined ? undefined : new TransportError(code, message);
}

/** A peer's words on their way to a terminal or a log. */
function printable(text: string): string {
  // Control characters could steer the terminal that shows the message.
  return text
    .slice(0, MAX_REASON)
    .replace(/[\p{C}\s]+/gu, " ")
    .trim();
}
