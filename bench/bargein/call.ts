import { once } from "node:events";
import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { type WebSocket, WebSocketServer } from "ws";
import { Caller, Conversation } from "../../agent/index.js";
import { openAudio, Publisher, type Speech, type SpeechPiece } from "../../publisher/index.js";
import type { Link } from "../../tests/support/impairment.js";
import type { RelayDoor } from "../silence/relays.js";
import { shared, sharedClock } from "../support/clock.js";
import type { Remote } from "../support/remote.js";
import type { CallerCalls, CallerHeard } from "./far-end.js";
import { VOICES } from "./voices.js";
import type { Reply, Utterance } from "./words.js";

/** The agent's answers are sent whole; the publisher sends them as far ahead as this, in milliseconds. */
const AHEAD_MS = 8000;
/** How far the caller lets the agent speak, in milliseconds. */
const SPEAKS = { fromMs: 700, overMs: 2500 };
const LIMIT_MS = 30_000;
const POLL_MS = 10;
/** After the rewind stale sound is looked for, and the slower of both players falls silent. */
const WATCH_MS = 350;
/** Between two answers the caller is silent again. */
const REST_MS = 700;

/** Result of one barge-in; times in milliseconds. */
export interface BargeIn {
  /** From the first sample of the caller's voice to the agent's decision. */
  readonly detectionMs: number;
  /** Of that, from the first sample to its arrival at the agent: encoder, link, jitter buffer. */
  readonly wayUpMs: number;
  /** From the decision to the rewind at the caller's player. */
  readonly signallingMs: number;
  /** From the rewind to the last sample of the agent at the caller's speaker. */
  readonly flushMs: number;
  /** From the decision to that sample. */
  readonly silenceMs: number;
  /** Of the speech that was cut, as the agent knows it and as the speaker played it. */
  readonly heardMs: number;
  readonly speakerMs: number;
  readonly heardText: string;
  readonly measured: boolean;
  readonly isTimed: boolean;
  readonly staleMs: number;
  /** The same answer sent over a WebSocket, cleared by a message at the same decision. */
  readonly control: { readonly silenceMs: number; readonly clockMs: number; readonly speakerMs: number };
}

/** How long an agent's process stands still around a cut, and how long it runs in between, in milliseconds. */
const STALL_MS = { least: 50, most: 400, between: 100 };

/** Up to where a speech was heard, as the agent knows it and as the speaker played it, in milliseconds. */
export interface Cut {
  readonly heardMs: number;
  readonly speakerMs: number;
}

/** Options of {@link Call}. */
export interface CallOptions {
  readonly relay: RelayDoor;
  readonly farEnd: Remote<CallerCalls>;
  readonly link: Link;
  readonly seed: number;
  readonly random: () => number;
  readonly reply: Reply;
  readonly model: string;
}

interface Decision {
  readonly at: number;
  /** Arrival of the first sample that counted as voice. */
  readonly arrivedAt: number;
  readonly pieces: readonly SpeechPiece[];
}

/** An agent in this process and a caller in another: the agent answers twice at once, by unsay and by a WebSocket. */
export class Call {
  readonly #options: CallOptions;
  readonly #publisher: Publisher;
  readonly #caller: Caller;
  readonly #conversation: Conversation;
  readonly #server: WebSocketServer;
  readonly #pcm: Buffer;
  #socket: WebSocket | undefined;
  #decision: Decision | undefined;
  #arrivedAt = 0;

