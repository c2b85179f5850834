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

/** The format that a session's configuration names: `{ type: "audio/pcm", rate }` or an older name; PCM at 24 kHz else. */
export function realtimeFormat(format: unknown): RealtimeFormat {
  const { type, rate } =
    typeof format === "object" && format !== null ? named(format) : { type: format, rate: undefined };
  if (type === "audio/pcmu" || type === "g711_ulaw")
    return { format: "mulaw", sampleRate: 8000, bytesPerMs: 8, silence: 0xff };
  if (type === "audio/pcma" || type === "g711_alaw")
    return { format: "alaw", sampleRate: 8000, bytesPerMs: 8, silence: 0xd5 };
  const sampleRate = typeof rate === "number" && rate >= 8000 && rate <= 48_000 ? rate : PCM_RATE;
  return { format: "s16le", sampleRate, bytesPerMs: (sampleRate * 2) / 1000, silence: 0 };
}

function named(format: object): { readonly type: unknown; readonly rate: unknown } {
  return { type: "type" in format ? format.type : undefined, rate: "rate" in format ? format.rate : undefined };
}
