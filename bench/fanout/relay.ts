import "../../base/polyfills.js";
import { type Profiler, Session } from "node:inspector";
import { performance } from "node:perf_hooks";
import { collectLessOften, Relay } from "../../relay/index.js";
import { prioritize, serve } from "./child.js";
import { PeerRelay } from "./peer.js";

let relay: Relay | PeerRelay | undefined;
let before = performance.eventLoopUtilization();

const inspector = new Session();

function post(method: string): Promise<unknown> {
  return new Promise((resolve, reject) =>
    inspector.post(method, (error, result) => (error ? reject(error) : resolve(result))),
  );
}

/** Calls to the relay's process. */
export type RelayMethods = typeof methods;

const methods = {
  prioritize,

  /** Starts a relay: ours, also as the edge of another one, or the peer for comparison. */
  async listen({
    peer,
    upstream,
  }: {
    peer: boolean;
    upstream?: string;
  }): Promise<{ port: number; fingerprint: string }> {
    // As `unsay relay` does.
    collectLessOften();
    relay = peer
      ? new PeerRelay()
      : new Relay({ port: 0, ...(upstream !== undefined && { upstream: { url: upstream } }) });
    const { port } = await relay.listen();
    return { port, fingerprint: relay.fingerprint };
  },

  /** The relay's counters, and the share of the time since the last call that its event loop was busy. */
  sample({ collect }: { collect: boolean }) {
    if (collect) (globalThis as { gc?: () => void }).gc?.();
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, before);
    before = now;
    const resources = process.getActiveResourcesInfo();
    const { heapUsed, heapTotal } = process.memoryUsage();
    return {
      loopShare: utilization,
      heapBytes: heapUsed,
      /** With what V8 holds free for more. */
      heapReservedBytes: heapTotal,
      timers: resources.filter((resource) => resource === "Timeout").length,
      resources: resources.length,
      stats: relay instanceof Relay ? relay.stats() : undefined,
    };
  },

  /** Begins to sample where the JavaScript thread's time goes. */
  async startProfile(_: undefined): Promise<void> {
    inspector.connect();
    await post("Profiler.enable");
    await post("Profiler.start");
  },

  /** Ends that; the same kind of profile as `node --cpu-prof` writes. */
  async stopProfile(_: undefined): Promise<Profiler.Profile> {
    const { profile } = (await post("Profiler.stop")) as { profile: Profiler.Profile };
    return profile;
  },
};

serve(methods);
