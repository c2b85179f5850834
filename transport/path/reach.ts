import { type ConnectOptions, connect } from "../connect.js";
import { watchSession } from "./liveness.js";
import type { ReconnectorOptions } from "./reconnector.js";

/** The head start of QUIC where the current session is silent: perhaps UDP is dead. */
const URGENT_HEAD_START_MS = 100;

/**
 * How a `Reconnector` reaches a relay: over the carrier that answers first, watching the path, and back to QUIC some
 * time after a fallback.
 */
export function reach(
  url: string | URL,
  options: Omit<ConnectOptions, "signal"> = {},
): Pick<ReconnectorOptions, "connect" | "upgrade" | "watch"> {
  const { backends } = options;
  const hasChoice = backends === undefined || (backends.length > 1 && backends.includes("quic"));
  const headStartMs = Math.min(options.headStartMs ?? URGENT_HEAD_START_MS, URGENT_HEAD_START_MS);
  return {
    connect: (signal, urgent) => connect(url, { ...options, signal, ...(urgent && { headStartMs }) }),
    upgrade: (session, signal) =>
      hasChoice && session.backend !== "quic" ? connect(url, { ...options, backends: ["quic"], signal }) : undefined,
    watch: watchSession,
  };
}
