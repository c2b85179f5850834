import { expect, test } from "vitest";
import { fromMilliseconds as ms } from "../../base/index.js";
import { encodeLegacyFrame, rewindField } from "../../container/index.js";
import { TrackFeed } from "./track-feed.js";

test("a feed takes only a group's first frame that comes again for a copy, and no further frame of a group", () => {
  const feed = new TrackFeed({ clock: () => ms(0), output: { resting: true, targetMs: 80, playhead: undefined } });
  feed.begin("audio");
  const receive = (sequence: number, index: number, via: "stream" | "datagram" = "stream") => {
    const payload = encodeLegacyFrame({ timestamp: ms(100 * sequence + 20 * index), payload: new Uint8Array(4) });
    const { first, copy } = feed.receive({ kind: "frame", sequence, index, payload, via })!;
    return first ? "first" : copy ? "copy" : "further";
  };
  expect([0, 1, 2].map((index) => receive(0, index))).toEqual(["first", "further", "further"]);
  expect([0, 1, 2].map((index) => receive(0, index))).toEqual(["copy", "further", "further"]);
  expect(receive(1, 0, "datagram")).toBe("first");
  expect([0, 1].map((index) => receive(1, index))).toEqual(["copy", "further"]);
});

test("a feed holds for an epoch's missing first group where the publisher is ours, or unknown, and for no other", () => {
  const isHolding = (...catalog: Parameters<TrackFeed["follow"]>[]) => {
    const feed = new TrackFeed({ clock: () => ms(0), output: { resting: true, targetMs: 80, playhead: undefined } });
    for (const section of catalog) feed.follow(...section);
    feed.begin("audio");
    for (const [sequence, time] of [
      [0, 0],
      [65_537, 100],
    ] as const) {
      const payload = encodeLegacyFrame({ timestamp: ms(time), payload: new Uint8Array(4) });
      feed.receive({ kind: "frame", sequence, index: 0, payload, via: "stream" });
    }
    return feed.consumer.holding;
  };
  expect(isHolding()).toBe(true);
  expect(isHolding([rewindField("group")])).toBe(true);
  expect(isHolding([{ ...rewindField("group"), run: "one" }])).toBe(true);
  expect(isHolding([undefined])).toBe(false);
  expect(isHolding([undefined], [{ ...rewindField("group"), run: "one" }])).toBe(true);
});
