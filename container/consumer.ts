import { type Clock, fromMilliseconds, fromSeconds, type Microseconds, microseconds } from "../base/index.js";
import { type Rewind, RewindClassifier } from "./classifier.js";
import { epochStart } from "./epoch.js";
import { EpochHolds } from "./epoch-holds.js";
import type { Frame } from "./frame.js";
import { HandedOut } from "./handed-out.js";
import { Numbering } from "./numbering.js";

/** A frame returned by {@link RewindConsumer.read}, with the state to act on first. */
export interface Delivery {
  /** The frame to decode and play. */
  readonly frame: Frame;
  /** Sequence of its group. */
  readonly sequence: number;
  /** Epoch of its group. */
  readonly epoch: number;
  /** Rewinds so far. When it has risen since the last delivery, flush from `from` on before using the frame. */
  readonly discontinuity: number;
  /**
   * The flush point of the latest rewind. When it has fallen at an unchanged `discontinuity`, flush again from there.
   */
  readonly from: Microseconds | undefined;
}

/** Options of {@link RewindConsumer}. */
export interface RewindConsumerOptions {
  /** Clock for the two waits: any monotonic clock, because only differences matter. */
  readonly clock: Clock;
  /** Maximum groups held, default 4096. */
  readonly maxGroups?: number;
  /** Maximum payload bytes held, default 4 MiB. */
  readonly maxBytes?: number;
  /** Maximum frames held, default 16,384: a frame takes memory even without a payload. */
  readonly maxFrames?: number;
  /** Maximum media time held, from the oldest frame to the live edge, default 30 s. */
  readonly maxSpanUs?: Microseconds;
  /** Wait for a missing or unfinished group once a newer one is there, default 0. A function is called each time. */
  readonly gap?: Microseconds | (() => Microseconds);
  /** How long to hold the output while a new epoch's first group is missing, default 200 ms. */
  readonly epochHold?: Microseconds;
  /** Whether the publisher's group numbers have epochs, called each time. By default they have. */
  readonly hasEpochs?: () => boolean;
}

/** Frames by outcome; all but `skipped` and `held` count frames. */
export interface ConsumerCounters {
  /** Received. */
  received: number;
  /** Delivered. */
  delivered: number;
  /** Dropped: the same sequence and timestamp was there already. */
  duplicate: number;
  /** Dropped: behind the reader. */
  late: number;
  /** Dropped: a newer group made it stale. */
  stale: number;
  /** Dropped: a bound was hit. */
  overflow: number;
  /** Times the reader skipped missing or unfinished groups. */
  skipped: number;
  /** Epochs whose first group was missing when another of their groups came. */
  held: number;
}

interface Group {
  readonly sequence: number;
  /** Not delivered yet, in order of arrival. */
  frames: Frame[];
  /** Timestamps received, the latest `TIMES_KEPT` of them. */
  readonly times: number[];
  /** When its first frame arrived. */
  arrival: Microseconds;
  /** No more frames will come. */
  ended: boolean;
  /** Lost its head to a bound: decodable again from the next keyframe on. */
  broken: boolean;
}

/** Enough to recognise a repeat of any group this side of a long video group. */
const TIMES_KEPT = 256;
/** Groups behind the reader still recognised as duplicates rather than late; two repeats of 20 ms groups fit easily. */
const PAST_KEPT = 256;

/**
 * Orders the groups of one track for a decoder and drops stale frames: **a newer group makes everything at or after its
 * own start stale**. The {@link RewindClassifier} decides.
 *
 * Pass frames as they come and call {@link read} until it returns nothing, then again after the next frame, or at
 * {@link nextWake}. On every {@link Delivery}, or by watching the getters, act on a risen `discontinuity` or a lowered
 * `from` by flushing everything at or after `from`; {@link isStale} decides for each delivered frame.
 *
 * Pure: no timers, no I/O. Buffers are bounded; a full one drops the oldest first, and counts it.
 */
