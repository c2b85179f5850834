import { setTimeout as delay } from "node:timers/promises";
import { monotonicClock } from "../base/index.js";
import { loadModel, openSource, Publisher } from "../publisher/index.js";
import { Relay } from "../relay/index.js";
import { shippedModel } from "../src/index.js";
import { Listener } from "../watch/index.js";
import { type Bench, type BenchContext, median, percentileRows, type Row, row } from "./harness.js";

const RATE = 48_000;
const BLOCK_MS = 10;
/** Jitter targets and connections settle first. */
const SETTLE_SECONDS = 2;

/** Raw PCM as a microphone would deliver it: blocks of 10 ms at the pace of the clock. */
async function* microphone(samples: Float32Array, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const block = (RATE * BLOCK_MS) / 1e3;
  const start = performance.now();
  for (let index = 0; !signal.aborted; index++) {
    const wait = start + (index + 1) * BLOCK_MS - performance.now();
    if (wait > 0) await delay(wait);
    const at = (index * block) % (samples.length - block);
    yield new Uint8Array(samples.slice(at, at + block).buffer);
  }
}

interface Condition {
  readonly name: string;
  readonly denoise: boolean;
  readonly jitterMs: number;
  readonly frameMs: 20 | 10 | 5;
}

interface Measured {
  /** Capture of a sample to its pull by the virtual speaker, one value for each quantum played. */
  readonly latencies: number[];
  /** Making the listener to its first sample of sound. */
  readonly firstAudioMs: number;
  readonly underrunMs: number;
}

async function measure(condition: Condition, seconds: number, speech: Float32Array, url: string): Promise<Measured> {
  const stop = new AbortController();
  const model = condition.denoise ? await loadModel(shippedModel) : undefined;
  const connect = { backends: ["quic"] as const };
  const start = monotonicClock();
  const publisher = new Publisher({
    url,
    broadcast: "latency",
    mode: "live",
    frameMs: condition.frameMs,
    connect,
    ...(model && { model }),
    source: await openSource({ pcm: microphone(speech, stop.signal), format: "f32le" }),
  });
  await delay(500);
  const joined = monotonicClock();
  const settled = joined + SETTLE_SECONDS * 1e6;
  const latencies: number[] = [];
  const listener: Listener = new Listener({
    url,
    broadcast: "latency",
    jitterMs: condition.jitterMs,
    adaptive: false,
    connect,
    sink: {
      write: () => {
        const now = monotonicClock();
        const { playing, playheadUs } = listener.stats();
        if (playing && playheadUs !== undefined && now > settled) latencies.push((now - start - playheadUs) / 1e3);
      },
      close: async () => {},
    },
  });
  try {
    await delay((seconds + SETTLE_SECONDS) * 1e3);
    const first = listener.record.find((run) => run.timestamp !== undefined);
    return {
      latencies,
      firstAudioMs: first === undefined ? Number.NaN : (first.pulledAt - joined) / 1e3,
      underrunMs: listener.stats().underrunMs,
    };
  } finally {
    stop.abort();
    await listener.close();
    await publisher.close();
    await model?.close();
  }
}

async function readSpeech(): Promise<Float32Array> {
  const source = await openSource({ file: "examples/audio/noisy-speech.wav" });
  const parts: number[] = [];
  for (let part = await source.read(); part !== undefined; part = await source.read()) parts.push(...part);
  await source.close();
  return Float32Array.from(parts);
}

async function run({ quick, progress, log }: BenchContext): Promise<Row[]> {
  const conditions: Condition[] = [
    { name: "denoised, 20 ms frames, 80 ms jitter target", denoise: true, jitterMs: 80, frameMs: 20 },
    { name: "denoised, 20 ms frames, 40 ms jitter target", denoise: true, jitterMs: 40, frameMs: 20 },
    { name: "denoised, 10 ms frames, 20 ms jitter target", denoise: true, jitterMs: 20, frameMs: 10 },
    { name: "raw, 20 ms frames, 80 ms jitter target", denoise: false, jitterMs: 80, frameMs: 20 },
  ];
  const rounds = quick ? 1 : 3;
  const seconds = quick ? 6 : 15;
  const bar = progress("runs", rounds * conditions.length);
  const speech = await readSpeech();
  const relay = new Relay({ port: 0 });
  const url = `http://127.0.0.1:${(await relay.listen()).port}`;
  const all = new Map(conditions.map((condition) => [condition, [] as Measured[]]));
  try {
    for (let round = 0; round < rounds; round++) {
      for (const condition of round % 2 === 0 ? conditions : [...conditions].reverse()) {
        all.get(condition)!.push(await measure(condition, seconds, speech, url));
        bar.advance(1, condition.name);
      }
    }
  } finally {
    bar.stop();
    await relay.close();
  }
  log("Publisher, relay and listener share one process; a sound card's own delay and a network's come on top.");
  return conditions.flatMap(({ name }, index) => {
    const measured = all.get(conditions[index]!)!;
    return [
      ...percentileRows(
        name,
        "ms from capture to ear",
        measured.flatMap((each) => each.latencies),
      ),
      row(name, "ms from joining to first sound, median", median(measured.map((each) => each.firstAudioMs))),
      row(
        name,
        "underrun ms",
        measured.reduce((sum, each) => sum + each.underrunMs, 0),
      ),
    ];
  });
}

/** The delay from a microphone to an ear over loopback. */
export const bench: Bench = {
  name: "latency",
  description: "Delay from capture to ear over loopback, live, through publisher, relay and listener.",
  run,
};
