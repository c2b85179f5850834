import { Denoiser, loadModel } from "../../publisher/index.js";
import { MmseLsa } from "./mmse.js";
import { Rnnoise } from "./rnnoise.js";

/** Samples of a hop: 10 ms at 48 kHz. */
export const HOP = 480;

/** Something that denoises a stream hop by hop. */
export interface Stream {
  /** Takes a hop and writes the hop that is ready. */
  process(samples: Float32Array, output: Float32Array): void | Promise<void>;
  close?(): void;
}

/** A row of the table. */
export interface Method {
  readonly name: string;
  /** Whether the method high-passes its input, as RNNoise does. */
  readonly highPassed: boolean;
  /** A stream at its beginning. */
  open(): Promise<Stream>;
}

/** The rows: the input as it is, the classical method, both RNNoises and the model at `modelPath`. */
export async function methods(modelPath: string): Promise<Method[]> {
  const model = await loadModel(modelPath);
  return [
    { name: "noisy", highPassed: false, open: async () => ({ process: (samples, output) => output.set(samples) }) },
    { name: "MMSE-LSA", highPassed: false, open: () => MmseLsa.create() },
    { name: "RNNoise 0.1", highPassed: true, open: () => Rnnoise.create("0.1") },
    { name: "RNNoise 0.2", highPassed: true, open: () => Rnnoise.create("0.2") },
    {
      name: `unsay ${model.contract.version}`,
      highPassed: false,
      open: async () => {
        const denoiser = await Denoiser.create(model, { thread: "here" });
        return {
          process: async (samples, output) => output.set((await denoiser.process(samples)).wet),
          close: () => denoiser.close(),
        };
      },
    },
  ];
}

/** A processed clip and what it cost, in microseconds. */
export interface Processed {
  readonly output: Float32Array;
  /** Time on the clock for each hop. */
  readonly costUs: Float64Array;
  /** Time of the processor for a hop, the mean over the clip: what others do on the machine doesn't count. */
  readonly cpuUs: number;
}

/** Sends a clip through a new stream of `method`, hop by hop as it would come from a microphone. */
export async function processClip(method: Method, samples: Float32Array): Promise<Processed> {
  const stream = await method.open();
  const hops = Math.floor(samples.length / HOP);
  const output = new Float32Array(hops * HOP);
  const costUs = new Float64Array(hops);
  const before = process.cpuUsage();
  for (let hop = 0; hop < hops; hop++) {
    const start = performance.now();
    const pending = stream.process(
      samples.subarray(hop * HOP, (hop + 1) * HOP),
      output.subarray(hop * HOP, (hop + 1) * HOP),
    );
    if (pending !== undefined) await pending;
    costUs[hop] = (performance.now() - start) * 1000;
  }
  const { user, system } = process.cpuUsage(before);
  stream.close?.();
  return { output, costUs, cpuUs: (user + system) / hops };
}
