import "../../../base/polyfills.js";
import { readdirSync } from "node:fs";
import { faultCounts } from "../../../base/index.js";
import { Relay, type RelayStats } from "../../../relay/index.js";
import { serve } from "../../support/remote.js";

/** What a relay holds at a moment. */
export interface Holding {
  readonly rssBytes: number;
  readonly handles: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly stats: RelayStats;
}

/** What the relay's process can be asked. */
export interface RelayCalls {
  /** Starts a relay, on a free port unless one is given, and returns its port. */
  open(port?: number): Promise<number>;
  /** What it holds; with `collect` after its garbage is gone. */
  holding(collect: boolean): Holding;
}

let relay: Relay | undefined;

serve<RelayCalls>({
  async open(port = 0) {
    relay = new Relay({ port });
    await relay.listen();
    return relay.address.port;
  },
  holding(collect) {
    if (relay === undefined) throw new Error("The relay has not been opened.");
    if (collect) globalThis.gc?.();
    return {
      rssBytes: process.memoryUsage.rss(),
      handles: readdirSync("/proc/self/fd").length,
      faults: faultCounts(),
      stats: relay.stats(),
    };
  },
});
