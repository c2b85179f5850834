import { z } from "zod";
import { broadcastName, ProtocolError, requirementOf } from "../../base/index.js";
import { type BulkAck, bulkAckSchema, type PayloadHead, payloadSchema } from "../bulk/piece.js";
import { type ControlEvent, controlMessage } from "./control-stage.js";

/** Track of a controller's broadcast: one request per group. */
export const OPERATIONS_TRACK = "operations";
/** Track of the publisher's broadcast: one answer per group. */
export const ANSWERS_TRACK = "control.json";
/** Maximum bytes of a request or an answer. */
const MAX_CONTROL_BYTES = 16_384;

const ID = /^[\w-]{1,64}$/;

/** Path under which the controllers of a broadcast publish. */
export function controlPath(broadcast: string): string {
  return `${broadcastName(broadcast)}.control`;
}

/** Track of a request's payload. */
export function payloadTrack(requestId: string): string {
  return `payload/${requestId}`;
}

/** Whether an id suits a controller: it is a part of a path, and short. */
export function isControllerId(id: string): boolean {
  return ID.test(id);
}

/** One request of a controller. */
export interface ControlRequest {
  /** Rises by one with every request of a controller: groups may overtake each other. */
  readonly order: number;
  readonly op: string;
  readonly requestId: string;
  /** Head of the payload that follows. */
  readonly payload: PayloadHead | undefined;
  /** The operation itself, not validated. */
  readonly operation: unknown;
}

function buildRequestSchema() {
  return z.looseObject({
    order: z.number().int().min(0),
    op: z.string().min(1).max(64),
    requestId: z.string().min(1).max(64),
    payload: payloadSchema.optional(),
  });
}

function buildAnswerSchema() {
  const address = { controller: z.string().regex(ID), requestId: z.string().max(64) };
  return z.union([
    bulkAckSchema.extend({ ...address, event: z.literal("payload_ack") }),
    z.object({ ...address, event: z.literal("pending") }),
    z.object({
      ...address,
      event: z.string().regex(/^[a-z_]{1,64}_(applied|superseded|failed)$/),
      controlEpoch: z.number().int().min(0).optional(),
      reason: z.string().max(MAX_CONTROL_BYTES).optional(),
    }),
  ]);
}

const requestSchema = /* @__PURE__ */ buildRequestSchema();
const answerSchema = /* @__PURE__ */ buildAnswerSchema();

/**
 * Encodes a request.
 *
 * @throws ProtocolError `CONTROL_TOO_LARGE`.
 */
export function encodeControlRequest({
  order,
  payload,
  operation,
}: Omit<ControlRequest, "op" | "requestId">): Uint8Array {
  return encode({ ...(operation as object), order, ...(payload && { payload }) });
}

/**
 * Decodes the envelope of a request.
 *
 * @throws ProtocolError `CONTROL_TOO_LARGE`, `CONTROL_REQUEST`.
 */
export function decodeControlRequest(bytes: Uint8Array): ControlRequest {
  const parsed = requestSchema.safeParse(decode(bytes));
  if (!parsed.success) {
    const path = parsed.error.issues[0]?.path.join(".") || "request";
    throw malformed(`${path} is not valid: it ${requirementOf(parsed.error)}.`);
  }
  const { order, payload, ...operation } = parsed.data;
  return { order, op: operation.op, requestId: operation.requestId, payload, operation };
}

/** A publisher's answer to one controller. */
export type ControlAnswer =
  /** The end of a request. `op` may be an unknown name from the request. */
  | { readonly kind: "event"; readonly event: ControlEvent }
  /** A request is in progress. */
  | { readonly kind: "pending"; readonly requestId: string }
  /** The received part of a payload. */
  | { readonly kind: "ack"; readonly requestId: string; readonly ack: BulkAck };

/** Encodes an answer. */
export function encodeControlAnswer(controller: string, answer: ControlAnswer): Uint8Array {
  switch (answer.kind) {
    case "event":
      return encode({ controller, ...controlMessage(answer.event) });
    case "pending":
      return encode({ controller, event: "pending", requestId: answer.requestId });
    case "ack":
      return encode({ controller, event: "payload_ack", requestId: answer.requestId, ...answer.ack });
  }
}

/**
 * Decodes an answer; undefined when it is for another controller.
 *
 * @throws ProtocolError `CONTROL_ANSWER`, `CONTROL_TOO_LARGE`.
 */
export function decodeControlAnswer(bytes: Uint8Array, controller: string): ControlAnswer | undefined {
  const parsed = answerSchema.safeParse(decode(bytes));
  if (!parsed.success) throw new ProtocolError("CONTROL_ANSWER", "An answer of the publisher is not valid.");
  const answer = parsed.data;
  const { requestId, event } = answer;
  if (answer.controller !== controller) return undefined;
  if ("next" in answer) {
    const { next, ranges, sentAt, held, delay } = answer;
    return { kind: "ack", requestId, ack: { next, ranges, sentAt, held, delay } };
  }
  if (event === "pending") return { kind: "pending", requestId };
  const { controlEpoch, reason } = answer as { controlEpoch?: number; reason?: string };
  const cut = event.lastIndexOf("_");
  const op = event.slice(0, cut) as ControlEvent["op"];
  const outcome = event.slice(cut + 1) as ControlEvent["outcome"];
  return { kind: "event", event: { outcome, op, requestId, controlEpoch, reason } };
}

function encode(value: object): Uint8Array {
  const bytes = new TextEncoder().encode(JSON.stringify(value));
  checkLength(bytes);
  return bytes;
}

function decode(bytes: Uint8Array): unknown {
  checkLength(bytes);
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new ProtocolError("CONTROL_REQUEST", "It is not valid JSON.", { cause });
  }
}

function checkLength({ length }: Uint8Array): void {
  if (length > MAX_CONTROL_BYTES)
    throw new ProtocolError("CONTROL_TOO_LARGE", `It may have ${MAX_CONTROL_BYTES} bytes at most, but has ${length}.`);
}

function malformed(message: string): ProtocolError {
  return new ProtocolError("CONTROL_REQUEST", message);
}
