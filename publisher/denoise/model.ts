import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { z } from "zod";
import { ModelError } from "../../base/index.js";
import { SAMPLE_RATE } from "../source/resample.js";
import { isFftSize } from "./fft.js";
import { type InferenceRuntime, type InferenceSession, type InferenceTensor, loadInference } from "./inference.js";
import { LEVERS } from "./levers.js";

const tensorName = z.string().min(1).max(128);
/** Hops that a deep filter may reach back, itself included: 80 ms. */
const MAX_TAPS = 8;
const shape = z.array(z.number().int().min(1).max(65_536)).min(1).max(6);

/** The same entries where a tensor called `constructor` is not there unless it is among them. */
function withoutPrototype<T>(entries: Record<string, T>): Record<string, T> {
  return Object.assign(Object.create(null), entries);
}

/**
 * The sidecar of a denoising model: `<model>.json` beside `<model>.onnx`. Every hop the network gets one feature per band
 * of the noisy spectrum and its own state, and answers one gain per band, 0 to 1, and its next state.
 */
export const modelContractSchema = z
  .object({
    name: z.string().min(1),
    version: z.string().min(1),
    /** Hz. */
    sampleRate: z.literal(SAMPLE_RATE),
    /** Samples of one analysis window (square-root Hann, periodic). */
    window: z.number().int().refine(isFftSize, "must be a multiple of 32 without prime factors above 5"),
    /** Samples from one window to the next; half a window. */
    hop: z.number().int().positive(),
    /** Single bins below `low`, then bands from each edge to before the next; the last edge is `window / 2 + 1`. */
    bands: z.object({ low: z.number().int().min(0), edges: z.array(z.number().int().min(0)).min(2).max(4097) }),
    /** `(log10(mean power of the band + floor) + offset) * scale`. */
    feature: z.object({
      kind: z.literal("log-power"),
      floor: z.number().positive(),
      offset: z.number(),
      scale: z.number(),
    }),
    inputs: z.object({ features: tensorName, states: z.array(tensorName).max(16) }),
    outputs: z.object({
      gains: tensorName,
      voiceActivity: tensorName.optional(),
      /** Coefficients of `deepFilter`: for each bin and tap (the hop itself first) a real and an imaginary part. */
      filter: tensorName.optional(),
      /** Next states, in the order of `inputs.states`. */
      states: z.array(tensorName).max(16),
    }),
    /**
     * The lowest `bins` bins are first replaced by a weighted sum of the bin now and in the `taps - 1` hops before, with
     * the complex weights of `outputs.filter`; the gains apply to the result (Mack and Habets, "Deep filtering", 2020).
     */
    deepFilter: z
      .object({ bins: z.number().int().min(1).max(2048), taps: z.number().int().min(1).max(MAX_TAPS) })
      .optional(),
    /** Shape of every tensor named in `inputs` (and optionally `outputs`). */
    shapes: z.record(z.string(), shape).transform(withoutPrototype),
    /** Algorithmic latency: window plus network look-ahead. */
    latencyMs: z.number().min(0).max(200),
    licence: z.string().min(1),
    /** Of the ONNX file, 64 hexadecimal digits. */
    sha256: z.string().regex(/^[0-9a-f]{64}$/, "must be 64 lower-case hexadecimal digits"),
  })
  .superRefine((contract, context) => {
    const fail = (path: (string | number)[], message: string) => context.addIssue({ code: "custom", path, message });
    const { window, hop, bands, inputs, outputs, shapes } = contract;
    if (hop * 2 !== window) fail(["hop"], `must be half of window (${window / 2})`);
    if (bands.edges[0] !== bands.low) fail(["bands", "edges", 0], `must be bands.low (${bands.low})`);
    if (bands.edges.at(-1) !== window / 2 + 1) {
      fail(["bands", "edges", bands.edges.length - 1], `must be window / 2 + 1 (${window / 2 + 1})`);
    }
    for (let i = 1; i < bands.edges.length; i++) {
      if (bands.edges[i]! <= bands.edges[i - 1]!) fail(["bands", "edges", i], "must be larger than the edge before it");
    }
    if (outputs.states.length !== inputs.states.length) {
      fail(["outputs", "states"], `must name ${inputs.states.length} tensors, as inputs.states does`);
    }
    for (const name of [inputs.features, ...inputs.states]) {
      if (shapes[name] === undefined) fail(["shapes", name], "is missing");
    }
    const features = shapes[inputs.features];
    const count = bands.low + bands.edges.length - 1;
    if (features !== undefined && size(features) !== count) {
      fail(["shapes", inputs.features], `must hold ${count} values, one for each band`);
    }
    const gains = shapes[outputs.gains];
    if (gains !== undefined && size(gains) !== count) {
      fail(["shapes", outputs.gains], `must hold ${count} values, one for each band`);
    }
    const { deepFilter } = contract;
    if ((deepFilter === undefined) !== (outputs.filter === undefined)) {
      const missing = deepFilter === undefined ? ["deepFilter"] : ["outputs", "filter"];
      fail(missing, "is missing: deepFilter and outputs.filter go together");
    }
    if (deepFilter === undefined || outputs.filter === undefined) return;
    if (deepFilter.bins > window / 2) fail(["deepFilter", "bins"], `must not be more than window / 2 (${window / 2})`);
    const filter = shapes[outputs.filter];
    const weights = deepFilter.bins * deepFilter.taps * 2;
    if (filter === undefined) fail(["shapes", outputs.filter], "is missing");
    else if (size(filter) !== weights) {
      fail(["shapes", outputs.filter], `must hold ${weights} values, two for each tap of each bin`);
    }
  });

