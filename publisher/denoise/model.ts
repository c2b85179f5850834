import { createHash } from "node:crypto";
import { z } from "zod";
import { readBounded, whyUnusable } from "../../base/bytes/bounded-file.js";
import { ModelError, validate } from "../../base/index.js";
import { type InferenceRuntime, type InferenceSession, type InferenceTensor, loadInference } from "./inference.js";
import { hopTensors, isWaveform, type ModelContract, parseModelContract, sizeOf } from "./model-contract.js";

/** More than any model has that keeps up with audio. */
const MAX_FILE_BYTES = 256 << 20;

/** Tensors of one hop; see {@link Model.createBuffers}. */
interface Buffers {
  readonly feeds: Record<string, InferenceTensor>;
  readonly fetches: Record<string, InferenceTensor>;
}

/** One stream's state in a model: its input, output and recurrent state, allocated once. */
export interface ModelState {
  /** Input of the next {@link run}: features or samples. */
  readonly input: Float32Array;
  /** Output of the last run: gains or samples. */
  readonly output: Float32Array;
  /** The second output of the last run, where the model has a deep filter. */
  readonly filter: Float32Array | undefined;
  /** Probability of speech in the last run, 0 to 1; 1 where the model has no such output. */
  readonly voiceActivity: number;
  /** Runs the network once. One call at a time. */
  run(): Promise<void>;
  /** The recurrent state that the next run reads; each run leaves another set of arrays. */
  readonly recurrent: readonly Float32Array[];
}

/** A loaded denoising model. It serves any number of streams, each with its own {@link ModelState}. */
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

  /** State of a new stream. */
  createState(): ModelState {
    const { inputs, outputs, shapes } = this.contract;
    const make = (name: string, like: string): InferenceTensor => {
      const dimensions = shapes[name] ?? shapes[like]!;
      return this.#tensor(new Float32Array(sizeOf(dimensions)), dimensions);
    };
    const hop = hopTensors(this.contract);
    const input = make(hop.input, hop.input);
    const output = make(hop.output, hop.input);
    const filterName = filterOf(this.contract);
    const voice =
      outputs.voiceActivity === undefined
        ? undefined
        : this.#tensor(new Float32Array(1), shapes[outputs.voiceActivity] ?? [1, 1, 1]);
    const filter = filterName === undefined ? undefined : make(filterName, filterName);
    const sides = [0, 1].map(() => inputs.states.map((name) => make(name, name)));
    // Two sets that swap roles every run: the state a run reads is never the one it writes.
    const buffers: Buffers[] = [0, 1].map((side) => ({
      feeds: {
        [hop.input]: input,
        ...Object.fromEntries(inputs.states.map((name, i) => [name, sides[side]![i]!])),
      },
      fetches: {
        [hop.output]: output,
        ...(outputs.voiceActivity !== undefined && voice !== undefined ? { [outputs.voiceActivity]: voice } : {}),
        ...(filterName !== undefined && filter !== undefined ? { [filterName]: filter } : {}),
        ...Object.fromEntries(outputs.states.map((name, i) => [name, sides[1 - side]![i]!])),
      },
    }));
    const recurrent = sides.map((tensors) => tensors.map((tensor) => tensor.data));
    let side = 0;
    const session = this.#session;
    const voiceData = voice?.data;
    return {
      input: input.data,
      output: output.data,
      filter: filter?.data,
      get voiceActivity() {
        return voiceData?.[0] ?? 1;
      },
      async run() {
        const { feeds, fetches } = buffers[side]!;
        await session.run(feeds, fetches);
        side = 1 - side;
      },
      get recurrent() {
        return recurrent[side]!;
      },
    };
  }

  /** @internal Registers a function that {@link close} calls. */
  closeWith(release: () => Promise<void>): void {
    this.#releases.push(release);
  }

  /** Frees the native session; states created from it can't run any more. */
  async close(): Promise<void> {
    await Promise.all(this.#releases.splice(0).map((release) => release()));
    await this.#session.release();
  }
}

const pathSchema = z.strictObject({ path: z.string().min(1) });

/**
 * Loads an ONNX model with the sidecar of the same name (`.json`), checks one against the other and runs it once.
 *
 * @throws ModelError `MODEL_NOT_FOUND`, `MODEL_INVALID` (names the field), or `RUNTIME_MISSING` without onnxruntime-node and onnxruntime-web.
 */
export async function loadModel(path: string): Promise<Model> {
  validate("loadModel", pathSchema, { path });
  const sidecar = `${path.replace(/\.onnx$/, "")}.json`;
  return readModel({ bytes: await readModelFile(path), path }, { bytes: await readModelFile(sidecar), path: sidecar });
}

/** Content of a file, and its name in messages. */
export interface ModelFile {
  readonly bytes: Uint8Array;
  readonly path: string;
}

/**
 * Creates a model from its file and sidecar, checks one against the other and runs it once.
 *
 * @throws ModelError `MODEL_INVALID` (names the field), or `RUNTIME_MISSING` without onnxruntime-node and
 * onnxruntime-web.
 */
export async function readModel({ bytes, path }: ModelFile, sidecar: ModelFile): Promise<Model> {
  const contract = parseModelContract(sidecar.bytes, sidecar.path);
  if (createHash("sha256").update(bytes).digest("hex") !== contract.sha256) {
    throw misfit(path, `its hash is not the sha256 of ${sidecar.path}`);
  }
  return openModel(bytes, contract, path);
}

/**
 * Creates a model from the content of its file, checks it against its contract and runs it once. `path` is for
 * messages.
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
  const hop = hopTensors(contract);
  const [input, output] = isWaveform(contract) ? ["samples", "samples"] : ["features", "gains"];
  const named: [field: string, name: string | undefined, known: readonly string[]][] = [
    [`inputs.${input}`, hop.input, session.inputNames],
    ...inputs.states.map((name, i): [string, string, readonly string[]] => [
      `inputs.states[${i}]`,
      name,
      session.inputNames,
    ]),
    [`outputs.${output}`, hop.output, session.outputNames],
    ["outputs.voiceActivity", outputs.voiceActivity, session.outputNames],
    ["outputs.filter", filterOf(contract), session.outputNames],
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
  let state: ModelState;
  try {
    state = model.createState();
    await state.run();
  } catch (cause) {
    await session.release();
    throw invalid(`a first run with shapes as declared failed: ${(cause as Error).message}`, { cause });
  }
  const fits = isWaveform(contract) ? Number.isFinite : (gain: number) => gain >= 0 && gain <= 1;
  if (!state.output.every(fits)) {
    await session.release();
    const what = isWaveform(contract) ? "a sample that is not a number" : "a gain outside 0 to 1";
    throw invalid(`outputs.${output} ("${hop.output}") gave ${what}`);
  }
  return model;
}

function filterOf(contract: ModelContract): string | undefined {
  return isWaveform(contract) ? undefined : contract.outputs.filter;
}

function misfit(path: string, what: string, options?: ErrorOptions): ModelError {
  return new ModelError("MODEL_INVALID", `The model ${path} does not fulfil its contract: ${what}.`, options);
}

async function readModelFile(path: string): Promise<Uint8Array> {
  try {
    return await readBounded(path, MAX_FILE_BYTES);
  } catch (cause) {
    throw new ModelError("MODEL_NOT_FOUND", `The model file ${path} can't be read: ${whyUnusable(cause)}.`, {
      cause,
    });
  }
}
