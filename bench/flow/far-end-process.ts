import { monitorEventLoopDelay } from "node:perf_hooks";
import { type Impairment, impair, type Link } from "../../tests/support/impairment.js";
import { Listener } from "../../watch/index.js";
import { shared, sharedClock } from "../support/clock.js";
import { serve } from "../support/remote.js";
import type { FarEndCalls, FarLanding, FarSample } from "./far-end.js";

/** Interval of pulls, and so the resolution of the speaker's playhead. */
const PULL_MS = 4;
const SAMPLE_MS = 50;
const RAMP_STEP_MS = 10;
/** How long to wait for the broadcast. */
const TIMEOUT_MS = 25_000;
/** An IPv4 and a UDP header. */
const HEADER_BYTES = 28;
const MAX_PROBLEMS = 3;

interface Lane {
  readonly proxy: Impairment;
  readonly listener: Listener;
  readonly samples: FarSample[];
  readonly landings: FarLanding[];
  readonly problems: string[];
  readonly sampler: NodeJS.Timeout;
  up: Link;
  ramp: NodeJS.Timeout | undefined;
}

const lanes = new Map<number, Lane>();
const delay = monitorEventLoopDelay({ resolution: 1 });
delay.enable();

function find(lane: number): Lane {
  const found = lanes.get(lane);
  if (found === undefined) throw new Error(`There is no lane ${lane}.`);
  return found;
}

function sample({ proxy, listener, samples }: Lane): void {
  const { playheadUs, playing, bufferMs } = listener.stats();
  const { down } = proxy.stats();
  samples.push({
    at: sharedClock(),
    playheadUs,
    playing,
    bufferMs,
    downQueuedBytes: down.bytesQueued,
    downBytes: down.bytesOut + down.packetsOut * HEADER_BYTES,
  });
}

const calls: FarEndCalls = {
  async open({ lane, port, certificateHash, broadcast, down, up, seed, channels }) {
    const proxy = await impair({ target: { host: "127.0.0.1", port }, up, down, seed });
    const listener = new Listener({
      url: `https://127.0.0.1:${proxy.port}`,
      broadcast,
      channels,
      pullIntervalMs: PULL_MS,
      timeoutMs: TIMEOUT_MS,
      connect: { backends: ["quic"], certificateHashes: [Buffer.from(certificateHash, "hex")] },
    });
    const landings: FarLanding[] = [];
    const problems: string[] = [];
    listener.on("landing", ({ lead, timestamp }) => landings.push({ at: sharedClock(), lead, timestamp }));
    listener.on("problem", (error) => {
      if (problems.length < MAX_PROBLEMS) problems.push(error.message);
    });
    const sampler = setInterval(() => sample(find(lane)), SAMPLE_MS);
    lanes.set(lane, { proxy, listener, samples: [], landings, problems, sampler, up, ramp: undefined });
  },
  isPlaying: (lane) => find(lane).listener.stats().playing,
  setLink(lane, { up, down }) {
    const found = find(lane);
    clearInterval(found.ramp);
    if (down !== undefined) found.proxy.setDown(down);
    if (up === undefined) return;
    found.up = up;
    found.proxy.setUp(up);
  },
  rampUp(lane, { fromMs, toMs, overMs }) {
    const found = find(lane);
    clearInterval(found.ramp);
    const startedAt = performance.now();
    found.ramp = setInterval(() => {
      const share = Math.min((performance.now() - startedAt) / overMs, 1);
      found.proxy.setUp({ ...found.up, delayMs: (found.up.delayMs ?? 0) + fromMs + (toMs - fromMs) * share });
      if (share === 1) clearInterval(found.ramp);
    }, RAMP_STEP_MS);
  },
  notes(lane) {
    const { samples, landings, listener, problems } = find(lane);
    const runs = listener.record.map(({ pulledAt, timestamp, frames }) => ({
      at: shared(pulledAt),
      timestamp,
      frames,
    }));
    return { samples, landings, runs, problems };
  },
  async close(lane) {
    const { listener, proxy, sampler, ramp } = find(lane);
    lanes.delete(lane);
    clearInterval(sampler);
    clearInterval(ramp);
    await listener.close();
    await proxy.close();
  },
  delay: () => ({ p99Ms: delay.percentile(99) / 1e6, maxMs: delay.max / 1e6 }),
};

serve(calls);
