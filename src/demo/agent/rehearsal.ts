import { setTimeout as sleep } from "node:timers/promises";
import type { Caller, Conversation } from "../../../agent/index.js";
import {
  type AudioSource,
  Publisher,
  type Speech,
  type SpeechPiece,
  type SpeechResult,
} from "../../../publisher/index.js";
import { Listener, type PlayedRun, SAMPLE_RATE } from "../../../watch/index.js";
import type { ScriptedAgent } from "./scripted-agent.js";

/** Result of a recorded call. */
export interface AgentVerdict {
  /** Whether the caller's speech interrupted the agent. */
  readonly interrupted: boolean;
  /** From the caller's speech, when it reached the agent, to the agent's last sample at the caller's speaker. */
  readonly silenceMs: number | null;
  /** How far the agent was heard, by its own knowledge. */
  readonly heardMs: number | null;
  /** How far the caller's speaker played it. */
  readonly speakerMs: number | null;
  readonly heardText: string | null;
  /** Whether the text follows word timings and the listener's report. */
  readonly exact: boolean;
  /** Milliseconds of stale audio played. */
  readonly staleMs: number;
  /** Whether the agent was heard again after the caller had spoken. */
  readonly answered: boolean;
  /** Whether everything is as required, with `heardMs` within 100 ms of the speaker. */
  readonly ok: boolean;
}

/** Input of a rehearsal. */
export interface Rehearsal {
  readonly source: AudioSource;
  readonly signal: AbortSignal;
  readonly url: string;
  readonly broadcasts: { readonly agent: string; readonly caller: string };
  readonly agent: ScriptedAgent;
  readonly caller: Caller;
  readonly conversation: Conversation;
  readonly publisher: Publisher;
}

/** How long the agent must have been heard before the caller speaks. */
const SPEAK_AT_MS = 1500;
/** Allowed difference between the agent's knowledge and the speaker. */
const WITHIN_MS = 100;
/** Bounds a fault, not a busy machine. */
const LIMIT_MS = 30_000;
/** After the caller's last word its speech is still in flight to the agent, and the report of it back. */
const SETTLE_MS = 3000;
const POLL_MS = 20;

const NO_CUT: AgentVerdict = {
  interrupted: false,
  silenceMs: null,
  heardMs: null,
  speakerMs: null,
  heardText: null,
  exact: false,
  staleMs: 0,
  answered: false,
  ok: false,
};

interface Cut {
  /** When the caller's speech reached the agent, in milliseconds of `performance.now()`. */
  readonly spokeAt: number;
  readonly result: SpeechResult;
  readonly pieces: readonly SpeechPiece[];
  /** The first epoch behind what was cut. */
  readonly epoch: number;
}

/** Speaks a recording to the agent as its caller, and judges by the output of the caller's speaker. */
export async function rehearse(rehearsal: Rehearsal): Promise<AgentVerdict> {
  const { url, broadcasts, agent, source, signal } = rehearsal;
  const listener = new Listener({ url, broadcast: broadcasts.agent });
  const voice = new Publisher({ url, broadcast: broadcasts.caller });
  try {
    const cut = watchCut(rehearsal);
    await until(() => agent.speech?.measured === true && agent.speech.heardMs > SPEAK_AT_MS, signal, LIMIT_MS);
    await until(() => cut().begun, signal, LIMIT_MS, saidOrSilent(voice.say(source)));
    if (!cut().begun) return NO_CUT;
    await until(() => cut().complete !== undefined, signal, SETTLE_MS);
    const { complete } = cut();
    if (complete === undefined) return NO_CUT;
    const answer = () => listener.record.some((run) => isAnswer(run, complete.epoch));
    await until(answer, signal, LIMIT_MS);
    return judge(complete, listener, answer());
  } finally {
    await voice.close();
    await listener.close();
  }
}

/** Resolves once a speech ended, or where its source delivers nothing, such as a pipe without a writer. */
async function saidOrSilent(speech: Speech): Promise<unknown> {
  const first = await Promise.race([speech.done, sleep(SETTLE_MS, undefined, { ref: false })]);
  return first ?? (speech.pieces.length === 0 ? undefined : speech.done);
}

/** Records how the first speech is cut. */
function watchCut({ caller, conversation, publisher }: Rehearsal): () => { begun: boolean; complete: Cut | undefined } {
  let spokeAt = 0;
  let pieces: readonly SpeechPiece[] | undefined;
  let complete: Cut | undefined;
  let sent: readonly SpeechPiece[] = [];
  // Before the conversation hears of it, and takes back what was sent.
  caller.prependListener("speech", ({ startedAt }) => {
    spokeAt = startedAt;
    sent = conversation.speeches[0]?.pieces ?? [];
  });
  conversation.once("bargein", () => {
    pieces = sent;
    const begun = spokeAt;
    conversation.once("interrupted", ([result]) => {
      if (result) complete = { spokeAt: begun, result, pieces: pieces ?? [], epoch: publisher.stats().epoch };
    });
  });
  return () => ({ begun: pieces !== undefined, complete });
}

/** Waits for a condition as long as it can come true: until the limit after `end`, or the abort. */
async function until(condition: () => boolean, signal: AbortSignal, limitMs: number, end?: Promise<unknown>) {
  let deadline = end ? Number.POSITIVE_INFINITY : performance.now() + limitMs;
  void end?.then(() => {
    deadline = performance.now() + SETTLE_MS;
  });
  while (!condition() && !signal.aborted && performance.now() < deadline) await sleep(POLL_MS);
}

// A rewind sends a frame of silence; longer audio is speech.
function isAnswer({ epoch, frames }: Readonly<PlayedRun>, since: number): boolean {
  return epoch !== undefined && epoch >= since && frames > 4800;
}

function judge({ spokeAt, result, pieces, epoch }: Cut, listener: Listener, answered: boolean): AgentVerdict {
  const last = listener.record.findLast((run) => run.epoch !== undefined && run.epoch < epoch);
  const speakerMs = last && placeOf(last, pieces);
  const { heardMs, heardText, exact, measured } = result;
  const { staleMs } = listener.stats();
  const isRight = speakerMs !== undefined && Math.abs(speakerMs - heardMs) <= WITHIN_MS;
  return {
    interrupted: true,
    silenceMs: last ? Math.round(last.lastPulledAt / 1e3 - spokeAt) : null,
    heardMs: Math.round(heardMs),
    speakerMs: speakerMs === undefined ? null : Math.round(speakerMs),
    heardText,
    exact: exact && measured,
    staleMs,
    answered,
    ok: isRight && exact && measured && staleMs === 0 && answered,
  };
}

/** Position of a run's last sample in its speech, in milliseconds. */
function placeOf({ timestamp, frames }: Readonly<PlayedRun>, pieces: readonly SpeechPiece[]): number | undefined {
  const end = timestamp! + (frames * 1e6) / SAMPLE_RATE;
  const piece = pieces.findLast((each) => each.timestamp < end);
  return piece && piece.fromMs + (end - piece.timestamp) / 1e3;
}
