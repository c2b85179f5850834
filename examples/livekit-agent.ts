// A LiveKit agent whose listeners are those of an unsay broadcast: interrupted, it keeps the words that they heard.
// Needs @livekit/agents 1.9 and @livekit/rtc-node; model and voice are scripted, so that no service is asked.
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { ReadableStream } from "node:stream/web";
import { initializeLogger, tts, voice } from "@livekit/agents";
import { AudioFrame } from "@livekit/rtc-node";
import { Listener, Publisher } from "unsay";
import { AudioOutput, TranscriptOutput } from "unsay/livekit";
import { Relay } from "unsay/relay";

initializeLogger({ pretty: false, level: "silent" });
const relay = new Relay({ port: 0 });
const url = `http://127.0.0.1:${(await relay.listen()).port}`;
const listener = new Listener({ url, broadcast: "agent" });
const publisher = new Publisher({ url, broadcast: "agent" });
await once(publisher, "listeners"); // The listener is there: it would miss what is said before.

const wav = await readFile(new URL("audio/demo-clean.wav", import.meta.url));
const script = JSON.parse(await readFile(new URL("audio/demo-words.json", import.meta.url), "utf8"));
const words: { text: string; startMs: number; endMs: number }[] = script.words;

/** Stands for a text-to-speech service: never asked, because `ttsNode` below speaks. */
class Service extends tts.TTS {
  label = "scripted";
  synthesize = () => Promise.reject() as never;
  stream = () => Promise.reject() as never;
}

class Agent extends voice.Agent {
  override async llmNode() {
    return ReadableStream.from([script.text]) as never;
  }
  /** The recording, one frame for each word, with the time of that word. */
  override async ttsNode() {
    const frames = words.map(({ text, startMs, endMs }, i) => {
      const [from, to] = [words[i - 1]?.endMs ?? 0, endMs].map((ms) => wav.byteOffset + 44 + ms * 32);
      const samples = new Int16Array(wav.buffer.slice(from, to));
      const word = voice.createTimedString({ text, startTime: startMs / 1000, endTime: endMs / 1000 });
      return new AudioFrame(samples, 16_000, 1, samples.length, { "lk.timed_transcripts": [word] });
    });
    return ReadableStream.from(frames) as never;
  }
}

const service = new Service(16_000, 1, { streaming: true });
const session = new voice.AgentSession({ llm: new voice.testing.FakeLLM(), tts: service });
const output = new AudioOutput(publisher);
session.output.audio = output;
session.output.transcription = new TranscriptOutput(output);
await session.start({ agent: new Agent({ instructions: "Talk." }) });
const reply = session.generateReply({ userInput: "Hello" });
output.on(voice.AudioOutput.EVENT_PLAYBACK_PROGRESSED, ({ offset }) => offset > 2500 && reply.interrupt());
await reply.waitForPlayout();
const said = session.history.items.flatMap((item) => (item.type === "message" ? [item.textContent] : []));
console.log(`The agent remembers: "${said.at(-1)}"`);
for (const part of [session, listener, publisher, relay]) await part.close();
process.exit();
