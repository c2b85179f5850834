import { fromSeconds, type Microseconds } from "../../base/index.js";

/** Options for {@link BytesInFlight}. */
export interface BytesInFlightOptions {
  /** Groups remembered at once; beyond this, the oldest is written off. Default 4096. */
  readonly maxEntries?: number;
}

/** Bytes of a {@link BytesInFlight} by outcome. */
export interface BytesInFlightCounters {
  /** Acknowledged by the receiver. */
  readonly acked: number;
  /** Written off by us: a rewind, a reset, a skip. */
  readonly reset: number;
  /** Given up because no ack came in time. */
  readonly aged: number;
  /** Given up because the table was full. */
  readonly overflow: number;
}

interface Entry {
  readonly group: number;
  bytes: number;
  readonly sentAt: Microseconds;
}

/** Age at which a group counts as lost and is written off. */
const MAX_AGE = fromSeconds(4);

/** The bytes in flight to one receiver on one track: sent, not acked, not written off. */
export class BytesInFlight {
  readonly #maxEntries: number;
  // Sorted by group; an array, since a window holds few groups.
  #entries: Entry[] = [];
  #ack = -1;
  #inFlight = 0;
  // No entry was sent before this; it may be lower than necessary, never higher.
  #oldest = Number.POSITIVE_INFINITY;
  readonly #counters = { acked: 0, reset: 0, aged: 0, overflow: 0 };

  constructor({ maxEntries = 4096 }: BytesInFlightOptions = {}) {
    this.#maxEntries = maxEntries;
  }

  /** Bytes so far, by outcome. */
  get counters(): BytesInFlightCounters {
    return { ...this.#counters };
  }

  /** Adds bytes handed to the transport; those of one group add up. */
  sent(group: number, bytes: number, sentAt: Microseconds): void {
    if (group <= this.#ack) return;
    let index = this.#entries.length;
    while (index > 0 && this.#entries[index - 1]!.group > group) index--;
    const same = this.#entries[index - 1];
    if (same?.group === group) same.bytes += bytes;
    else this.#entries.splice(index, 0, { group, bytes, sentAt });
    this.#inFlight += bytes;
    this.#oldest = Math.min(this.#oldest, sentAt);
    if (this.#entries.length > this.#maxEntries) this.#remove(0, 1, "overflow");
  }

  /**
   * Settles every group up to `receivedGroup`; an ack that does not rise settles nothing. Returns when that group was
   * sent; undefined when it is not in flight.
   */
  acked(receivedGroup: number): Microseconds | undefined {
    if (receivedGroup <= this.#ack) return undefined;
    this.#ack = receivedGroup;
    let count = 0;
    while (count < this.#entries.length && this.#entries[count]!.group <= receivedGroup) count++;
    const highest = this.#entries[count - 1];
    this.#remove(0, count, "acked");
    return highest?.group === receivedGroup ? highest.sentAt : undefined;
  }

  /** Writes off groups, both ends included; returns their bytes. */
  writeOff(firstGroup: number, lastGroup: number = firstGroup): number {
    let start = 0;
    while (start < this.#entries.length && this.#entries[start]!.group < firstGroup) start++;
    let end = start;
    while (end < this.#entries.length && this.#entries[end]!.group <= lastGroup) end++;
    return this.#remove(start, end - start, "reset");
  }

  /** Bytes in flight now, after writing off what is too old. */
  inFlight(now: Microseconds): number {
    if (now - this.#oldest > MAX_AGE) {
      this.#oldest = Number.POSITIVE_INFINITY;
      for (let index = this.#entries.length - 1; index >= 0; index--) {
        const { sentAt } = this.#entries[index]!;
        if (now - sentAt > MAX_AGE) this.#remove(index, 1, "aged");
        else this.#oldest = Math.min(this.#oldest, sentAt);
      }
    }
    return this.#inFlight;
  }

  /** Bytes in flight that were sent at a time or later. */
  sentSince(at: Microseconds): number {
    let bytes = 0;
    for (const entry of this.#entries) if (entry.sentAt >= at) bytes += entry.bytes;
    return bytes;
  }

  /** Whether any in flight was sent between two moments, both included. */
  isAnySent(from: Microseconds, to: Microseconds): boolean {
    return this.#entries.some(({ sentAt }) => sentAt >= from && sentAt <= to);
  }

  /** The lowest group in flight and when it was sent. */
  get first(): { readonly group: number; readonly sentAt: Microseconds } | undefined {
    return this.#entries[0];
  }

  /** The highest group in flight and when it was sent. */
  get last(): { readonly group: number; readonly sentAt: Microseconds } | undefined {
    return this.#entries.at(-1);
  }

  /** Forgets all groups, as when the receiver starts a new run. */
  clear(): void {
    this.#remove(0, this.#entries.length, "reset");
    this.#ack = -1;
  }

  #remove(start: number, count: number, reason: keyof BytesInFlightCounters): number {
    let bytes = 0;
    for (const entry of this.#entries.splice(start, count)) bytes += entry.bytes;
    this.#inFlight -= bytes;
    this.#counters[reason] += bytes;
    return bytes;
  }
}
