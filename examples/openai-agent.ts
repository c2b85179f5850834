// An OpenAI Realtime agent whose voice goes out by unsay: an interrupt truncates its item where the listener fell silent.
// Needs @openai/agents-realtime 0.20. A local server stands for the service: leave `url` out and give your key instead.
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { RealtimeAgent, RealtimeSession } from "@openai/agents-realtime";
import { Listener, Publisher } from "unsay";
import { RealtimeTransport } from "unsay/openai";
import { Relay } from "unsay/relay";
import { WebSocketServer } from "ws";

const service = new WebSocketServer({ host: "127.0.0.1", port: 0 });
await once(service, "listening");
let truncate: (ms: number) => void;
const truncated = new Promise<number>((resolve) => {
  truncate = resolve;
});
service.on("connection", async (socket) => {
  const send = (event: object) => socket.send(JSON.stringify({ event_id: "e", ...event }));
  socket.on("message", (data) => {
    const event = JSON.parse(String(data));
    if (event.type === "session.update") send({ type: "session.updated", session: event.session });
    if (event.type === "conversation.item.truncate") truncate(event.audio_end_ms);
  });
  send({ type: "session.created", session: { type: "realtime" } });
  // Ten seconds of speech at once, as the service does: it is faster than speech.
  const wav = await readFile(new URL("audio/clean-speech.wav", import.meta.url));
  const place = { response_id: "r1", item_id: "i1", output_index: 0, content_index: 0 };
  send({ type: "response.created", response: { id: "r1", status: "in_progress", output: [] } });
  // The recording has 16 kHz, the service 24.
  const recorded = new Int16Array(wav.buffer.slice(wav.byteOffset + 44, wav.byteOffset + wav.length));
  const samples = Int16Array.from({ length: recorded.length * 1.5 }, (_, i) => recorded[Math.floor(i / 1.5)]!);
  send({ type: "response.output_audio.delta", ...place, delta: Buffer.from(samples.buffer).toString("base64") });
});

const relay = new Relay({ port: 0 });
const url = `http://127.0.0.1:${(await relay.listen()).port}`;
const listener = new Listener({ url, broadcast: "agent" });
const publisher = new Publisher({ url, broadcast: "agent" });
const transport = new RealtimeTransport({
  publisher,
  url: `ws://127.0.0.1:${(service.address() as AddressInfo).port}`,
});
const session = new RealtimeSession(new RealtimeAgent({ name: "agent", instructions: "Talk." }), {
  transport,
  tracingDisabled: true,
});
session.on("error", () => {});
await session.connect({ apiKey: "none" });

while (listener.stats().playedMs < 1500) await new Promise((resolve) => setTimeout(resolve, 50));
session.interrupt();
console.log(
  `Truncated after ${await truncated} ms of 10 s; the listener played ${Math.round(listener.stats().playedMs)} ms.`,
);
session.close();
for (const part of [listener, publisher, relay, service]) await part.close();
process.exit();
