import type { Microseconds } from "../../base/index.js";

/** Acks wait for the next report. */
export const REPORT_MS = 100;
export const UNKNOWN_BASE_MS = 150;
/** A base delay above this is not a round trip but a queue that was full from the start. */
const MAX_BASE_MS = 1000;

/**
 * Time from a send to its ack on the idle path, including the wait for a report, in milliseconds. An unknown base delay
 * counts as a long path: a window too small would keep the first ack from coming.
 */
export function ackDelayMs(base: Microseconds | undefined): number {
  return (base === undefined ? UNKNOWN_BASE_MS : Math.min(base / 1000, MAX_BASE_MS)) + REPORT_MS;
}

/** Options for {@link Window}. */
export interface WindowOptions {
  /** Bit rate of the media, in bits per second. */
  readonly bitrateBps: number;
  /** Media the window holds, in milliseconds. Default 250. */
  readonly spanMs?: number;
}

const MIN_BYTES = 4096;
/** Suits 1 MB/s, and would be a minute of Opus. */
const MAX_BYTES = 262_144;

/**
 * Maximum bytes in flight to one receiver: `clamp(bitrate * (base delay + span), min, max)`. Bytes on their way for one
 * base delay are not a queue, so the span comes on top: a span of 250 ms alone starves every stream whose acks take
 * longer. On congestion the span shrinks, and the minimum with it, but never the path's own share. Acks that loss
 * delays look like a full queue, and a window smaller than the path would then silence it.
 */
export class Window {
  readonly #spanMs: number;
  /** Bit rate of the media, in bits per second; follows the rendition. */
  bitrateBps: number;
  /** Time from a send to its ack on the idle path, in milliseconds; 0 while unknown. */
  baseDelayMs = 0;
  /** Share of the span in use, from a `DelayBasedEstimator`. */
  factor = 1;

  constructor({ bitrateBps, spanMs = 250 }: WindowOptions) {
    this.bitrateBps = bitrateBps;
    this.#spanMs = spanMs;
  }

  /** The window's size now, in bytes. */
  get bytes(): number {
    const wanted = (this.bitrateBps / 8) * ((this.baseDelayMs + this.#spanMs * this.factor) / 1000);
    return Math.floor(Math.min(Math.max(wanted, MIN_BYTES * this.factor), MAX_BYTES));
  }
}
