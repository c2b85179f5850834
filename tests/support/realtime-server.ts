import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { type WebSocket, WebSocketServer } from "ws";

/** An event of the Realtime protocol, either way. */
export interface RealtimeEvent {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** One part of a scripted answer. */
export interface ScriptedAnswer {
  readonly response: string;
  readonly item: string;
  readonly contentIndex?: number;
  readonly audio: Uint8Array;
  /** Bytes of one delta. */
  readonly deltaBytes: number;
  readonly transcript?: string;
  /** Whether the response goes on with another part. */
  readonly more?: boolean;
}

/** A local server that speaks OpenAI's Realtime protocol by a script, and remembers what clients said. */
export class RealtimeServer {
  readonly received: RealtimeEvent[] = [];
  /** Whether it answers updates of the session, as a service far away does later. */
  answersUpdates = true;
  readonly #server: WebSocketServer;
  #client: WebSocket | undefined;
  readonly #begun = new Set<string>();

  private constructor(server: WebSocketServer) {
    this.#server = server;
    server.on("connection", (client) => {
      this.#client = client;
      client.on("message", (data) => this.#receive(JSON.parse(String(data)) as RealtimeEvent));
      this.send({ type: "session.created", event_id: "e0", session: { type: "realtime" } });
    });
  }

  static async listen(): Promise<RealtimeServer> {
    const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
    await once(server, "listening");
    return new RealtimeServer(server);
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Events of a type that clients sent, in order. */
  all(type: string): readonly RealtimeEvent[] {
    return this.received.filter((event) => event.type === type);
  }

  send(event: RealtimeEvent): void {
    this.#client?.send(JSON.stringify({ event_id: "event", ...event }));
  }

  /** Sends a whole answer at once, as the service does when it is faster than speech. */
  answer(answer: ScriptedAnswer): void {
    const { response, item, contentIndex = 0, audio, deltaBytes, transcript, more = false } = answer;
    const place = { response_id: response, item_id: item, output_index: 0, content_index: contentIndex };
    const message = { id: item, type: "message", role: "assistant", content: [] };
    if (!this.#begun.has(response)) {
      this.#begun.add(response);
      this.send({ type: "response.created", response: { id: response, status: "in_progress", output: [] } });
    }
    if (contentIndex === 0)
      this.send({
        type: "response.output_item.added",
        response_id: response,
        output_index: 0,
        item: { ...message, status: "in_progress" },
      });
    const part = { type: "audio", transcript: "" };
    this.send({ type: "response.content_part.added", ...place, part });
    for (let at = 0; at < audio.length; at += deltaBytes) this.delta(answer, audio.subarray(at, at + deltaBytes));
    if (transcript !== undefined) {
      this.send({ type: "response.output_audio_transcript.delta", ...place, delta: transcript });
      this.send({ type: "response.output_audio_transcript.done", ...place, transcript });
    }
    this.send({ type: "response.output_audio.done", ...place });
    if (more) return;
    this.send({
      type: "response.output_item.done",
      response_id: response,
      output_index: 0,
      item: { ...message, status: "completed", content: [{ type: "output_audio", transcript: transcript ?? "" }] },
    });
    this.done(response, "completed");
  }

  delta({ response, item, contentIndex = 0 }: ScriptedAnswer, audio: Uint8Array): void {
    this.send({
      type: "response.output_audio.delta",
      response_id: response,
      item_id: item,
      output_index: 0,
      content_index: contentIndex,
      delta: Buffer.from(audio).toString("base64"),
    });
  }

  done(response: string, status: "completed" | "cancelled"): void {
    this.send({ type: "response.done", response: { id: response, status, output: [], usage: {} } });
  }

  /** The service's own detection of the user's speech. */
  speechStarted(): void {
    this.send({ type: "input_audio_buffer.speech_started", audio_start_ms: 0, item_id: "user" });
  }

  close(): void {
    for (const client of this.#server.clients) client.terminate();
    this.#server.close();
  }

  #receive(event: RealtimeEvent): void {
    this.received.push(event);
    if (event.type === "session.update" && this.answersUpdates)
      this.send({ type: "session.updated", session: event.session });
    if (event.type === "conversation.item.truncate")
      this.send({ ...event, type: "conversation.item.truncated", event_id: "truncated" });
  }
}
