import { Denoiser, loadModel } from "../publisher/index.js";
import { profileRows } from "./denoise/profile.js";
import { type Figures, runDenoise } from "./denoise/run.js";
import { type Bench, type Row, row, type Target } from "./harness.js";

/** Every clip of the test set; `quick` takes one in 29. */
const QUICK_EVERY = 29;
/** Clips that are also scored with a noise profile: one in five. */
const PROFILE_EVERY = 5;
const STREAMS = 50;

/**
 * The frozen test set through the shipped streaming stage, beside the classical method and RNNoise. The model can be
 * another one: `UNSAY_MODEL=path.onnx npm run bench -- denoise`.
 */
export const bench: Bench = {
  name: "denoise",
  description: "The frozen test set: noisy, MMSE-LSA, RNNoise and ours; SI-SDR, STOI, pauses, cost (5 to 20 minutes).",
  async run({ quick, progress, log }) {
    const modelPath = process.env.UNSAY_MODEL ?? "models/unsay-denoise.onnx";
    const memory = await memoryRows(modelPath);
    let bar: ReturnType<typeof progress> | undefined;
    const { text, figures } = await runDenoise({
      modelPath,
      every: quick ? QUICK_EVERY : 1,
      onProgress: (_, total) => {
        bar ??= progress("clips", total);
        bar.advance(1);
      },
    });
    bar?.stop();
    log(`\n${text}\n`);
    const [name, ours] = [...figures].at(-1)!;
    const others = [...figures].slice(0, -1);
    const targets = goals(figures.get("RNNoise 0.2")!, figures.get("noisy")!);
    return [
      ...rowsOf(name, ours, targets),
      ...others.flatMap(([other, values]) => rowsOf(other, values, {})),
      ...(await profileRows({ modelPath, every: quick ? QUICK_EVERY : PROFILE_EVERY })),
      ...memory,
    ];
  },
};

/** Targets of our figures, given those of RNNoise and of the noisy input. */
function goals(rnnoise: Figures, noisy: Figures): Record<string, Target> {
  const unseen = Object.keys(rnnoise).filter((metric) => metric.endsWith("*"));
  const stoiAtSnr = Object.keys(noisy).filter((metric) => /^STOI, \d/.test(metric));
  return {
    "SI-SDR dB, all": { atLeast: round(rnnoise["SI-SDR dB, all"]! + 1) },
    "SI-SDR dB, 0 dB": { atLeast: round(rnnoise["SI-SDR dB, 0 dB"] ?? Number.NaN) },
    ...Object.fromEntries(unseen.map((metric) => [metric, { atLeast: round(rnnoise[metric]! - 1) }])),
    "STOI, all": { atLeast: round(rnnoise["STOI, all"]!) },
    ...Object.fromEntries(stoiAtSnr.map((metric) => [metric, { atLeast: round(noisy[metric]!) }])),
    "noise in pauses dB": { atMost: -20 },
    "clean SI-SDR dB": { atLeast: 30 },
    "clean STOI": { atLeast: 0.995 },
    // Of the processor: the mean on the clock is that of a busy machine.
    "mean CPU us a hop": { atMost: Math.min(120, Math.round(rnnoise["mean CPU us a hop"]! / 3)) },
  };
}

function rowsOf(name: string, figures: Figures, targets: Record<string, Target>): Row[] {
  return Object.entries(figures)
    .filter(([, value]) => !Number.isNaN(value))
    .map(([metric, value]) => row(name, metric, value, targets[metric]));
}

/** Memory that a loaded model and each further stream add to the process. */
async function memoryRows(modelPath: string): Promise<Row[]> {
  const before = process.memoryUsage().rss;
  const model = await loadModel(modelPath);
  const first = await Denoiser.create(model, { thread: "here" });
  const loaded = process.memoryUsage().rss;
  const streams = [
    first,
    ...(await Promise.all(Array.from({ length: STREAMS }, () => Denoiser.create(model, { thread: "here" })))),
  ];
  for (const stream of streams) await stream.process(new Float32Array(stream.hop));
  const all = process.memoryUsage().rss;
  await model.close();
  return [
    row("memory", "MB for the model", (loaded - before) / 1e6),
    row("memory", "MB a stream", Math.max(0, all - loaded) / 1e6 / STREAMS),
  ];
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
