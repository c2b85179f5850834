/** Takes log lines; pino's shape. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

type Level = "debug" | "info" | "warn" | "error";

/** `scripts/dependencies/unsay.js` has the dependencies call what lies here in place of the console. */
const SINK = Symbol.for("unsay.dependencies.log");
const loggers = new Map<Logger, number>();

/**
 * Has a logger take what has no logger of its own: the words of the dependencies, and what concerns the whole process.
 * Several take all of it. Returns a function that ends this; calling that twice does no harm.
 */
export function attachLogger(logger: Logger): () => void {
  Reflect.set(globalThis, SINK, takeWords);
  loggers.set(logger, (loggers.get(logger) ?? 0) + 1);
  let attached = true;
  return () => {
    if (!attached) return;
    attached = false;
    const times = loggers.get(logger)!;
    if (times > 1) loggers.set(logger, times - 1);
    else loggers.delete(logger);
  };
}

/** Logs what concerns the whole process with every logger that is attached. */
export function logForProcess(message: string): void {
  for (const logger of loggers.keys()) logger.info({}, message);
}

function takeWords(level: Level, words: readonly unknown[]): void {
  if (loggers.size === 0) return;
  const message = words.map(textOf).join(" ").replace(QUERY, "$1?[hidden]");
  // What a library warns of, its caller mends or reports: nothing that a person has to act on.
  for (const logger of loggers.keys()) logger.debug({ dependency: level }, message);
}

/** The query of a URL, where tokens are. */
const QUERY = /(\b[a-z][a-z\d+.-]*:\/\/[^\s?#]*)\?[^\s#]*/gi;

function textOf(word: unknown): string {
  return word instanceof Error ? word.message : String(word);
}
