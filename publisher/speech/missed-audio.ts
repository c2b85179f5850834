import { type Microseconds, microseconds } from "../../base/index.js";
import { type Aggregate, MAX_LAG } from "../../flow/report/index.js";
import { toPosition } from "../tracks/position.js";
import type { SpeechTimeline } from "./speech-timeline.js";

/** A stretch of the timeline that a listener had no audio for, with audio before and behind it. */
export interface MissedStretch {
  readonly from: Microseconds;
  readonly to: Microseconds;
}

/** Position of a listener, and what it missed on the way there. */
export interface Heard {
  readonly playhead: Microseconds;
  readonly missed: readonly MissedStretch[];
}

/** Stretches remembered for each listener: a speech is judged as soon as all listeners are behind it. */
const MAX_STRETCHES = 16;
/** Reports are rounded: a speech of which no more is left was not heard to its end. */
const REST = 2 * 48;

/** The stretches that each listener missed, by its id. */
export class MissedAudio {
  readonly #stretches = new Map<number, readonly MissedStretch[]>();

  /** Takes an aggregate. `limitOf`: beyond it, a listener may have played a timeline that became stale. */
  observe({ missed }: Aggregate, limitOf: (id: number) => number): void {
    for (const { session, from, to } of missed) {
      const others = this.of(session).filter((known) => known.from !== from);
      const stretch = { from, to: microseconds(Math.min(to, limitOf(session))) };
      this.#stretches.set(session, [...others, stretch].slice(-MAX_STRETCHES));
    }
  }

  /** All audio from `to` on became stale. */
  rewound(to: Microseconds): void {
    for (const [session, stretches] of this.#stretches) {
      const kept = stretches.filter(({ from }) => from < to);
      const cut = kept.map((one) => ({ from: one.from, to: microseconds(Math.min(one.to, to)) }));
      this.#stretches.set(session, cut);
    }
  }

  of(session: number): readonly MissedStretch[] {
    return this.#stretches.get(session) ?? [];
  }

  forget(session: number): void {
    this.#stretches.delete(session);
  }
}

/** How far a listener heard a speech of `length` samples: not behind a stretch that took its end. */
export function heardOf(
  { playhead, missed }: Heard,
  timeline: SpeechTimeline,
  length: number | undefined,
): Microseconds {
  const lost = missed.find((stretch) => isEndMissed(stretch, timeline, length));
  return lost ? microseconds(Math.min(playhead, lost.from)) : playhead;
}

/**
 * How far all listeners heard a speech. `earliest` is their position. A listener that missed its end counts only where
 * all have: it may be a false claim.
 */
export function heardOfAll(
  { earliest, counted = [] }: { readonly earliest: Microseconds; readonly counted?: readonly Heard[] | undefined },
  timeline: SpeechTimeline,
  length: number | undefined,
): Microseconds {
  const had = counted.filter(({ missed }) => !missed.some((one) => isEndMissed(one, timeline, length)));
  if (had.length === counted.length) return earliest;
  if (had.length > 0) return microseconds(Math.max(earliest, Math.min(...had.map(({ playhead }) => playhead))));
  const each = counted.map((one) => heardOf(one, timeline, length));
  return microseconds(Math.max(Math.min(...each), Math.max(...each) - MAX_LAG));
}

function isEndMissed({ from, to }: MissedStretch, timeline: SpeechTimeline, length: number | undefined): boolean {
  if (length === undefined) return false;
  const [heard, again] = [timeline.sourceAt(toPosition(from)), timeline.sourceAt(toPosition(to))];
  return length - again <= REST && again - heard > length - again;
}
