import { guard } from "../../base/index.js";
import type { Datagrams } from "../../transport/index.js";

/** A waiting datagram. */
interface Pending {
  readonly body: Uint8Array;
  readonly to: Pick<Datagrams, "send">;
}

/** Counters of datagrams that were not sent. */
export interface DatagramCounters {
  /** Datagrams that the transport did not take. */
  datagramsRefused: number;
  /** Datagrams dropped because too many waited. */
  datagramsDropped: number;
}

/** Options for {@link BurstSmoother}. */
export interface BurstSmootherOptions {
  readonly counters: DatagramCounters;
  /** Datagrams that go back to back. Default 64. */
  readonly burst?: number;
  /** Maximum waiting datagrams; beyond this the oldest are dropped and counted. Default 16,384. */
  readonly maxWaiting?: number;
  /** Calls back about a millisecond later. Default `setTimeout`. */
  readonly schedule?: (callback: () => void) => void;
}

/**
 * Spreads the datagrams of one tick over a few milliseconds: they have no backpressure, and a socket's buffer silently
 * drops the tail of a burst.
 */
export class BurstSmoother {
  readonly #burst: number;
  readonly #maxWaiting: number;
  readonly #schedule: (callback: () => void) => void;
  readonly #counters: DatagramCounters;
  #waiting: Pending[] = [];
  #left: number;
  #scheduled = false;

  constructor({ counters, burst = 64, maxWaiting = 16_384, schedule = later }: BurstSmootherOptions) {
    this.#counters = counters;
    this.#burst = burst;
    this.#maxWaiting = maxWaiting;
    this.#schedule = schedule;
    this.#left = burst;
  }

  /** Datagrams that wait. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Sends now within the burst, else in a moment; keeps the order. */
  send(body: Uint8Array, to: Pick<Datagrams, "send">): void {
    if (this.#left > 0 && this.#waiting.length === 0) {
      this.#left--;
      this.#hand({ body, to });
    } else {
      this.#waiting.push({ body, to });
      if (this.#waiting.length > this.#maxWaiting) {
        this.#waiting.shift();
        this.#counters.datagramsDropped++;
      }
    }
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#schedule(() => this.#turn());
  }

  #turn(): void {
    this.#scheduled = false;
    // At least a quarter at a time, so that any backlog is gone within a few turns.
    const count = Math.max(this.#burst, Math.ceil(this.#waiting.length / 4));
    const batch = this.#waiting.splice(0, count);
    this.#left = Math.max(0, this.#burst - batch.length);
    for (const pending of batch) this.#hand(pending);
    if (this.#waiting.length === 0 && batch.length === 0) return;
    this.#scheduled = true;
    this.#schedule(() => this.#turn());
  }

  #hand({ body, to }: Pending): void {
    if (!to.send(body)) this.#counters.datagramsRefused++;
  }
}

function later(callback: () => void): void {
  setTimeout(guard("relay.spread", callback), 1);
}
