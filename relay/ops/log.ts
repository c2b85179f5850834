import type { Logger as BaseLogger } from "../../base/index.js";

/** The part of pino's logger that the relay uses. */
export interface Logger extends BaseLogger {
  child(bindings: Record<string, unknown>): Logger;
}

/** Logs nothing. */
export const SILENT: Logger = {
  debug() {},
  info() {},
  warn() {},
  child: () => SILENT,
};

/** Whether a value from outside can take the relay's log lines. */
export function isLogger(value: unknown): value is Logger {
  if (typeof value !== "object" || value === null) return false;
  return (["debug", "info", "warn", "child"] as const).every(
    (name) => typeof (value as Record<string, unknown>)[name] === "function",
  );
}
