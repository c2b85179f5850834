import { monitorEventLoopDelay, performance } from "node:perf_hooks";
import { Denoiser, loadModel, type Model } from "../publisher/index.js";
import { type Bench, median, type Row, row, seededRandom } from "./harness.js";
import { type PathResult, runPath, soundOf } from "./hot-path/pipeline.js";

const HOP_MS = 10;

/** Cost of a hop of the denoising path, and how long streams hold up the event loop, on it and in the worker. */
export const bench: Bench = {
  name: "hot-path",
  description: "Denoise, mix, encode: the cost of a hop, and event-loop delay with 1, 4 and 8 streams (1 minute).",
  async run({ quick, seed, progress, log }) {
    const model = await loadModel(process.env.UNSAY_MODEL ?? "models/unsay-denoise.onnx");
    try {
      const rounds = quick ? 3 : 9;
      const bar = progress("rounds", rounds);
      const costs = await costRows(model, { seed, seconds: quick ? 2 : 5, rounds, onRound: () => bar.advance(1) });
      bar.stop();
      const delays: Row[] = [];
      for (const thread of ["here", "worker"] as const) {
        for (const streams of [1, 4, 8]) {
          log(`${streams} streams, ${thread === "here" ? "on the event loop" : "in the worker"}`);
          delays.push(...(await delayRows(model, { streams, thread, seed, seconds: quick ? 3 : 10 })));
        }
      }
      return [...costs, ...delays];
    } finally {
      await model.close();
    }
  },
};

/** Cost of the path for a hop, and whether it makes the same packets every time. */
async function costRows(
  model: Model,
  { seed, seconds, rounds, onRound }: { seed: number; seconds: number; rounds: number; onRound: () => void },
): Promise<Row[]> {
  const samples = soundOf(seconds, seededRandom(seed));
  const results: PathResult[] = [];
  for (let round = 0; round < rounds; round++) {
    results.push(await runPath(model, samples));
    onRound();
  }
  return [
    row("one stream", "different outputs", new Set(results.map(({ digest }) => digest)).size, { atMost: 1 }),
    row("one stream", "CPU us a hop, median of rounds", median(results.map(({ cpuUs }) => cpuUs))),
    row("one stream", "wall us a hop, median of rounds", median(results.map(({ wallUs }) => wallUs))),
  ];
}

/** Several streams in real time, a hop each every 10 ms: delay of the event loop beyond its timer, and late hops. */
async function delayRows(
  model: Model,
  options: { streams: number; thread: "here" | "worker"; seed: number; seconds: number },
): Promise<Row[]> {
  const { streams, thread, seed, seconds } = options;
  const samples = soundOf(1, seededRandom(seed));
  const denoisers = await Promise.all(Array.from({ length: streams }, () => Denoiser.create(model, { thread })));
  const histogram = monitorEventLoopDelay({ resolution: 1 });
  const hops = Math.round((seconds * 1000) / HOP_MS);
  const costs: number[] = [];
  const before = performance.eventLoopUtilization();
  histogram.enable();
  const start = performance.now();
  for (let hop = 0; hop < hops; hop++) {
    const wait = start + hop * HOP_MS - performance.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    const at = ((hop * denoisers[0]!.hop) % (samples.length - denoisers[0]!.hop)) | 0;
    await Promise.all(
      denoisers.map(async (denoiser) => {
        const begun = performance.now();
        await denoiser.process(samples.subarray(at, at + denoiser.hop));
        costs.push((performance.now() - begun) * 1000);
      }),
    );
  }
  histogram.disable();
  const { utilization } = performance.eventLoopUtilization(before);
  for (const denoiser of denoisers) denoiser.close();
  const name = `${streams} streams ${thread === "here" ? "on the event loop" : "in the worker"}`;
  return [
    row(name, "event-loop use %", utilization * 100),
    row(name, "event-loop delay p50 us", histogram.percentile(50) / 1000),
    row(name, "event-loop delay p99 us", histogram.percentile(99) / 1000),
    row(name, "hop until done p50 us", median(costs)),
  ];
}
