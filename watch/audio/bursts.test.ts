import fc from "fast-check";
import { expect, test } from "vitest";
import { fromMilliseconds } from "../../base/index.js";
import { RewindConsumer } from "../../container/index.js";
import { openPcm } from "../decoders/pcm.js";
import { gapOf } from "../tracks/track-feed.js";
import { AudioPipeline } from "./audio-pipeline.js";
import { Playout } from "./playout.js";
import { framesAt, QUANTUM_FRAMES } from "./samples.js";

const PACKET_MS = 20;
const PACKETS = 50;
/** Loud audio to the end: no silence marks the pause behind it. */
const PACKET = new Uint8Array(Int16Array.from({ length: 960 }, () => 16_000).buffer);

interface Reply {
  readonly pauseMs: number;
  /** Delay of each packet. */
  readonly late: readonly number[];
}

/**
 * Hears replies of a publisher that sends each at once and leaves the pauses between them out of its media time.
 * Returns the frames.
 */
function hear(replies: readonly Reply[], jitterMs: number): [from: number, until: number][] {
  let nowMs = 0;
  const playout = new Playout({ channels: 1, jitterMs });
  const consumer = new RewindConsumer({ clock: () => fromMilliseconds(nowMs), gap: () => gapOf(playout) });
  const pipeline = new AudioPipeline({
    consumer,
    openDecoder: openPcm({ from: 1, channels: 1, sampleRate: 48_000 }),
    output: playout,
  });
  const arrivals: { readonly atMs: number; readonly sequence: number }[] = [];
  let endMs = 0;
  for (const [reply, { pauseMs, late }] of replies.entries()) {
    const startMs = endMs + pauseMs;
    for (const [packet, lateMs] of late.entries())
      arrivals.push({ atMs: startMs + lateMs, sequence: reply * PACKETS + packet });
    endMs = startMs + PACKETS * PACKET_MS + 500;
  }
  arrivals.sort((left, right) => left.atMs - right.atMs);
  const heard: [from: number, until: number][] = [];
  const output = [new Float32Array(QUANTUM_FRAMES)];
  for (; nowMs < endMs + 2000; nowMs += QUANTUM_FRAMES / 48) {
    while (arrivals[0] && arrivals[0].atMs <= nowMs) {
      const { sequence } = arrivals.shift()!;
      consumer.receive(sequence, {
        timestamp: fromMilliseconds(sequence * PACKET_MS),
        payload: PACKET,
        keyframe: true,
      });
      consumer.finish(sequence);
      pipeline.pump();
    }
    pipeline.pump();
    for (const { timestamp, frames } of playout.pull(output)) {
      const start = framesAt(timestamp);
      const last = heard.at(-1);
      if (last?.[1] === start) last[1] += frames;
      else heard.push([start, start + frames]);
    }
  }
  return heard;
}

/** Each packet is there before it is due, counted from the first one's arrival, but in any order. */
function reply({ pauseMs, latestFirst }: { pauseMs: number; latestFirst: number }): fc.Arbitrary<Reply> {
  return fc.nat(latestFirst).chain((first) => {
    const others = Array.from({ length: PACKETS - 1 }, (_, index) => fc.nat(first + 15 * index));
    return fc.tuple(fc.constant(first), ...others).map((late) => ({ pauseMs, late }));
  });
}

test.each([
  // Without a longer delay, as long as a lost packet takes to be sent again.
  { jitterMs: 80, latestFirst: 200 },
  { jitterMs: 500, latestFirst: 450 },
])(
  "a listener with a delay of $jitterMs ms hears a reply that is sent at once in full and in order, whatever its packets' order and the pause before it",
  ({ jitterMs, latestFirst }) => {
    const first = reply({ pauseMs: 0, latestFirst: 30 });
    const later = fc.integer({ min: 0, max: 20_000 }).chain((pauseMs) => reply({ pauseMs, latestFirst }));
    fc.assert(
      fc.property(first, fc.array(later, { maxLength: 2 }), (start, others) => {
        const replies = [start, ...others];
        expect(hear(replies, jitterMs)).toEqual([[0, replies.length * PACKETS * PACKET_MS * 48]]);
      }),
      { seed: 2, numRuns: 40 },
    );
  },
);
