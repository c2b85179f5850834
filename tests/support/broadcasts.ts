import { type Clock, monotonicClock } from "../../base/index.js";
import { Broadcast, type BroadcastSource } from "../../relay/broadcast/broadcast.js";
import { ByteBudget } from "../../relay/broadcast/byte-budget.js";
import { CacheBudget } from "../../relay/broadcast/track-cache.js";
import { limitsSchema } from "../../relay/limits.js";
import { RelayCounters } from "../../relay/relay-counters.js";

export const counters = new RelayCounters();

/** A publisher whose tracks never come, and which can fall silent. */
export interface TestSource extends BroadcastSource {
  silent: boolean;
}

export function source(id: string): TestSource {
  return {
    id,
    silent: false,
    alive() {
      return !this.silent;
    },
    track: () => ({ timed: true, info: () => new Promise(() => {}), subscribe: () => () => {} }),
    sendAggregate: () => true,
  };
}

export function broadcast(from: BroadcastSource, path = "demo.hang", clock: Clock = monotonicClock): Broadcast {
  return new Broadcast({
    path,
    sourcePath: path,
    hops: [],
    source: from,
    environment: {
      clock,
      counters,
      budget: new CacheBudget(1000),
      partial: new ByteBudget(1000),
      limits: limitsSchema.parse({}),
      classifier: undefined,
      estimateStaleness: true,
    },
  });
}
