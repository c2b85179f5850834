// A voice agent's reply: pushed as it is synthesized, interrupted by the caller, cut at the word that was heard.
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { Listener, openAudio, Publisher, WavSink } from "unsay";
import { Relay } from "unsay/relay";

const relay = new Relay({ port: 0 });
const url = `http://127.0.0.1:${(await relay.listen()).port}`;
const caller = new Listener({ url, broadcast: "agent", sink: new WavSink({ path: "caller.wav" }) });
const publisher = new Publisher({ url, broadcast: "agent" });
await once(publisher, "listeners"); // The caller is there: it would miss what is said before.

/** Stands for your text-to-speech service: chunks of 16-bit audio with word timings, faster than real time. */
async function* synthesize(words: string[]) {
  const wav = await readFile(new URL("audio/clean-speech.wav", import.meta.url));
  const audio = wav.subarray(44);
  const wordMs = 400;
  const bytesPerMs = 32;
  for (const [index, text] of words.entries()) {
    const startMs = index * wordMs;
    yield {
      audio: audio.subarray(startMs * bytesPerMs, (startMs + wordMs) * bytesPerMs),
      words: [{ text, startMs, durationMs: wordMs }],
    };
    await sleep(50);
  }
}

const reply = "Your order left the warehouse this morning and will arrive on Friday before noon.";
const speech = publisher.say(openAudio({ sampleRate: 16_000, format: "s16le" }), { text: reply });
speech.on("started", () => console.log("The caller hears the first sample."));

void (async () => {
  for await (const chunk of synthesize(reply.split(" "))) {
    if (!speech.write(chunk.audio)) await speech.ready;
    speech.addWords(chunk.words);
  }
  speech.end();
})();

// The caller speaks up while the agent talks.
for await (const { ms, measured } of speech.progress()) if (measured && ms > 2000) break;
const { outcome, heardMs, heardText, exact } = await speech.interrupt();

console.log(`${outcome} after ${Math.round(heardMs)} ms`);
console.log(`The caller heard: "${heardText}" (${exact ? "exact" : "estimated"})`);

await caller.close();
await publisher.close();
await relay.close();
