import { randomBytes } from "node:crypto";
import { monotonicClock } from "../base/index.js";
import { RewindClassifier } from "../container/index.js";
import type { BroadcastEnvironment } from "./broadcast/broadcast.js";
import { ByteBudget } from "./broadcast/byte-budget.js";
import { Origin } from "./broadcast/origin.js";
import { CacheBudget } from "./broadcast/track-cache.js";
import type { CheckedRelayOptions, RelayAblation } from "./options.js";
import { RelayCounters } from "./relay-counters.js";
import { BurstSmoother } from "./watcher/burst-smoother.js";

/** State that all sessions of a relay share. */
export interface RelayEnvironment extends BroadcastEnvironment {
  /** All broadcasts of the relay. */
  readonly origin: Origin;
  /** The relay's id among the hops of a broadcast. */
  readonly hopId: bigint;
  /** Spreads the datagrams of all watchers. */
  readonly smoother: BurstSmoother;
  /** See `RelayOptions.repeat`. */
  readonly repeat: boolean | "auto";
  /** Whether reports are read. */
  readonly readsReports: boolean;
}

/** Creates the shared state of one relay's sessions. */
export function createEnvironment(
  { limits, repeat }: CheckedRelayOptions,
  { keepStale, ignoreStaleness, ignoreReports }: RelayAblation,
): RelayEnvironment {
  const counters = new RelayCounters();
  return {
    clock: monotonicClock,
    counters,
    limits,
    repeat,
    budget: new CacheBudget(limits.cacheBytes, { cacheFull: counters.cacheFull }),
    partial: new ByteBudget(limits.partialBytes),
    origin: new Origin({ maxBroadcasts: limits.broadcasts, counters }),
    smoother: new BurstSmoother({ counters }),
    // 53 bits: older clients read the id as a number.
    hopId: (randomBytes(8).readBigUInt64BE() & 0x1fffffffffffffn) | 1n,
    estimateStaleness: !ignoreStaleness,
    readsReports: !ignoreReports,
    classifier: keepStale ? undefined : () => new RewindClassifier(),
  };
}
