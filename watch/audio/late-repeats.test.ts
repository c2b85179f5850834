import { expect, test } from "vitest";
import { fromMilliseconds } from "../../base/index.js";
import { RewindConsumer } from "../../container/index.js";
import { openPcm } from "../decoders/pcm.js";
import { gapOf } from "../tracks/track-feed.js";
import { AudioPipeline } from "./audio-pipeline.js";
import { Playout } from "./playout.js";
import { framesAt, millisecondsIn, QUANTUM_FRAMES } from "./samples.js";

const PACKET_MS = 20;
const TRANSIT_MS = 20;
const PACKET = new Uint8Array(Int16Array.from({ length: 960 }, () => 16_000).buffer);
const SILENT_PACKET = new Uint8Array(PACKET.length);

/**
 * Hears a live broadcast whose packets are later than usual by `lateMs`, and come again `copyMs` later; returns what
 * each second lost, and its final delay.
 */
function hear(
  seconds: number,
  lateMs: (packet: number) => number,
  { isSilent = (_packet: number): boolean => false, copyMs = Number.POSITIVE_INFINITY } = {},
) {
  let nowMs = 0;
  const playout = new Playout({ channels: 1 });
  playout.setLive(true);
  playout.setPublisher({ marksPauses: true });
  const consumer = new RewindConsumer({ clock: () => fromMilliseconds(nowMs), gap: () => gapOf(playout) });
  const pipeline = new AudioPipeline({
    consumer,
    openDecoder: openPcm({ from: 1, channels: 1, sampleRate: 48_000 }),
    output: playout,
  });
  const arrivals = Array.from({ length: (seconds * 1000) / PACKET_MS }, (_, packet) => packet)
    .flatMap((packet) =>
      [lateMs(packet), copyMs].map((late) => ({ packet, atMs: packet * PACKET_MS + TRANSIT_MS + late })),
    )
    .filter(({ atMs }) => Number.isFinite(atMs))
    .sort((left, right) => left.atMs - right.atMs);
  const landed = new Set<number>();
  const missing = new Array<number>(seconds).fill(1000);
  const delays = new Array<number>(seconds).fill(0);
  const output = [new Float32Array(QUANTUM_FRAMES)];
  for (; nowMs < seconds * 1000; nowMs += QUANTUM_FRAMES / 48) {
    while (arrivals[0] && arrivals[0].atMs <= nowMs) {
      const { packet } = arrivals.shift()!;
      const timestamp = fromMilliseconds(packet * PACKET_MS);
      consumer.receive(packet, { timestamp, payload: isSilent(packet) ? SILENT_PACKET : PACKET, keyframe: true });
      consumer.finish(packet);
      pipeline.pump();
      playout.landed(timestamp, landed.has(packet));
      landed.add(packet);
    }
    pipeline.pump();
    for (const { timestamp, frames } of playout.pull(output)) {
      missing[Math.floor(framesAt(timestamp) / 48_000)]! -= millisecondsIn(frames);
      delays[Math.floor(nowMs / 1000)] = nowMs - timestamp / 1000;
    }
  }
  return { missing: missing.map(Math.round), delays: delays.map(Math.round), counters: playout.counters };
}

const sum = (values: readonly number[]) => values.reduce((total, each) => total + each, 0);

test("a live listener waits once where packets keep coming late beside others in time, and then hears all of them", () => {
  const { missing, delays, counters } = hear(30, (packet) => (packet % 20 === 7 ? 150 : 0));
  // Until there is evidence, every late packet is lost.
  expect(sum(missing.slice(0, 4))).toBeLessThanOrEqual(4 * 50);
  expect(missing.slice(4, 29)).toEqual(new Array(25).fill(0));
  expect(delays[28]).toBeLessThanOrEqual(195);
  expect(counters.underruns).toBe(1);
  expect(counters.underrunMs).toBeLessThan(100);
});

/** Pseudo-random numbers in [0, 1), the same for a seed. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

test("a live listener hears repeated packets after any loss of 5 %, after a few waits", () => {
  let lost = 0;
  for (let seed = 1; seed <= 10; seed++) {
    const next = numbers(seed);
    const { missing, delays, counters } = hear(30, () => (next() < 0.05 ? 40 + 160 * next() : 0));
    lost += sum(missing.slice(12, 29));
    expect(delays[28]).toBeLessThanOrEqual(260);
    expect(counters.underruns).toBeLessThanOrEqual(4);
  }
  // Of 850 ms each that would be lost otherwise.
  expect(lost / 10).toBeLessThanOrEqual(120);
});

test("a live listener does not wait for a packet that is late now and then, nor for any that never comes", () => {
  const rare = hear(30, (packet) => (packet % 400 === 300 ? 300 : 0));
  expect(rare.counters.underruns).toBe(0);
  expect(rare.delays[28]).toBeLessThanOrEqual(105);
  const lost = hear(30, (packet) => (packet % 20 === 7 ? Number.POSITIVE_INFINITY : 0));
  expect(lost.counters.underrunMs).toBeLessThanOrEqual(lost.missing.slice(0, 29).reduce((total, each) => total + each));
  expect(lost.delays[28]).toBeLessThanOrEqual(105);
});

test("a live listener's delay is back once packets come in time again", () => {
  const { missing, delays } = hear(45, (packet) => (packet < 1000 && packet % 20 === 7 ? 150 : 0));
  expect(delays[19]).toBeGreaterThan(170);
  expect(delays[43]).toBeLessThanOrEqual(110);
  expect(sum(missing.slice(5, 20))).toBe(0);
});

test("a live listener that loses packets behind a silent one plays on when the next are due, and falls no further behind", () => {
  const isLost = (packet: number) => packet >= 206 && packet < 216;
  const { missing, delays } = hear(6, (packet) => (isLost(packet) ? Number.POSITIVE_INFINITY : 0), {
    isSilent: (packet) => packet >= 200 && packet < 206,
  });
  expect(missing[4]).toBe(200);
  expect(delays[4]).toBeLessThanOrEqual(120);
});

test("a live listener keeps the delay that copies need as long as they come, and at most 250 ms", () => {
  const isLost = (packet: number) => packet > 200 && packet % 750 < 8;
  const lateMs = (packet: number) => (isLost(packet) ? Number.POSITIVE_INFINITY : 0);
  const { missing, delays, counters } = hear(60, lateMs, { copyMs: 200 });
  // The first burst shows that copies come too late; the wait for them goes on for a packet at the second.
  expect(Math.min(...delays.slice(16, 59))).toBeGreaterThan(200);
  expect(Math.max(...delays.slice(16, 59))).toBeLessThanOrEqual(255);
  expect(sum(missing.slice(16, 59))).toBeLessThanOrEqual(2 * PACKET_MS);
  expect(counters.underruns).toBeLessThanOrEqual(2);
  const useless = hear(30, lateMs, { copyMs: 400 });
  expect(Math.max(...useless.delays.slice(0, 29))).toBeLessThanOrEqual(255);
});
