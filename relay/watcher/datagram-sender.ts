import { type Clock, guard } from "../../base/index.js";
import type { CongestionController } from "../../flow/congestion/index.js";
import type { Session } from "../../transport/index.js";
import type { CachedGroup } from "../broadcast/cached-group.js";
import type { RelayCounters } from "../relay-counters.js";
import type { BurstSmoother } from "./burst-smoother.js";
import { Copies } from "./copies.js";
import type { CopySource } from "./copy-source.js";

const NONE: readonly never[] = [];
/** How long copies wait for the next look at a path that delivers nothing. */
const SILENT_MS = 20;

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
  readonly control: Pick<CongestionController, "copied" | "silent">;
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
    const probe = copied && this.#options.control.silent ? this.#small(record) : undefined;
    const copies =
      copied || this.#copies.nextAt !== undefined ? this.#follow(record, { copied, alone: !!probe }) : NONE;
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
  #follow(record: CachedGroup, { copied, alone }: { copied: boolean; alone: boolean }): readonly Uint8Array[] {
    const { clock, copies } = this.#options;
    const now = clock();
    const due = alone ? NONE : this.#copies.take(now, { alone: false });
    if (copied) this.#copies.add(record, copies.delays, now);
    this.#arm();
    return due.length === 0 ? NONE : this.#copiesOf(due);
  }

  /** What goes in place of a group while the path delivers nothing. */
  #small(record: CachedGroup): Uint8Array | undefined {
    const small = this.#options.copies.of(record);
    return small && this.#body(small);
  }

  #copiesOf(records: readonly CachedGroup[]): readonly Uint8Array[] {
    const { copies, control, counters } = this.#options;
    const bodies: Uint8Array[] = [];
    for (const record of records) {
      const copy = isGone(record) ? undefined : copies.of(record);
      const body = copy && this.#again(copy);
      if (body === undefined) continue;
      counters.repeatsOut++;
      control.copied(copy!.bytes);
      bodies.push(body);
    }
    return bodies;
  }

  #again(record: CachedGroup): Uint8Array | undefined {
    return this.#closed || isGone(record) ? undefined : this.#body(record);
  }

  /** After the last group of an utterance, copies go by themselves. */
  #arm(): void {
    const { nextAt } = this.#copies;
    if (nextAt === undefined || this.#timer !== undefined) return;
    const { clock, control } = this.#options;
    const sendAlone = guard("relay.copies", () => {
      this.#timer = undefined;
      // While nothing arrives they would only fill the carrier's window.
      if (!control.silent)
        for (const body of this.#copiesOf(this.#copies.take(clock(), { alone: true }))) this.#hand(body);
      this.#arm();
    });
    this.#timer = setTimeout(sendAlone, Math.max(control.silent ? SILENT_MS : 1, Math.ceil((nextAt - clock()) / 1000)));
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
