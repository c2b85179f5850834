import { fromSeconds, type Microseconds } from "../../base/index.js";

/** Why a group was not sent: window full, waited too long, too late, stale, or no room to wait. */
export type SkipReason = "window" | "age" | "passed" | "stale" | "overflow";

/** Skips so far, by reason. */
export type SkipCounters = Readonly<Record<SkipReason, number>>;

/** Input of {@link SkipPolicy.decide}. */
export interface SkipQuestion {
  /** Bytes in flight to the receiver. */
  readonly inFlight: number;
  /** Its window in bytes; undefined for a receiver without reports, which has none. */
  readonly window: number | undefined;
  /** When the group was produced. */
  readonly producedAt: Microseconds;
  readonly now: Microseconds;
}

/** Options for {@link SkipPolicy}. */
export interface SkipPolicyOptions {
  /** Longest wait since a group was produced. Default 2 s. */
  readonly maxAge?: Microseconds;
}

/** Least time between two log lines. */
const LOG_EVERY = fromSeconds(5);

/** Decides before a group is encoded or opened whether to send it, and counts skipped groups. */
export class SkipPolicy {
  readonly #maxAge: Microseconds;
  readonly #total: Record<SkipReason, number> = { window: 0, age: 0, passed: 0, stale: 0, overflow: 0 };
  #logged: SkipCounters = { ...this.#total };
  #loggedAt = Number.NEGATIVE_INFINITY;

  constructor({ maxAge = fromSeconds(2) }: SkipPolicyOptions = {}) {
    this.#maxAge = maxAge;
  }

  /** Skips so far. */
  get counters(): SkipCounters {
    return { ...this.#total };
  }

  /** Whether to send the group, or why not; counts a skip. */
  decide({ inFlight, window, producedAt, now }: SkipQuestion): "send" | "window" | "age" {
    if (window !== undefined && inFlight > window) {
      this.count("window");
      return "window";
    }
    if (now - producedAt > this.#maxAge) {
      this.count("age");
      return "age";
    }
    return "send";
  }

  /** Counts groups that another part dropped. */
  count(reason: SkipReason, groups = 1): void {
    this.#total[reason] += groups;
  }

  /** Skips since the last line, when there are any and a line is due; the caller logs them. */
  takeLog(now: Microseconds): SkipCounters | undefined {
    if (now - this.#loggedAt < LOG_EVERY) return undefined;
    const since = { ...this.#total };
    let any = false;
    for (const reason of Object.keys(since) as SkipReason[]) {
      since[reason] -= this.#logged[reason];
      any ||= since[reason] > 0;
    }
    if (!any) return undefined;
    this.#logged = { ...this.#total };
    this.#loggedAt = now;
    return since;
  }
}
