import { type Fault, onFault } from "./guard.js";

/** Takes log lines, in pino's format. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

type Level = "debug" | "info" | "warn" | "error";

/** `scripts/dependencies/unsay.js` makes the dependencies call the function stored here instead of the console. */
const SINK = Symbol.for("unsay.dependencies.log");
const loggers = new Map<Logger, number>();
let stopFaults: (() => void) | undefined;

/**
 * Attaches a logger to everything without a logger of its own: messages of the dependencies, failed handlers, and
 * messages about the whole process. With several loggers each gets all of it. Returns a function that detaches it, any
 * number of times.
 */
export function attachLogger(logger: Logger): () => void {
  Reflect.set(globalThis, SINK, takeWords);
  loggers.set(logger, (loggers.get(logger) ?? 0) + 1);
  stopFaults ??= onFault(logFault);
  let attached = true;
  return () => {
    if (!attached) return;
    attached = false;
    const times = loggers.get(logger)!;
    if (times > 1) loggers.set(logger, times - 1);
    else loggers.delete(logger);
    if (loggers.size > 0) return;
    stopFaults?.();
    stopFaults = undefined;
  };
}

function logFault({ handler, error, count }: Fault): void {
  for (const logger of loggers.keys())
    logger.warn({ handler, err: error, count }, "A handler failed; its work goes on.");
}

/** Logs a message about the whole process to every attached logger. */
export function logForProcess(message: string): void {
  for (const logger of loggers.keys()) logger.info({}, message);
}

function takeWords(level: Level, words: readonly unknown[]): void {
  if (loggers.size === 0) return;
  const message = words.map(textOf).join(" ").replace(QUERY, "$1?[hidden]");
  // Callers handle or report whatever a library warns about: no person has to act on it.
  for (const logger of loggers.keys()) logger.debug({ dependency: level }, message);
}

/** The query of a URL, which holds tokens. */
const QUERY = /(\b[a-z][a-z\d+.-]*:\/\/[^\s?#]*)\?[^\s#]*/gi;

function textOf(word: unknown): string {
  return word instanceof Error ? word.message : String(word);
}
