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
/** What a datagram has besides a group's payload: subscribe id, sequence, timestamp, and the header of QUIC's frame. */
const DATAGRAM_OVERHEAD = 16;
/** Copies are half of what may go back to back: the groups behind them need the rest. */
const MAX_COPIES = 12;
const NONE: readonly never[] = [];

/** State before a group is sent. */
export interface SendState {
  readonly now: Microseconds;
  /** Undefined while the watcher reports none. */
  readonly playhead: Microseconds | undefined;
  readonly control: Pick<CongestionController, "roundTrip" | "lossy" | "silent">;
}

interface Recent {
  readonly record: CachedGroup;
  readonly sentAt: Microseconds;
  /** Bytes of its datagram. */
  readonly bytes: number;
}

/**
 * Chooses the groups to send on streams: those so far ahead of the playhead that QUIC can retransmit them in time. That
 * costs no bytes where nothing is lost, and fewer than copies where something is.
 *
 * On a lossy path it also chooses groups to copy, one packet of them each second. QUIC's window grows only while
 * something waits for it. Without more room than the groups need, the first packets of a burst of losses fill it, and
 * QUIC then sends two packets at each timeout.
 */
export class EarlyGroups {
  #since: Microseconds | undefined;
  #widenedAt: number = Number.NEGATIVE_INFINITY;
  /** The newest groups sent on streams, oldest first: as many as fit into a packet. */
  #recent: Recent[] = [];
  #recentBytes = 0;

  /** Whether to send a group of audio on a stream, now. */
  takesStream(record: CachedGroup, { now, playhead, control }: SendState): boolean {
    this.#since ??= now;
    const { timestamp } = record;
    if (playhead === undefined || timestamp === undefined) return false;
    if (!control.lossy && now - this.#since >= UNKNOWN) return false;
    // While nothing arrives, small probes go in the place of groups.
    if (control.silent(now) || timestamp - playhead < 2 * control.roundTrip + NOTICED) return false;
    this.expire(now);
    if (control.lossy) this.#remember(record, now);
    return true;
  }

  /** Takes the groups to copy now, beside one that goes on a stream: none most of the time. */
  takeCopies({ now, control }: Omit<SendState, "playhead">): readonly CachedGroup[] {
    if (!control.lossy || now - this.#widenedAt < WIDEN_EVERY) return NONE;
    this.#widenedAt = now;
    this.#recentBytes = 0;
    return this.#recent.splice(0).map(({ record }) => record);
  }

  /** Forgets stale groups. */
  discard(isStale: (record: CachedGroup) => boolean): void {
    this.#keep(({ record }) => !isStale(record));
  }

  /** Forgets groups that are too old for a copy; several times a second, so that none outlives the cache for long. */
  expire(now: Microseconds): void {
    const first = this.#recent[0];
    if (first !== undefined && now - first.sentAt > WIDEN_EVERY)
      this.#keep(({ sentAt }) => now - sentAt <= WIDEN_EVERY);
  }

  /** Forgets all groups. */
  clear(): void {
    this.#keep(() => false);
  }

  #remember(record: CachedGroup, now: Microseconds): void {
    const bytes = record.bytes + DATAGRAM_OVERHEAD;
    if (record.frames.length !== 1 || bytes > PACKET_BYTES) return;
    this.#recent.push({ record, sentAt: now, bytes });
    this.#recentBytes += bytes;
    while (this.#recent.length > MAX_COPIES || this.#recentBytes > PACKET_BYTES)
      this.#recentBytes -= this.#recent.shift()!.bytes;
  }

  #keep(isKept: (recent: Recent) => boolean): void {
    this.#recent = this.#recent.filter(isKept);
    this.#recentBytes = this.#recent.reduce((sum, { bytes }) => sum + bytes, 0);
  }
}
