import fc from "fast-check";
import { expect, test } from "vitest";
import { ProtocolError } from "../../base/index.js";
import {
  type ControlAnswer,
  decodeControlAnswer,
  decodeControlRequest,
  encodeControlAnswer,
  encodeControlRequest,
} from "./messages.js";

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof ProtocolError) return error.code;
    throw error;
  }
  return "none";
}

test("requests and answers survive a round trip, and an answer reaches only the controller it names", () => {
  const operation = { op: "set", requestId: "a", knobs: { strength: 1 } };
  const payload = { bytes: 5, sha256: "0".repeat(64) };
  const request = { order: 7, payload, operation };
  expect(decodeControlRequest(encodeControlRequest(request))).toEqual({ ...request, op: "set", requestId: "a" });
  const answers: ControlAnswer[] = [
    { kind: "pending", requestId: "a" },
    {
      kind: "event",
      event: { outcome: "failed", op: "noise_profile", requestId: "b", controlEpoch: undefined, reason: "No." },
    },
    {
      kind: "event",
      event: { outcome: "applied", op: "set", requestId: "c", controlEpoch: 3, reason: undefined },
    },
    { kind: "ack", requestId: "d", ack: { next: 1, ranges: [[3, 5]], sentAt: 10, held: 2, delay: -400 } },
  ];
  for (const answer of answers) {
    expect(decodeControlAnswer(encodeControlAnswer("me", answer), "me")).toEqual(answer);
    expect(decodeControlAnswer(encodeControlAnswer("other", answer), "me")).toBeUndefined();
  }
});

test("all other bytes are refused with a typed error", () => {
  const bytes = (text: string) => new TextEncoder().encode(text);
  expect(codeOf(() => decodeControlRequest(bytes("x".repeat(16_385))))).toBe("CONTROL_TOO_LARGE");
  expect(
    codeOf(() => encodeControlRequest({ order: 0, payload: undefined, operation: { x: "y".repeat(17_000) } })),
  ).toBe("CONTROL_TOO_LARGE");
  const known = ["order", "op", "requestId", "payload", "controller", "event", "next", "ranges", "sentAt", "held"];
  const json = fc.dictionary(fc.constantFrom(...known), fc.jsonValue()).map((value) => bytes(JSON.stringify(value)));
  fc.assert(
    fc.property(fc.oneof(json, fc.uint8Array({ maxLength: 100 })), (wire) => {
      codeOf(() => decodeControlRequest(wire));
      codeOf(() => decodeControlAnswer(wire, "me"));
    }),
    { seed: 5, numRuns: 2000 },
  );
});
