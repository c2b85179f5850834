import { expect, test } from "vitest";
import { fromMilliseconds as ms } from "../base/index.js";
import { unheardMs } from "./stats.js";

test("audio still to be heard counts from the ear, and where none can be, the end of the last audio does", () => {
  const unheard = (
    heardUntil: number | undefined,
    more: { bufferedMs?: number; waitingMs?: number; playing?: boolean },
  ) => {
    const { bufferedMs = 0, waitingMs = 0, playing = true } = more;
    const until = heardUntil === undefined ? undefined : ms(heardUntil);
    const output = { playhead: ms(5000), heard: ms(4900), heardUntil: until, playing, bufferedMs, applied: undefined };
    return unheardMs(output, { waitingMs });
  };
  expect(unheard(5000, { bufferedMs: 300, waitingMs: 200 })).toBe(600);
  expect(unheard(4900, { bufferedMs: 300, playing: false })).toBe(300);
  // What lies behind a stretch without audio is not audible before its end.
  expect(unheard(3000, { bufferedMs: 300, playing: false })).toBe(-1900);
  // The device still has some, or nothing.
  expect(unheard(4950, {})).toBe(50);
  expect(unheard(3000, { playing: false })).toBe(-1900);
  // What waits for a group before it is not audible.
  expect(unheard(3000, { waitingMs: 700, playing: false })).toBe(-1900);
  expect(unheard(undefined, { waitingMs: 700, playing: false })).toBe(700);
  // A playhead that went back has not been where audio was heard.
  expect(unheard(9000, {})).toBe(100);
});

test("while a rewind has left no playhead, nothing counts as ready behind a stretch without audio before the cut", () => {
  const unheard = (heardUntil: number | undefined) => {
    const until = heardUntil === undefined ? undefined : ms(heardUntil);
    const applied = { discontinuity: 1, from: ms(5000), heardUntil: until };
    const output = {
      playhead: undefined,
      heard: undefined,
      heardUntil: until,
      playing: false,
      bufferedMs: 20,
      applied,
    };
    return unheardMs(output, { waitingMs: 40 });
  };
  expect([unheard(5000), unheard(4900), unheard(3000), unheard(undefined)]).toEqual([60, 60, -2000, 60]);
});
