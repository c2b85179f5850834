import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeBotMessage, MAX_MARK_NAME, MAX_MESSAGE_BYTES } from "./bot-message.js";

const sid = "MZ0123456789abcdef0123456789abcdef";
const decode = (message: unknown) => decodeBotMessage(JSON.stringify(message), sid);

test("media of any size is decoded, with the call's stream or without one", () => {
  const audio = Uint8Array.of(0, 127, 255);
  const payload = Buffer.from(audio).toString("base64");
  for (const streamSid of [sid, null, undefined])
    expect(decode({ event: "media", streamSid, media: { payload } })).toEqual({
      event: "media",
      audio: Buffer.from(audio),
    });
  expect(decode({ event: "media", media: { payload: "" } })).toEqual({ event: "media", audio: Buffer.alloc(0) });
});

test("marks keep their names, and clear needs only its own", () => {
  expect(decode({ event: "mark", streamSid: sid, mark: { name: "item_5:100:g1:m1" } })).toEqual({
    event: "mark",
    name: "item_5:100:g1:m1",
  });
  expect(decode({ event: "clear" })).toEqual({ event: "clear" });
});

test("an event unknown to Media Streams is ignored", () => {
  expect(decode({ event: "transfer", to: 1 })).toEqual({ event: "unknown" });
  expect(decode({ event: "__proto__" })).toEqual({ event: "unknown" });
});

test("each unusable message gets a sentence that names the fault", () => {
  const reason = (message: unknown) => {
    const decoded = decode(message);
    return decoded.event === "invalid" ? decoded.reason : decoded.event;
  };
  expect(decodeBotMessage(Uint8Array.of(1), sid)).toMatchObject({ reason: expect.stringContaining("binary") });
  expect(decodeBotMessage("{", sid)).toMatchObject({ reason: "A message of the bot is not a JSON object." });
  expect(decodeBotMessage("x".repeat(MAX_MESSAGE_BYTES + 1), sid)).toMatchObject({
    reason: `A message of the bot is longer than ${MAX_MESSAGE_BYTES} bytes.`,
  });
  for (const value of [null, 1, "media", []]) expect(reason(value)).toMatch(/is not a JSON object|has no event/);
  expect(reason({ event: 5 })).toBe("A message of the bot has no event.");
  expect(reason({ event: "media" })).toBe(
    "A message of the bot of the event media has no valid media: it must be an object.",
  );
  expect(reason({ event: "media", media: { payload: 5 } })).toContain(
    "has no valid media.payload: it must be a string",
  );
  for (const payload of ["%%%", "A", "AA==AAAA"])
    expect(reason({ event: "media", media: { payload } })).toContain("not base64");
  expect(reason({ event: "media", media: { payload: Buffer.from("RIFF0000WAVE").toString("base64") } })).toContain(
    "audio file",
  );
  expect(reason({ event: "mark", mark: {} })).toContain("has no valid mark.name:");
  expect(reason({ event: "mark", mark: { name: "" } })).toContain("has no valid mark.name: it must not be empty");
  expect(reason({ event: "mark", mark: { name: "x".repeat(MAX_MARK_NAME + 1) } })).toContain("mark.name");
  expect(reason({ event: "clear", streamSid: "MZother" })).toContain(`names the stream MZother instead of ${sid}`);
});

test("every message of a bot decodes to a value", () => {
  const events = fc.constantFrom("media", "mark", "clear", "start", "");
  const message = fc.oneof(
    fc.string(),
    fc.json(),
    fc.record({ event: events, streamSid: fc.anything(), media: fc.anything(), mark: fc.anything() }).map((value) => {
      try {
        return JSON.stringify(value) ?? "";
      } catch {
        return "";
      }
    }),
  );
  fc.assert(
    fc.property(message, (text) => {
      const { event } = decodeBotMessage(text, sid);
      expect(["media", "mark", "clear", "unknown", "invalid"]).toContain(event);
    }),
    { seed: 14, numRuns: 500 },
  );
});
