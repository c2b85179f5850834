/** Delays between attempts. */
export interface Backoff {
  /** Before the first retry, and the minimum before any other, in milliseconds. Default 100. */
  readonly initialMs?: number;
  /** Maximum, in milliseconds. Default 8000. */
  readonly maxMs?: number;
}

export const INITIAL_MS = 100;
const MAX_MS = 8000;
/** Delay between attempts as a share of the outage so far: it lengthens any outage only a little. */
const SHARE = 0.1;
/**
 * A session that lasted this long ends the outage before it; one that ends sooner is part of the outage. A relay that
 * refuses by ending a session does so at once.
 */
export const SETTLED_MS = 2000;
/**
 * Maximum duration of an attempt once there was a session, so that one begun while the network was away does not delay
 * the next: four seconds are enough for TCP, TLS and a lost packet or two over a path of 300 ms.
 */
export const ATTEMPT_MS = 4000;

/**
 * The delay before the next attempt, in milliseconds. It grows with the outage and is spread over its upper half, so that
 * the clients of a restarted relay do not all return at once.
 *
 * @param random - A number in [0, 1).
 */
export function backoffMs(outageMs: number, random: number, backoff: Backoff = {}): number {
  const { initialMs = INITIAL_MS, maxMs = MAX_MS } = backoff;
  return Math.min(Math.max(initialMs, outageMs * SHARE), maxMs) * (0.5 + random / 2);
}
