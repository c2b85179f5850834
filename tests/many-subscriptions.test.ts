import * as Moq from "@kixelated/moq";
import { beforeAll, expect, test, vi } from "vitest";
import { dialMoq, startRelay } from "./support/relay.js";

/** A session's peer allows it a hundred streams each way at once. */
const ROUNDS = 150;

beforeAll(() => {
  // The MoQ package logs every stream to the console.
  for (const method of ["debug", "info", "warn", "error"] as const)
    vi.spyOn(console, method).mockImplementation(() => {});
});

test("one session asks for tracks and groups a hundred and fifty times over, and no stream of a request is left open", async () => {
  const { url } = await startRelay({ limits: { trackIdleMs: 1 } });

  const broadcast = new Moq.Broadcast.Producer();
  const tracks = Array.from({ length: ROUNDS }, (_, round) =>
    // Groups that are as old are gone: a busy machine takes a while for the rounds.
    broadcast.createTrack(`track${round}`, { timescale: Moq.Time.Timescale.MICRO, latencyMax: 60_000 }),
  );
  (await dialMoq(url)).moq.publish(Moq.Path.from("demo.hang"), broadcast);
  tracks.forEach((track, round) => {
    const group = new Moq.Group.Producer(round);
    track.writeGroup(group);
    group.writeFrame({ payload: new Uint8Array([round]), timestamp: Moq.Time.Timestamp.fromMicros(round) });
    group.close();
  });

  const { moq: watcher } = await dialMoq(url);
  const announcements = watcher.announced();
  while ((await announcements.next())?.path !== "demo.hang");
  const consumer = watcher.consume(Moq.Path.from("demo.hang"));
  for (let round = 0; round < ROUNDS; round++) {
    const subscriber = consumer.subscribe(`track${round}`);
    const group = await subscriber.recvGroup();
    expect(group?.sequence).toBe(round);
    expect((await group?.readFrame())?.payload[0]).toBe(round);
    const fetched = await consumer.fetchGroup(`track${round}`, round);
    expect((await fetched.readFrame())?.payload[0]).toBe(round);
    subscriber.close();
  }
});
