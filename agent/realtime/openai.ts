/**
 * Transport of an OpenAI `RealtimeSession` (`@openai/agents-realtime` 0.20) whose voice goes out by unsay.
 *
 * ```ts
 * const session = new RealtimeSession(agent, { transport: new RealtimeTransport({ publisher, caller }) });
 * ```
 *
 * @module
 */
import {
  type OpenAIRealtimeBase,
  OpenAIRealtimeWebSocket,
  type OpenAIRealtimeWebSocketOptions,
  type RealtimeClientMessage,
  type RealtimeTransportLayerConnectOptions,
  type TransportLayerAudio,
} from "@openai/agents-realtime";
import { z } from "zod";
import { background, guard, InputError, StateError, validate } from "../../base/index.js";
import type { Publisher } from "../../publisher/index.js";
import type { Caller } from "../caller/caller.js";
import { partSchemas } from "../options.js";
import { DEFAULT_FORMAT, type RealtimeFormat, realtimeFormat } from "./audio-format.js";
import { CallerAudio } from "./caller-audio.js";
import type { PartPlace } from "./realtime-part.js";
import { RealtimePlayback } from "./realtime-playback.js";

type OwnNames = "mute" | "muted" | "sendEvent" | "interrupt" | "_interrupt";
/** The stock transport as its base declares it: its own types say that `mute` never returns and `muted` is null. */
interface StockTransport
  extends OpenAIRealtimeBase,
    Omit<OpenAIRealtimeWebSocket, OwnNames | keyof OpenAIRealtimeBase> {
  get status(): OpenAIRealtimeWebSocket["status"];
  connect(options: RealtimeTransportLayerConnectOptions): Promise<void>;
  close(): void;
  get muted(): boolean | null;
  mute(muted: boolean): void;
  sendEvent(event: RealtimeClientMessage): void;
  interrupt(cancelOngoingResponse?: boolean): void;
  _interrupt(elapsedMs: number, cancelOngoingResponse?: boolean): void;
}
const StockTransport: new (options?: OpenAIRealtimeWebSocketOptions) => StockTransport = OpenAIRealtimeWebSocket;

const partsSchema = z.strictObject({ publisher: partSchemas.publisher, caller: partSchemas.caller.optional() });

/** Options of {@link RealtimeTransport}. */
export interface RealtimeTransportOptions extends OpenAIRealtimeWebSocketOptions {
  /** Says the model's audio. The session does not close it. */
  readonly publisher: Pick<Publisher, "say">;
  /** The person whom the model hears; without one, use `session.sendAudio`. The session does not close it. */
  readonly caller?: Caller;
}

/**
 * Talks to the model like the stock WebSocket transport. Its voice is a broadcast: an interrupt takes back what the
 * listeners have not heard, and truncates each item at the milliseconds they did hear.
 */
export class RealtimeTransport extends StockTransport {
  readonly #playback: RealtimePlayback;
  readonly #caller: Caller | undefined;
  /** The caller's audio of the current connection. */
  #ear: CallerAudio | undefined;
  #inputFormat: RealtimeFormat = DEFAULT_FORMAT;
  #isMuted = false;
  #place: PartPlace | undefined;
  /** Codes of the publisher's refusals that this connection has reported. */
  readonly #refused = new Set<string>();
  /** Connections that are over. */
  #past = 0;

