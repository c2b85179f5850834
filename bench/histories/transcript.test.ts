import { expect, test } from "vitest";
import { OpusEncoder } from "../../publisher/index.js";
import { CodecLoop } from "../../tests/support/codec-loop.js";
import { seededRandom } from "../harness.js";
import { RATE, signal } from "./signal.js";
import { transcribe } from "./transcript.js";

const perMs = RATE / 1000;
const said = new Map([1, 2, 3].map((utterance) => [utterance, signal(utterance, 1.2 * RATE)]));

/** A recording put together from silence and stretches of utterances. */
function record(...parts: ({ silent: number } | { utterance: number; from: number; to: number; gain?: number })[]) {
  const all = parts.flatMap((part) => {
    if ("silent" in part) return [new Float32Array(part.silent * perMs)];
    const { utterance, from, to, gain = 1 } = part;
    return [
      said
        .get(utterance)!
        .slice(from * perMs, to * perMs)
        .map((sample) => sample * gain),
    ];
  });
  const random = seededRandom(3);
  const noisy = Float32Array.from(all.flatMap((part) => [...part]));
  for (let i = 0; i < noisy.length; i++) noisy[i]! += 0.001 * (random() - 0.5);
  return noisy;
}

test("a transcript names an utterance whole, whatever a codec makes of it", async () => {
  for (const [frameMs, bitrateBps, utterance] of [
    [5, 32_000, 5],
    [10, 12_000, 1],
    [10, 48_000, 18],
    [20, 12_000, 3],
  ] as const) {
    const loop = await CodecLoop.open({ frameMs });
    const { lookahead } = await OpusEncoder.create({ frameMs });
    const options = { frameMs, bitrateBps, application: "lowdelay", lookahead } as const;
    loop.audioTrack.setEncoders(await OpusEncoder.create(options), undefined);
    const spoken = signal(utterance, 1.2 * RATE);
    loop.say(spoken, 4800);
    loop.encode();
    const heard = transcribe(loop.heard, new Map([[utterance, spoken]]));
    expect(heard.map(({ from, to }) => [from, to])).toEqual([[0, 1200]]);
    loop.close();
  }
});

test("a transcript names every stretch heard, to 5 ms, and its place in the recording", () => {
  const heard = transcribe(
    record(
      { silent: 137 },
      { utterance: 2, from: 0, to: 640 },
      { silent: 250 },
      { utterance: 3, from: 220, to: 1200 },
      { utterance: 1, from: 500, to: 700 },
    ),
    said,
  );
  const rounded = heard.map(({ utterance, from, to, at }) => [
    utterance,
    ...[from, to, at].map((ms) => Math.round(ms / 10) * 10),
  ]);
  expect(rounded).toEqual([
    [2, 0, 640, 140],
    [3, 220, 1200, 1030],
    [1, 500, 700, 2010],
  ]);
  expect(heard.every(({ levels }) => levels.slice(1, -1).every((db) => Math.abs(db ?? 0) < 1))).toBe(true);
});

test("a transcript shows a gap of 40 ms, a repeat of 40 ms and steps at another level", () => {
  const gap = transcribe(record({ utterance: 1, from: 0, to: 400 }, { utterance: 1, from: 440, to: 1000 }), said);
  expect(gap).toHaveLength(2);
  expect(gap[1]!.from - gap[0]!.to).toBeCloseTo(40, -1);
  const repeat = transcribe(record({ utterance: 1, from: 0, to: 400 }, { utterance: 1, from: 360, to: 1000 }), said);
  expect(repeat).toHaveLength(2);
  expect(repeat[0]!.to - repeat[1]!.from).toBeCloseTo(40, -1);
  const [quiet] = transcribe(
    record(
      { utterance: 1, from: 0, to: 400 },
      { utterance: 1, from: 400, to: 450, gain: 0.3 },
      { utterance: 1, from: 450, to: 900 },
    ),
    said,
  );
  const low = [...quiet!.levels.entries()].filter(([, db]) => Math.abs(db ?? 0) > 3).map(([step]) => step);
  expect(low).toEqual([40, 41, 42, 43, 44]);
});