export class RewindConsumer {
  /** Frames so far, by outcome. */
  readonly counters: ConsumerCounters = {
    received: 0,
    delivered: 0,
    duplicate: 0,
    late: 0,
    stale: 0,
    overflow: 0,
    skipped: 0,
    held: 0,
  };
  readonly #clock: Clock;
  readonly #maxGroups: number;
  readonly #maxBytes: number;
  readonly #maxFrames: number;
  readonly #maxSpan: number;
  readonly #gap: () => number;
  readonly #classifier: RewindClassifier;
  /** Sorted by sequence, none below `#delivered`. An empty one means that nothing is missing at its sequence. */
  #groups: Group[] = [];
  #bytes = 0;
  #frames = 0;
  /** Highest sequence delivered: the reader's cursor. */
  #delivered = -1;
  #deliveredTimestamp = -1;
  readonly #past = new Map<number, readonly number[]>();
  readonly #numbering: Numbering;
  readonly #holds: EpochHolds;
  readonly #handedOut: HandedOut;
  #discontinuity = 0;
  #from: Microseconds | undefined;
  /** Values of the last delivery. */
  #reported: Pick<Delivery, "discontinuity" | "from"> = { discontinuity: 0, from: undefined };

  constructor(options: RewindConsumerOptions) {
    this.#clock = options.clock;
    this.#maxGroups = options.maxGroups ?? 4096;
    this.#maxBytes = options.maxBytes ?? 4 * 2 ** 20;
    this.#maxFrames = options.maxFrames ?? 16_384;
    this.#maxSpan = options.maxSpanUs ?? fromSeconds(30);
    const gap = options.gap ?? 0;
    this.#gap = typeof gap === "function" ? gap : () => gap;
    this.#numbering = new Numbering(options.hasEpochs ?? (() => true));
    this.#holds = new EpochHolds(options.clock, options.epochHold ?? fromMilliseconds(200));
    this.#handedOut = new HandedOut(this.#maxGroups);
    // Twice the bound, so that a held group is never older than the classifier's memory.
    this.#classifier = new RewindClassifier({ capacity: 2 * this.#maxGroups });
  }

  /**
   * How many times downstream had to flush: once for every rewind that made good frames stale, and once more where its
   * first group came so late that frames delivered since have to go, too.
   */
  get discontinuity(): number {
    return this.#discontinuity;
  }

  /** The timestamp to flush from; the earliest one when several rewinds came since the last delivery. */
  get from(): Microseconds | undefined {
    return this.#from;
  }

  /** Whether the output is held because a new epoch's first group is missing. Playback should not run on. */
  get holding(): boolean {
    return this.#holdUntil(this.#readingEpoch + 1) > this.#clock();
  }

