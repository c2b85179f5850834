import { guard } from "../../base/index.js";
import type { Session } from "../../transport/index.js";
import type { CachedGroup } from "../broadcast/cached-group.js";
import type { RelayCounters } from "../relay-counters.js";
import type { BurstSmoother } from "./burst-smoother.js";

/** Options for {@link DatagramSender}. */
export interface DatagramSenderOptions {
  readonly session: Session;
  /** Subscribe id of the session. */
  readonly subscribe: number;
  readonly counters: RelayCounters;
  readonly smoother: BurstSmoother;
}

/**
 * Delay before an object is repeated. Losses come in bursts: before the first repeats go, a burst of 5 packets lasts
 * for 100 ms at 20 ms per object, and a repeat behind the next object would be lost with it. A listener's jitter buffer
 * learns to wait that long.
 */
const REPEAT_AFTER_MS = 100;

/** One watcher's objects as datagrams, each of them a whole group. */
export class DatagramSender {
  readonly #options: DatagramSenderOptions;
  #newest: CachedGroup | undefined;
  #closed = false;

  constructor(options: DatagramSenderOptions) {
    this.#options = options;
  }

  /** The last group sent; undefined once it became stale. */
  get newest(): CachedGroup | undefined {
    return this.#newest;
  }

  /**
   * Sends a group's only frame, and again later if it `repeats`; false when the group has more of them or does not fit.
   */
  send(record: CachedGroup, repeats: boolean): boolean {
    const body = this.#body(record);
    if (body === undefined) return false;
    this.#options.counters.objectsOut++;
    this.#hand(body);
    if (repeats) this.sendAgain(record, REPEAT_AFTER_MS);
    this.#newest = record;
    return true;
  }

  /** Repeats a group a little later, unless it is stale by then. */
  sendAgain(record: CachedGroup, afterMs: number): void {
    const again = guard("relay.again", () => {
      const body = this.#closed || record.stale || record.abortCode !== undefined ? undefined : this.#body(record);
      if (body === undefined) return;
      this.#options.counters.repeatsOut++;
      this.#hand(body);
    });
    setTimeout(again, afterMs).unref();
  }

  /** Stops repeating stale groups; returns the sequence of the last group sent when it is stale. */
  discard(isStale: (record: CachedGroup) => boolean): number | undefined {
    const newest = this.#newest;
    if (newest === undefined || !isStale(newest)) return undefined;
    this.#newest = undefined;
    return newest.sequence;
  }

  close(): void {
    this.#closed = true;
    this.#newest = undefined;
  }

  #body(record: CachedGroup): Uint8Array | undefined {
    const { session, subscribe } = this.#options;
    return record.datagram(subscribe, session.datagrams?.maxSize ?? 0);
  }

  #hand(body: Uint8Array): void {
    const { session, counters, smoother } = this.#options;
    counters.datagramsOut++;
    counters.bytesOut += body.length;
    if (session.datagrams) smoother.send(body, session.datagrams);
  }
}
