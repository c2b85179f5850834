import type { PushFormat } from "../../publisher/index.js";

/** Format of audio in Realtime events. */
export interface RealtimeFormat {
  readonly format: Extract<PushFormat, "s16le" | "mulaw" | "alaw">;
  readonly sampleRate: number;
  readonly bytesPerMs: number;
  /** The byte that silence consists of. */
  readonly silence: number;
}

const PCM_RATE = 24_000;

/** The format of a session that names none: PCM at 24 kHz. */
export const DEFAULT_FORMAT: RealtimeFormat = pcm(PCM_RATE);

/** The formats that {@link realtimeFormat} knows, for messages. */
export const FORMATS = "audio/pcm at a rate from 8,000 to 48,000, audio/pcmu or audio/pcma";

/**
 * The format that a session's configuration names: `{ type: "audio/pcm", rate }` or an older name. Undefined for one
 * that is unknown: audio in it would be noise.
 */
export function realtimeFormat(format: unknown): RealtimeFormat | undefined {
  const { type, rate } =
    typeof format === "object" && format !== null ? named(format) : { type: format, rate: undefined };
  if (type === "audio/pcmu" || type === "g711_ulaw")
    return { format: "mulaw", sampleRate: 8000, bytesPerMs: 8, silence: 0xff };
  if (type === "audio/pcma" || type === "g711_alaw")
    return { format: "alaw", sampleRate: 8000, bytesPerMs: 8, silence: 0xd5 };
  const isPcm = type === "audio/pcm" || type === "pcm16";
  const hertz = rate ?? PCM_RATE;
  return isPcm && typeof hertz === "number" && hertz >= 8000 && hertz <= 48_000 ? pcm(hertz) : undefined;
}

function pcm(sampleRate: number): RealtimeFormat {
  return { format: "s16le", sampleRate, bytesPerMs: (sampleRate * 2) / 1000, silence: 0 };
}

function named(format: object): { readonly type: unknown; readonly rate: unknown } {
  return { type: "type" in format ? format.type : undefined, rate: "rate" in format ? format.rate : undefined };
}
