// An agent in any language: it speaks Realtime audio events to a local WebSocket, and learns which words were heard.
import { on } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { Listener, Publisher, RealtimeDoor } from "unsay";
import { Relay } from "unsay/relay";
import { WebSocket } from "ws";

// What `unsay agent --url ... --broadcast agent` runs.
const relay = new Relay({ port: 0 });
const url = `http://127.0.0.1:${(await relay.listen()).port}`;
const publisher = new Publisher({ url, broadcast: "agent" });
const listener = new Listener({ url, broadcast: "agent" });
const door = new RealtimeDoor({ publisher });
await door.listen();
// Words that no listener is there for are not heard.
while (listener.stats().state !== "ready") await sleep(20);

// Stands for your agent, in whatever language it is written.
const agent = new WebSocket(door.url);
const send = (event: object) => agent.send(JSON.stringify(event));
const place = { response_id: "r1", item_id: "i1", content_index: 0 };

/** A tone as PCM at 24 kHz. */
function tone(ms: number): string {
  return Buffer.from(Int16Array.from({ length: ms * 24 }, (_, i) => 8000 * Math.sin(i / 9)).buffer).toString("base64");
}

agent.on("open", () => {
  send({ type: "response.created", response: { id: "r1" } });
  for (const [index, text] of "This sentence is sent in a moment and heard in four seconds".split(" ").entries()) {
    const words = [{ text, startMs: index * 300, durationMs: 300 }];
    send({ type: "response.output_audio_transcript.delta", ...place, delta: `${text} `, words });
    send({ type: "response.output_audio.delta", ...place, delta: tone(300) });
  }
  send({ type: "response.output_audio.done", ...place });
  send({ type: "response.done", response: { id: "r1" } });
});
for await (const [data] of on(agent, "message")) {
  const event = JSON.parse(String(data));
  console.log(event.type);
  // The caller speaks up a second later.
  if (event.type === "output_audio_buffer.started") {
    while (listener.stats().playedMs < 1000) await sleep(20);
    send({ type: "output_audio_buffer.clear" });
  }
  if (event.type !== "conversation.item.truncate") continue;
  console.log(`Heard ${event.audio_end_ms} ms: "${event.heardText}"`);
  break;
}
agent.close();
for (const part of [door, listener, publisher, relay]) await part.close();
process.exit();
