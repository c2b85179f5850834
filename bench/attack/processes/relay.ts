import "../../../base/polyfills.js";
import { readdirSync } from "node:fs";
import { faultCounts } from "../../../base/index.js";
import { Relay, type RelayStats } from "../../../relay/index.js";
import { serve } from "../../support/remote.js";

/** Memory and handles of a relay at a moment. */
export interface Holding {
  /** Bytes alive after a collection, and all memory outside the JavaScript heap. */
  readonly heldBytes: number;
  readonly handles: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly stats: RelayStats;
}

/** Calls to the relay's process. */
export interface RelayCalls {
  /** Starts a relay, on a free port unless one is given, and returns its port. */
  open(port?: number): Promise<number>;
  /** Its memory and handles after a collection. */
  holding(): Holding;
}

let relay: Relay | undefined;

serve<RelayCalls>({
  async open(port = 0) {
    relay = new Relay({ port });
    await relay.listen();
    return relay.address.port;
  },
  holding() {
    if (relay === undefined) throw new Error("The relay has not been opened.");
    if (globalThis.gc === undefined) throw new Error("The relay's process takes --expose-gc.");
    globalThis.gc();
    const { rss, heapTotal, heapUsed } = process.memoryUsage();
    return {
      heldBytes: rss - heapTotal + heapUsed,
      handles: readdirSync("/proc/self/fd").length,
      faults: faultCounts(),
      stats: relay.stats(),
    };
  },
});