  constructor({ publisher, caller, ...options }: RealtimeTransportOptions) {
    validate("RealtimeTransport", partsSchema, { publisher, caller });
    super(options);
    this.#playback = new RealtimePlayback(publisher);
    this.#caller = caller;
    this.on("response.created", ({ response }) => {
      if (response.id != null) this.#playback.begin(response.id, realtimeFormat(response.audio?.output?.format));
    });
    this.on("response.done", ({ response }) => {
      if (response.id != null) this.#playback.complete(response.id);
    });
    this.on("response.output_audio.delta", (event) => {
      this.#place = placeOf(event);
    });
    this.on("response.output_audio.done", (event) => this.#playback.end(placeOf(event)));
    this.on("response.output_audio_transcript.delta", (event) => {
      this.#attempt(() => this.#playback.text(placeOf(event), event.delta));
    });
    this.on("session.updated", ({ session }) => {
      const format = realtimeFormat(formatOf(session, "output"));
      if (format !== undefined) this.#playback.setFormat(format);
    });
    this.on("connection_change", () => this.#stopEar());
  }

  /** Whether the model hears silence in place of the audio sent. */
  override get muted(): boolean {
    return this.#isMuted;
  }

  override mute(muted: boolean): void {
    this.#isMuted = muted;
  }

  /** A muted session sends silence, as a muted track does: the service still detects the end of what was said before. */
  override sendAudio(audio: ArrayBuffer, options: { commit?: boolean } = {}): void {
    const { silence } = this.#inputFormat;
    super.sendAudio(this.#isMuted ? new Uint8Array(audio.byteLength).fill(silence).buffer : audio, options);
  }

  override sendEvent(event: Parameters<OpenAIRealtimeWebSocket["sendEvent"]>[0]): void {
    super.sendEvent(event);
    if (event.type === "session.update") this.#hear(event.session);
  }

  override interrupt(cancelOngoingResponse = true): void {
    if (this.#playback.latest === undefined && !this.#playback.playing) return;
    if (cancelOngoingResponse && this.status === "connected") this._cancelResponse();
    background("agent.openai", this.#truncate());
    this.emit("audio_interrupted");
    super._afterAudioDoneEvent();
  }

  override _interrupt(_elapsedMs: number, cancelOngoingResponse = true): void {
    this.interrupt(cancelOngoingResponse);
  }

  protected _onAudio(event: TransportLayerAudio): void {
    const place = this.#place;
    if (place === undefined) return;
    if (this.#attempt(() => this.#playback.audio(place, new Uint8Array(event.data)))) this.emit("audio", event);
  }

  protected override _onClose(): void {
    this.#stopEar();
    this.#past++;
    this.#refused.clear();
    this.#playback.leave();
    super._onClose();
  }

  /**
   * Says something of the model. What the publisher refuses, because it is closed or full, is an `error` of the
   * transport, each kind once: the socket calls this, and what it throws would end the process.
   */
  #attempt<T>(say: () => T): T | undefined {
    try {
      return say();
    } catch (error) {
      if (!(error instanceof StateError) && !(error instanceof InputError)) throw error;
      const isNew = !this.#refused.has(error.code);
      this.#refused.add(error.code);
      // Without a listener for `error`, emitting one throws.
      if (isNew) guard("agent.openai", () => this._onError(error))();
      return undefined;
    }
  }

  async #truncate(): Promise<void> {
    const past = this.#past;
    for (const { itemId, contentIndex, audioEndMs } of await this.#playback.interrupt()) {
      // Another connection is another conversation.
      if (this.status !== "connected" || past !== this.#past) return;
      this.sendEvent({
        type: "conversation.item.truncate",
        item_id: itemId,
        content_index: contentIndex,
        audio_end_ms: audioEndMs,
      });
    }
  }

  /**
   * Sends the caller's audio in the input format of an update just sent, and begins with the first: the model reads in
   * order, and what comes before the server's answer in another format would be noise to it.
   */
  #hear(session: unknown): void {
    const format = realtimeFormat(formatOf(session, "input"));
    if (format === undefined) return;
    this.#inputFormat = format;
    if (this.#caller === undefined) return;
    const isFirst = this.#ear === undefined;
    this.#ear ??= new CallerAudio(this.#caller, { frameMs: 40 });
    this.#ear.setFormat(this.#inputFormat);
    if (isFirst) background("agent.openai", this.#send(this.#ear));
  }

  async #send(ear: CallerAudio): Promise<void> {
    for await (const bytes of ear.frames()) this.sendAudio(new Uint8Array(bytes).buffer);
  }

  #stopEar(): void {
    this.#ear?.stop();
    this.#ear = undefined;
  }
}

function formatOf(session: unknown, side: "input" | "output"): unknown {
  return property(property(property(session, "audio"), side), "format");
}

function property(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
}

function placeOf(event: { response_id: string; item_id: string; content_index: number }): PartPlace {
  return { responseId: event.response_id, itemId: event.item_id, contentIndex: event.content_index };
}
