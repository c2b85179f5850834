import { type Clock, fromMilliseconds, guard, type Microseconds, microseconds } from "../../base/index.js";
import type { CongestionController } from "../../flow/congestion/index.js";
import type { Session } from "../../transport/index.js";
import type { CachedGroup } from "../broadcast/cached-group.js";
import type { RelayCounters } from "../relay-counters.js";
import type { BurstSmoother } from "./burst-smoother.js";
import { Copies } from "./copies.js";
import type { CopySource } from "./copy-source.js";

const NONE: readonly never[] = [];
/** How long a copy leaves a due probe to a group that waits. */
const BEHIND_GROUPS: Microseconds = fromMilliseconds(20);
/** A report may end a silence before the next probe. */
const REPORTED: Microseconds = fromMilliseconds(100);

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
  /** Counts the bytes of copies, and knows whether anything arrives. */
  readonly control: Pick<CongestionController, "copied" | "silent" | "probeAt">;
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
    const now = this.#options.clock();
    const probe = copied && this.#options.control.silent(now) ? this.#small(record) : undefined;
    const copies =
      copied || this.#copies.nextAt !== undefined ? this.#follow(record, { copied, alone: !!probe, now }) : NONE;
    // The session's thread is quick: only what is ready before the first call shares its packet.
    this.#hand(probe ?? body);
    for (const copy of copies) this.#hand(copy);
    this.#newest = record;
    return true;
  }

  /** Repeats a group a little later, unless it is stale by then. */
  sendAgain(record: CachedGroup, afterMs: number): void {
    const again = guard("relay.again", () => {
      const body = this.#again(record);
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
    this.#copies.clear();
    clearTimeout(this.#timer);
  }

  /** Has copies of a group follow, and returns those that are due, to share its packet unless it goes alone. */
  #follow(
    record: CachedGroup,
    { copied, alone, now }: { copied: boolean; alone: boolean; now: Microseconds },
  ): readonly Uint8Array[] {
    this.#options.counters.copiesExpired += this.#copies.expire(now);
    const due = alone ? NONE : this.#copies.take(now);
    if (copied) this.#copies.add(record, this.#options.copies.delays, now);
    this.#arm(now);
    return due.length === 0 ? NONE : this.#copiesOf(due, now);
  }

  /** What goes in place of a group while the path delivers nothing. */
  #small(record: CachedGroup): Uint8Array | undefined {
    const small = this.#options.copies.of(record);
    return small && this.#body(small);
  }

  #copiesOf(records: readonly CachedGroup[], now: Microseconds): readonly Uint8Array[] {
    const { copies, control, counters } = this.#options;
    const bodies: Uint8Array[] = [];
    for (const record of records) {
      const copy = isGone(record) ? undefined : copies.of(record);
      const body = copy && this.#again(copy);
      if (body === undefined) continue;
      counters.repeatsOut++;
      control.copied(copy!.bytes, now);
      bodies.push(body);
    }
    return bodies;
  }

  #again(record: CachedGroup): Uint8Array | undefined {
    return this.#closed || isGone(record) ? undefined : this.#body(record);
  }

  /** After the last group of an utterance, copies go by themselves; as probes while nothing arrives. */
  #arm(now: Microseconds): void {
    const { nextAt } = this.#copies;
    if (nextAt === undefined || this.#timer !== undefined) return;
    const at = Math.max(nextAt, Math.min(this.#aloneFrom(now), now + REPORTED));
    const sendAlone = guard("relay.copies", () => {
      this.#timer = undefined;
      this.#sendAlone();
    });
    this.#timer = setTimeout(sendAlone, Math.max(1, Math.ceil((at - now) / 1000)));
    this.#timer.unref();
  }

  /** When a copy may go by itself. */
  #aloneFrom(now: Microseconds): Microseconds {
    const { control } = this.#options;
    return control.silent(now) ? microseconds(control.probeAt + BEHIND_GROUPS) : now;
  }

  #sendAlone(): void {
    const { clock, counters } = this.#options;
    const now = clock();
    counters.copiesExpired += this.#copies.expire(now);
    while (this.#aloneFrom(now) <= now) {
      const record = this.#copies.takeAlone(now);
      if (record === undefined) break;
      for (const body of this.#copiesOf([record], now)) this.#hand(body);
    }
    this.#arm(now);
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
