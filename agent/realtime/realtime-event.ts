import { z } from "zod";
import { requirementOf } from "../../base/index.js";
import type { WordTiming } from "../../publisher/index.js";
import { decodeBase64 } from "../base64.js";
import type { PartPlace } from "./realtime-part.js";

/** An event of an agent for the audio part of OpenAI's Realtime protocol, as its voice needs it. */
export type AgentEvent =
  /** Audio to be said, in the session's output format. */
  | { readonly type: "audio"; readonly place: PartPlace; readonly audio: Uint8Array }
  /** The audio of a part is complete. */
  | { readonly type: "end"; readonly place: PartPlace }
  /** More of the text of a part, with word timings where the agent has them. */
  | { readonly type: "text"; readonly place: PartPlace; readonly text: string; readonly words: readonly WordTiming[] }
  /** `format`: of its audio, where the response names one. */
  | { readonly type: "began"; readonly responseId: string; readonly format: unknown }
  | { readonly type: "done"; readonly responseId: string }
  /** Takes back all audio that was not heard. */
  | { readonly type: "interrupt" }
  /** Cancels one response, which need not be the one that speaks. */
  | { readonly type: "cancel"; readonly responseId: string }
  /** Formats of audio from now on, from `session.update` or the service's answer to it. */
  | { readonly type: "formats"; readonly input: unknown; readonly output: unknown }
  /** An event that does not concern audio. */
  | { readonly type: "other" }
  /** An unusable event, and why. */
  | { readonly type: "invalid"; readonly reason: string };

/** Maximum size of an event, in characters: two minutes of PCM at 24 kHz. */
export const MAX_EVENT_CHARACTERS = 8 * 1024 * 1024;
const MAX_TEXT = 100_000;
const MAX_WORDS = 10_000;

const id = z.string().min(1).max(256);
const place = { response_id: id, item_id: id, content_index: z.number().int().min(0).max(65_535).default(0) };
const time = z.number().min(0).max(86_400_000);
const word = z
  .object({ text: z.string().max(MAX_TEXT), startMs: time, endMs: time.nullish(), durationMs: time.nullish() })
  .refine(({ startMs, endMs }) => endMs == null || endMs >= startMs, {
    path: ["endMs"],
    error: "must not be before startMs",
  });
/** One direction of a session's audio; most updates change something else than its format. */
const side = z.object({ format: z.unknown().optional() }).nullish();
const formats = z.object({
  session: z.object({
    // The beta's.
    input_audio_format: z.unknown().optional(),
    output_audio_format: z.unknown().optional(),
    audio: z.object({ input: side, output: side }).nullish(),
  }),
});
const response = z.object({ response: z.object({ id }) });
const cancel = z.object({ type: z.literal("response.cancel"), response_id: id });
const began = z.object({ response: z.object({ id, audio: z.object({ output: side }).nullish() }) });
const delta = z.object({ ...place, delta: z.string() });

const SCHEMAS = {
  "response.output_audio.delta": delta,
  "response.output_audio.done": z.object(place),
  "response.output_audio_transcript.delta": z.object({
    ...place,
    delta: z.string().max(MAX_TEXT),
    words: z.array(word).max(MAX_WORDS).nullish(),
  }),
  "response.created": began,
  "response.done": response,
  "session.update": formats,
  "session.updated": formats,
} as const;
/** Names from the protocol's beta, which other services still send. */
const BETA_NAMES: ReadonlyMap<string, string> = new Map([
  ["response.audio.delta", "response.output_audio.delta"],
  ["response.audio.done", "response.output_audio.done"],
  ["response.audio_transcript.delta", "response.output_audio_transcript.delta"],
]);
/** Events that cut the agent's voice: the client's own, and the service's detection of speech. */
const INTERRUPTS: ReadonlySet<string> = new Set([
  "output_audio_buffer.clear",
  "response.cancel",
  "input_audio_buffer.speech_started",
]);

/** Decodes an event of an agent. Accepts any input and never throws. */
export function decodeAgentEvent(message: string | Uint8Array): AgentEvent {
  if (typeof message !== "string") return invalid("is binary, but Realtime events are text");
  if (message.length > MAX_EVENT_CHARACTERS) return invalid(`is longer than ${MAX_EVENT_CHARACTERS} characters`);
  const json = parseJson(message);
  if (json === undefined) return invalid("is not a JSON object");
  const name = "type" in json ? json.type : undefined;
  if (typeof name !== "string") return invalid("has no type");
  const type = BETA_NAMES.get(name) ?? name;
  if (INTERRUPTS.has(type)) return interruptOf(json);
  if (!Object.hasOwn(SCHEMAS, type)) return { type: "other" };
  const schema = SCHEMAS[type as keyof typeof SCHEMAS];
  const parsed = schema.safeParse(json);
  if (parsed.success) return eventOf(type, json);
  const path = parsed.error.issues[0]?.path.join(".");
  return invalid(`of the type ${type} has no valid ${path}: it ${requirementOf(parsed.error)}`);
}

function interruptOf(json: object): AgentEvent {
  const named = cancel.safeParse(json);
  return named.success ? { type: "cancel", responseId: named.data.response_id } : { type: "interrupt" };
}

function eventOf(type: string, json: object): AgentEvent {
  if (type === "response.done") return { type: "done", responseId: response.parse(json).response.id };
  if (type === "response.created") {
    const { id: responseId, audio } = began.parse(json).response;
    return { type: "began", responseId, format: audio?.output?.format };
  }
  if (type === "session.update" || type === "session.updated") {
    const { audio, input_audio_format: input, output_audio_format: output } = formats.parse(json).session;
    return { type: "formats", input: audio?.input?.format ?? input, output: audio?.output?.format ?? output };
  }
  if (type === "response.output_audio.done") return { type: "end", place: placeOf(SCHEMAS[type].parse(json)) };
  if (type === "response.output_audio_transcript.delta") {
    const { delta: text, words, ...rest } = SCHEMAS[type].parse(json);
    return { type: "text", place: placeOf(rest), text, words: (words ?? []).map(timingOf) };
  }
  const { delta: payload, ...rest } = delta.parse(json);
  const audio = decodeBase64(payload);
  if (audio === undefined) return invalid(`of the type ${type} has a delta that is not base64`);
  return { type: "audio", place: placeOf(rest), audio };
}

function placeOf(event: { response_id: string; item_id: string; content_index: number }): PartPlace {
  return { responseId: event.response_id, itemId: event.item_id, contentIndex: event.content_index };
}

function timingOf({ text, startMs, endMs, durationMs }: z.output<typeof word>): WordTiming {
  return { text, startMs, ...(endMs != null && { endMs }), ...(durationMs != null && { durationMs }) };
}

function parseJson(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

function invalid(what: string): AgentEvent {
  return { type: "invalid", reason: `An event of the agent ${what}.` };
}
