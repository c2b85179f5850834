import { InputError, UnsayError } from "../base/index.js";

/** Final sentence and exit code of a command after an error. */
export interface Failure {
  readonly message: string;
  readonly code: string;
  /** 2 for input a user can mend, 1 for everything else. */
  readonly exitCode: 1 | 2;
}

const systemSentences: Record<string, (error: NodeJS.ErrnoException) => string> = {
  EADDRINUSE: (error) => `The port is already in use: ${error.message}.`,
  EACCES: (error) => `Permission was refused: ${error.message}.`,
  ENOENT: (error) => `The file ${error.path ?? ""} does not exist.`,
};

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
  if (error instanceof Error) {
    const code = (error as NodeJS.ErrnoException).code;
    const sentence = code === undefined ? undefined : systemSentences[code]?.(error);
    return { message: sentence ?? error.message, code: typeof code === "string" ? code : "UNEXPECTED", exitCode: 1 };
  }
  return { message: String(error), code: "UNEXPECTED", exitCode: 1 };
}

function isInput(error: UnsayError): boolean {
  return error instanceof InputError || FILE_FAULTS.has(error.code);
}
