// Publishes a recording, listens to it, interrupts it, and prints how much was heard: npx tsx examples/hello.ts
import { fileURLToPath } from "node:url";
import { Listener, openAudio, Publisher, shippedModel, WavSink } from "unsay";
import { Relay } from "unsay/relay";

const file = process.argv[2] ?? fileURLToPath(new URL("audio/noisy-speech.wav", import.meta.url));

const relay = new Relay({ port: 0 });
const url = `http://127.0.0.1:${(await relay.listen()).port}`;

const listener = new Listener({ url, broadcast: "hello", sink: new WavSink({ path: "heard.wav" }) });
const publisher = new Publisher({ url, broadcast: "hello", model: shippedModel });
const speech = publisher.say(openAudio({ file }));

for await (const { ms, measured } of speech.progress()) {
  if (!measured || ms < 1500) continue;
  console.log(`Interrupted at ${Math.round(ms)} ms.`);
  void speech.interrupt();
  break;
}

const { outcome, heardMs } = await speech.done;
console.log(`${outcome}: the listener heard ${Math.round(heardMs)} ms of it. Listen to heard.wav.`);

await listener.close();
await publisher.close();
await relay.close();
