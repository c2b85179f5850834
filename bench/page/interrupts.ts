import type { Page } from "playwright-core";
import { sleep } from "../../base/index.js";
import { openSource, type Publisher } from "../../publisher/index.js";
import { type BenchContext, percentileRows, type Row, row, seededRandom } from "../harness.js";

const RATE = 48_000;
const TONE_HZ = 440;
/** Each speech is this long, and sent ahead: much more than is heard of it. */
const SPEECH_SECONDS = 8;
/** Heard before an interrupt, at least, and up to twice as much. */
const HEARD_MS = 300;
/** Time for the rest of the old speech, if there were any, to be heard. */
const AFTER_MS = 300;
const TARGET_MS = 80;
const ROUNDS = { quick: 10, full: 200 };

/**
 * A script for the page: `silenceWatch(node)` resolves with a function that returns when the last audible sample of a node
 * reached the speaker, by the browser's clock, in milliseconds since 1970. It looks in the audio thread.
 */
const SILENCE_WATCH = `globalThis.silenceWatch = async (node) => {
  const { context } = node;
  const script = \`registerProcessor("silence-watch", class extends AudioWorkletProcessor {
    constructor() {
      super();
      this.port.onmessage = () => this.port.postMessage(this.end);
    }
    process([[samples]]) {
      const last = samples?.findLastIndex((sample) => Math.abs(sample) > 0.001) ?? -1;
      if (last >= 0) this.end = (currentFrame + last + 1) / sampleRate;
      return true;
    }
  });\`;
  await context.audioWorklet.addModule(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
  const ear = new AudioWorkletNode(context, "silence-watch", { numberOfOutputs: 0 });
  node.connect(ear);
  return () => new Promise((resolve) => {
    ear.port.onmessage = ({ data }) => {
      const { contextTime, performanceTime } = context.getOutputTimestamp();
      resolve(performance.timeOrigin + performanceTime + (data - contextTime) * 1000);
    };
    ear.port.postMessage("read");
  });
};`;

const WATCH = "document.querySelector('unsay-watch')";

/** Interrupts speeches that a page plays, and measures from the call to the last sample at the page's speaker. */
export async function interrupts(page: Page, publisher: Publisher, context: BenchContext): Promise<Row[]> {
  const random = seededRandom(context.seed);
  const rounds = context.quick ? ROUNDS.quick : ROUNDS.full;
  const samples = Float32Array.from(
    { length: SPEECH_SECONDS * RATE },
    (_, at) => 0.3 * Math.sin((at * TONE_HZ * 2 * Math.PI) / RATE),
  );
  const playedMs = () => page.evaluate<number>(`${WATCH}.stats?.playedMs ?? 0`);
  const say = async () => publisher.say(await openSource({ samples }));
  const heard = async (ms: number) => {
    const before = await playedMs();
    while ((await playedMs()) < before + ms) await sleep(20);
  };
  await page.evaluate(`${WATCH}.play()`);
  await say();
  await heard(HEARD_MS);
  await page.evaluate(
    `${SILENCE_WATCH} silenceWatch(${WATCH}.audio).then((read) => { globalThis.silentSince = read; })`,
  );
  await publisher.interrupt();
  const bar = context.progress("interrupts", rounds);
  const values: number[] = [];
  for (let round = 0; round < rounds; round++) {
    await say();
    await heard(HEARD_MS * (1 + random()));
    const called = performance.timeOrigin + performance.now();
    await publisher.interrupt();
    await sleep(AFTER_MS);
    values.push((await page.evaluate<number>("silentSince()")) - called);
    bar.advance(1);
  }
  bar.stop();
  const staleMs = await page.evaluate<number>(`${WATCH}.stats.staleMs`);
  return [
    ...percentileRows("interrupt to silence in the page, loopback", "ms", values, { p99: { atMost: TARGET_MS } }),
    row("interrupt to silence in the page, loopback", "interrupts", values.filter((value) => value > 0).length, {
      atLeast: rounds,
    }),
    row("interrupt to silence in the page, loopback", "stale ms played", staleMs, { atMost: 0 }),
  ];
}
