import type { Logger } from "pino";
import { InputError, sleep } from "../base/index.js";
import { flagName, type OptionNames, type Resolved, type Settings } from "./config.js";
import type { StatusLine } from "./status-line.js";

/** Everything a running command gets besides its configuration. */
export interface CommandContext {
  /**
   * Aborts on the first Ctrl-C, SIGTERM or SIGHUP, and when the reader of standard output goes away; the command then
   * ends in order.
   */
  readonly signal: AbortSignal;
  /** Names of the settings that were given on the command line. */
  readonly flags: ReadonlySet<string>;
  readonly logger: Logger;
  /** The bottom line of standard error, for a meter. */
  readonly status: StatusLine;
  /** Writes one line to standard output. */
  print(line: string): void;
  /** Writes one sentence to standard error that does not end the command; tokens in it are masked. */
  notice(sentence: string): void;
}

/** One subcommand of `unsay`; its name and summary are in the list of commands. */
export interface Command<T extends Settings = Settings> {
  /** The setting, or settings in order, that may be given without a flag, such as `unsay watch <url>`. */
  readonly positional?: (keyof T & string) | readonly (keyof T & string)[];
  /** Lines printed under the options of `--help`. */
  readonly examples: readonly string[];
  readonly settings: T;
  /** Maps options to settings where the names differ; for error messages. */
  readonly options?: OptionNames<T>;
  /** Runs to the end; resolves with the exit code. */
  run(config: Resolved<T>, context: CommandContext): Promise<number>;
}

/** Infers a command's type from its definition. */
export function command<T extends Settings>(definition: Command<T>): Command {
  return definition as unknown as Command;
}

/**
 * Refuses a flag that the chosen operation would ignore; `takers` names the operations of each. A variable or a config
 * file may be there for another operation.
 */
export function refuseIgnored(
  operation: string,
  { config, flags }: { readonly config: Readonly<Record<string, unknown>>; readonly flags: ReadonlySet<string> },
  takers: Readonly<Record<string, readonly string[]>>,
): void {
  for (const [key, operations] of Object.entries(takers)) {
    const value = config[key];
    if (!flags.has(key) || value === undefined || value === "" || operations.includes(operation)) continue;
    throw new InputError("INVALID_OPTION", `${operation} takes no ${flagName(key)}, but it is "${value}".`);
  }
}

/** Passes on a sentence only if it differs from the one before. */
export function changes(say: (sentence: string) => void): (sentence: string) => void {
  let last: string | undefined;
  return (sentence) => {
    if (sentence === last) return;
    last = sentence;
    say(sentence);
  };
}

/** Resolves when the signal aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** How long an orderly end may take once the command was stopped. */
const LAST_MS = 1000;

/**
 * Waits for work that may take for ever, such as a file that nothing is written into or an output that is not read.
 * Once the signal has aborted, it waits a second longer at most, and resolves with undefined where that is not enough.
 */
export async function untilStopped<T>(signal: AbortSignal, work: Promise<T>): Promise<T | undefined> {
  const over = new AbortController();
  const late = aborted(AbortSignal.any([signal, over.signal])).then(() => sleep(LAST_MS, over.signal));
  try {
    return await Promise.race([work, late]);
  } finally {
    over.abort();
  }
}

/** Resolves after that many seconds or at the abort of the signal; without a limit only at the abort. */
export async function elapsed(seconds: number | undefined, signal: AbortSignal): Promise<void> {
  if (seconds === undefined) return aborted(signal);
  const timer = new AbortController();
  const timeout = setTimeout(() => timer.abort(), seconds * 1e3);
  await aborted(AbortSignal.any([signal, timer.signal]));
  clearTimeout(timeout);
}
