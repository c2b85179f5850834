import { expect, test } from "vitest";
import { microseconds } from "../../base/index.js";
import { SpeechState, type SpeechStateOptions } from "./speech-state.js";
import { SpeechTimeline } from "./speech-timeline.js";
import { Words } from "./words/words.js";

/** Four words of a second each. */
function speech(options: Partial<SpeechStateOptions> = {}) {
  const words = new Words("One two three four.");
  words.add(["One", "two", "three", "four."].map((text, at) => ({ text, startMs: 1000 * at, durationMs: 1000 })));
  const state = new SpeechState({ words, ...options });
  const timeline = new SpeechTimeline();
  timeline.write(0, 4 * 48_000);
  const observe = (positions: readonly number[], { isComplete }: { readonly isComplete: boolean }) => {
    const listeners = positions.map((ms, id) => ({ id, playhead: microseconds(ms * 1000), missed: [] }));
    const earliest = microseconds(Math.min(...positions, 4000) * 1000);
    state.observe(
      { earliest, passed: earliest, measured: true, listeners, counted: [], isOverdue: false, isComplete },
      timeline,
    );
  };
  /** A report of each listener: its position in milliseconds. */
  const hear = (...positions: readonly number[]) => observe(positions, { isComplete: true });
  return { state, hear, observe };
}

test("the heard text begins where the first listener joined, a report's delay earlier", () => {
  const { state, hear } = speech();
  hear(1300);
  hear(3000);
  expect(state.text).toEqual({ text: "two three", exact: true });
  expect(state.end("finished")).toMatchObject({ heardText: "two three", heardMs: 3000 });
});

test("a listener that joins after another leaves the text as it is", () => {
  const { state, hear } = speech();
  hear(0);
  hear(1500, 2600);
  hear(3000, 3100);
  expect(state.text).toEqual({ text: "One two three", exact: true });
});

test("a resumed speech keeps the start that its first listener got", () => {
  const { state, hear } = speech({ heard: 2 * 48_000, measured: true, from: 0 });
  hear(2000);
  hear(3000);
  expect(state.text).toEqual({ text: "One two three", exact: true });
});

test("a listener that left or stands still before the end keeps what it heard, but for the last packets, which may be lost", () => {
  for (const after of [[], [4000], [4000, 3750, 3890]]) {
    const { state, hear } = speech();
    state.setLength(4 * 48_000);
    hear(3700, 3750, 3890);
    hear(...after);
    const heard = state.end("finished")!.listeners.map(({ heardMs }) => heardMs);
    expect(heard).toEqual([after.length > 0 ? 4000 : 3700, 3750, 4000]);
  }
});

test("where reports name some listeners only, one that was near the end has heard the end", () => {
  const { state, observe } = speech();
  state.setLength(4 * 48_000);
  observe([3700, 3750, 3600], { isComplete: false });
  observe([4000], { isComplete: false });
  expect(state.end("finished")!.listeners.map(({ heardMs }) => heardMs)).toEqual([4000, 4000, 3600]);
});
