import { type Logger, pino } from "pino";
import { hideTokens } from "./config.js";

/** Log levels, from least to most. */
export const logLevels = ["silent", "error", "warn", "info", "debug"] as const;

/** A log of one JSON object a line; secrets that reach it by mistake are masked. */
export function createLogger(level: (typeof logLevels)[number], write: (line: string) => void): Logger {
  return pino(
    {
      level,
      base: null,
      redact: { paths: ["token", "*.token", "key", "*.key"], censor: "[secret]" },
      // `@moq/net` names the URL it connects to, with everything in it.
      hooks: { streamWrite: hideTokens },
    },
    { write },
  );
}
