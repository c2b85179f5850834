/** The header in which the page sends the token that the server wrote into it. */
export const CONTROL_HEADER = "x-unsay-control";

/** A stretch of the recording on the broadcast's timeline. */
export interface SpokenPiece {
  /** Number of the speech that it is a part of. */
  readonly speech: number;
  /** Media time of its first sample, in microseconds. */
  readonly timestamp: number;
  /** Position of that sample in the recording. */
  readonly fromMs: number;
  readonly lengthMs: number;
}

/** How far an interrupted speech was heard, in milliseconds and words of the recording. */
export interface HeardReply {
  readonly speech: number;
  readonly ms: number;
  readonly text: string;
}

/** State of the current speech. */
export interface SpokenStats {
  /** Whether it is silent because of an interrupt, until it is resumed. */
  readonly isInterrupted: boolean;
  readonly pieces: readonly SpokenPiece[];
  /** While interrupted, once known: how far it was heard. */
  readonly heard?: HeardReply | undefined;
}

/** The link that can be made bad, as it is now. */
export interface PageLink {
  /** Its port at 127.0.0.1. */
  readonly port: number;
  readonly delayMs: number;
  readonly jitterMs: number;
  /** Share of the packets that are lost. */
  readonly loss: number;
  /** 0 means no limit. */
  readonly rateKbps: number;
}

/** Live numbers of the server, the parts of `GET /stats` that the page reads; a server may answer with more. */
export interface PageStats {
  /** The current knobs, so that a page that joins shows them. */
  readonly denoise?:
    | { readonly strength: number; readonly attenuationLimitDb?: number | undefined; readonly bypass: boolean }
    | undefined;
  /** Listeners of the broadcast now. */
  readonly listeners?: number | undefined;
  /** Media time up to which audio was sent, in microseconds. */
  readonly frontierUs?: number | undefined;
  readonly spoken?: SpokenStats | undefined;
  readonly link?: PageLink | undefined;
  /** The caller of an agent: the broadcast on which the page's microphone is expected, and whether a voice is on it. */
  readonly caller?: { readonly broadcast: string; readonly isSpeaking: boolean } | undefined;
}

/** The answer to `GET /recording`: its words and levels. */
export interface PageRecording {
  readonly text: string;
  readonly words: readonly { readonly text: string; readonly startMs: number; readonly endMs: number }[];
  /** Root mean square of every `levelMs`, 0 to 1. */
  readonly levels: readonly number[];
  readonly levelMs: number;
}

/** The parts of the answer to `interrupt` that the page shows; a server may answer with more. */
export interface InterruptReply {
  /** How far listeners really heard the old timeline, as media time in microseconds. */
  readonly heardUntil?: number | undefined;
  /** How far the speech that was interrupted was heard. */
  readonly heard?: HeardReply | undefined;
}

type Check = (value: unknown) => boolean;

const number: Check = (value) => typeof value === "number";
const text: Check = (value) => typeof value === "string";
const flag: Check = (value) => typeof value === "boolean";
const optional =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value);
const list =
  (check: Check): Check =>
  (value) =>
    Array.isArray(value) && value.every(check);

/** An object with these fields, and perhaps others. */
function object<T>(checks: { readonly [Name in keyof Required<T>]: Check }): Check {
  return (value) => {
    if (typeof value !== "object" || value === null) return false;
    const fields = { ...value } as Readonly<Record<string, unknown>>;
    return Object.entries<Check>(checks).every(([name, check]) => check(fields[name]));
  };
}

const piece = object<SpokenPiece>({ speech: number, timestamp: number, fromMs: number, lengthMs: number });
const heard = optional(object<HeardReply>({ speech: number, ms: number, text }));
const stats = object<PageStats>({
  denoise: optional(
    object<NonNullable<PageStats["denoise"]>>({ strength: number, attenuationLimitDb: optional(number), bypass: flag }),
  ),
  listeners: optional(number),
  frontierUs: optional(number),
  spoken: optional(object<SpokenStats>({ isInterrupted: flag, pieces: list(piece), heard })),
  link: optional(object<PageLink>({ port: number, delayMs: number, jitterMs: number, loss: number, rateKbps: number })),
  caller: optional(object<NonNullable<PageStats["caller"]>>({ broadcast: text, isSpeaking: flag })),
});
const recording = object<PageRecording>({
  text,
  words: list(object<PageRecording["words"][number]>({ text, startMs: number, endMs: number })),
  levels: list(number),
  levelMs: number,
});
const interrupted = object<InterruptReply>({ heardUntil: optional(number), heard });

/** Reads an answer to `GET /stats`; undefined when it is malformed. */
export function readStats(answer: unknown): PageStats | undefined {
  return stats(answer) ? (answer as PageStats) : undefined;
}

/** Reads an answer to `GET /recording`; undefined when it is malformed. */
export function readRecording(answer: unknown): PageRecording | undefined {
  return recording(answer) ? (answer as PageRecording) : undefined;
}

/** Reads an answer to `interrupt`; undefined when it is malformed. */
export function readInterrupt(answer: unknown): InterruptReply | undefined {
  return interrupted(answer) ? (answer as InterruptReply) : undefined;
}
