import { expect, test } from "vitest";
import { microseconds } from "../../base/index.js";
import { HeardInput } from "./caller-input.js";

const PULL_MS = 5;
const tone = (ms: number) => new Float32Array(48 * ms).fill(0.5);
const silence = (ms: number) => new Float32Array(48 * ms);

/** An input with a listener that plays what came early `delayMs` later. */
class Line {
  nowMs = 0;
  readonly input = new HeardInput(() => microseconds(this.nowMs * 1000));
  readonly taken: { readonly ms: number; readonly isVoice: boolean; readonly atMs: number }[] = [];
  readonly #reading = this.#read();

  async #read(): Promise<void> {
    for await (const { samples, at } of this.input.blocks())
      this.taken.push({ ms: samples.length / 48, isVoice: samples[0] !== 0, atMs: at / 1000 });
  }

  /** Time passes: what is played in each 5 ms, and what comes early at its end. */
  async pass(ms: number, played: (ms: number) => Float32Array, early?: (nowMs: number) => Float32Array | undefined) {
    for (const end = this.nowMs + ms; this.nowMs < end; ) {
      this.nowMs += PULL_MS;
      const samples = early?.(this.nowMs);
      if (samples !== undefined) this.input.early([samples]);
      this.input.write([played(PULL_MS)]);
      await Promise.resolve();
    }
    await new Promise(setImmediate);
  }

  ms(isVoice: boolean): number {
    return this.taken.filter((each) => each.isVoice === isVoice).reduce((sum, each) => sum + each.ms, 0);
  }

  async close(): Promise<void> {
    await this.input.close();
    await this.#reading;
  }
}

const packets = (nowMs: number) => (nowMs % 20 === 0 ? tone(20) : undefined);

test("audio of a live caller counts as it comes, once, and not when it is played", async () => {
  const line = new Line();
  await line.pass(60, silence, packets);
  expect(line.taken.filter(({ isVoice }) => isVoice).map(({ atMs }) => atMs)).toEqual([20, 40, 60]);
  await line.pass(940, tone, packets);
  await line.pass(60, tone);
  expect(line.ms(true)).toBe(1000);
  expect(line.ms(false)).toBe(15);
  await line.close();
});

test("a live caller that sends nothing is silent for as long, and heard at once when it sends again", async () => {
  const line = new Line();
  await line.pass(20, silence, packets);
  await line.pass(180, tone, packets);
  await line.pass(60, tone);
  await line.pass(440, silence);
  expect(line.ms(false)).toBe(15 + 500);
  await line.pass(20, silence, packets);
  expect(line.taken.at(-1)).toEqual({ ms: 20, isVoice: true, atMs: 720 });
  expect(line.ms(true)).toBe(220);
  await line.close();
});

test("packets that come unevenly leave no gap while the listener has audio to play", async () => {
  const line = new Line();
  await line.pass(20, silence, packets);
  await line.pass(180, tone, packets);
  await line.pass(100, tone);
  await line.pass(5, tone, () => tone(100));
  await line.pass(95, tone, packets);
  expect(line.ms(false)).toBe(15);
  expect(line.ms(true)).toBe(400);
  await line.close();
});

test("of a broadcast that is sent ahead what is played counts, also after it was live", async () => {
  const line = new Line();
  await line.pass(100, tone);
  expect(line.ms(true)).toBe(100);
  await line.pass(100, tone, packets);
  expect(line.ms(true)).toBe(200 + 15);
  await line.pass(1000, tone);
  expect(line.ms(true)).toBe(215 + 500);
  await line.close();
});

test("a process that stalled takes its waiting packets before it calls a caller silent", async () => {
  const line = new Line();
  await line.pass(20, silence, packets);
  await line.pass(180, tone, packets);
  line.nowMs += 300;
  await line.pass(10, silence);
  await line.pass(5, silence, () => tone(300));
  await line.pass(100, tone, packets);
  expect(line.ms(false)).toBe(15);
  expect(line.ms(true)).toBe(200 + 300 + 100);
  await line.close();
});
