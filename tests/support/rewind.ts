import { fromMilliseconds, type Microseconds, microseconds } from "../../base/index.js";
import { epochOf, epochStart, type Frame, RewindClassifier, RewindConsumer } from "../../container/index.js";

/** Something that happens to a consumer at a time. */
type Event =
  | { readonly at: Microseconds; readonly kind: "frame"; readonly sequence: number; readonly timestamp: Microseconds }
  | { readonly at: Microseconds; readonly kind: "finish" | "abort"; readonly sequence: number };

/** A publisher, a network and a reader, played out. */
export interface Schedule {
  /** In the order in which they happen. */
  readonly events: readonly Event[];
  /** After event `i` up to `reads[i]` frames are read. */
  readonly reads: readonly number[];
  /** Whether the reader also reads whenever the consumer said to. */
  readonly wakes: boolean;
  /** How long the consumer waits for a missing group. */
  readonly gap: Microseconds;
}

/**
 * Expands bytes into a schedule. Every byte is a choice, a missing one is the plainest choice, so that a shorter or
 * smaller array is a simpler schedule: that is what makes shrinking work.
 *
 * Publishers: 0 to 4 reneges, with and without a jump of the epoch, starting anywhere; groups of 0 to 4 frames, equal
 * times, frames out of order inside a group, skipped sequences, blocks that run over. Network: loss, duplicates,
 * reordering, late stragglers, partial groups, groups that never end, a late join. Reader: eager, halting or stalled.
 */
export function expand(bytes: Uint8Array): Schedule {
  let position = 0;
  const draw = (choices: number): number => (bytes[position++] ?? 0) % choices;
  const pick = <T>(...choices: T[]): T => choices[draw(choices.length)]!;

  const jumps = draw(3) !== 2;
  let sequence = pick(0, 7, 65_534, 3 * 65_536 - 3);
  const joinAt = pick(0, 0, 0, 3, 8);
  const lossOf16 = pick(0, 1, 4, 8);
  const duplicatesOf8 = pick(0, 1, 4);
  const jitterMs = pick(1, 30, 120, 250);
  const ahead = draw(2) === 1;
  const reader = pick("eager", "halting", "stalled");
  const segments = 1 + draw(5);
  const gap = fromMilliseconds(pick(0, 0, 30, 150));

  const events: Event[] = [];
  let sentMs = 0;
  let sentGroups = 0;
  let frontierMs = 0;
  for (let segment = 0; segment < segments; segment += 1) {
    let timeMs = segment === 0 ? pick(0, 500) : pick(0, 1, 2, 3, 4, 5, 6, 7, 8, 9) * Math.ceil(frontierMs / 80) * 10;
    if (segment > 0 && jumps) sequence = epochStart(epochOf(sequence - 1) + 1);
    const groups = 1 + draw(9);
    for (let group = 0; group < groups; group += 1) {
      if (!ahead || group === 0) sentMs += 20;
      const times = Array.from({ length: pick(1, 1, 1, 1, 2, 3, 4, 0) }, () => {
        const time = timeMs;
        timeMs += pick(20, 20, 20, 10, 40, 1, 0);
        return time;
      });
      if (times.length > 2 && draw(4) === 3) times.push(...times.splice(1, 1));
      frontierMs = Math.max(frontierMs, timeMs);
      const copies = draw(16) < lossOf16 || sentGroups < joinAt ? 0 : draw(8) < duplicatesOf8 ? 2 : 1;
      for (let copy = 0; copy < copies; copy += 1) {
        let atMs = sentMs + draw(jitterMs) + pick(0, 0, 0, 0, 0, 0, 0, 260);
        const spreadMs = pick(0, 0, 0, 25);
        const kept = pick(times.length, times.length, times.length, draw(times.length + 1));
        for (const time of times.slice(0, kept)) {
          events.push({ at: fromMilliseconds(atMs), kind: "frame", sequence, timestamp: fromMilliseconds(time) });
          atMs += spreadMs;
        }
        const kind = pick("finish", "finish", "abort", undefined);
        if (kind !== undefined) events.push({ at: fromMilliseconds(atMs), kind, sequence });
      }
      sentGroups += 1;
      sequence += jumps ? 1 : pick(1, 1, 1, 1, 1, 1, 1, 3);
    }
  }
  events.sort((left, right) => left.at - right.at);
  const all = Number.POSITIVE_INFINITY;
  const reads = events.map(() => (reader === "eager" ? all : reader === "stalled" ? 0 : pick(0, 1, 2, 0, all)));
  return { events, reads, wakes: reader === "eager", gap };
}

