import { type Microseconds, microseconds, monotonicClock } from "../../base/index.js";
import {
  type Listener,
  type ListenerRewind,
  type ListenerStats,
  type PlayedRun,
  SAMPLE_RATE,
} from "../../watch/index.js";

/** The moment at which a listener took back. */
export interface Flush {
  readonly at: Microseconds;
  /** Media time from which on everything was taken back. */
  readonly from: Microseconds;
  /** The last thing played before, as it was then. */
  readonly last: PlayedRun | undefined;
  /** How many runs had been played. */
  readonly runs: number;
  readonly stats: ListenerStats;
}

/** Notes the first flush of a listener after its making. */
export class FlushWatch {
  readonly #listener: Listener;
  #first: Flush | undefined;

  constructor(listener: Listener) {
    this.#listener = listener;
    listener.on("rewind", this.#onRewind);
  }

  get first(): Flush | undefined {
    return this.#first;
  }

  stop(): void {
    this.#listener.off("rewind", this.#onRewind);
  }

  readonly #onRewind = ({ from }: ListenerRewind): void => {
    const { record } = this.#listener;
    const last = record.at(-1);
    const at = monotonicClock();
    if (this.#first) this.#first = { ...this.#first, from: microseconds(Math.min(from, this.#first.from)) };
    else this.#first = { at, from, last: last && { ...last }, runs: record.length, stats: this.#listener.stats() };
  };
}

/** An interrupt in a speaker's record. */
export interface Heard {
  /** When the last old sample was pulled; undefined when none was after the call, because none was there. */
  readonly silentAt: Microseconds | undefined;
  /** Media time behind the last old sample. */
  readonly heardUntil: Microseconds;
  /** When the first new sample was pulled. */
  readonly replyAt: Microseconds | undefined;
  /** Old sound pulled after the flush that had been taken back, in milliseconds. */
  readonly staleMs: number;
}

/** Media time behind a run's last sample. */
export function endOf({ timestamp, frames }: PlayedRun): Microseconds {
  return microseconds((timestamp ?? 0) + (frames * 1e6) / SAMPLE_RATE);
}

/**
 * Reads a record for what was heard of an interrupt.
 *
 * @param epoch The new epoch; undefined where epochs say nothing, as with a fresh track: then only the flush decides.
 * @param reply Media time at which the new speech can begin at the soonest.
 */
export function heardAfterInterrupt(
  record: readonly Readonly<PlayedRun>[],
  options: { calledAt: Microseconds; flush: Flush; epoch: number | undefined; reply: Microseconds },
): Heard {
  const { calledAt, flush, epoch, reply } = options;
  const { from, last, runs } = flush;
  const keeps = last?.timestamp !== undefined && endOf(last) < from;
  const isOld = (run: PlayedRun, index: number) => (epoch === undefined ? index < runs : run.epoch! < epoch);

  const index = record.findLastIndex((run, at) => run.timestamp !== undefined && isOld(run, at));
  const old = record[index];
  let silentAt = old?.lastPulledAt ?? calledAt;
  let heardUntil = old ? endOf(old) : microseconds(0);
  if (epoch === undefined && last !== undefined && index === runs - 1) {
    // Without epochs the new speech may continue the old one's run.
    silentAt = microseconds(last.lastPulledAt + (keeps ? from - endOf(last) : 0));
    heardUntil = keeps ? from : endOf(last);
  }

  let staleMs = 0;
  let replyAt: Microseconds | undefined;
  for (let at = Math.max(0, runs - 1); at < record.length; at++) {
    const run = record[at]!;
    if (run.timestamp === undefined) continue;
    const known = at < runs ? last : undefined;
    if (epoch !== undefined && isOld(run, at)) {
      const start = Math.max(known ? endOf(known) : run.timestamp, from);
      // In whole samples: times are rounded to microseconds.
      staleMs += (Math.round((Math.max(0, endOf(run) - start) * SAMPLE_RATE) / 1e6) * 1000) / SAMPLE_RATE;
    } else if (replyAt === undefined && endOf(run) > reply && (known === undefined || keeps)) {
      replyAt = microseconds(run.pulledAt + Math.max(0, reply - run.timestamp));
    }
  }
  return { silentAt: silentAt > calledAt ? silentAt : undefined, heardUntil, replyAt, staleMs };
}

/** When the speaker reached a media time of a timeline that never goes back; undefined before. */
export function reachedAt(record: readonly Readonly<PlayedRun>[], time: Microseconds): Microseconds | undefined {
  const run = record.find((each) => each.timestamp !== undefined && endOf(each) > time);
  return run && microseconds(run.pulledAt + Math.max(0, time - run.timestamp!));
}
