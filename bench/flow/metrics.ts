import { type Microseconds, toMilliseconds } from "../../base/index.js";

/** A group that carries a change, as it reached a listener. */
export interface ChangedGroup {
  /** When it arrived, on the clock of `sent`. */
  readonly arrival: Microseconds;
  /** Media time of its first sample. */
  readonly start: Microseconds;
  /** Whether the speaker really played any of its samples. */
  readonly played: boolean;
}

/** Input of {@link audible}. */
export interface ChangeRun {
  /** When the listener's playhead was at media time 0; it plays at 1x. */
  readonly listeningSince: Microseconds;
  /** When the change was sent. */
  readonly sent: Microseconds;
  /** Media time up to which audio without the change had been sent by then. */
  readonly frontier: Microseconds;
  /** The groups that carry the change. */
  readonly groups: readonly ChangedGroup[];
}

/** How soon a change was heard, in milliseconds from its sending; undefined when it never was. */
export interface Audible {
  /** Until its first played sample. */
  readonly firstMs: number | undefined;
  /** Until nothing rendered before the change is left to play. */
  readonly fullMs: number | undefined;
}

/**
 * How soon a change was heard: `min over its groups of max(arrival, playhead reaches the start) - sent`. Groups the
 * speaker did not play do not count, so audio that arrives and is thrown away improves nothing.
 */
export function audible({ listeningSince, sent, frontier, groups }: ChangeRun): Audible {
  let first = Number.POSITIVE_INFINITY;
  let full = Number.POSITIVE_INFINITY;
  for (const { arrival, start, played } of groups) {
    if (!played) continue;
    first = Math.min(first, Math.max(arrival, listeningSince + start));
    full = Math.min(full, Math.max(arrival, listeningSince + Math.max(start, frontier)));
  }
  const since = (at: number) => (Number.isFinite(at) ? toMilliseconds((at - sent) as Microseconds) : undefined);
  return { firstMs: since(first), fullMs: since(full) };
}

/** Samples the speaker pulled at once. */
export interface PulledBlock {
  /** When it pulled them. */
  readonly at: Microseconds;
  /** Whether they had been taken back. */
  readonly stale: boolean;
}

/** Milliseconds from an interrupt until the last taken-back sample was pulled by the speaker; 0 when none was. */
export function timeToSilenceMs(interruptedAt: Microseconds, pulls: Iterable<PulledBlock>): number {
  let last = interruptedAt;
  for (const { at, stale } of pulls) if (stale && at > last) last = at;
  return (last - interruptedAt) / 1000;
}

/** Landing leads of one bucket. */
export interface LeadBucket {
  /** When it starts. */
  readonly start: Microseconds;
  /** Leads measured in it. */
  readonly count: number;
  readonly min: Microseconds;
  readonly median: Microseconds;
  /** Share of them under zero, 0 to 1. */
  readonly negative: number;
}

/** Options for {@link LeadBuckets}. */
export interface LeadBucketsOptions {
  /** Width of a bucket. Default 5 s. */
  readonly width?: Microseconds;
  /** Buckets kept; the oldest go first. Default 720, an hour. */
  readonly maxBuckets?: number;
}

const MAX_LEADS = 8192;

/** Collects landing leads by time, so that one bad moment cannot hide in an average. */
export class LeadBuckets {
  readonly #width: number;
  readonly #maxBuckets: number;
  readonly #buckets = new Map<number, Microseconds[]>();
  #dropped = 0;

  constructor({ width = 5_000_000 as Microseconds, maxBuckets = 720 }: LeadBucketsOptions = {}) {
    this.#width = width;
    this.#maxBuckets = maxBuckets;
  }

  /** Leads not kept because their bucket was full. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Adds one lead. */
  add(lead: Microseconds, at: Microseconds): void {
    const index = Math.floor(at / this.#width);
    let leads = this.#buckets.get(index);
    if (leads === undefined) {
      leads = [];
      this.#buckets.set(index, leads);
      if (this.#buckets.size > this.#maxBuckets) this.#buckets.delete(Math.min(...this.#buckets.keys()));
    }
    if (leads.length < MAX_LEADS) leads.push(lead);
    else this.#dropped++;
  }

  /** The buckets so far, by time. */
  summary(): LeadBucket[] {
    return [...this.#buckets.entries()]
      .sort(([a], [b]) => a - b)
      .map(([index, leads]) => {
        const sorted = [...leads].sort((a, b) => a - b);
        const middle = sorted.length >> 1;
        const upper = sorted[middle]!;
        const lower = sorted.length % 2 === 0 ? sorted[middle - 1]! : upper;
        return {
          start: (index * this.#width) as Microseconds,
          count: sorted.length,
          min: sorted[0]!,
          median: Math.round((lower + upper) / 2) as Microseconds,
          negative: sorted.filter((lead) => lead < 0).length / sorted.length,
        };
      });
  }
}
