import { expect, test } from "vitest";
import { fromMilliseconds, microseconds } from "../../base/index.js";
import { ReceiveLog } from "./receive-log.js";

const FRAME_MS = 20;

/** ReceiveLog of the groups `first` to `last` of one frame each, without the `lost` one. */
function receiptsOf(first: number, last: number, lost?: number): ReceiveLog {
  const received = new ReceiveLog({ clock: () => microseconds(0) });
  for (let sequence = first; sequence <= last; sequence++)
    if (sequence !== lost) received.received(sequence, fromMilliseconds(sequence * FRAME_MS));
  return received;
}

const playhead = fromMilliseconds(1600);

test.each([60, 40, 29, 10])(
  "a listener takes group %i, sent again by the same run of a publisher, for what it has, however long ago that was heard",
  (sequence) => {
    const timestamp = fromMilliseconds(sequence * FRAME_MS);
    expect(receiptsOf(10, 60).continues(sequence, timestamp, { playhead, sameRun: true })).toBe(true);
    const isNear = sequence >= 30;
    expect(receiptsOf(10, 60).continues(sequence, timestamp, { playhead, sameRun: false })).toBe(isNear);
  },
);

test("a listener takes a group that was lost and is sent again by the same run for a part of the track", () => {
  const timestamp = fromMilliseconds(20 * FRAME_MS);
  expect(receiptsOf(10, 60, 20).continues(20, timestamp, { playhead, sameRun: true })).toBe(true);
});

test("a listener takes known numbers at other times, and numbers below all it knows, for another track", () => {
  const received = receiptsOf(10, 60);
  const sameRun = true;
  expect(received.continues(20, fromMilliseconds(0), { playhead, sameRun })).toBe(false);
  expect(received.continues(0, fromMilliseconds(0), { playhead, sameRun })).toBe(false);
});