  private constructor(options: CallOptions, server: WebSocketServer) {
    const { relay, model, reply } = options;
    this.#options = options;
    this.#server = server;
    const url = `https://127.0.0.1:${relay.port}`;
    const connect = {
      backends: ["quic"] as const,
      certificateHashes: [Buffer.from(relay.certificateHash, "hex")],
    };
    this.#publisher = new Publisher({ url, broadcast: "agent", aheadMs: AHEAD_MS, opus: { complexity: 0 }, connect });
    this.#caller = new Caller({ url, broadcast: "caller", agent: this.#publisher, model, minSilenceMs: 200, connect });
    this.#caller.on("speech", ({ startedAt }) => {
      this.#arrivedAt = shared(startedAt * 1000);
      // Before the conversation hears of it, and takes back what was sent.
      const [speech] = this.#conversation.speeches;
      if (speech !== undefined) this.#decide(speech);
    });
    this.#conversation = new Conversation({ caller: this.#caller, publisher: this.#publisher });
    this.#pcm = pcmOf(reply.samples);
  }

  /** Connects both; the microphone is open when it resolves. */
  static async open(options: CallOptions): Promise<Call> {
    const { relay, farEnd, link, seed } = options;
    const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false });
    await once(server, "listening");
    const call = new Call(options, server);
    server.on("connection", (socket) => {
      call.#socket = socket;
    });
    const { port } = server.address() as { port: number };
    await farEnd.open({ ...relay, agent: "agent", caller: "caller", socketPort: port, link, seed });
    await until("the WebSocket is open", () => call.#socket !== undefined);
    return call;
  }

  /** Has the agent answer and the caller speak over it. Undefined when the caller was not heard, or spoke into silence. */
  async bargeIn(word: Utterance, isTimed: boolean): Promise<BargeIn | undefined> {
    const { farEnd, random } = this.#options;
    const { speech, sentAt } = this.#answer(isTimed);
    const afterMs = SPEAKS.fromMs + random() * SPEAKS.overMs;
    await until("the agent is heard", () => speech.measured && speech.heardMs > afterMs);
    await farEnd.arm();
    this.#decision = undefined;
    const spokeAt = await farEnd.speak(word);
    await until("the caller is heard", () => this.#decision !== undefined, 3000).catch(() => {});
    const decision = this.#decision as Decision | undefined;
    const result = await speech.interrupt();
    const { epoch } = this.#publisher.stats();
    this.#socket?.send("clear");
    await sleep(WATCH_MS);
    const heard = decision && (await this.#heard(decision, epoch));
    await until("the caller is silent", () => !this.#caller.speaking);
    await sleep(REST_MS);
    if (decision === undefined || heard?.silentAt === undefined) return undefined;
    const ms = (from: number, to: number) => (to - from) / 1000;
    // The event comes after the last sample where nothing was left to play.
    const rewoundAt = Math.min(heard.rewoundAt, heard.silentAt);
    return {
      detectionMs: ms(spokeAt, decision.at),
      wayUpMs: ms(spokeAt, decision.arrivedAt),
      signallingMs: ms(decision.at, rewoundAt),
      flushMs: ms(rewoundAt, heard.silentAt),
      silenceMs: ms(decision.at, heard.silentAt),
      heardMs: result.heardMs,
      speakerMs: placeOf(heard.heardUntil, decision.pieces),
      heardText: result.heardText,
      measured: result.measured,
      isTimed,
      staleMs: heard.staleMs,
      control: {
        silenceMs: ms(decision.at, heard.control.silentAt ?? Number.NaN),
        clockMs: ms(sentAt, decision.at),
        speakerMs: heard.control.playedMs,
      },
    };
  }

  /** Has the agent answer by one of the {@link VOICES} and cuts it, while its process stalls again and again. */
  async cut(voice: string): Promise<Cut | undefined> {
    const { farEnd, random } = this.#options;
    let speech: Speech | undefined;
    const say: Publisher["say"] = (source, options) => {
      speech = this.#publisher.say(source, options);
      return speech;
    };
    const interrupt = VOICES[voice]!({ say }, this.#pcm);
    const afterMs = SPEAKS.fromMs + random() * SPEAKS.overMs;
    await until("the agent is heard", () => speech?.measured === true && speech.heardMs > afterMs);
    await farEnd.arm();
    const stalls = new AbortController();
    const stalled = stall(random, stalls.signal);
    await sleep(random() * STALL_MS.most);
    const decision = { at: sharedClock(), pieces: speech?.pieces ?? [] };
    const heardMs = await interrupt();
    stalls.abort();
    await stalled;
    const { epoch } = this.#publisher.stats();
    await sleep(WATCH_MS);
    const heard = await farEnd.outcome({ calledAt: decision.at, epoch });
    await sleep(REST_MS);
    return heard && { heardMs, speakerMs: placeOf(heard.heardUntil, decision.pieces) };
  }

  /** Share of the caller's audio that the model left out because this machine was too slow: no word is found in it. */
  get unheardShare(): number {
    const { bleedMs, heardMs } = this.#caller.stats();
    return bleedMs / Math.max(1, heardMs);
  }

  async close(): Promise<void> {
    this.#conversation.close();
    await this.#options.farEnd.close();
    await this.#caller.close();
    await this.#publisher.close();
    for (const client of this.#server.clients) client.terminate();
    this.#server.close();
  }

  #answer(isTimed: boolean): { readonly speech: Speech; readonly sentAt: number } {
    const { samples, text, words } = this.#options.reply;
    const audio = openAudio({ samples, sampleRate: 48_000 });
    const speech = this.#conversation.say(audio, isTimed ? { text, words } : { text });
    this.#socket?.send("answer");
    this.#socket?.send(this.#pcm);
    return { speech, sentAt: sharedClock() };
  }

  #decide(speech: Speech): void {
    this.#decision = { at: sharedClock(), arrivedAt: this.#arrivedAt, pieces: speech.pieces };
    this.#socket?.send("clear");
  }

  async #heard({ at }: Decision, epoch: number): Promise<CallerHeard | undefined> {
    const { farEnd } = this.#options;
    const deadline = performance.now() + LIMIT_MS;
    for (;;) {
      const heard = await farEnd.outcome({ calledAt: at, epoch });
      if (heard?.control.silentAt !== undefined) return heard;
      if (performance.now() > deadline) return heard;
      await sleep(POLL_MS);
    }
  }
}

async function stall(random: () => number, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const end = performance.now() + STALL_MS.least + random() * (STALL_MS.most - STALL_MS.least);
    while (performance.now() < end);
    await sleep(random() * STALL_MS.between);
  }
}

/** Where in its speech a media time lies, in milliseconds. */
function placeOf(time: number, pieces: readonly SpeechPiece[]): number {
  const piece = pieces.findLast((each) => each.timestamp < time) ?? pieces[0];
  return piece === undefined ? Number.NaN : piece.fromMs + (time - piece.timestamp) / 1000;
}

/** 16 bit at 24 kHz, as services send it. */
function pcmOf(samples: Float32Array): Buffer {
  const bytes = Buffer.alloc(samples.length);
  for (let i = 0; i + 1 < samples.length; i += 2)
    bytes.writeInt16LE(Math.round(((samples[i]! + samples[i + 1]!) / 2) * 32_767), i);
  return bytes;
}

async function until(what: string, condition: () => boolean, limitMs = LIMIT_MS): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`Still waiting after ${limitMs / 1000} s until ${what}.`);
    await sleep(POLL_MS);
  }
}
