import { fromMilliseconds, type Microseconds, microseconds } from "../../base/index.js";
import {
  type Delivery,
  epochOf,
  epochStart,
  type Frame,
  RewindClassifier,
  RewindConsumer,
} from "../../container/index.js";
import type { Event, Schedule } from "./schedule.js";

interface Received {
  readonly sequence: number;
  readonly timestamp: number;
  /** Whether it was still good when it came. */
  accepted: boolean;
  handedOut: boolean;
  /** Whether a delivery since it was handed out said to flush it. */
  flushed: boolean;
  /** The rewind that takes it back from the earliest start, the newest of several. */
  taker: Taker | undefined;
}

interface Taker {
  readonly sequence: number;
  readonly start: number;
}

/**
 * The rule as sets, straight from its definition and with no thought for speed: the verdict depends on what was
 * received and nothing else.
 */
class Oracle {
  readonly #frames: Received[] = [];
  /** First timestamp of every group received. */
  readonly #first = new Map<number, number>();
  #cursor = -1;
  #cursorTimestamp = -1;
  /** When each group was first heard of. */
  readonly #arrivals = new Map<number, number>();
  /** Groups of which no more will come. */
  readonly #ended = new Set<number>();
  /** When each epoch was first seen. */
  readonly #epochs = new Map<number, number>();
  readonly #gap: number;
  #newestRewind = -1;
  #reported: { discontinuity: number; from: number | undefined } = { discontinuity: 0, from: undefined };
  discontinuity = 0;
  from: number | undefined;
  skipped = 0;

  constructor(gap: number) {
    this.#gap = gap;
  }

  get frames(): readonly Received[] {
    return this.#frames;
  }

