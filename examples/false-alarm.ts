// A cough is no interruption: pauses the reply, finds out that it was nothing, and continues without losing a word.
import { Listener, openAudio, Publisher, WavSink } from "unsay";
import { Relay } from "unsay/relay";

const relay = new Relay({ port: 0 });
const url = `http://127.0.0.1:${(await relay.listen()).port}`;
const caller = new Listener({ url, broadcast: "agent", sink: new WavSink({ path: "false-alarm.wav" }) });
const publisher = new Publisher({ url, broadcast: "agent" });

const samples = Float32Array.from({ length: 3 * 48_000 }, (_, i) => 0.2 * Math.sin((2 * Math.PI * 220 * i) / 48_000));
const speech = publisher.say(openAudio({ samples }));
const next = publisher.say(openAudio({ samples: samples.subarray(0, 24_000) }));

for await (const { ms, measured } of speech.progress()) if (measured && ms > 1000) break;

speech.pause();
speech.once("paused", ({ ms }) => {
  console.log(`Paused: the caller heard ${Math.round(ms)} ms.`);
  // Your recognizer decides here whether the caller really said something. This time it did not.
  speech.resume();
});

const { outcome, heardMs } = await speech.done;
console.log(`${outcome}: ${Math.round(heardMs)} ms heard, none of them twice.`);
console.log(`The next reply ${(await next.done).outcome} too.`);

await caller.close();
await publisher.close();
await relay.close();