interface Received {
  readonly sequence: number;
  readonly timestamp: number;
  /** Whether it was still good when it came. */
  readonly accepted: boolean;
  handedOut: boolean;
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
  /** Epoch to the time since which its missing first group holds the output. */
  readonly #holds = new Map<number, number>();
  readonly #gap: number;
  #newestRewind = -1;
  #reported = true;
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
    const isFirst = !this.#first.has(sequence);
    if (isFirst) this.#revealRewind(sequence, timestamp);
    if (isFirst) this.#first.set(sequence, timestamp);
    if (!this.#frames.some((frame) => frame.sequence === sequence && frame.timestamp === timestamp)) {
      const received = { sequence, timestamp, accepted: true, handedOut: false };
      this.#frames.push(received);
      if (this.isStale(received)) this.#frames[this.#frames.length - 1] = { ...received, accepted: false };
    }
    const epoch = epochOf(sequence);
    if (this.#first.has(epochStart(epoch))) this.#holds.delete(epoch);
    else if (
      !this.#holds.has(epoch) &&
      epochOf(this.#cursor) < epoch &&
      this.#frames.some((frame) => epochOf(frame.sequence) < epoch)
    ) {
      this.#holds.set(epoch, now);
    }
  }

  /** What a group that just began takes back of what was good. */
  #revealRewind(sequence: number, first: number): void {
    const taken = this.#frames.filter(
      (frame) => frame.accepted && frame.sequence < sequence && this.#takes(sequence, first, frame),
    );
    const flushPoints = (frame: Received) =>
      [...this.#first]
        .filter(([other, start]) => other > frame.sequence && this.#takes(other, start, frame))
        .map(([, start]) => start);
    if (sequence > this.#newestRewind) {
      if (taken.every((frame) => flushPoints(frame).length > 0)) return;
      this.discontinuity += 1;
      this.#newestRewind = sequence;
      this.from = this.#reported ? first : Math.min(this.from ?? first, first);
      this.#reported = false;
      return;
    }
    const lowers = taken.some((frame) => flushPoints(frame).every((start) => start > first));
    if (!lowers) return;
    this.from = Math.min(this.from!, first);
    this.#reported = false;
  }

  #unread(): Received[] {
    return this.#frames.filter((frame) => frame.sequence >= this.#cursor && !frame.handedOut && !this.isStale(frame));
  }

  /** Whether a group between the cursor and the frame is missing or unfinished, and could bring something before it. */
  #isGapBefore({ sequence, timestamp }: Received): boolean {
    if (sequence === this.#cursor || timestamp <= this.#cursorTimestamp) return false;
    const start = this.#cursor < 0 ? Math.min(...this.#arrivals.keys()) : this.#cursor;
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
    for (const [epoch, since] of this.#holds) {
      if (epoch >= epochOf(frame.sequence)) wake = Math.max(wake, since + 200_000);
    }
    if (next.afterGap) {
      const arrivals = this.#unread().map((other) => this.#arrivals.get(other.sequence)!);
      wake = Math.max(wake, Math.min(...arrivals) + this.#gap);
    }
    return wake > now ? { wake } : { frame };
  }

  handOut(frame: Received): void {
    if (this.#isGapBefore(frame)) this.skipped += 1;
    frame.handedOut = true;
    this.#cursor = frame.sequence;
    this.#cursorTimestamp = frame.timestamp;
    this.#reported = true;
  }
}

const payload = new Uint8Array(1);

/** What a schedule put a consumer through, to see that the schedules reach everywhere. */
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
