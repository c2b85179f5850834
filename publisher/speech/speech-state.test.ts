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
  /** A report of each listener: its position in milliseconds. */
  const hear = (...positions: readonly number[]) => {
    const listeners = positions.map((ms, id) => ({ id, playhead: microseconds(ms * 1000) }));
    const earliest = microseconds(Math.min(...positions) * 1000);
    state.observe({ earliest, passed: earliest, measured: true, listeners }, timeline);
  };
  return { state, hear };
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
