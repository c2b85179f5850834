import type { Clock, Microseconds } from "../base/index.js";

/** Epochs with a missing first group tracked at once; each is a rewind whose most important packet was lost. */
const HOLDS_KEPT = 16;

/** An epoch known only by groups other than its first. */
interface Hold {
  readonly since: Microseconds;
  counted: boolean;
}

/**
 * How long to hold the output because an epoch's first group, which shows how far it rewinds, is missing. The order in
 * which epochs were first seen makes no difference: only that an older one was received, too.
 */
export class EpochHolds {
  readonly #clock: Clock;
  readonly #length: Microseconds;
  readonly #missing = new Map<number, Hold>();
  #oldest = Number.POSITIVE_INFINITY;
  #held = 0;

  /** @param length Longest hold, counted from the moment an epoch was first seen. */
  constructor(clock: Clock, length: Microseconds) {
    this.#clock = clock;
    this.#length = length;
  }

  /** Epochs that held the output so far. */
  get held(): number {
    return this.#held;
  }

  /** Takes a group of an epoch. `hasFirst`: whether the epoch's first one was received; `reading`: the reader's epoch. */
  receive(epoch: number, hasFirst: boolean, reading: number): void {
    this.#oldest = Math.min(this.#oldest, epoch);
    if (hasFirst) this.#missing.delete(epoch);
    else if (!this.#missing.has(epoch)) this.#add(epoch);
    for (const [missing, hold] of this.#missing) {
      if (hold.counted || !this.#matters(missing, reading)) continue;
      hold.counted = true;
      this.#held += 1;
    }
  }

  /** End of the hold for frames of `epoch`: an epoch not older than theirs may start before its received groups. */
  until(epoch: number, reading: number): number {
    let until = Number.NEGATIVE_INFINITY;
    for (const [missing, { since }] of this.#missing) {
      if (missing >= epoch && this.#matters(missing, reading)) until = Math.max(until, since + this.#length);
    }
    return until;
  }

  /** Without older groups no audio could be stale, and behind the reader it is too late. */
  #matters(epoch: number, reading: number): boolean {
    return epoch > this.#oldest && epoch > reading;
  }

  #add(epoch: number): void {
    this.#missing.set(epoch, { since: this.#clock(), counted: false });
    if (this.#missing.size > HOLDS_KEPT) this.#missing.delete(this.#missing.keys().next().value!);
  }
}
