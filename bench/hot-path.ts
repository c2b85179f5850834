import { monitorEventLoopDelay, performance } from "node:perf_hooks";
import { Denoiser, loadModel, type Model } from "../publisher/index.js";
import { type Bench, interleave, median, type Row, row, seededRandom } from "./harness.js";
import { PATH_LEVERS, runPath, soundOf } from "./hot-path/pipeline.js";

const HOP_MS = 10;

/**
 * What each economy of the denoising path saves, whether it changes a byte, and how long the event loop is held up by
 * streams denoised on it and in the worker.
 */
export const bench: Bench = {
  name: "hot-path",
  description: "Denoise, mix, encode: what each lever saves, and event-loop delay with 1, 4 and 8 streams (1 minute).",
  async run({ quick, seed, progress, log }) {
    const model = await loadModel(process.env.UNSAY_MODEL ?? "models/unsay-denoise.onnx");
    try {
      const levers = await leverRows(model, { seed, seconds: quick ? 2 : 5, rounds: quick ? 3 : 9, progress });
      const delays: Row[] = [];
      for (const thread of ["here", "worker"] as const) {
        for (const streams of [1, 4, 8]) {
          log(`${streams} streams, ${thread === "here" ? "on the event loop" : "in the worker"}`);
          delays.push(...(await delayRows(model, { streams, thread, seed, seconds: quick ? 3 : 10 })));
        }
      }
      return [...levers, ...delays];
    } finally {
      await model.close();
    }
  },
};

async function leverRows(
  model: Model,
  options: { seed: number; seconds: number; rounds: number; progress: (label: string, total: number) => Bar },
): Promise<Row[]> {
  const samples = soundOf(options.seconds, seededRandom(options.seed));
  const names = ["all", ...Object.keys(PATH_LEVERS)];
  const digests = new Set<string>();
  const walls = new Map<string, number[]>(names.map((name) => [name, []]));
  const bar = options.progress("rounds", options.rounds);
  const costs = await interleave(
    Object.fromEntries(
      names.map((name) => [
        name,
        async () => {
          const result = await runPath(model, samples, { ...PATH_LEVERS, ...(name !== "all" && { [name]: false }) });
          digests.add(result.digest);
          walls.get(name)!.push(result.wallUs);
          return result.cpuUs;
        },
      ]),
    ),
    { rounds: options.rounds, seed: options.seed, onRound: () => bar.advance(1) },
  );
  bar.stop();
  return [
    row("all levers", "different outputs", digests.size, { atMost: 1 }),
    ...names.flatMap((name) => {
      const label = name === "all" ? "all levers" : `without ${name}`;
      return [
        row(label, "CPU us a hop, median of rounds", median(costs[name]!)),
        row(label, "wall us a hop, median of rounds", median(walls.get(name)!)),
      ];
    }),
  ];
}

interface Bar {
  advance(count: number): void;
  stop(): void;
}

/** So many streams in real time, a hop each every 10 ms: delay of the event loop beyond its timer, and late hops. */
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
