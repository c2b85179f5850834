// Listens without a speaker: hands samples to your code (a recognizer, a recorder) and watches the stream.
import { type AudioSink, Listener, openAudio, Publisher } from "unsay";
import { Relay } from "unsay/relay";

/** Measures the level; a recognizer takes the same samples. */
class Meter implements AudioSink {
  #sum = 0;
  #count = 0;

  /** Planar samples at 48 kHz, valid during the call only. */
  write([mono]: readonly Float32Array[]): void {
    for (const sample of mono ?? []) this.#sum += sample * sample;
    this.#count += mono?.length ?? 0;
  }

  async close(): Promise<void> {}

  get decibels(): number {
    return 10 * Math.log10(this.#sum / Math.max(1, this.#count) + 1e-12);
  }
}

const relay = new Relay({ port: 0 });
const url = `http://127.0.0.1:${(await relay.listen()).port}`;
const publisher = new Publisher({ url, broadcast: "radio" });

const meter = new Meter();
const listener = new Listener({ url, broadcast: "radio", sink: meter });
listener.on("state", (state) => console.log(`state: ${state}`));
listener.on("rewind", ({ heardUntil }) => console.log(`rewind: the old audio was heard up to ${heardUntil / 1e6} s`));
listener.on("problem", (error) => console.log(`problem: ${error.message}`));

const samples = Float32Array.from({ length: 96_000 }, (_, i) => 0.3 * Math.sin((2 * Math.PI * 440 * i) / 48_000));
const speech = publisher.say(openAudio({ samples }));
for await (const { ms, measured } of speech.progress()) if (measured && ms > 800) break;
await speech.interrupt();

const { playedMs, underrunMs, staleMs, discontinuities } = listener.stats();
console.log(`played ${Math.round(playedMs)} ms at ${meter.decibels.toFixed(0)} dB`);
console.log(`underruns ${underrunMs} ms, stale ${staleMs} ms, rewinds ${discontinuities}`);

await listener.close();
await publisher.close();
await relay.close();
