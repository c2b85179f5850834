import { Broadcast, Group, Time } from "@kixelated/moq";
import { expect, test } from "vitest";
import { OpenBroadcast } from "./broadcast-reader.js";

test("a track that ends before its first frame is subscribed to again, and one that had a frame is not", async () => {
  const broadcast = new Broadcast.Producer();
  const stop = new AbortController();
  const opened = new OpenBroadcast(broadcast.consume(), stop.signal);
  const kinds: string[] = [];
  const create = () => broadcast.createTrack("audio", { timescale: Time.Timescale.MICRO });
  const first = create();
  const followed = (async () => {
    const options = { priority: 1, signal: new AbortController().signal };
    for await (const { kind } of opened.follow("audio", options)) kinds.push(kind);
  })();
  await expect.poll(() => first.used.peek()).toBe(true);
  first.close();
  broadcast.removeTrack("audio");
  const second = create();
  await expect.poll(() => second.used.peek()).toBe(true);
  const group = new Group.Producer(0);
  second.writeGroup(group);
  group.writeFrame({ payload: Uint8Array.of(1), timestamp: Time.Timestamp.fromMicros(0) });
  group.close();
  await expect.poll(() => kinds).toContain("frame");
  second.close();
  await followed;
  expect(kinds).toEqual(["subscribed", "ended", "subscribed", "frame", "end", "ended"]);
  stop.abort();
});
