import { fromMilliseconds, fromSeconds, type Microseconds } from "../../base/index.js";
import type { CongestionController } from "../../flow/congestion/index.js";
import type { CachedGroup } from "../broadcast/cached-group.js";

/** Acknowledgements of three later packets show a loss: 60 ms at 20 ms per group. */
const NOTICED: Microseconds = fromMilliseconds(60);
/** A path that shows no loss within this time is a clean one: there, a datagram costs the relay a third of a stream. */
const UNKNOWN: Microseconds = fromSeconds(30);
/** How often a lossy path's window is widened: three times as often gains nothing and delays groups. */
const WIDEN_EVERY: Microseconds = fromSeconds(1);
/** Payload of one packet, QUIC's overhead aside. */
const PACKET_BYTES = 1200;
const NONE: readonly never[] = [];

/** State when a group goes. */
export interface EarlyGoing {
  readonly now: Microseconds;
  /** Undefined while the watcher reports none. */
  readonly playhead: Microseconds | undefined;
  readonly control: Pick<CongestionController, "roundTrip" | "lossy" | "silent">;
}

/**
 * Chooses the groups that go on streams: those so far ahead of the playhead that QUIC can retransmit them in time. That
 * costs no bytes where nothing is lost, and fewer than copies where something is.
 *
 * On a lossy path it also chooses groups that go a second time, a packet full of them each second. QUIC's window grows
 * only while something waits for it. Without more room than the groups need, the first packets of a burst of losses
 * fill it, and QUIC then sends two packets at each timeout.
 */
export class EarlyGroups {
  #since: Microseconds | undefined;
  #widenedAt: number = Number.NEGATIVE_INFINITY;
  /** The newest ones, at most a packet. */
  #newest: CachedGroup[] = [];

  /** Whether a group of audio that goes now goes on a stream. */
  take(record: CachedGroup, { now, playhead, control }: EarlyGoing): boolean {
    this.#since ??= now;
    const { timestamp } = record;
    if (playhead === undefined || timestamp === undefined) return false;
    if (!control.lossy && now - this.#since >= UNKNOWN) return false;
    // While nothing arrives, small probes go in the place of groups.
    if (control.silent(now) || timestamp - playhead < 2 * control.roundTrip + NOTICED) return false;
    this.#newest.push(record);
    while (this.#newest.reduce((sum, { bytes }) => sum + bytes, 0) > PACKET_BYTES) this.#newest.shift();
    return true;
  }

  /** Returns the groups that go a second time now, right behind one that was taken: none most of the time. */
  takeAgain({ now, control }: Omit<EarlyGoing, "playhead">): readonly CachedGroup[] {
    if (!control.lossy || now - this.#widenedAt < WIDEN_EVERY) return NONE;
    this.#widenedAt = now;
    return this.#newest.splice(0);
  }
}
