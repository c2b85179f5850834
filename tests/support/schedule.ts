import { fromMilliseconds, type Microseconds } from "../../base/index.js";
import { epochOf, epochStart } from "../../container/index.js";

/** Something that happens to a consumer at a time. */
export type Event =
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
 * Publishers: 0 to 4 rewinds, with and without a jump of the epoch, starting anywhere; groups of 0 to 4 frames, equal
 * times, frames out of order inside a group, skipped sequences, blocks that run over. Network: loss, duplicates,
 * reordering, late stragglers, partial groups, groups that never end, a late join. Reader: eager, halting or stalled.
 */
export function expandTimeline(bytes: Uint8Array): Schedule {
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

/**
 * Expands bytes into a schedule of few frames that meet in every way: up to four epochs of three groups, at five
 * timestamps, in any order, so that several rewinds are under way with their first groups late, and times coincide.
 */
export function expandShuffled(bytes: Uint8Array): Schedule {
  let position = 0;
  const draw = (choices: number): number => (bytes[position++] ?? 0) % choices;
  const pick = <T>(...choices: T[]): T => choices[draw(choices.length)]!;

  const jumps = draw(4) !== 3;
  const reader = pick("eager", "halting", "stalled");
  const events: Event[] = [];
  const reads: number[] = [];
  let atMs = 0;
  for (let frames = 2 + draw(14); frames > 0; frames -= 1) {
    const sequence = jumps ? epochStart(draw(4)) + draw(3) : draw(8);
    events.push({
      at: fromMilliseconds(atMs),
      kind: "frame",
      sequence,
      timestamp: fromMilliseconds(pick(0, 20, 40, 40, 60)),
    });
    const all = Number.POSITIVE_INFINITY;
    reads.push(reader === "eager" ? all : reader === "stalled" ? 0 : pick(all, 0, 1));
    atMs += pick(0, 0, 10, 120, 250);
  }
  return { events, reads, wakes: reader === "eager", gap: fromMilliseconds(pick(0, 0, 30)) };
}
