import { Broadcast, Group, Time } from "@kixelated/moq";
import { expect, test } from "vitest";
import { fromMilliseconds as ms } from "../../base/index.js";
import { EPOCH_SIZE, encodeVoiceFrame } from "../../container/index.js";
import { OpenBroadcast } from "./broadcast-reader.js";
import { VoiceFeed } from "./voice-feed.js";

const frame = (startMs: number, chance: 0 | 1, count = 10) => ({
  payload: encodeVoiceFrame({ timestamp: ms(startMs), steps: new Uint8Array(count).fill(254 * chance) }),
  timestamp: Time.Timestamp.fromMicros(ms(startMs)),
});

function open() {
  const broadcast = new Broadcast.Producer();
  const stop = new AbortController();
  return { broadcast, stop, opened: new OpenBroadcast(broadcast.consume(), stop.signal) };
}

test("a voice feed reads open groups and datagrams, counts invalid frames, and keeps what came of a broken group", async () => {
  const { broadcast, stop, opened } = open();
  const track = broadcast.createTrack("voice", { timescale: Time.Timescale.MICRO });
  const feed = new VoiceFeed();
  feed.follow(opened, "voice");
  feed.follow(opened, "voice");
  await expect.poll(() => track.used.peek()).toBe(true);

  const group = new Group.Producer(0);
  track.writeGroup(group);
  group.writeFrame(frame(0, 1));
  await expect.poll(() => feed.at(ms(50))).toBe(1);
  group.writeFrame(frame(100, 0));
  for (const payload of [new Uint8Array(0), Uint8Array.of(0x40), Uint8Array.of(5), new Uint8Array(200)])
    group.writeFrame({ payload, timestamp: Time.Timestamp.fromMicros(ms(0)) });
  group.writeFrame(frame(200, 1));
  await expect.poll(() => feed.at(ms(250))).toBe(1);
  expect(feed.counters).toMatchObject({ frames: 7, malformed: 4 });
  expect(feed.at(ms(150))).toBe(0);
  expect(feed.at(undefined)).toBeUndefined();
  group.close(new Error("taken back"));
  await expect.poll(() => feed.counters.aborted).toBe(1);
  expect(feed.at(ms(250))).toBe(1);

  // The audio goes back before the voice does.
  feed.takeBack(ms(50), 1);
  expect([feed.at(ms(49)), feed.at(ms(160))]).toEqual([1, undefined]);
  const { payload, timestamp } = frame(50, 0);
  track.writeDatagram({ sequence: EPOCH_SIZE, payload, timestamp });
  await expect.poll(() => feed.at(ms(60))).toBe(0);

  // Another catalog names none.
  feed.follow(opened, undefined);
  await expect.poll(() => track.used.peek()).toBe(false);
  expect(feed.at(ms(60))).toBeUndefined();
  stop.abort();
});

test("a voice feed subscribes again to a track that breaks, and bounds groups without end", async () => {
  const { broadcast, stop, opened } = open();
  const feed = new VoiceFeed();
  const broken = broadcast.createTrack("voice", { timescale: Time.Timescale.MICRO });
  feed.follow(opened, "voice");
  await expect.poll(() => broken.used.peek()).toBe(true);
  broken.close(new Error("broken"));
  const track = broadcast.createTrack("voice", { timescale: Time.Timescale.MICRO });
  await expect.poll(() => track.used.peek()).toBe(true);
  for (let sequence = 0; sequence < 100; sequence++) {
    const group = new Group.Producer(sequence);
    track.writeGroup(group);
    group.writeFrame(frame(sequence * 10, 1, 1));
  }
  await expect.poll(() => feed.counters.aborted).toBe(36);
  expect(feed.counters.frames).toBe(64);
  stop.abort();
  await expect.poll(() => track.used.peek()).toBe(false);
  feed.close();
});

test("a voice feed follows a voice track of another run, which replaces the old one from its first mark on", async () => {
  const { broadcast, stop, opened } = open();
  const feed = new VoiceFeed();
  const first = broadcast.createTrack("voice", { timescale: Time.Timescale.MICRO });
  feed.follow(opened, "voice", "one");
  await expect.poll(() => first.used.peek()).toBe(true);
  const { payload, timestamp } = frame(0, 1, 40);
  first.writeDatagram({ sequence: 70_000, payload, timestamp });
  await expect.poll(() => feed.at(ms(390))).toBe(1);
  first.close();
  broadcast.removeTrack("voice");
  const second = broadcast.createTrack("voice", { timescale: Time.Timescale.MICRO });
  feed.follow(opened, "voice", "two");
  await expect.poll(() => second.used.peek()).toBe(true);
  expect(feed.at(ms(390))).toBe(1);
  const other = frame(200, 0, 1);
  second.writeDatagram({ sequence: 0, payload: other.payload, timestamp: other.timestamp });
  await expect.poll(() => feed.at(ms(200))).toBe(0);
  expect([feed.at(ms(199)), feed.at(ms(309)), feed.at(ms(310))]).toEqual([1, 0, undefined]);
  stop.abort();
});
