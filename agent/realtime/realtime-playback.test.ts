import fc from "fast-check";
import { expect, onTestFinished, test, vi } from "vitest";
import { StateError } from "../../base/index.js";
import type { Publisher, Speech } from "../../publisher/index.js";
import { VirtualStage } from "../../tests/support/virtual-stage.js";
import { RealtimePlayback } from "./realtime-playback.js";

/** A playback whose publisher and listener run on a virtual clock. */
function openPlayback() {
  const stage = new VirtualStage({ aheadMs: 600 });
  const said: { readonly item: string; readonly speech: Speech; readonly bytes: number[] }[] = [];
  const refusal: { error: Error | undefined } = { error: undefined };
  const say: Publisher["say"] = (source, options = {}) => {
    if (refusal.error !== undefined) throw refusal.error;
    const speech = stage.renderer.say(source, options);
    const bytes: number[] = [];
    const write = speech.write.bind(speech);
    vi.spyOn(speech, "write").mockImplementation((audio) => {
      const hasRoom = write(audio);
      bytes.push(...(audio.byteLength < 1_000_000 ? (audio as Uint8Array) : []));
      return hasRoom;
    });
    said.push({ item: "name" in source ? String(source.name) : "", speech, bytes });
    return speech;
  };
  const playback = new RealtimePlayback({ say });
  const place = (response: string, item = `${response}-item`) => ({
    responseId: response,
    itemId: item,
    contentIndex: 0,
  });
  const audio = (response: string, ms: number, item?: string) =>
    playback.audio(place(response, item), new Uint8Array(ms * 48).fill(1));
  /** Interrupts, and returns where each item was cut. */
  const interrupt = async () => {
    const cut = playback.interrupt();
    await stage.runTo(stage.now + 2000);
    return (await cut).map(({ itemId, audioEndMs }) => [itemId, audioEndMs]);
  };
  return { stage, said, refusal, playback, place, audio, interrupt };
}

test("two responses whose audio comes by turns are heard one after the other, and cut where each item was heard", async () => {
  const { stage, said, playback, place, audio, interrupt } = openPlayback();
  for (const response of ["a", "b"]) playback.begin(response);
  for (let turn = 0; turn < 20; turn++) for (const response of ["a", "b"]) audio(response, 100);
  for (const response of ["a", "b"]) playback.end(place(response));
  expect(said.map(({ item, bytes }) => [item, bytes.length])).toEqual([
    ["a-item", 96_000],
    ["b-item", 96_000],
  ]);
  await stage.runTo(2800);
  const cut = await interrupt();
  const { heardMs } = await said[1]!.speech.done;
  expect(heardMs).toBeGreaterThan(400);
  expect(heardMs).toBeLessThan(900);
  expect(cut).toEqual([["b-item", Math.floor(heardMs)]]);
});

test("a response that is never complete delays the next one by a second, and continues behind it from where it was", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  onTestFinished(() => void vi.useRealTimers());
  const { stage, said, playback, place, audio, interrupt } = openPlayback();
  playback.begin("a");
  audio("a", 500);
  playback.begin("b");
  audio("b", 300);
  playback.end(place("b"));
  vi.advanceTimersByTime(900);
  audio("a", 200);
  vi.advanceTimersByTime(900);
  await stage.runTo(3000);
  expect(said.map(({ speech }) => speech.phase)).toEqual(["speaking", "queued"]);
  vi.advanceTimersByTime(200);
  await stage.runTo(5000);
  expect(said.map(({ speech }) => speech.phase)).toEqual(["done", "done"]);
  expect(playback.playing).toBe(false);
  audio("a", 1000);
  await stage.runTo(5500);
  const cut = await interrupt();
  const { heardMs } = await said[2]!.speech.done;
  expect(heardMs).toBeGreaterThan(100);
  expect(cut).toEqual([["a-item", Math.floor(700 + heardMs)]]);
});

test("audio that came while the process stood still is in time", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  onTestFinished(() => void vi.useRealTimers());
  const { said, playback, audio } = openPlayback();
  for (const response of ["a", "b"]) {
    playback.begin(response);
    audio(response, 100);
  }
  vi.advanceTimersByTime(5000);
  audio("a", 100);
  await new Promise(setImmediate);
  audio("a", 100);
  expect(said.map(({ item, bytes }) => [item, bytes.length])).toEqual([
    ["a-item", 14_400],
    ["b-item", 4800],
  ]);
});

