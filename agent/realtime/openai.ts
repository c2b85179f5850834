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
    });
    this.on("response.output_audio.delta", (event) => {
      this.#place = placeOf(event);
    });
    this.on("response.output_audio.done", (event) => this.#playback.end(placeOf(event)));
    this.on("response.output_audio_transcript.delta", (event) => this.#playback.text(placeOf(event), event.delta));
    this.on("session.updated", ({ session }) => this.#setFormats(session.audio));
    this.on("connection_change", (status) => {
      if (status === "connected" && this.#caller) background("agent.openai", this.#hear(this.#caller));
    });
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
    this.#ear?.stop();
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

  async #hear(caller: Caller): Promise<void> {
    this.#ear = new CallerAudio(caller, { frameMs: 40 });
    for await (const bytes of this.#ear.frames()) this.sendAudio(bytes.slice().buffer);
  }

  #setFormats(audio: { readonly input?: unknown; readonly output?: unknown } | undefined): void {
    const [input, output] = [formatOf(audio?.input), formatOf(audio?.output)];
    if (input != null) this.#ear?.setFormat(realtimeFormat(input));
    if (output != null) this.#playback.setFormat(realtimeFormat(output));
  }
}

function formatOf(side: unknown): unknown {
  return typeof side === "object" && side !== null && "format" in side ? side.format : undefined;
}

function placeOf(event: { response_id: string; item_id: string; content_index: number }): PartPlace {
  return { responseId: event.response_id, itemId: event.item_id, contentIndex: event.content_index };
}
