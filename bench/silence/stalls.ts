import { sharedClock } from "../support/clock.js";

const INTERVAL_MS = 2;
/** A turn of the event loop this much late is a stall; timers themselves are up to a millisecond late. */
const LATE_US = 3000;
/** Stalls remembered: enough for the longest time that is asked about. */
const KEPT = 4096;

/** A stretch of time on the shared clock, in microseconds, in which an event loop stood still. */
export interface Stall {
  readonly from: number;
  readonly until: number;
}

/** How much of the time between two moments lies within any of the stalls, in milliseconds; they may overlap. */
export function stalledMs(stalls: readonly Stall[], from: number, until: number): number {
  let sum = 0;
  let reached = from;
  for (const stall of [...stalls].sort((left, right) => left.from - right.from)) {
    const end = Math.min(stall.until, until);
    sum += Math.max(0, end - Math.max(stall.from, reached));
    reached = Math.max(reached, end);
  }
  return sum / 1000;
}

/**
 * Notes when the event loop of this process stood still, because it was busy or because the process waited for a core:
 * the time in which nothing that arrived was looked at.
 */
export class StallWatch {
  readonly #stalls: Stall[] = [];
  readonly #timer: NodeJS.Timeout;
  #due = sharedClock() + INTERVAL_MS * 1000;

  constructor() {
    this.#timer = setInterval(() => this.#turn(), INTERVAL_MS);
    this.#timer.unref();
  }

  /** The stalls that reach into the time between two moments of the shared clock. */
  between(from: number, until: number): Stall[] {
    return this.#stalls.filter((stall) => stall.until > from && stall.from < until);
  }

  /** Ends the watch. */
  stop(): void {
    clearInterval(this.#timer);
  }

  #turn(): void {
    const now = sharedClock();
    if (now - this.#due > LATE_US) this.#stalls.push({ from: this.#due, until: now });
    if (this.#stalls.length > KEPT) this.#stalls.shift();
    this.#due = now + INTERVAL_MS * 1000;
  }
}
