// Turns a publisher's denoiser knobs and interrupts it from somewhere else, through the relay.
import { fileURLToPath } from "node:url";
import { Controller, Listener, openAudio, Publisher, shippedModel, WavSink } from "unsay";
import { Relay } from "unsay/relay";

const file = process.argv[2] ?? fileURLToPath(new URL("audio/noisy-speech.wav", import.meta.url));

const relay = new Relay({ port: 0 });
const url = `http://127.0.0.1:${(await relay.listen()).port}`;
const publisher = new Publisher({ url, broadcast: "stage", model: shippedModel, control: true });
const listener = new Listener({ url, broadcast: "stage", sink: new WavSink({ path: "controlled.wav" }) });
const speech = publisher.say(openAudio({ file, loop: true }));
for await (const { ms, measured } of speech.progress()) if (measured && ms > 500) break;

const controller = new Controller({ url, broadcast: "stage" });

const quieter = await controller.send({ op: "set", knobs: { strength: 0.3 } });
console.log(`set: ${quieter.outcome}, strength is ${publisher.knobs.strength}`);

const refused = await controller.send({ op: "model", name: "unknown" });
console.log(`model: ${refused.outcome}, ${refused.reason}`);

await controller.send({ op: "interrupt" });
const { outcome, heardMs } = await speech.done;
console.log(`speech: ${outcome} after ${Math.round(heardMs)} ms`);

await controller.close();
await listener.close();
await publisher.close();
await relay.close();
