import { type Clock, guard } from "../../base/index.js";
import type { CongestionController } from "../../flow/congestion/index.js";
import type { Session } from "../../transport/index.js";
import type { CachedGroup } from "../broadcast/cached-group.js";
import type { RelayCounters } from "../relay-counters.js";
import type { BurstSmoother } from "./burst-smoother.js";
import { Copies } from "./copies.js";
import type { CopySource } from "./copy-source.js";

/** Options for {@link DatagramSender}. */
export interface DatagramSenderOptions {
  readonly clock: Clock;
  readonly session: Session;
  /** Subscribe id of the session. */
  readonly subscribe: number;
  readonly counters: RelayCounters;
  readonly smoother: BurstSmoother;
  /** Provides the copies. */
  readonly copies: Pick<CopySource, "delays" | "of">;
  /** Counts the bytes of copies. */
  readonly control: Pick<CongestionController, "copied">;
}

/** One watcher's objects as datagrams, each of them a whole group. */
export class DatagramSender {
  readonly #options: DatagramSenderOptions;
  readonly #copies = new Copies();
  #timer: NodeJS.Timeout | undefined;
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
   * Sends a group's only frame with the copies that are due, and `copied` has copies of it follow; false when the group
   * has more frames or does not fit.
   */
  send(record: CachedGroup, copied: boolean): boolean {
    const body = this.#body(record);
    if (body === undefined) return false;
    this.#options.counters.objectsOut++;
    this.#hand(body);
    if (copied || this.#copies.nextAt !== undefined) this.#follow(record, copied);
    this.#newest = record;
    return true;
  }

  /** Repeats a group a little later, unless it is stale by then. */
  sendAgain(record: CachedGroup, afterMs: number): void {
    const again = guard("relay.again", () => this.#again(record));
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
    this.#copies.clear();
    clearTimeout(this.#timer);
  }

  /** Sends the copies that are due; handed over at once, they share the packet of the group that just went. */
  #follow(record: CachedGroup, copied: boolean): void {
    const { clock, copies } = this.#options;
    const now = clock();
    for (const earlier of this.#copies.take(now, { alone: false })) this.#copy(earlier);
    if (copied) this.#copies.add(record, copies.delays, now);
    this.#arm();
  }

  #copy(record: CachedGroup): void {
    if (isGone(record)) return;
    const copy = this.#options.copies.of(record);
    if (copy !== undefined && this.#again(copy)) this.#options.control.copied(copy.bytes);
  }

  #again(record: CachedGroup): boolean {
    const body = this.#closed || isGone(record) ? undefined : this.#body(record);
    if (body === undefined) return false;
    this.#options.counters.repeatsOut++;
    this.#hand(body);
    return true;
  }

  /** After the last group of an utterance, copies go by themselves. */
  #arm(): void {
    const { nextAt } = this.#copies;
    if (nextAt === undefined || this.#timer !== undefined) return;
    const { clock } = this.#options;
    const sendAlone = guard("relay.copies", () => {
      this.#timer = undefined;
      for (const record of this.#copies.take(clock(), { alone: true })) this.#copy(record);
      this.#arm();
    });
    this.#timer = setTimeout(sendAlone, Math.max(1, Math.ceil((nextAt - clock()) / 1000)));
    this.#timer.unref();
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

function isGone({ stale, abortCode }: CachedGroup): boolean {
  return stale || abortCode !== undefined;
}
