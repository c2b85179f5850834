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
  OpenAIRealtimeWebSocket,
  type OpenAIRealtimeWebSocketOptions,
  type TransportLayerAudio,
} from "@openai/agents-realtime";
import { z } from "zod";
import { background, validate } from "../../base/index.js";
import type { Publisher } from "../../publisher/index.js";
import type { Caller } from "../caller/caller.js";
import { partSchemas } from "../options.js";
import { realtimeFormat } from "./audio-format.js";
import { CallerAudio } from "./caller-audio.js";
import { type PartPlace, RealtimePlayback } from "./realtime-playback.js";

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
export class RealtimeTransport extends OpenAIRealtimeWebSocket {
  readonly #playback: RealtimePlayback;
  readonly #caller: Caller | undefined;
  /** The caller's audio of the current connection. */
  #ear: CallerAudio | undefined;
  #place: PartPlace | undefined;
  #response: string | undefined;

  constructor({ publisher, caller, ...options }: RealtimeTransportOptions) {
    validate("RealtimeTransport", partsSchema, { publisher, caller });
    super(options);
    this.#playback = new RealtimePlayback(publisher);
    this.#caller = caller;
    this.on("response.created", ({ response }) => {
      this.#response = response.id;
      if (response.id != null) this.#playback.begin(response.id, response.audio?.output?.format);
    });
    this.on("response.done", ({ response }) => {
      if (this.#response === response.id) this.#response = undefined;
      if (response.id != null) this.#playback.complete(response.id);
    });
    this.on("response.output_audio.delta", (event) => {
      this.#place = placeOf(event);
    });
    this.on("response.output_audio.done", (event) => this.#playback.end(placeOf(event)));
    this.on("response.output_audio_transcript.delta", (event) => this.#playback.text(placeOf(event), event.delta));
    this.on("session.updated", ({ session }) => {
      const format = formatOf(session, "output");
      if (format != null) this.#playback.setFormat(realtimeFormat(format));
    });
    this.on("connection_change", () => this.#stopEar());
  }

  override sendEvent(event: Parameters<OpenAIRealtimeWebSocket["sendEvent"]>[0]): void {
    super.sendEvent(event);
    if (event.type === "session.update") this.#hear(event.session);
  }

  override interrupt(cancelOngoingResponse = true): void {
    const response = this.#response;
    if (response === undefined && !this.#playback.playing) return;
    if (cancelOngoingResponse && this.status === "connected") this._cancelResponse();
    this.#response = undefined;
    background("agent.openai", this.#truncate(response));
    this.emit("audio_interrupted");
    super._afterAudioDoneEvent();
  }

  override _interrupt(_elapsedMs: number, cancelOngoingResponse = true): void {
    this.interrupt(cancelOngoingResponse);
  }

  protected override _onAudio(event: TransportLayerAudio): void {
    const place = this.#place;
    if (place === undefined || !this.#playback.audio(place, new Uint8Array(event.data))) return;
    super._onAudio(event);
  }

  protected override _onClose(): void {
    this.#stopEar();
    this.#response = undefined;
    this.#playback.leave();
    super._onClose();
  }

  async #truncate(response: string | undefined): Promise<void> {
    for (const { itemId, contentIndex, audioEndMs } of await this.#playback.interrupt(response)) {
      if (this.status !== "connected") return;
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
    const format = formatOf(session, "input");
    if (format == null || this.#caller === undefined) return;
    const isFirst = this.#ear === undefined;
    this.#ear ??= new CallerAudio(this.#caller, { frameMs: 40 });
    this.#ear.setFormat(realtimeFormat(format));
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
