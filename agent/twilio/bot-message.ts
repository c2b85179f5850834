import { z } from "zod";
import { requirementOf } from "../../base/index.js";
import { decodeBase64 } from "../base64.js";

/** A message of a bot for Twilio's Media Streams, as the call needs it. */
export type BotMessage =
  /** Mu-law audio at 8 kHz, of any length. */
  | { readonly event: "media"; readonly audio: Uint8Array }
  /** To be returned when the audio before it was heard. */
  | { readonly event: "mark"; readonly name: string }
  /** Take back all audio that was not heard. */
  | { readonly event: "clear" }
  /** An event unknown to Media Streams: ignored, as telephone companies do. */
  | { readonly event: "unknown" }
  /** An unusable message, and why; reasons of one `kind` differ in names alone. */
  | { readonly event: "invalid"; readonly reason: string; readonly kind: string };

/** Maximum size of a message, in bytes; it holds ten minutes of audio. */
export const MAX_MESSAGE_BYTES = 8 * 1024 * 1024;
/** Longest name of a mark, in characters. */
export const MAX_MARK_NAME = 1024;

const streamSid = z.string().nullish();

const messageSchema = z.discriminatedUnion("event", [
  z.object({ event: z.literal("media"), streamSid, media: z.object({ payload: z.string() }) }),
  z.object({ event: z.literal("mark"), streamSid, mark: z.object({ name: z.string().min(1).max(MAX_MARK_NAME) }) }),
  z.object({ event: z.literal("clear"), streamSid }),
]);
const eventSchema = z.object({ event: z.string() });
const KNOWN: ReadonlySet<string> = new Set(["media", "mark", "clear"]);

/** Decodes a message of a bot for the stream `sid`. Accepts any input and never throws. */
export function decodeBotMessage(message: string | Uint8Array, sid: string): BotMessage {
  if (typeof message !== "string") return invalid("is binary, but Media Streams are text");
  if (message.length > MAX_MESSAGE_BYTES) return invalid(`is longer than ${MAX_MESSAGE_BYTES} bytes`);
  const json = parseJson(message);
  if (json === undefined) return invalid("is not a JSON object");
  const known = eventSchema.safeParse(json);
  if (!known.success) return invalid("has no event");
  const { event } = known.data;
  if (!KNOWN.has(event)) return { event: "unknown" };
  const parsed = messageSchema.safeParse(json);
  if (!parsed.success) {
    const path = parsed.error.issues[0]?.path.join(".");
    return invalid(`of the event ${event} has no valid ${path}: it ${requirementOf(parsed.error)}`);
  }
  const { data } = parsed;
  // Some bots omit the stream; one that names another stream means another call.
  if (data.streamSid != null && data.streamSid !== sid)
    return invalid(`of the event ${event} names the stream ${shorten(data.streamSid)} instead of ${sid}`, "stream");
  if (data.event === "media") return decodeMedia(data.media.payload);
  return data.event === "mark" ? { event: "mark", name: data.mark.name } : { event: "clear" };
}

function decodeMedia(payload: string): BotMessage {
  const audio = decodeBase64(payload);
  if (audio === undefined) return invalid("of the event media has a payload that is not base64");
  const header = String.fromCharCode(...audio.subarray(0, 4));
  if (header === "RIFF" || header === "OggS" || header.startsWith("ID3"))
    return invalid("of the event media holds an audio file, but its payload is mu-law without a header");
  return { event: "media", audio };
}

// Only objects: JSON's other values are not messages.
function parseJson(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

function invalid(what: string, kind = what): BotMessage {
  return { event: "invalid", reason: `A message of the bot ${what}.`, kind };
}

function shorten(text: string): string {
  return text.length > 40 ? `${text.slice(0, 40)}...` : text;
}