  /** Groups, frames, payload bytes and media time held now. */
  get buffered(): { groups: number; frames: number; bytes: number; span: Microseconds } {
    return {
      groups: this.#groups.length,
      frames: this.#groups.reduce((sum, group) => sum + group.frames.length, 0),
      bytes: this.#bytes,
      span: microseconds(this.#span()),
    };
  }

  /** Whether a frame, delivered or not, is stale by the frames received so far. */
  isStale(sequence: number, timestamp: Microseconds): boolean {
    return this.#classifier.isStale(sequence, timestamp);
  }

  /**
   * Takes a frame of a group. Frames of one group come in order; groups in any. A frame with the sequence and timestamp
   * of an earlier one is dropped, so a group may come by datagram and by stream.
   *
   * @throws ProtocolError `INVALID_SEQUENCE` or `INVALID_TIMESTAMP` when either is not a whole number from 0 on.
   */
  receive(sequence: number, frame: Frame): void {
    const isKnown = this.#classifier.hasSeen(sequence);
    const { stale, rewind } = this.#classifier.observe(sequence, frame.timestamp);
    if (!isKnown) this.#numbering.receive(sequence);
    this.counters.received += 1;
    if (rewind !== undefined) this.#rewind(rewind);
    const epoch = this.#numbering.epochOf(sequence);
    this.#holds.receive(epoch, this.#classifier.hasSeen(epochStart(epoch)), this.#readingEpoch);
    this.counters.held = this.#holds.held;
    const group = this.#open(sequence);
    if (group === undefined) {
      if (this.#past.get(sequence)?.includes(frame.timestamp)) this.counters.duplicate += 1;
      else this.counters.late += 1;
      return;
    }
    if (group.times.includes(frame.timestamp)) {
      this.counters.duplicate += 1;
      return;
    }
    group.times.push(frame.timestamp);
    if (group.times.length > TIMES_KEPT) group.times.shift();
    if (frame.keyframe) group.broken = false;
    if (stale) {
      this.counters.stale += 1;
    } else if (group.broken) {
      this.counters.overflow += 1;
    } else {
      group.frames.push(frame);
      this.#bytes += frame.payload.byteLength;
      this.#frames += 1;
    }
    this.#enforceBounds();
  }

  /** Records that a group is complete. */
  finish(sequence: number): void {
    const group = this.#open(sequence);
    if (group !== undefined) group.ended = true;
    this.#enforceBounds();
  }

  /** Records that a group was reset: its received frames stay good, the rest will not come. */
  abort(sequence: number): void {
    this.finish(sequence);
  }

  /** The next frame, if one is available now. */
  read(): Delivery | undefined {
    const { group, gap } = this.#next();
    if (group === undefined) return undefined;
    const frame = group.frames.shift()!;
    this.#frames -= 1;
    if (gap) this.counters.skipped += 1;
    this.#bytes -= frame.payload.byteLength;
    this.#moveTo(group.sequence);
    this.#deliveredTimestamp = frame.timestamp;
    this.counters.delivered += 1;
    const { sequence } = group;
    const rewind = this.#report();
    this.#handedOut.add({ sequence, timestamp: frame.timestamp });
    return { frame, sequence, epoch: this.#numbering.epochOf(sequence), ...rewind };
  }

  /** Whether more frames may still come of the group that was read last. */
  get unfinished(): boolean {
    const group = this.#groups[0];
    return group?.sequence === this.#delivered && !group.ended;
  }

  /**
   * The next frame, even while {@link read} withholds it; `afterGap`: a missing or unfinished group could still bring
   * an earlier one.
   */
  peek(): (Pick<Delivery, "sequence" | "epoch"> & { timestamp: Microseconds; afterGap: boolean }) | undefined {
    const index = this.#groups.findIndex((group) => this.#hasGood(group));
    if (index < 0) return undefined;
    const { sequence, frames } = this.#groups[index]!;
    const epoch = this.#numbering.epochOf(sequence);
    return { sequence, epoch, timestamp: frames[0]!.timestamp, afterGap: this.#isGapBefore(index) };
  }

  /** The clock reading at which {@link read} will return a frame that it withholds now, if any. */
  nextWake(): Microseconds | undefined {
    return this.#next().wake;
  }

  /** The group to read from, or how long to wait for it. */
  #next(): { group?: Group; gap: boolean; wake?: Microseconds } {
    const index = this.#groups.findIndex((group) => this.#hasGood(group));
    const group = this.#groups[index];
    if (group === undefined) return { gap: false };
    const now = this.#clock();
    const gap = this.#isGapBefore(index);
    const until = Math.max(this.#holdUntil(this.#numbering.epochOf(group.sequence)), gap ? this.#gapUntil(index) : now);
    if (until > now) return { gap, wake: microseconds(until) };
    return { group, gap };
  }

  /** Drops stale frames at a group's head; returns whether a good one follows. */
  #hasGood(group: Group): boolean {
    while (group.frames.length > 0) {
      const frame = group.frames[0]!;
      if (!this.#classifier.isStale(group.sequence, frame.timestamp)) return true;
      group.frames.shift();
      this.#frames -= 1;
      this.#bytes -= frame.payload.byteLength;
      this.counters.stale += 1;
    }
    return false;
  }

  /** Whether a group between the cursor and that one is missing or unfinished, and could still matter. */
  #isGapBefore(index: number): boolean {
    const target = this.#groups[index]!;
    if (target.sequence === this.#delivered) return false;
    // Behind the delivered frames it rewound, and what is missing of older epochs would be stale or late.
    const isBehind = target.frames[0]!.timestamp <= this.#deliveredTimestamp;
    const epoch = this.#numbering.epochOf(target.sequence);
    if (isBehind && epoch <= this.#readingEpoch) return false;
    // The first is the one last read from, or before any read the oldest known.
    const first = isBehind ? epochStart(epoch) : this.#groups[0]!.sequence;
    const between = this.#groups.slice(0, index).filter(({ sequence }) => sequence >= first);
    return target.sequence - first > between.length || between.some(({ ended }) => !ended);
  }

  /** How long to wait for anything missing before a group: counted from the first newer frame. */
  #gapUntil(index: number): number {
    const arrivals = this.#groups.slice(index).filter((group) => this.#hasGood(group));
    const waits = this.#numbering.isGapless || this.#groups.slice(0, index).some(({ ended }) => !ended);
    return Math.min(...arrivals.map((group) => group.arrival)) + (waits ? this.#gap() : 0);
  }

  get #readingEpoch(): number {
    return this.#numbering.epochOf(this.#delivered);
  }

  #holdUntil(epoch: number): number {
    return this.#holds.until(epoch, this.#readingEpoch);
  }

  /** Whether a flush is due that no delivery has reported. */
  get #isUnreported(): boolean {
    return this.#reported.discontinuity !== this.#discontinuity || this.#reported.from !== this.#from;
  }

  #report(): Pick<Delivery, "discontinuity" | "from"> {
    if (this.#isUnreported) {
      this.#reported = { discontinuity: this.#discontinuity, from: this.#from };
      if (this.#from !== undefined) this.#handedOut.flush(this.#from);
    }
    return this.#reported;
  }

  #rewind(rewind: Rewind): void {
    const isUnreported = this.#isUnreported;
    // A reported rewind that makes more delivered frames stale has to be acted on again.
    const counts = !rewind.lowered || (!isUnreported && this.#hasStaleHandedOut());
    if (counts) this.#discontinuity += 1;
    // An unreported flush point must not be hidden: the earliest one stands.
    const standing = counts && !isUnreported ? undefined : this.#from;
    this.#from = microseconds(Math.min(standing ?? rewind.from, rewind.from));
    for (const group of this.#groups) {
      const good = group.frames.filter((frame) => !this.#classifier.isStale(group.sequence, frame.timestamp));
      this.#drop(group, good, "stale");
    }
  }

  #hasStaleHandedOut(): boolean {
    return this.#handedOut.hasStale(({ sequence, timestamp }) => this.#classifier.isStale(sequence, timestamp));
  }

  /** The group of a sequence, created if need be; undefined when it is behind the cursor. */
  #open(sequence: number): Group | undefined {
    if (sequence < this.#delivered) return undefined;
    const index = this.#groups.findLastIndex((group) => group.sequence <= sequence) + 1;
    const known = this.#groups[index - 1];
    if (known?.sequence === sequence) return known;
    const group: Group = { sequence, frames: [], times: [], arrival: this.#clock(), ended: false, broken: false };
    this.#groups.splice(index, 0, group);
    return group;
  }

  #moveTo(sequence: number): void {
    this.#delivered = sequence;
    while (this.#groups[0]!.sequence < sequence) {
      const passed = this.#groups.shift()!;
      this.#past.set(passed.sequence, passed.times);
    }
    while (this.#past.size > PAST_KEPT) this.#past.delete(this.#past.keys().next().value!);
  }

  #enforceBounds(): void {
    while (this.#groups.length > this.#maxGroups) this.#drop(this.#groups.shift()!, [], "overflow");
    while (this.#bytes > this.#maxBytes || this.#frames > this.#maxFrames || this.#span() > this.#maxSpan) {
      const oldest = this.#groups.find((group) => group.frames.length > 0)!;
      this.#drop(oldest, [], "overflow");
      oldest.broken = true;
    }
  }

  #drop(group: Group, remaining: Frame[], reason: "stale" | "overflow"): void {
    this.counters[reason] += group.frames.length - remaining.length;
    this.#frames += remaining.length - group.frames.length;
    for (const frame of group.frames) this.#bytes -= frame.payload.byteLength;
    for (const frame of remaining) this.#bytes += frame.payload.byteLength;
    group.frames = remaining;
  }

  /** Media time from the oldest frame held to the live edge: that of the newest group, not the largest timestamp. */
  #span(): number {
    const oldest = this.#groups.find((group) => group.frames.length > 0)?.frames[0];
    if (oldest === undefined) return 0;
    const newest = this.#groups.findLast((group) => group.frames.length > 0)!.frames.at(-1)!;
    return newest.timestamp - oldest.timestamp;
  }
}