/** A validated sidecar; see {@link modelContractSchema}. */
export type ModelContract = Readonly<z.infer<typeof modelContractSchema>>;

/** Tensors of one hop; see {@link Model.createBuffers}. */
interface Buffers {
  readonly feeds: Record<string, InferenceTensor>;
  readonly fetches: Record<string, InferenceTensor>;
}

/** One stream's place in a model: its features, gains and recurrent state, allocated once. */
export interface ModelState {
  /** Input of the next {@link Model.run}. */
  readonly features: Float32Array;
  /** Output of the last run. */
  readonly gains: Float32Array;
  /** The other output of the last run, where the model has a deep filter. */
  readonly filter: Float32Array | undefined;
  /** Probability of speech in the last run, 0 to 1; 1 where the model doesn't say. */
  readonly voiceActivity: number;
  /** Runs the network once. One call at a time. */
  run(): Promise<void>;
  /** The recurrent state that the next run reads; another set of arrays after each run. */
  readonly recurrent: readonly Float32Array[];
}

/** A loaded denoising model. One serves any number of streams: each keeps its own {@link ModelState}. */
export class Model {
  readonly contract: ModelContract;
  readonly #session: InferenceSession;
  readonly #tensor: InferenceRuntime["tensor"];
  readonly #releases: (() => Promise<void>)[] = [];
  /** @internal The ONNX file, for a session on another thread. */
  readonly bytes: SharedArrayBuffer;

  /** @internal Use {@link loadModel}. */
  constructor(contract: ModelContract, bytes: Uint8Array, session: InferenceSession, runtime: InferenceRuntime) {
    this.contract = contract;
    this.bytes = new SharedArrayBuffer(bytes.length);
    new Uint8Array(this.bytes).set(bytes);
    this.#session = session;
    this.#tensor = runtime.tensor;
  }

