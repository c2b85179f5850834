import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeAgentEvent, MAX_EVENT_CHARACTERS } from "./realtime-event.js";

const at = { response_id: "r", item_id: "i", content_index: 1 };
const place = { responseId: "r", itemId: "i", contentIndex: 1 };
const decode = (event: unknown) => decodeAgentEvent(JSON.stringify(event));

test("audio, its end and its text are decoded with their place, and words with their times", () => {
  expect(decode({ type: "response.output_audio.delta", ...at, delta: "AAEC" })).toEqual({
    type: "audio",
    place,
    audio: Buffer.of(0, 1, 2),
  });
  expect(decode({ type: "response.output_audio.done", response_id: "r", item_id: "i" })).toEqual({
    type: "end",
    place: { ...place, contentIndex: 0 },
  });
  const words = [{ text: "Hi", startMs: 0, endMs: 200 }];
  expect(decode({ type: "response.output_audio_transcript.delta", ...at, delta: "Hi", words })).toEqual({
    type: "text",
    place,
    text: "Hi",
    words,
  });
});

test("responses, formats and every way to interrupt are decoded, and other events are ignored", () => {
  expect(decode({ type: "response.created", response: { id: "r" } })).toEqual({ type: "began", responseId: "r" });
  expect(decode({ type: "response.done", response: { id: "r" } })).toEqual({ type: "done", responseId: "r" });
  const output = { type: "audio/pcmu" };
  expect(decode({ type: "session.update", session: { audio: { output: { format: output } } } })).toEqual({
    type: "formats",
    input: undefined,
    output,
  });
  for (const type of ["output_audio_buffer.clear", "response.cancel", "input_audio_buffer.speech_started"])
    expect(decode({ type })).toEqual({ type: "interrupt" });
  expect(decode({ type: "response.cancel", response_id: "r" })).toEqual({ type: "cancel", responseId: "r" });
  for (const named of [{ response_id: null }, { response_id: "" }])
    expect(decode({ type: "response.cancel", ...named })).toEqual({ type: "interrupt" });
  expect(decode({ type: "output_audio_buffer.clear", response_id: "r" })).toEqual({ type: "interrupt" });
  for (const type of ["rate_limits.updated", "__proto__", "constructor", ""])
    expect(decode({ type })).toEqual({ type: "other" });
});

test("a format is found whatever else an update or a response says of its audio, or does not say", () => {
  const output = { type: "audio/pcmu" };
  for (const [audio, input, said] of [
    [{ output: { voice: "marin" } }, undefined, undefined],
    [{ input: { turn_detection: null }, output: { format: output } }, undefined, output],
    [{ input: { format: output }, output: { voice: "marin" } }, output, undefined],
    [{ input: null, output: { format: output, speed: 1 } }, undefined, output],
    [{ output: null }, undefined, undefined],
    [null, undefined, undefined],
    [undefined, undefined, undefined],
  ]) {
    for (const type of ["session.update", "session.updated"])
      expect(decode({ type, session: { audio } })).toEqual({ type: "formats", input, output: said });
    const began = { type: "began", responseId: "r", format: said };
    expect(decode({ type: "response.created", response: { id: "r", audio } })).toEqual(began);
  }
});

test("a text whose words or whose ends are null is one without them", () => {
  const type = "response.output_audio_transcript.delta";
  expect(decode({ type, ...at, delta: "Hi", words: null })).toEqual({ type: "text", place, text: "Hi", words: [] });
  const words = [{ text: "Hi", startMs: 0, endMs: null, durationMs: null }];
  expect(decode({ type, ...at, delta: "Hi", words })).toMatchObject({ words: [{ text: "Hi", startMs: 0 }] });
});

test("the names of the protocol's beta mean the same", () => {
  expect(decode({ type: "response.audio.delta", ...at, delta: "AAEC" })).toEqual({
    type: "audio",
    place,
    audio: Buffer.of(0, 1, 2),
  });
  expect(decode({ type: "response.audio.done", ...at })).toEqual({ type: "end", place });
  const text = decode({ type: "response.audio_transcript.delta", ...at, delta: "Hi" });
  expect(text).toEqual({ type: "text", place, text: "Hi", words: [] });
  const session = { input_audio_format: "g711_ulaw", output_audio_format: "pcm16" };
  expect(decode({ type: "session.update", session })).toEqual({ type: "formats", input: "g711_ulaw", output: "pcm16" });
});

test("each unusable event gets a sentence that names the fault", () => {
  const reason = (event: unknown) => {
    const decoded = decode(event);
    return decoded.type === "invalid" ? decoded.reason : decoded.type;
  };
  expect(decodeAgentEvent(Uint8Array.of(1))).toMatchObject({ reason: expect.stringContaining("binary") });
  expect(decodeAgentEvent("[")).toMatchObject({ reason: "An event of the agent is not a JSON object." });
  expect(decodeAgentEvent("x".repeat(MAX_EVENT_CHARACTERS + 1))).toMatchObject({
    reason: `An event of the agent is longer than ${MAX_EVENT_CHARACTERS} characters.`,
  });
  expect(reason({})).toBe("An event of the agent has no type.");
  expect(reason({ type: "response.output_audio.delta", delta: "" })).toContain(
    "no valid response_id: it must be a string",
  );
  expect(reason({ type: "response.output_audio.delta", ...at, delta: "%" })).toContain("not base64");
  expect(reason({ type: "response.output_audio.delta", ...at, content_index: -1, delta: "" })).toContain(
    "content_index",
  );
  expect(
    reason({ type: "response.output_audio_transcript.delta", ...at, delta: "", words: [{ text: "a", startMs: -1 }] }),
  ).toContain("words.0.startMs");
  expect(
    reason({
      type: "response.output_audio_transcript.delta",
      ...at,
      delta: "",
      words: [{ text: "a", startMs: 5, endMs: 4 }],
    }),
  ).toContain("no valid words.0.endMs: it must not be before startMs");
});

test("every message of an agent decodes to a value", () => {
  const types = fc.constantFrom(
    "response.output_audio.delta",
    "response.output_audio_transcript.delta",
    "response.created",
    "session.update",
  );
  const event = fc.record({
    type: fc.oneof(types, fc.string()),
    response_id: fc.anything(),
    item_id: fc.anything(),
    delta: fc.anything(),
    session: fc.anything(),
    response: fc.anything(),
  });
  const text = fc.oneof(fc.string(), fc.json(), event.map(stringify));
  fc.assert(
    fc.property(text, (message) => {
      expect(typeof decodeAgentEvent(message).type).toBe("string");
    }),
    { seed: 14, numRuns: 500 },
  );
});

function stringify(value: unknown): string {
  try {
    return JSON.stringify(value) ?? "";
  } catch {
    return "";
  }
}
