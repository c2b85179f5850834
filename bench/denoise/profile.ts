import { analyseNoise, Denoiser, loadModel, type Model, type NoiseProfile } from "../../publisher/index.js";
import { type Row, row } from "../harness.js";
import { listClips, readClip } from "./clips.js";
import { HOP, processClip } from "./methods.js";
import { type Score, score } from "./score.js";
import { estimate } from "./statistics.js";

/** How much of a clip's noise the profile is measured on: one second. */
const PROFILE_SAMPLES = 48_000;

interface Pair {
  readonly plain: Score;
  readonly conditioned: Score;
}

/**
 * The model with and without a profile of the clip's noise, taken from its first second without the voice; and what the
 * profile does to the voice alone, where there is no such noise.
 */
export async function profileRows(options: { modelPath: string; every: number }): Promise<Row[]> {
  const model = await loadModel(options.modelPath);
  const pairs = new Map<string, Pair[]>();
  const voices: Pair[] = [];
  const infos = (await listClips()).filter((_, i) => i % options.every === 0);
  for (const info of infos) {
    const { clean, noisy } = await readClip(info);
    const noise = noisy.subarray(0, PROFILE_SAMPLES).map((value, i) => value - clean[i]!);
    const profile = await analyseNoise(noise);
    const compare = async (samples: Float32Array): Promise<Pair> => ({
      plain: await score(clean, samples, await through(model, samples), false),
      conditioned: await score(clean, samples, await through(model, samples, profile), false),
    });
    const pair = await compare(noisy);
    for (const name of ["all", info.family]) pairs.set(name, [...(pairs.get(name) ?? []), pair]);
    if (info.snrDb === 15) voices.push(await compare(clean));
  }
  await model.close();
  const mean = (values: readonly Pair[], figure: (pair: Pair) => number) => estimate(values.map(figure)).mean;
  const rows = [...pairs].flatMap(([name, values]) => [
    row(
      `profile, ${name}`,
      "SI-SDR dB gained",
      mean(values, (p) => p.conditioned.siSdrDb - p.plain.siSdrDb),
    ),
    row(
      `profile, ${name}`,
      "STOI gained",
      mean(values, (p) => p.conditioned.stoi - p.plain.stoi),
    ),
  ]);
  const kept = voices.length === 0 ? null : mean(voices, (pair) => pair.conditioned.stoi);
  return [...rows, row("profile, voice alone", "STOI", kept)];
}

async function through(model: Model, samples: Float32Array, profile?: NoiseProfile): Promise<Float32Array> {
  const open = async () => {
    const denoiser = await Denoiser.create(model, { thread: "here" });
    denoiser.setNoiseProfile(profile);
    return {
      process: async (hop: Float32Array, output: Float32Array) => output.set((await denoiser.process(hop)).wet),
      close: () => denoiser.close(),
    };
  };
  const whole = samples.subarray(0, Math.floor(samples.length / HOP) * HOP);
  return (await processClip({ name: "ours", highPassed: false, open }, whole)).output;
}