  /** `r` is a rewind iff an older group has a frame later than `first(r)`, or at it while `r` is in a newer epoch. */
  #isRewind(sequence: number): boolean {
    const first = this.#first.get(sequence)!;
    return this.#frames.some((frame) => frame.sequence < sequence && this.#takes(sequence, first, frame));
  }

  #takes(sequence: number, first: number, frame: { sequence: number; timestamp: number }): boolean {
    return frame.timestamp > first || (frame.timestamp === first && epochOf(sequence) > epochOf(frame.sequence));
  }

  /** A frame is stale iff a rewind newer than its group starts at or before it. */
  isStale(frame: { sequence: number; timestamp: number }): boolean {
    for (const [sequence, first] of this.#first) {
      if (sequence > frame.sequence && first <= frame.timestamp && this.#isRewind(sequence)) return true;
    }
    return false;
  }

  end(now: number, sequence: number): void {
    if (!this.#arrivals.has(sequence)) this.#arrivals.set(sequence, now);
    this.#ended.add(sequence);
  }

  receive(now: number, sequence: number, timestamp: number): void {
    if (!this.#arrivals.has(sequence)) this.#arrivals.set(sequence, now);
    if (!this.#epochs.has(epochOf(sequence))) this.#epochs.set(epochOf(sequence), now);
    if (!this.#first.has(sequence)) this.#first.set(sequence, timestamp);
    if (!this.#frames.some((frame) => frame.sequence === sequence && frame.timestamp === timestamp)) {
      const frame = { sequence, timestamp, accepted: true, handedOut: false, flushed: false, taker: undefined };
      this.#frames.push(frame);
      frame.accepted = !this.isStale(frame);
    }
    this.#reveal();
  }

  /** Acts on what an observation took back of the frames that were good when they came. */
  #reveal(): void {
    const rewinds = [...this.#first]
      .filter(([sequence]) => this.#isRewind(sequence))
      .map(([sequence, start]) => ({ sequence, start }));
    const revealed: Taker[] = [];
    for (const frame of this.#frames) {
      if (!frame.accepted) continue;
      const taker = rewinds.filter((rewind) => takes(rewind, frame)).reduce(earliest, undefined);
      if (taker !== undefined && taker.start < (frame.taker?.start ?? Number.POSITIVE_INFINITY)) revealed.push(taker);
      frame.taker = taker;
    }
    if (revealed.length > 0) this.#rewind(revealed);
  }

  #rewind(revealed: readonly Taker[]): void {
    const newest = Math.max(...revealed.map(({ sequence }) => sequence));
    const start = Math.min(...revealed.map((taker) => taker.start));
    const unread = this.#isUnread;
    const isSilent = !unread && this.#frames.some((frame) => frame.handedOut && !frame.flushed && this.isStale(frame));
    if (newest > this.#newestRewind || isSilent) {
      this.discontinuity += 1;
      this.from = unread ? Math.min(this.from!, start) : start;
    } else {
      this.from = Math.min(this.from!, start);
    }
    this.#newestRewind = Math.max(this.#newestRewind, newest);
  }

  get #isUnread(): boolean {
    return this.#reported.discontinuity !== this.discontinuity || this.#reported.from !== this.from;
  }

  #unread(): Received[] {
    return this.#frames.filter((frame) => frame.sequence >= this.#cursor && !frame.handedOut && !this.isStale(frame));
  }

  /** Whether a group between the cursor and the frame is missing or unfinished, and could bring something before it. */
  #isGapBefore({ sequence, timestamp }: Received): boolean {
    if (sequence === this.#cursor) return false;
    const isBehind = timestamp <= this.#cursorTimestamp;
    if (isBehind && epochOf(sequence) <= epochOf(this.#cursor)) return false;
    const oldest = this.#cursor < 0 ? Math.min(...this.#arrivals.keys()) : this.#cursor;
    const start = isBehind ? epochStart(epochOf(sequence)) : oldest;
    const ended = [...this.#ended].filter((other) => other >= start && other < sequence);
    return ended.length < sequence - start;
  }

  /** The next frame, held or not, and whether something before it may still come. */
  peek(): { frame: Received; afterGap: boolean } | undefined {
    const frame = this.#unread().reduce<Received | undefined>(
      (best, other) => (best && best.sequence <= other.sequence ? best : other),
      undefined,
    );
    return frame && { frame, afterGap: this.#isGapBefore(frame) };
  }

  /** The frame to be read now, or the time until which it is held. */
  next(now: number): { frame?: Received; wake?: number } {
    const next = this.peek();
    if (next === undefined) return {};
    const { frame } = next;
    let wake = 0;
    for (const [epoch, since] of this.#epochs) {
      if (epoch >= epochOf(frame.sequence) && this.#isIncomplete(epoch)) wake = Math.max(wake, since + 200_000);
    }
    if (next.afterGap) {
      const arrivals = this.#unread().map((other) => this.#arrivals.get(other.sequence)!);
      wake = Math.max(wake, Math.min(...arrivals) + this.#gap);
    }
    return wake > now ? { wake } : { frame };
  }

  /** Whether an epoch that the reader has not reached is known, beside an older one, without its first group. */
  #isIncomplete(epoch: number): boolean {
    const isOldest = Math.min(...this.#epochs.keys()) === epoch;
    return !isOldest && epoch > epochOf(this.#cursor) && !this.#first.has(epochStart(epoch));
  }

  handOut(frame: Received): void {
    if (this.#isGapBefore(frame)) this.skipped += 1;
    if (this.#isUnread) {
      for (const other of this.#frames) if (other.handedOut && other.timestamp >= this.from!) other.flushed = true;
    }
    frame.handedOut = true;
    this.#cursor = frame.sequence;
    this.#cursorTimestamp = frame.timestamp;
    this.#reported = { discontinuity: this.discontinuity, from: this.from };
  }
}

/** Whether a rewind takes a frame back. */
function takes({ sequence, start }: Taker, frame: Received): boolean {
  return sequence > frame.sequence && start <= frame.timestamp;
}

/** The earlier start, the newer sequence of two that start together. */
function earliest(one: Taker | undefined, other: Taker): Taker {
  if (one === undefined || other.start !== one.start) return one === undefined || other.start < one.start ? other : one;
  return other.sequence > one.sequence ? other : one;
}

/** A consumer of deliveries: it keeps each frame until a delivery says to flush it. */
class Downstream {
  #kept: Delivery[] = [];
  #last: Delivery | undefined;

  take(delivery: Delivery): void {
    const last = this.#last;
    const { discontinuity, from } = delivery;
    const isFresh = discontinuity > (last?.discontinuity ?? 0);
    if (from !== undefined && (isFresh || from < (last?.from ?? Number.POSITIVE_INFINITY))) {
      this.#kept = this.#kept.filter(({ frame }) => frame.timestamp < from);
    }
    this.#kept.push(delivery);
    this.#last = delivery;
  }

  /** Something stale that it keeps, although the next delivery would not make it flush that. */
  keptInSilence(consumer: RewindConsumer, oracle: Oracle): Delivery | undefined {
    const { discontinuity, from } = consumer;
    const last = this.#last;
    const news = discontinuity > (last?.discontinuity ?? 0) || (from !== undefined && from < (last?.from ?? Infinity));
    const limit = news && from !== undefined ? from : Number.POSITIVE_INFINITY;
    return this.#kept.find(
      ({ sequence, frame: { timestamp } }) => timestamp < limit && oracle.isStale({ sequence, timestamp }),
    );
  }
}

const payload = new Uint8Array(1);

/** Cases that a schedule covered, to see that the schedules reach everywhere. */
export interface Outcome {
  readonly received: number;
  readonly delivered: number;
  readonly stale: number;
  readonly late: number;
  readonly duplicate: number;
  readonly held: number;
  readonly discontinuity: number;
  /** Times `from` dropped at an unchanged counter. */
  readonly lowered: number;
}

/**
 * Plays a schedule to a consumer and the oracle side by side.
 *
 * @throws Error that names the first difference: a stale frame handed out, a good one withheld, a wrong discontinuity,
 *   flush point, wake-up or count, or a verdict that depends on the order of arrival.
 */
export function checkSchedule({ events, reads, wakes, gap }: Schedule): Outcome {
  let now = microseconds(0);
  const consumer = new RewindConsumer({ clock: () => now, gap });
  const oracle = new Oracle(gap);
  const downstream = new Downstream();
  let lowered = 0;
  const agree = (what: string, actual: unknown, expected: unknown): void => {
    if (actual !== expected) {
      throw new Error(`At ${now / 1000} ms the consumer has ${what} ${actual}, the rule says ${expected}.`);
    }
  };
  const read = (limit: number): void => {
    for (let count = 0; count < limit; count += 1) {
      const expected = oracle.next(now);
      const [peeked, peekable] = [consumer.peek(), oracle.peek()];
      agree("a coming timestamp", peeked?.timestamp, peekable?.frame.timestamp);
      agree("before it a gap", peeked?.afterGap, peekable?.afterGap);
      agree("the next wake", consumer.nextWake(), expected.wake);
      const delivery = consumer.read();
      agree("the next sequence", delivery?.sequence, expected.frame?.sequence);
      agree("the next timestamp", delivery?.frame.timestamp, expected.frame?.timestamp);
      if (delivery === undefined || expected.frame === undefined) return;
      agree("the delivery's epoch", delivery.epoch, epochOf(expected.frame.sequence));
      agree("the delivery's discontinuity", delivery.discontinuity, oracle.discontinuity);
      agree("the delivery's flush point", delivery.from, oracle.from);
      oracle.handOut(expected.frame);
      downstream.take(delivery);
    }
  };
  const readAtWakes = (until: Microseconds): void => {
    for (let wake = consumer.nextWake(); wake !== undefined && wake <= until; wake = consumer.nextWake()) {
      now = microseconds(wake - 1);
      read(1);
      now = wake;
      read(Number.POSITIVE_INFINITY);
    }
  };

  events.forEach((event, index) => {
    if (wakes) readAtWakes(event.at);
    now = event.at;
    if (event.kind === "frame") {
      const before = { discontinuity: consumer.discontinuity, from: consumer.from };
      const frame: Frame = { timestamp: event.timestamp, payload, keyframe: true };
      consumer.receive(event.sequence, frame);
      oracle.receive(now, event.sequence, event.timestamp);
      agree("the discontinuity", consumer.discontinuity, oracle.discontinuity);
      agree("the flush point", consumer.from, oracle.from);
      agree("kept downstream in silence", downstream.keptInSilence(consumer, oracle), undefined);
      if (before.discontinuity === consumer.discontinuity && before.from !== consumer.from) lowered += 1;
    } else {
      consumer[event.kind](event.sequence);
      oracle.end(now, event.sequence);
    }
    read(reads[index]!);
  });
  now = microseconds(now + 1_000_000);
  read(Number.POSITIVE_INFINITY);

  const { counters } = consumer;
  agree("frames left over", consumer.buffered.frames, 0);
  agree("bytes left over", consumer.buffered.bytes, 0);
  agree("overflows", counters.overflow, 0);
  agree("groups skipped", counters.skipped, oracle.skipped);
  agree(
    "counts that add up to",
    counters.delivered + counters.duplicate + counters.late + counters.stale,
    counters.received,
  );
  checkOrder(events, oracle, agree);
  return { ...counters, discontinuity: consumer.discontinuity, lowered };
}

/** The verdicts, with the groups observed newest first and oldest first instead. */
function checkOrder(
  events: readonly Event[],
  oracle: Oracle,
  agree: (what: string, actual: unknown, expected: unknown) => void,
): void {
  const frames = events.filter((event) => event.kind === "frame");
  for (const direction of [1, -1]) {
    const classifier = new RewindClassifier();
    const sorted = [...frames].sort((left, right) => direction * (left.sequence - right.sequence));
    for (const { sequence, timestamp } of sorted) classifier.observe(sequence, timestamp);
    for (const frame of oracle.frames) {
      agree(
        `for group ${frame.sequence} at ${frame.timestamp}, observed in another order, the verdict`,
        classifier.isStale(frame.sequence, microseconds(frame.timestamp)),
        oracle.isStale(frame),
      );
    }
  }
}

/**
 * Plays a schedule to a consumer with bounds so small that they are hit all the time.
 *
 * @returns How many frames were dropped for a bound.
 * @throws Error that names the bound that was broken, the count that does not add up, or the stale frame handed out.
 */
export function checkBounds({ events, reads, gap }: Schedule): number {
  let now = microseconds(0);
  const [maxGroups, maxBytes, maxSpanUs] = [3, 5, fromMilliseconds(60)];
  const consumer = new RewindConsumer({ clock: () => now, gap, maxGroups, maxBytes, maxSpanUs });
  const oracle = new Oracle(gap);
  const { counters } = consumer;
  let cursor = -1;
  const hold = (what: string, isTrue: boolean): void => {
    if (!isTrue) throw new Error(`At ${now / 1000} ms it does not hold that ${what}.`);
  };
  events.forEach((event, index) => {
    now = event.at;
    if (event.kind === "frame") {
      consumer.receive(event.sequence, { timestamp: event.timestamp, payload, keyframe: event.sequence % 2 === 0 });
      oracle.receive(now, event.sequence, event.timestamp);
    } else {
      consumer[event.kind](event.sequence);
    }
    const { groups, frames, bytes, span } = consumer.buffered;
    hold(`at most ${maxGroups} groups are held`, groups <= maxGroups);
    hold(`at most ${maxBytes} bytes are held`, bytes <= maxBytes && bytes === frames);
    hold(`at most ${maxSpanUs} us are held`, span <= maxSpanUs);
    for (let count = 0; count < reads[index]!; count += 1) {
      const delivery = consumer.read();
      if (delivery === undefined) break;
      const { sequence, frame } = delivery;
      hold("only good frames are handed out", !oracle.isStale({ sequence, timestamp: frame.timestamp }));
      hold("groups are handed out in their order", sequence >= cursor);
      cursor = sequence;
    }
    const { received, delivered, duplicate, late, stale, overflow } = counters;
    hold(
      "every frame is counted once",
      received === delivered + duplicate + late + stale + overflow + consumer.buffered.frames,
    );
  });
  return counters.overflow;
}

/**
 * Hands a schedule's frames to two consumers at one moment, in opposite orders.
 *
 * @returns Whether something was held.
 * @throws Error that names what depends on the order.
 */
export function checkHolds({ events }: Schedule): boolean {
  // One frame of each group, since a group's own frames do have an order.
  const groups = new Map(events.flatMap((event) => (event.kind === "frame" ? [[event.sequence, event]] : [])));
  const frames = [...groups.values()];
  const [forward, backward] = [frames, [...frames].reverse()].map((order) => {
    let now = microseconds(0);
    const consumer = new RewindConsumer({ clock: () => now });
    for (const { sequence, timestamp } of order) consumer.receive(sequence, { timestamp, payload, keyframe: true });
    const seen: Record<string, unknown> = { holding: consumer.holding };
    for (const at of [0, 199_999, 200_000]) {
      now = microseconds(at);
      seen[`the next wake at ${at} us`] = consumer.nextWake();
      const sequences: number[] = [];
      for (let read = consumer.read(); read !== undefined; read = consumer.read()) sequences.push(read.sequence);
      seen[`the groups read at ${at} us`] = sequences.join();
    }
    return seen;
  });
  for (const [what, value] of Object.entries(forward!)) {
    if (value !== backward![what])
      throw new Error(`Depending on the order, ${what} is ${value} or ${backward![what]}.`);
  }
  return forward!.holding === true;
}