test("an item that continues after another one of its response is cut where it was heard from its start on", async () => {
  const { stage, said, playback, place, interrupt } = openPlayback();
  playback.begin("r");
  const say = (item: string, bytes: number) => playback.audio(place("r", item), new Uint8Array(bytes).fill(1));
  // Cut in the middle of a sample.
  say("one", 24_001);
  say("two", 4800);
  say("one", 4799);
  say("one", 48_000);
  const [first, , third] = said;
  expect([first, third].map((speech) => speech!.bytes.length)).toEqual([24_001, 52_798]);
  await stage.runTo(900);
  const words = [{ text: "late", startMs: 600, endMs: 900 }];
  const addWords = vi.spyOn(third!.speech, "addWords");
  playback.text(place("r", "one"), "late", words);
  expect(addWords.mock.calls).toEqual([[[{ text: "late", startMs: 600 - 24_001 / 48, endMs: 900 - 24_001 / 48 }]]]);
  const cut = await interrupt();
  const { heardMs } = await third!.speech.done;
  expect(heardMs).toBeGreaterThan(50);
  expect(cut).toEqual([["one", Math.floor(24_001 / 48 + heardMs)]]);
});

test("an item that the publisher refused is not heard from its middle on, and is cut at its start", async () => {
  const { stage, said, refusal, playback, audio, interrupt } = openPlayback();
  for (const response of ["a", "b"]) playback.begin(response);
  audio("a", 1000);
  refusal.error = new StateError("QUEUE_FULL", "256 speeches wait already.");
  expect(() => audio("b", 500)).toThrow("256 speeches");
  refusal.error = undefined;
  expect(audio("b", 500)).toBe(false);
  playback.complete("a");
  playback.complete("b");
  await stage.runTo(500);
  const cut = await interrupt();
  const { heardMs } = await said[0]!.speech.done;
  expect(cut).toEqual([
    ["a-item", Math.floor(heardMs)],
    ["b-item", 0],
  ]);
  playback.begin("b");
  audio("b", 300);
  expect(said.map(({ item }) => item)).toEqual(["a-item", "b-item"]);
});

test("a response that pauses while none waits for it, because the other one was refused, remains one speech", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  onTestFinished(() => void vi.useRealTimers());
  const { said, refusal, playback, audio } = openPlayback();
  for (const response of ["a", "b"]) playback.begin(response);
  audio("a", 100);
  refusal.error = new StateError("QUEUE_FULL", "256 speeches wait already.");
  expect(() => audio("b", 100)).toThrow("256 speeches");
  refusal.error = undefined;
  vi.advanceTimersByTime(2000);
  await new Promise(setImmediate);
  audio("a", 100);
  expect(said.map(({ bytes }) => bytes.length)).toEqual([9600]);
  playback.begin("c");
  audio("c", 100);
  vi.advanceTimersByTime(1100);
  await new Promise(setImmediate);
  expect(playback.isInProgress("a")).toBe(false);
});

test("an item of which too much waits ends before what was refused, without a hole", async () => {
  const { said, playback, place, audio } = openPlayback();
  playback.begin("a");
  audio("a", 100);
  expect(() => playback.audio(place("a"), new Uint8Array(64 * 1024 * 1024))).toThrow("67108864 bytes");
  expect(audio("a", 100)).toBe(false);
  expect(said.map(({ bytes }) => bytes.length)).toEqual([4800]);
});

test("after the application interrupted a response by itself, none of its later audio is heard", async () => {
  const { stage, said, playback, audio } = openPlayback();
  playback.begin("a");
  audio("a", 500);
  await stage.runTo(300);
  const cut = said[0]!.speech.interrupt();
  await stage.runTo(2000);
  await cut;
  expect(playback.playing).toBe(false);
  audio("a", 500);
  expect(said).toHaveLength(1);
});

test("under every order in which responses begin, speak by turns and end, each item is one speech with all of its audio", () => {
  const step = fc.record({ response: fc.nat(3), what: fc.constantFrom("audio", "audio", "audio", "end", "done") });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const { said, playback, place } = openPlayback();
      const sent = new Map<string, number[]>();
      const over = new Set<string>();
      for (const [index, { response: number, what }] of steps.entries()) {
        const response = `${number}`;
        if (over.has(response)) continue;
        if (!sent.has(response)) playback.begin(response);
        const bytes = sent.get(response) ?? [];
        sent.set(response, bytes);
        if (what === "audio") {
          playback.audio(place(response), Uint8Array.of(index, number));
          bytes.push(index, number);
          continue;
        }
        over.add(response);
        if (what === "end") playback.end(place(response));
        else playback.complete(response);
      }
      const heard = said.map(({ item, bytes }) => [item, bytes]);
      expect(new Map(heard as [string, number[]][])).toEqual(
        new Map(
          [...sent].filter(([, bytes]) => bytes.length > 0).map(([response, bytes]) => [`${response}-item`, bytes]),
        ),
      );
      expect(new Set(said.map(({ item }) => item)).size).toBe(said.length);
      playback.leave();
    }),
    { numRuns: 100, seed: 14 },
  );
});
