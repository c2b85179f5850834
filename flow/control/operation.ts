import { z } from "zod";
import { faultOf, InputError, microseconds, showValue } from "../../base/index.js";

// Built in functions marked pure, so that a browser bundle that parses no operation omits zod.
function buildKnobsSchema() {
  return z.strictObject({
    strength: z.number().min(0).max(1),
    attenuationLimitDb: z.number().min(0).max(100),
    gainDb: z.number().min(-60).max(24),
    bypass: z.boolean(),
  });
}

function buildOperationSchema() {
  const requestId = z.string().min(1).max(64);
  // Whole microseconds, up to about 35 years.
  const mediaTime = z
    .number()
    .int()
    .min(0)
    .max(2 ** 50 - 1);
  const options = [
    z.strictObject({ op: z.literal("set"), requestId, knobs: buildKnobsSchema().partial() }),
    z.strictObject({ op: z.literal("noise_profile"), requestId, action: z.enum(["set", "clear"]) }),
    z.strictObject({ op: z.literal("model"), requestId, name: z.string().min(1).max(256).optional() }),
    z.strictObject({ op: z.literal("swap_source"), requestId, source: z.string().min(1).max(1024) }),
    z.strictObject({
      op: z.literal("write_audio"),
      requestId,
      at: mediaTime,
      mode: z.enum(["replace", "sum"]),
      format: z.enum(["f32", "s16"]),
      sampleRateHz: z.number().int().min(8000).max(192_000),
      channels: z.number().int().min(1).max(2),
    }),
    z.strictObject({
      op: z.literal("loop_band"),
      requestId,
      band: z.strictObject({ start: mediaTime, end: mediaTime }).nullable(),
    }),
    z.strictObject({ op: z.literal("interrupt"), requestId }),
    z.strictObject({ op: z.literal("resume"), requestId }),
  ] as const;
  const names = options.map(({ shape }) => shape.op.value);
  return z.discriminatedUnion("op", options, { error: `be one of ${names.join(", ")}` });
}

const operationSchema = /* @__PURE__ */ buildOperationSchema();

/** Validates the denoiser's knobs. */
export const knobsSchema = /* @__PURE__ */ buildKnobsSchema();

/** The denoiser's knobs: strength 0 to 1, limit and gain in dB, and a bypass. */
export type Knobs = Readonly<z.infer<typeof knobsSchema>>;

/** One validated control operation. */
export type Operation = Readonly<z.infer<typeof operationSchema>>;

/** The name of a control operation. */
export type OperationName = Operation["op"];

/** Shortest loop band: a shorter one wraps more than once per frame or two. */
export const MIN_BAND = /* @__PURE__ */ microseconds(100_000);

/** Operations with a payload on a bulk stream, and whether it is required. */
const PAYLOAD: Partial<Record<OperationName, "required" | "optional">> = {
  noise_profile: "optional",
  model: "optional",
  write_audio: "required",
};

/**
 * Validates any value as one control operation with its payload.
 *
 * @throws InputError `INVALID_OPERATION`, whose sentence names the field.
 */
export function parseOperation(value: unknown, payload?: Uint8Array): Operation {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw invalid(`The operation must be an object, but is ${showValue(value)}.`);
  if (payload !== undefined && !(payload instanceof Uint8Array))
    throw invalid(`The payload must be a Uint8Array, but is ${showValue(payload)}.`);
  const parsed = operationSchema.safeParse(value);
  if (!parsed.success) throw invalid(faultOf("operation", parsed.error, value));
  const operation = parsed.data;
  const rule = PAYLOAD[operation.op];
  if (payload !== undefined && rule === undefined) throw invalid(`The operation ${operation.op} takes no payload.`);
  if (payload === undefined && rule === "required") throw invalid(`The operation ${operation.op} needs a payload.`);
  switch (operation.op) {
    case "set":
      if (Object.values(operation.knobs).every((knob) => knob === undefined))
        throw invalid("knobs must hold at least one of strength, attenuationLimitDb, gainDb and bypass.");
      break;
    case "noise_profile":
      if ((operation.action === "set") !== (payload !== undefined))
        throw invalid('action must be "set" with a payload or "clear" without one.');
      break;
    case "model":
      if ((operation.name === undefined) === (payload === undefined))
        throw invalid("name must be given when there is no payload, and only then.");
      break;
    case "write_audio": {
      const frameBytes = (operation.format === "f32" ? 4 : 2) * operation.channels;
      if (payload!.length === 0 || payload!.length % frameBytes !== 0)
        throw invalid(
          `The payload must be a whole number of ${frameBytes}-byte samples, but has ${payload!.length} bytes.`,
        );
      break;
    }
    case "loop_band":
      if (operation.band !== null && operation.band.end - operation.band.start < MIN_BAND)
        throw invalid(`band.end must be at least ${MIN_BAND} microseconds after band.start.`);
  }
  return operation;
}

function invalid(message: string): InputError {
  return new InputError("INVALID_OPERATION", message);
}
