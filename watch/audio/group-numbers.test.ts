import { expect, test } from "vitest";
import { fromMilliseconds } from "../../base/index.js";
import { encodeLegacyFrame } from "../../container/index.js";
import { openPcm } from "../decoders/pcm.js";
import { TrackFeed } from "../tracks/track-feed.js";
import { AudioPipeline } from "./audio-pipeline.js";
import { Playout } from "./playout.js";
import { framesAt, QUANTUM_FRAMES } from "./samples.js";

const PACKET_MS = 20;
const PACKETS = 100;
const REPLIES = 3;
const PAUSE_MS = 2000;
const PACKET = new Uint8Array(Int16Array.from({ length: 960 }, () => 16_000).buffer);

/** Hears replies of a publisher that is not ours, whose packets are numbered like that and arrive in time. */
function hear(numberOf: (packet: number, timeMs: number) => number) {
  let nowMs = 0;
  const playout = new Playout({ channels: 1 });
  const feed = new TrackFeed({ clock: () => fromMilliseconds(nowMs), output: playout });
  feed.follow(undefined);
  feed.begin("audio");
  const pipeline = new AudioPipeline({
    consumer: feed.consumer,
    openDecoder: openPcm({ from: 1, channels: 1, sampleRate: 48_000 }),
    output: playout,
  });
  const arrivals = Array.from({ length: REPLIES * PACKETS }, (_, packet) => {
    const timeMs = packet * PACKET_MS + Math.floor(packet / PACKETS) * PAUSE_MS;
    return { timeMs, sequence: numberOf(packet, timeMs) };
  });
  const starts: number[] = [];
  let heard = 0;
  const output = [new Float32Array(QUANTUM_FRAMES)];
  for (; nowMs < REPLIES * (PACKETS * PACKET_MS + PAUSE_MS); nowMs += QUANTUM_FRAMES / 48) {
    while (arrivals[0] && arrivals[0].timeMs <= nowMs) {
      const { timeMs, sequence } = arrivals.shift()!;
      const payload = encodeLegacyFrame({ timestamp: fromMilliseconds(timeMs), payload: PACKET });
      feed.receive({ kind: "frame", sequence, index: 0, payload, via: "stream" });
      feed.end({ kind: "end", sequence, whole: true });
      pipeline.pump();
    }
    pipeline.pump();
    for (const { timestamp, frames } of playout.pull(output)) {
      const at = framesAt(timestamp);
      if (at % ((PACKETS * PACKET_MS + PAUSE_MS) * 48) === 0) starts.push(nowMs - timestamp / 1000);
      heard += frames;
    }
  }
  const { underruns, recoveries } = playout.counters;
  const { held } = feed.consumer.counters;
  return { starts, heardMs: heard / 48, held, underruns, recoveries, rewinds: pipeline.generation };
}

/** Any day: no multiple of 65,536. */
const EPOCH_MS = 1_700_000_000_123;

test.each<[string, (packet: number, timeMs: number) => number]>([
  ["in steps of two", (packet) => 7 + 2 * packet],
  ["in steps of 65,536", (packet) => 65_536 * packet],
  ["by the microsecond", (_, timeMs) => (EPOCH_MS + timeMs) * 1000],
  ["by the sample at 48 kHz", (_, timeMs) => timeMs * 48],
  ["by the tick at 90 kHz", (_, timeMs) => timeMs * 90],
  ["together with another track's", (packet) => Math.floor(packet * 2.6)],
])("a listener hears a publisher that numbers its groups %s as one that counts them", (_, numberOf) => {
  const ordinary = hear((packet) => packet);
  expect(ordinary).toMatchObject({ heardMs: REPLIES * PACKETS * PACKET_MS, held: 0, underruns: 0, rewinds: 0 });
  expect(ordinary.starts).toHaveLength(REPLIES);
  expect(hear(numberOf)).toEqual(ordinary);
});