  /** A new stream's state, at its beginning. */
  createState({ reuseTensors } = LEVERS): ModelState {
    const { inputs, outputs, shapes } = this.contract;
    const make = (name: string, like: string): InferenceTensor => {
      const dimensions = shapes[name] ?? shapes[like]!;
      return this.#tensor(new Float32Array(size(dimensions)), dimensions);
    };
    const features = make(inputs.features, inputs.features);
    const gains = make(outputs.gains, inputs.features);
    const voice =
      outputs.voiceActivity === undefined
        ? undefined
        : this.#tensor(new Float32Array(1), shapes[outputs.voiceActivity] ?? [1, 1, 1]);
    const filter = outputs.filter === undefined ? undefined : make(outputs.filter, outputs.filter);
    const sides = [0, 1].map(() => inputs.states.map((name) => make(name, name)));
    // Two sets that swap roles every run: the state a run reads is never the one it writes.
    const buffers: Buffers[] = [0, 1].map((side) => ({
      feeds: {
        [inputs.features]: features,
        ...Object.fromEntries(inputs.states.map((name, i) => [name, sides[side]![i]!])),
      },
      fetches: {
        [outputs.gains]: gains,
        ...(outputs.voiceActivity !== undefined && voice !== undefined ? { [outputs.voiceActivity]: voice } : {}),
        ...(outputs.filter !== undefined && filter !== undefined ? { [outputs.filter]: filter } : {}),
        ...Object.fromEntries(outputs.states.map((name, i) => [name, sides[1 - side]![i]!])),
      },
    }));
    const recurrent = sides.map((tensors) => tensors.map((tensor) => tensor.data));
    const copies = (tensors: Record<string, InferenceTensor>) =>
      Object.fromEntries(
        Object.entries(tensors).map(([name, { data, dims }]) => [name, this.#tensor(data.slice(), dims)]),
      );
    let side = 0;
    const session = this.#session;
    const voiceData = voice?.data;
    return {
      features: features.data,
      gains: gains.data,
      filter: filter?.data,
      get voiceActivity() {
        return voiceData?.[0] ?? 1;
      },
      async run() {
        const { feeds, fetches } = buffers[side]!;
        if (reuseTensors) await session.run(feeds, fetches);
        else {
          const results = copies(fetches);
          await session.run(copies(feeds), results);
          for (const [name, { data }] of Object.entries(fetches)) data.set(results[name]!.data);
        }
        side = 1 - side;
      },
      get recurrent() {
        return recurrent[side]!;
      },
    };
  }

  /** @internal Has something released with the model. */
  onClose(release: () => Promise<void>): void {
    this.#releases.push(release);
  }

  /** Frees the native session; states made from it can't run any more. */
  async close(): Promise<void> {
    await Promise.all(this.#releases.splice(0).map((release) => release()));
    await this.#session.release();
  }
}

/**
 * Loads an ONNX model with the sidecar of the same name (`.json`), checks one against the other and runs it once.
 *
 * @throws ModelError `MODEL_NOT_FOUND`, `MODEL_INVALID` (names the field), or `RUNTIME_MISSING` without onnxruntime-node and onnxruntime-web.
 */
export async function loadModel(path: string): Promise<Model> {
  const sidecar = `${path.replace(/\.onnx$/, "")}.json`;
  return readModel({ bytes: await readModelFile(path), path }, { bytes: await readModelFile(sidecar), path: sidecar });
}

/** The contents of a file, and what messages call it. */
export interface ModelFile {
  readonly bytes: Uint8Array;
  readonly path: string;
}

/**
 * Makes a model of the contents of its file and its sidecar, checks one against the other and runs it once.
 *
 * @throws ModelError `MODEL_INVALID` (names the field), or `RUNTIME_MISSING` without onnxruntime-node and onnxruntime-web.
 */
export async function readModel({ bytes, path }: ModelFile, sidecar: ModelFile): Promise<Model> {
  const contract = parseModelContract(sidecar.bytes, sidecar.path);
  if (createHash("sha256").update(bytes).digest("hex") !== contract.sha256) {
    throw misfit(path, `its hash is not the sha256 of ${sidecar.path}`);
  }
  return openModel(bytes, contract, path);
}

/**
 * Makes a model of the contents of its file, checks it against its contract and runs it once. `path` is for messages.
 *
 * @throws ModelError as {@link loadModel} does.
 */
export async function openModel(bytes: Uint8Array, contract: ModelContract, path: string): Promise<Model> {
  const invalid = (what: string, options?: ErrorOptions) => misfit(path, what, options);
  const runtime = await loadInference();
  let session: InferenceSession;
  try {
    session = await runtime.open(bytes);
  } catch (cause) {
    throw invalid(`it can't be loaded: ${(cause as Error).message}`, { cause });
  }
  const { inputs, outputs } = contract;
  const named: [field: string, name: string | undefined, known: readonly string[]][] = [
    ["inputs.features", inputs.features, session.inputNames],
    ...inputs.states.map((name, i): [string, string, readonly string[]] => [
      `inputs.states[${i}]`,
      name,
      session.inputNames,
    ]),
    ["outputs.gains", outputs.gains, session.outputNames],
    ["outputs.voiceActivity", outputs.voiceActivity, session.outputNames],
    ["outputs.filter", outputs.filter, session.outputNames],
    ...outputs.states.map((name, i): [string, string, readonly string[]] => [
      `outputs.states[${i}]`,
      name,
      session.outputNames,
    ]),
  ];
  for (const [field, name, known] of named) {
    if (name !== undefined && !known.includes(name)) {
      await session.release();
      throw invalid(`${field} is "${name}", but the file has only ${known.map((k) => `"${k}"`).join(", ")}`);
    }
  }
  const model = new Model(contract, bytes, session, runtime);
  const state = model.createState();
  try {
    await state.run();
  } catch (cause) {
    await session.release();
    throw invalid(`a first run with shapes as declared failed: ${(cause as Error).message}`, { cause });
  }
  if (!state.gains.every((gain) => gain >= 0 && gain <= 1)) {
    await session.release();
    throw invalid(`outputs.gains ("${outputs.gains}") gave a gain outside 0 to 1`);
  }
  return model;
}

/**
 * Validates the text of a sidecar.
 *
 * @throws ModelError `MODEL_INVALID` that names the file and the field.
 */
export function parseModelContract(json: Uint8Array | string, name: string): ModelContract {
  let value: unknown;
  try {
    value = JSON.parse(typeof json === "string" ? json : new TextDecoder().decode(json));
  } catch (cause) {
    throw new ModelError("MODEL_INVALID", `The model sidecar ${name} is not JSON.`, { cause });
  }
  const parsed = modelContractSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  throw new ModelError(
    "MODEL_INVALID",
    `The model sidecar ${name} is not valid: ${issue.path.join(".") || "the document"} ${lowerFirst(issue.message)}.`,
  );
}

function misfit(path: string, what: string, options?: ErrorOptions): ModelError {
  return new ModelError("MODEL_INVALID", `The model ${path} does not fulfil its contract: ${what}.`, options);
}

async function readModelFile(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new ModelError("MODEL_NOT_FOUND", `The model file ${path} can't be read: ${(cause as Error).message}.`, {
      cause,
    });
  }
}

function size(dimensions: readonly number[]): number {
  return dimensions.reduce((product, dimension) => product * dimension, 1);
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
