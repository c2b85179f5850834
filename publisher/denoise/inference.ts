import { ModelError } from "../../base/index.js";

/** A tensor of 32-bit floats. */
export interface InferenceTensor {
  readonly data: Float32Array;
  readonly dims: readonly number[];
}

/** A running network: tensors by their names in the file. */
export interface InferenceSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  /** Writes the outputs into `fetches`. */
  run(feeds: Tensors, fetches: Tensors): Promise<void>;
  release(): Promise<void>;
}

export type Tensors = Readonly<Record<string, InferenceTensor>>;

/** A library that runs networks. */
export interface InferenceRuntime {
  /** Its package. */
  readonly name: "onnxruntime-node" | "onnxruntime-web";
  tensor(data: Float32Array, dims: readonly number[]): InferenceTensor;
  /** Throws the runtime's own error when the file can't be loaded. */
  open(file: Uint8Array): Promise<InferenceSession>;
}

/** One thread: a hop is too little work to share, and several streams run side by side. */
const SETTINGS = {
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  executionMode: "sequential",
  graphOptimizationLevel: "all",
  // Only errors: the runtime writes to standard error.
  logSeverityLevel: 3,
} as const;

let loading: Promise<InferenceRuntime> | undefined;

/**
 * Loads an inference runtime, once per thread: onnxruntime-node, or else onnxruntime-web. npm omits the native package
 * when its install script can't reach its download servers, and some systems can't load it. The same runtime in
 * WebAssembly needs neither and takes about six times as long.
 *
 * @throws ModelError `RUNTIME_MISSING` when there is neither.
 */
export function loadInference(): Promise<InferenceRuntime> {
  loading ??= loadNative().catch(loadWasm);
  return loading;
}

/** @internal */
export async function loadNative(): Promise<InferenceRuntime> {
  const { InferenceSession, Tensor } = await import("onnxruntime-node");
  return {
    name: "onnxruntime-node",
    tensor: (data, dims) => floats(new Tensor("float32", data, dims)),
    async open(file) {
      const session = await InferenceSession.create(file, SETTINGS);
      const { inputNames, outputNames } = session;
      return {
        inputNames,
        outputNames,
        async run(feeds, fetches) {
          await session.run(feeds as Feeds, fetches as Feeds);
        },
        release: () => session.release(),
      };
    },
  };
}

/** @internal `cause`: the reason why the native runtime does not load. */
export async function loadWasm(cause: unknown): Promise<InferenceRuntime> {
  const runtime = await import(WASM).catch(() => {
    throw new ModelError(
      "RUNTIME_MISSING",
      "Denoising needs the package onnxruntime-node or onnxruntime-web, and neither is installed and runs here: npm install onnxruntime-web.",
      { cause },
    );
  });
  const { env, InferenceSession, Tensor } = runtime as Onnx;
  env.logLevel = "error";
  env.wasm.numThreads = 1;
  return {
    name: "onnxruntime-web",
    tensor: (data, dims) => floats(new Tensor("float32", data, dims)),
    async open(file) {
      const session = await InferenceSession.create(file, { ...SETTINGS, executionProviders: ["wasm"] });
      const { inputNames, outputNames } = session;
      return {
        inputNames,
        outputNames,
        async run(feeds, fetches) {
          const results = (await session.run(feeds as Feeds)) as Tensors;
          for (const [name, { data }] of Object.entries(fetches)) data.set(results[name]!.data);
        },
        release: () => session.release(),
      };
    },
  };
}

// Both packages export what onnxruntime-common declares, and either may be missing.
const WASM: string = "onnxruntime-web";
type Onnx = typeof import("onnxruntime-node");
type Feeds = import("onnxruntime-node").InferenceSession.FeedsType;

function floats(tensor: { readonly data: unknown; readonly dims: readonly number[] }): InferenceTensor {
  return tensor as InferenceTensor;
}
