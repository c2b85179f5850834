import { expect, test } from "vitest";
import { CELL_MS, heightOf, type Moment, Timeline } from "./timeline.js";

const RECORDING = { text: "", words: [], levels: [0, 0, 0, 0, 0, 0.2, 0.2, 0.2, 0.2, 0.2], levelMs: 100 };
const LOUD = heightOf(0.2);

/** A timeline that has played evenly for a second, from media time 5 s on. */
function playing(ahead: Partial<Moment> = {}): Timeline {
  const timeline = new Timeline();
  timeline.setRecording(RECORDING);
  timeline.setPieces([{ speech: 1, timestamp: 5e6, fromMs: 0, lengthMs: 4000 }]);
  for (let now = 0; now <= 1000; now += 10) {
    const playheadUs = 5e6 + now * 1e3;
    const level = now >= 500 ? 0.2 : 0;
    timeline.advance({ now, playheadUs, playing: true, level, receivedUs: 7e6, sentUs: 7.5e6, ...ahead });
  }
  return timeline;
}

test("the picture shows received and sent audio ahead of the playhead, in the shape of the recording", () => {
  const timeline = playing();
  expect(timeline.ahead).toEqual({ receivedMs: 1000, sentMs: 1500 });
  const bars = timeline.bars(1000);
  expect(bars.length).toBe(1500 / CELL_MS);
  expect(bars.filter(({ isReceived }) => isReceived).length).toBe(1000 / CELL_MS);
  // The recording is silent for half a second and loud for half a second, over and over.
  expect(bars.map(({ height }) => height)).toEqual(bars.map(({ offsetMs }) => (offsetMs % 1000 < 500 ? 0 : LOUD)));
});

test("the picture keeps the audio heard, newest first, and forgets what scrolled away", () => {
  const { heights } = playing().heard(1000);
  expect(heights.slice(0, 11)).toEqual(Array(11).fill(expect.closeTo(LOUD)));
  expect(heights.slice(11, 21)).toEqual(Array(10).fill(0));
  const timeline = playing();
  timeline.advance({ now: 60_000, playheadUs: 64e6, playing: true, level: 0, receivedUs: 64e6, sentUs: 64e6 });
  expect(timeline.heard(60_000).heights.every((height) => height === 0)).toBe(true);
});

test("a rewind takes back everything ahead of the cut, even if it is gone by the time the page learns of it", () => {
  const whole = playing().takeBack(6e6, 1000);
  expect(whole.lengthMs).toBe(1500);
  expect(whole.bars[0]!.offsetMs).toBeLessThan(CELL_MS);

  const timeline = playing();
  timeline.advance({ now: 1010, playheadUs: 6.01e6, playing: false, level: 0, receivedUs: 6.01e6, sentUs: undefined });
  const late = timeline.takeBack(6.2e6, 1020);
  expect(late.lengthMs).toBe(1300);
  expect(late.bars[0]!.offsetMs).toBeGreaterThanOrEqual(200);
  expect(timeline.takeBack(6.2e6, 1030).lengthMs).toBe(0);
});

test("a playhead that is reported in steps moves evenly, and one that jumps is followed at once", () => {
  const timeline = new Timeline();
  const at = (now: number, playheadUs: number) => {
    timeline.advance({ now, playheadUs, playing: true, level: 0, receivedUs: undefined, sentUs: undefined });
    return timeline.playheadUs!;
  };
  at(0, 0);
  const shown = [10, 20, 30, 40].map((now) => at(now, Math.floor(now / 20) * 20_000));
  for (const [index, one] of shown.entries()) expect(Math.abs(one - (index + 1) * 10_000)).toBeLessThan(2000);
  expect(at(50, 9e6)).toBe(9e6);
});

test("the timeline finds a media time in the recording, on both sides of a resume that lies elsewhere", () => {
  const timeline = playing();
  timeline.setPieces([
    { speech: 1, timestamp: 5e6, fromMs: 0, lengthMs: 1200 },
    { speech: 1, timestamp: 8e6, fromMs: 1200, lengthMs: 500 },
  ]);
  expect(timeline.spokenAt(4e6)).toBeUndefined();
  expect(timeline.spokenAt(6e6)).toEqual({ speech: 1, ms: 1000 });
  expect(timeline.spokenAt(7e6)).toEqual({ speech: 1, ms: 1200 });
  expect(timeline.spokenAt(8.1e6)).toEqual({ speech: 1, ms: 1300 });
});