test("a transcript names both sides of a gap, however short, at a place between samples", () => {
  for (let gap = 1; gap <= 60; gap += 4) {
    const cut = 300 + 7 * gap + gap / 10;
    const recording = record(
      { silent: 100.3 + gap / 7 },
      { utterance: 1 + (gap % 3), from: 0, to: cut },
      { silent: gap },
      { utterance: 1 + (gap % 3), from: cut, to: 1200 },
    );
    const heard = transcribe(recording, said);
    let reached = 0;
    let missing = 0;
    for (const { from, to } of heard) {
      missing += Math.max(0, from - reached);
      reached = Math.max(reached, to);
    }
    expect({ gap, missing: missing <= 10, reached }).toEqual({ gap, missing: true, reached: 1200 });
  }
});

test("a transcript names the end of an utterance that a pause cut off, down to 15 ms", () => {
  const rests = [15, 16.3, 18, 24.6, 28, 33];
  const parts = rests.flatMap((rest) => [
    { utterance: 2, from: 1100, to: 1200 - rest },
    { silent: 40 + 10 * rest },
    { utterance: 2, from: 1200 - rest, to: 1200 },
    { silent: 50.3 + rest / 7 },
  ]);
  const only = new Map([[2, said.get(2)!]]);
  const ends = transcribe(record(...parts), only).map(({ to }) => to);
  expect(ends).toEqual(rests.flatMap((rest) => [1200 - rest, 1200].map((to) => expect.closeTo(to, -1))));
});

test("a transcript names the end of an utterance between two breaks of 1 ms, down to 15 ms", () => {
  const ends = [15, 17.3, 19, 22, 26.7, 30].map((rest, n) => ({ rest, silent: 1 + n / 3 }));
  const parts = ends.flatMap(({ rest, silent }) => [
    { silent: 50.3 + rest / 7 },
    { utterance: 2, from: 800, to: 1200 - rest },
    { silent },
    { utterance: 2, from: 1200 - rest, to: 1200 },
    { silent },
    { utterance: 3, from: 0, to: 200 },
  ]);
  const heard = transcribe(record(...parts), new Map([2, 3].map((each) => [each, signal(each, 1.2 * RATE)])));
  const reached = heard.filter(({ utterance, to }) => utterance === 2 && to > 1190);
  expect(reached.map(({ to }) => to)).toEqual(ends.map(() => 1200));
  expect(heard.filter(({ utterance, from }) => utterance === 3 && from < 10)).toHaveLength(ends.length);
});

test("a transcript names the start of an utterance that broke off at once, down to 15 ms", () => {
  const breaks = [1, 4, 11, 19, 35, 250].flatMap((silent) => [15, 18, 26].map((first) => ({ first, silent })));
  const parts = breaks.flatMap(({ first, silent }) => [
    { silent: 350.3 + first / 7 },
    { utterance: 2, from: 0, to: first },
    { silent },
    { utterance: 2, from: first, to: 100 },
  ]);
  const heard = transcribe(record(...parts), new Map([[2, signal(2, 0.3 * RATE)]]));
  const holes = breaks.map(({ first, silent }) => ({
    first,
    silent,
    pieces: [
      [0, expect.closeTo(first, -1)],
      [expect.closeTo(first, -1), expect.closeTo(100, -1)],
    ],
  }));
  expect(
    breaks.map((one, n) => ({ ...one, pieces: heard.slice(2 * n, 2 * n + 2).map(({ from, to }) => [from, to]) })),
  ).toEqual(holes);
});

test("a transcript takes a scrap of other audio behind a pause for no end of an utterance", () => {
  const scraps = Array.from({ length: 12 }, (_, i) => ({ from: 20 + 47 * i, to: 20 + 47 * i + 14 + (i % 4) }));
  const parts = scraps.flatMap(({ from, to }) => [
    { utterance: 2, from: 150, to: 200 },
    { silent: 60 },
    { utterance: 3, from, to },
    { silent: 60 },
  ]);
  const heard = transcribe(record(...parts), new Map([[2, signal(2, 0.3 * RATE)]]));
  expect(heard).toHaveLength(scraps.length);
  expect(heard.every(({ from, to }) => Math.abs(from - 150) <= 10 && Math.abs(to - 200) <= 10)).toBe(true);
});
