import { monotonicClock } from "../../base/index.js";
import { openSource, Publisher } from "../../publisher/index.js";
import { Relay } from "../../relay/index.js";
import { shared, sharedClock } from "../support/clock.js";
import { type Condition, FRAME_MS, type Medium, type Variant } from "./conditions.js";
import type { FarEnd, FarNotes } from "./far-end.js";
import type { NearSample, Span } from "./figures.js";

const SAMPLE_MS = 50;
const POLL_MS = 50;
/** How long a listener may take until it plays. */
const START_LIMIT_MS = 25_000;

/** Publisher, link and variant of a lane. */
export interface LaneOptions {
  /** Different for every lane of a far end. */
  readonly lane: number;
  readonly farEnd: FarEnd;
  readonly condition: Condition;
  readonly medium: Medium;
  readonly variant: Variant;
  /** Rate of the medium on the wire, headers included. */
  readonly rateBps: number;
  readonly seed: number;
  /** Interleaved, at 48 kHz, played over and over. */
  readonly sound: Float32Array;
  readonly settleMs: number;
  readonly measuredMs: number;
}

/** Result of a lane. */
export interface LaneResult {
  readonly options: LaneOptions;
  readonly near: readonly NearSample[];
  readonly far: FarNotes;
  /** The measured time. */
  readonly span: Span;
  /** Groups that the listener got in the lower rendition meanwhile. */
  readonly lowGroups: number;
  /** Copies of groups that the relay sent meanwhile. */
  readonly copies: number;
}

/** Runs a publisher, a relay and, across a link in the other process, a listener; returns all records. */
export async function runLane(options: LaneOptions): Promise<LaneResult> {
  const { lane, farEnd, condition, medium, variant, rateBps, seed, sound, settleMs, measuredMs } = options;
  const relay = new Relay({ port: 0, ...variant.relay }, variant.ablation);
  await relay.listen();
  const broadcast = `lane-${lane}`;
  const publisher = new Publisher(
    {
      url: `https://127.0.0.1:${relay.address.port}`,
      broadcast,
      source: await openSource({ samples: sound, channels: medium.channels, loop: true, name: "speech" }),
      frameMs: FRAME_MS,
      connect: { certificateHashes: [Buffer.from(relay.fingerprint, "hex")], backends: ["quic"] },
      ...medium.options,
    },
    variant.publisher,
  );
  let failure: Error | null = null;
  void publisher.closed.then((error) => {
    failure = error;
  });
  const near: NearSample[] = [];
  const sampler = setInterval(() => {
    const { playheadUs, leadMs, listeners } = publisher.stats();
    const stalenessMs = relay.reportingListeners()[0]?.stalenessMs;
    if (listeners > 0) near.push({ at: shared(monotonicClock()), playheadUs, leadMs, stalenessMs });
  }, SAMPLE_MS);
  try {
    const { up = {}, down = {} } = condition.links(rateBps);
    const { port } = relay.address;
    const { channels } = medium;
    await farEnd.open({ lane, port, certificateHash: relay.fingerprint, broadcast, up, down, seed, channels });
    const limit = performance.now() + START_LIMIT_MS;
    while (!(await farEnd.isPlaying(lane))) {
      if (failure !== null) throw failure;
      if (performance.now() > limit) {
        const { problems } = await farEnd.notes(lane);
        throw new Error(`Nothing was heard of ${condition.name}, ${medium.name}: ${problems.join(" ")}`);
      }
      await sleep(POLL_MS);
    }
    await sleep(settleMs);
    const from = sharedClock();
    const before = relay.stats().counters;
    const startedAt = performance.now();
    for (const { at, act } of condition.steps) {
      await sleep(at * measuredMs - (performance.now() - startedAt));
      await act(farEnd, lane, rateBps);
    }
    await sleep(measuredMs - (performance.now() - startedAt));
    if (failure !== null) throw failure;
    const after = relay.stats().counters;
    return {
      options,
      near,
      far: await farEnd.notes(lane),
      span: { from, to: from + measuredMs * 1000 },
      lowGroups: after.lowOut - before.lowOut,
      copies: after.repeatsOut - before.repeatsOut,
    };
  } finally {
    clearInterval(sampler);
    await farEnd.close(lane);
    await publisher.close();
    await relay.close();
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));
}
