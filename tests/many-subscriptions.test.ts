import * as Moq from "@kixelated/moq";
import { afterEach, beforeAll, expect, test, vi } from "vitest";
import { Relay } from "../relay/index.js";
import { connect, toWebTransport } from "../transport/index.js";

/** A session's peer allows it a hundred streams each way at once. */
const ROUNDS = 150;
const cleanups: (() => unknown)[] = [];

beforeAll(() => {
  // The MoQ package logs every stream to the console.
  for (const method of ["debug", "info", "warn", "error"] as const)
    vi.spyOn(console, method).mockImplementation(() => {});
});

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function client(url: string) {
  const session = await connect(url, { backends: ["quic"] });
  cleanups.push(() => session.close());
  return Moq.Connection.connect(new URL(url), { transport: toWebTransport(session) });
}

test("one session asks for tracks and groups a hundred and fifty times over, and no stream of a request is left open", async () => {
  const relay = new Relay({ port: 0, limits: { trackIdleMs: 1 } });
  const { host, port } = await relay.listen();
  cleanups.push(() => relay.close());
  const url = `http://${host}:${port}/`;

  const broadcast = new Moq.Broadcast.Producer();
  const tracks = Array.from({ length: ROUNDS }, (_, round) =>
    // Groups that are as old are gone: a busy machine takes a while for the rounds.
    broadcast.createTrack(`track${round}`, { timescale: Moq.Time.Timescale.MICRO, latencyMax: 60_000 }),
  );
  (await client(url)).publish(Moq.Path.from("demo.hang"), broadcast);
  tracks.forEach((track, round) => {
    const group = new Moq.Group.Producer(round);
    track.writeGroup(group);
    group.writeFrame({ payload: new Uint8Array([round]), timestamp: Moq.Time.Timestamp.fromMicros(round) });
    group.close();
  });

  const watcher = await client(url);
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
}, 60_000);
