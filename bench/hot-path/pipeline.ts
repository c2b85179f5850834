import { createHash } from "node:crypto";
import { Denoiser } from "../../publisher/denoise/denoiser.js";
import {
  analyseNoise,
  type Knobs,
  knobsSchema,
  Mixer,
  type Model,
  type NoiseProfile,
  OpusEncoder,
} from "../../publisher/index.js";

/** Result of a run. */
export interface PathResult {
  /** SHA-256 of all packets. */
  readonly digest: string;
  readonly hops: number;
  /** Time of the process for one hop, all of its threads, in microseconds. */
  readonly cpuUs: number;
  /** Time on the clock for one hop, in microseconds. */
  readonly wallUs: number;
}

/** Settings that a run goes through in turn, each for this many hops; every hop sets them again. */
const KNOBS: readonly Knobs[] = [{}, { bypass: true }, { strength: 0.5, gainDb: 3 }, {}].map((knobs) =>
  knobsSchema.parse(knobs),
);

/** The publisher's hot path, hop by hop: denoise with a noise profile, mix as the knobs say, encode 10 ms of Opus. */
export async function runPath(model: Model, samples: Float32Array): Promise<PathResult> {
  const denoiser = await Denoiser.create(model, { thread: "here" });
  const encoder = await OpusEncoder.create({ frameMs: 10, bitrateBps: 32_000 });
  const mixer = new Mixer(KNOBS[0]!);
  const profile: NoiseProfile = await analyseNoise(samples.subarray(0, 9600));
  const hash = createHash("sha256");
  const hops = Math.floor(samples.length / denoiser.hop);
  const mixed = new Float32Array(denoiser.hop);
  const started = performance.now();
  const before = process.cpuUsage();
  for (let hop = 0; hop < hops; hop++) {
    if (hop === Math.floor(hops / 4)) denoiser.setNoiseProfile(profile);
    mixer.set(KNOBS[Math.floor((hop * KNOBS.length) / hops)]!);
    const { dry, wet } = await denoiser.process(samples.subarray(hop * denoiser.hop, (hop + 1) * denoiser.hop));
    mixer.process(dry, wet, mixed);
    hash.update(encoder.encode(mixed));
  }
  const { user, system } = process.cpuUsage(before);
  const wallUs = ((performance.now() - started) * 1000) / hops;
  denoiser.close();
  encoder.close();
  return { digest: hash.digest("hex"), hops, cpuUs: (user + system) / hops, wallUs };
}

/** Seeded sound for measuring: noise with a slow swell and a voice-like buzz that comes and goes. */
export function soundOf(seconds: number, random: () => number): Float32Array {
  let phase = 0;
  return Float32Array.from({ length: Math.round(seconds * 48_000) }, (_, i) => {
    phase += (120 + 30 * Math.sin(i / 30_000)) / 48_000;
    const buzz = Math.sin(i / 20_000) > 0 ? ((phase % 1) - 0.5) * 0.3 : 0;
    return buzz + (random() - 0.5) * 0.05 * (1 + Math.sin(i / 50_000));
  });
}
