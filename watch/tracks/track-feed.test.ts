import { expect, test } from "vitest";
import { fromMilliseconds as ms } from "../../base/index.js";
import { encodeLegacyFrame } from "../../container/index.js";
import { TrackFeed } from "./track-feed.js";

test("a feed takes only a group's first frame that comes again for a copy, and no further frame of a group", () => {
  const feed = new TrackFeed({ clock: () => ms(0), output: { resting: true, playhead: undefined } });
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
