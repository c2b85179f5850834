import { z } from "zod";
import { ModelError, requirementOf } from "../../base/index.js";
import { SAMPLE_RATE } from "../source/resample.js";
import { isFftSize } from "./fft.js";

const tensorName = z.string().min(1).max(128);
/** Hops that a deep filter may reach back, including the current one: 80 ms. */
const MAX_TAPS = 8;
const shape = z.array(z.number().int().min(1).max(65_536)).min(1).max(6);

/** Copies entries without a prototype, so that a tensor named `constructor` is missing unless declared. */
function withoutPrototype<T>(entries: Record<string, T>): Record<string, T> {
  return Object.assign(Object.create(null), entries);
}

/** Maximum values in all states of one stream: half a megabyte in every checkpoint. */
const MAX_STATE_VALUES = 131_072;

/** Fields of every sidecar. */
const common = {
  name: z.string().min(1),
  version: z.string().min(1),
  /** Shape of every tensor named in `inputs` (and optionally `outputs`). */
  shapes: z.record(z.string(), shape).transform(withoutPrototype),
  /** Algorithmic latency: window or hop, plus network look-ahead. */
  latencyMs: z.number().min(0).max(200),
  licence: z.string().min(1),
  /** Of the ONNX file, 64 hexadecimal digits. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/, "must be 64 lower-case hexadecimal digits"),
};

type Fail = (path: (string | number)[], message: string) => void;

function failing(context: z.RefinementCtx): Fail {
  return (path, message) => context.addIssue({ code: "custom", path, message });
}

interface Tensors {
  readonly inputs: { readonly states: readonly string[] };
  readonly outputs: { readonly states: readonly string[]; readonly voiceActivity?: string | undefined };
  readonly shapes: Readonly<Record<string, readonly number[]>>;
}

function checkTensors({ inputs, outputs, shapes }: Tensors, input: string, named: readonly string[], fail: Fail): void {
  if (outputs.states.length !== inputs.states.length) {
    fail(["outputs", "states"], `must name ${inputs.states.length} tensors, as inputs.states does`);
  }
  for (const name of [input, ...inputs.states])
    if (shapeOf(shapes, name) === undefined) fail(["shapes", name], "is missing");
  const values = inputs.states.reduce((sum, name) => sum + sizeOf(shapeOf(shapes, name) ?? []), 0);
  if (values > MAX_STATE_VALUES) {
    fail(["inputs", "states"], `must hold at most ${MAX_STATE_VALUES} values together, not ${values}`);
  }
  const { voiceActivity } = outputs;
  checkDistinct("inputs", [input, ...inputs.states], fail);
  const answers = voiceActivity === undefined ? named : [...named, voiceActivity];
  checkDistinct("outputs", [...answers, ...outputs.states], fail);
  const chance = voiceActivity === undefined ? undefined : shapeOf(shapes, voiceActivity);
  if (voiceActivity !== undefined && chance !== undefined && sizeOf(chance) !== 1) {
    fail(["shapes", voiceActivity], "must hold 1 value, the chance of a voice");
  }
}

function checkDistinct(side: "inputs" | "outputs", names: readonly string[], fail: Fail): void {
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) fail([side], `must not name the tensor "${twice}" twice`);
}

/**
 * A model of gains. Per hop the network takes one feature per band of the noisy spectrum and its own state. It returns
 * one gain per band, 0 to 1, and its next state.
 */
const bandContractSchema = z
  .object({
    ...common,
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
  })
  .superRefine((contract, context) => {
    const fail = failing(context);
    const { window, hop, bands, inputs, outputs, shapes } = contract;
    if (hop * 2 !== window) fail(["hop"], `must be half of window (${window / 2})`);
    if (bands.edges[0] !== bands.low) fail(["bands", "edges", 0], `must be bands.low (${bands.low})`);
    if (bands.edges.at(-1) !== window / 2 + 1) {
      fail(["bands", "edges", bands.edges.length - 1], `must be window / 2 + 1 (${window / 2 + 1})`);
    }
    for (let i = 1; i < bands.edges.length; i++) {
      if (bands.edges[i]! <= bands.edges[i - 1]!) fail(["bands", "edges", i], "must be larger than the edge before it");
    }
    const filters = outputs.filter === undefined ? [] : [outputs.filter];
    checkTensors(contract, inputs.features, [outputs.gains, ...filters], fail);
    const features = shapeOf(shapes, inputs.features);
    const count = bands.low + bands.edges.length - 1;
    if (features !== undefined && sizeOf(features) !== count) {
      fail(["shapes", inputs.features], `must hold ${count} values, one for each band`);
    }
    const gains = shapeOf(shapes, outputs.gains);
    if (gains !== undefined && sizeOf(gains) !== count) {
      fail(["shapes", outputs.gains], `must hold ${count} values, one for each band`);
    }
    const { deepFilter } = contract;
    if ((deepFilter === undefined) !== (outputs.filter === undefined)) {
      const missing = deepFilter === undefined ? ["deepFilter"] : ["outputs", "filter"];
      fail(missing, "is missing: deepFilter and outputs.filter go together");
    }
    if (deepFilter === undefined || outputs.filter === undefined) return;
    if (deepFilter.bins > window / 2) fail(["deepFilter", "bins"], `must not be more than window / 2 (${window / 2})`);
    const filter = shapeOf(shapes, outputs.filter);
    const weights = deepFilter.bins * deepFilter.taps * 2;
    if (filter === undefined) fail(["shapes", outputs.filter], "is missing");
    else if (sizeOf(filter) !== weights) {
      fail(["shapes", outputs.filter], `must hold ${weights} values, two for each tap of each bin`);
    }
  });

/**
 * A model of samples: per hop the network takes the samples of that hop and its own state, and returns as many samples
 * and its next state. `latencyMs` runs from the first sample of a hop to the same sample in the output, so it is at
 * least the hop.
 */
const waveformContractSchema = z
  .object({
    ...common,
    /** Hz; at 16 kHz the stage converts the rate on both sides, and the output has nothing above 8 kHz. */
    sampleRate: z.literal([16_000, SAMPLE_RATE]),
    /** Samples of a hop at `sampleRate`. */
    hop: z.number().int().min(16).max(3840),
    feature: z.object({ kind: z.literal("waveform") }),
    inputs: z.object({ samples: tensorName, states: z.array(tensorName).max(16) }),
    outputs: z.object({
      samples: tensorName,
      voiceActivity: tensorName.optional(),
      /** Next states, in the order of `inputs.states`. */
      states: z.array(tensorName).max(16),
    }),
  })
  .superRefine((contract, context) => {
    const fail = failing(context);
    const { hop, sampleRate, inputs, outputs, shapes, latencyMs } = contract;
    checkTensors(contract, inputs.samples, [outputs.samples], fail);
    const hopMs = (1000 * hop) / sampleRate;
    if (hopMs > 80) fail(["hop"], "must not be longer than 80 ms");
    if (latencyMs < hopMs) fail(["latencyMs"], `must be at least one hop (${hopMs})`);
    for (const name of [inputs.samples, outputs.samples]) {
      const dimensions = shapeOf(shapes, name);
      if (dimensions !== undefined && sizeOf(dimensions) !== hop)
        fail(["shapes", name], `must hold ${hop} values, a hop`);
    }
  });

/** A validated sidecar of a model of gains. */
export type BandContract = Readonly<z.infer<typeof bandContractSchema>>;
/** A validated sidecar of a model of samples. */
export type WaveformContract = Readonly<z.infer<typeof waveformContractSchema>>;
/** A validated sidecar; see {@link modelContractSchema}. */
export type ModelContract = BandContract | WaveformContract;

/** The sidecar of a denoising model: `<model>.json` beside `<model>.onnx`. `feature.kind` names one of two kinds. */
const modelContractSchema = z.unknown().transform((value, context): ModelContract => {
  const kind = kindOf(value);
  if (kind !== "waveform" && kind !== "log-power") {
    context.addIssue({ code: "custom", path: ["feature", "kind"], message: 'must be "log-power" or "waveform"' });
    return z.NEVER;
  }
  const schema = kind === "waveform" ? waveformContractSchema : bandContractSchema;
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  for (const issue of parsed.error.issues) {
    const message = issue.code === "custom" ? issue.message : requirementOf({ issues: [issue] });
    context.addIssue({ code: "custom", path: issue.path, message });
  }
  return z.NEVER;
});

/** Whether a model takes and returns samples. */
export function isWaveform(contract: ModelContract): contract is WaveformContract {
  return contract.feature.kind === "waveform";
}

/** Names of the input and output tensor of a hop. */
export function hopTensors(contract: ModelContract): { readonly input: string; readonly output: string } {
  if (isWaveform(contract)) return { input: contract.inputs.samples, output: contract.outputs.samples };
  return { input: contract.inputs.features, output: contract.outputs.gains };
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

/** A shape by name while the contract is checked: refused shapes still have a prototype, with names of its own. */
function shapeOf(shapes: Readonly<Record<string, readonly number[]>>, name: string): readonly number[] | undefined {
  return Object.hasOwn(shapes, name) ? shapes[name] : undefined;
}

/** Number of values in a tensor with these dimensions. */
export function sizeOf(dimensions: readonly number[]): number {
  return dimensions.reduce((product, dimension) => product * dimension, 1);
}

function kindOf(value: unknown): unknown {
  const parsed = z.object({ feature: z.object({ kind: z.unknown() }) }).safeParse(value);
  return parsed.success ? parsed.data.feature.kind : undefined;
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
