import { whyUnusable } from "../base/bytes/bounded-file.js";
import { InputError, UnsayError } from "../base/index.js";
import { hideTokens } from "./config.js";

/** Final sentence and exit code of a command after an error. */
export interface Failure {
  readonly message: string;
  readonly code: string;
  /** 2 for input a user can mend, 1 for everything else. */
  readonly exitCode: 1 | 2;
}

/** Faults of files that a command was given; what a peer sends has other codes. */
const FILE_FAULTS: ReadonlySet<string> = new Set([
  "IVF_INVALID",
  "MODEL_INVALID",
  "MODEL_NOT_FOUND",
  "UNSUPPORTED_FILE",
  "WAV_INVALID",
]);

/** Describes any thrown value in one sentence with a stable code. */
export function describeFailure(error: unknown): Failure {
  if (error instanceof UnsayError)
    return { message: error.message, code: error.code, exitCode: isInput(error) ? 2 : 1 };
  if (!(error instanceof Error)) return { message: String(error), code: "UNEXPECTED", exitCode: 1 };
  const { code, path } = error as NodeJS.ErrnoException;
  // Codes of Node itself, such as ERR_OSSL_BAD_DECRYPT, are for programmers.
  if (typeof code !== "string" || !/^E[A-Z0-9]+$/.test(code))
    return { message: error.message.split("\n", 1)[0] ?? "", code: "UNEXPECTED", exitCode: 1 };
  const what = path === undefined ? "The system refused it" : `The system refused ${path}`;
  return { message: `${what}: ${whyUnusable(error)}.`, code, exitCode: 1 };
}

function isInput(error: UnsayError): boolean {
  return error instanceof InputError || FILE_FAULTS.has(error.code);
}

/**
 * A text for a terminal: names in it, also those of peers, may hold characters that steer one. Two invisible ones stay,
 * because names in Persian and in emoji need them.
 */
export function onOneLine(text: string): string {
  return hideTokens(text).replace(/(?![\u200c\u200d])[\p{Cc}\p{Cf}]/gu, "\uFFFD");
}
