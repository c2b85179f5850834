import { type Clock, fromMilliseconds, fromSeconds, type Microseconds, microseconds } from "../../base/index.js";
import type { Session } from "../../transport/index.js";
import type { ByteBudget } from "../broadcast/byte-budget.js";
import type { CachedGroup } from "../broadcast/cached-group.js";
import type { RelayCounters } from "../relay-counters.js";
import { Code } from "../wire/code.js";
import type { FrameForm } from "../wire/group.js";
import { GroupStream, type Sending } from "./group-stream.js";

// A finished stream is remembered until all of it has arrived, so that a rewind can still reset its unsent data. Where
// the transport does not report arrivals: for this long and up to this many, more than a second of audio.
const REMEMBERED: Microseconds = fromSeconds(12);
const MAX_REMEMBERED = 64;
/** What counts as waiting between two sweeps: of a process that stood still, the rest is time in which nothing could go. */
const MAX_STEP: Microseconds = fromMilliseconds(500);
const PRIORITY_SPAN = 2 ** 22;

/** Rank of a group in its session. */
export interface Rank {
  /** 0 to 255, higher goes first among the session's tracks. */
  readonly priority: number;
  /** Older groups of the track first. */
  readonly ordered: boolean;
  /** Before all others of the track. */
  readonly urgent: boolean;
}

/** Options for {@link StreamSender}. */
export interface StreamSenderOptions {
  readonly session: Session;
  readonly form: FrameForm;
  /** Subscribe id of the session. */
  readonly subscribe: number;
  readonly counters: RelayCounters;
  readonly clock: Clock;
  /** Bytes of all groups to the session that the transport has not taken yet. */
  readonly pending: ByteBudget;
}

/** Groups in flight to one watcher on streams, including those that wait in the transport: a rewind may reset them. */
export class StreamSender {
  readonly #options: StreamSenderOptions;
  // By sequence, oldest sent first.
  readonly #groups = new Map<number, GroupStream>();
  readonly #sending: Sending;
  #busy = 0;
  #freed = Promise.withResolvers<void>();
  #serial = 0;
  #sweptAt: Microseconds | undefined;

  constructor(options: StreamSenderOptions) {
    this.#options = options;
    const { form, subscribe, counters, pending } = options;
    this.#sending = { form, subscribe, counters, pending };
  }

  /** Streams that wait for the transport. */
  get busy(): number {
    return this.#busy;
  }

  /** Resolves when fewer streams wait for the transport than now, or none ever will. */
  get freed(): Promise<void> {
    return this.#freed.promise;
  }

  /** Starts to send a group on its own stream. */
  send(record: CachedGroup, { priority, ordered, urgent }: Rank): void {
    const { session, clock } = this.#options;
    const position = this.#serial++ % (PRIORITY_SPAN - 1);
    const rank = urgent ? PRIORITY_SPAN - 1 : ordered ? PRIORITY_SPAN - 2 - position : position;
    const outgoing = new GroupStream(record, clock(), this.#sending);
    this.#forgetSettled();
    this.#groups.set(record.sequence, outgoing);
    if (this.#groups.size > MAX_REMEMBERED) this.#forgetOldest();
    void this.#drive(outgoing, outgoing.open(session, priority * PRIORITY_SPAN + rank));
  }

  /** Continues a group that may have more frames, or has ended; false when it is not in flight. */
  progress(sequence: number): boolean {
    const outgoing = this.#groups.get(sequence);
    const work = outgoing?.progress();
    if (outgoing && work) void this.#drive(outgoing, work);
    return outgoing !== undefined;
  }

  /** Resets all stale groups; returns their sequences. */
  discard(isStale: (record: CachedGroup) => boolean): number[] {
    const taken: number[] = [];
    for (const [sequence, outgoing] of this.#groups) {
      if (!isStale(outgoing.record)) continue;
      this.#groups.delete(sequence);
      if (outgoing.cancel(Code.STALE_GROUP)) this.#options.counters.staleStreamsReset++;
      taken.push(sequence);
    }
    return taken;
  }

  /** Resets a group that the publisher gave up. */
  abort(record: CachedGroup, code: number): void {
    const outgoing = this.#groups.get(record.sequence);
    // In its place there may be the same group of the lower rendition.
    if (outgoing?.record !== record) return;
    this.#groups.delete(record.sequence);
    outgoing.cancel(code);
  }

  /** Forgets groups that the watcher reports as received: whole groups up to this one. */
  received(newest: number): void {
    for (const [sequence, outgoing] of this.#groups)
      if (sequence <= newest && outgoing.record.ended && !outgoing.busy) this.#groups.delete(sequence);
  }

  /**
   * Resets groups that have waited for the transport for too long, and forgets those that have arrived or were sent
   * long ago. Called several times a second.
   */
  sweep(now: Microseconds, maxBusy: Microseconds): void {
    const elapsed = microseconds(Math.min(now - (this.#sweptAt ?? now), MAX_STEP));
    this.#sweptAt = now;
    for (const [sequence, outgoing] of this.#groups) {
      const old = now - outgoing.since > REMEMBERED && !outgoing.busy && outgoing.record.ended;
      if (outgoing.settled || old) this.#groups.delete(sequence);
      else if (outgoing.wait(elapsed) > maxBusy) {
        this.#groups.delete(sequence);
        outgoing.cancel(Code.LAGGED);
        this.#options.counters.streamsLagged++;
      }
    }
  }

  /** Forgets all groups; those in flight may still arrive unless a code resets them. */
  clear(code?: number): void {
    if (code !== undefined) for (const outgoing of this.#groups.values()) outgoing.cancel(code);
    this.#groups.clear();
    this.#freed.resolve();
  }

  async #drive(outgoing: GroupStream, work: Promise<boolean>): Promise<void> {
    this.#busy++;
    let good = true;
    // Frames, or the end of the group, may have come while the last write settled.
    for (let next: Promise<boolean> | undefined = work; good && next; next = outgoing.progress()) good = await next;
    this.#busy--;
    const { sequence } = outgoing.record;
    if (!good && this.#groups.get(sequence) === outgoing) this.#groups.delete(sequence);
    const { resolve } = this.#freed;
    this.#freed = Promise.withResolvers();
    resolve();
  }

  // Streams settle in the order they end, except for those that a reader stopped; the sweep finds these.
  #forgetSettled(): void {
    for (const [sequence, outgoing] of this.#groups) {
      if (!outgoing.settled) return;
      this.#groups.delete(sequence);
    }
  }

  #forgetOldest(): void {
    for (const [sequence, outgoing] of this.#groups) {
      if (outgoing.busy || !outgoing.record.ended) continue;
      this.#groups.delete(sequence);
      return;
    }
  }
}
