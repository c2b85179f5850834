import { expect, onTestFinished, test } from "vitest";
import { ByteWriter } from "../base/index.js";
import { GROUP_COST } from "../relay/broadcast/cached-group.js";
import { decodeAnnounce, encodeAnnounce, encodeAnnounceOk, encodeAnnounceRequest } from "../relay/wire/announce.js";
import { Code } from "../relay/wire/code.js";
import { FRAME_COST } from "../relay/wire/group.js";
import { encodeClientSetup } from "../relay/wire/setup.js";
import { DataType, StreamReader, StreamType } from "../relay/wire/stream.js";
import { decodeSubscribe, encodeSubscribe } from "../relay/wire/subscribe.js";
import { decodeTrackRequest, encodeFetch, encodeTrackInfo } from "../relay/wire/track.js";
import { Listener, Publisher } from "../src/index.js";
import { type BidirectionalStream, connect, type Session } from "../transport/index.js";
import { dial, startRelay } from "./support/relay.js";

const PLAIN = { priority: 128, ordered: false, maxLatencyMs: 0, startGroup: undefined, endGroup: undefined };
/** A busy machine may take its time. */
/** What a group of one frame takes beside its payload. */
const COST = GROUP_COST + FRAME_COST;
// A stream that is collected as garbage ends.
const held: unknown[] = [];

/** Opens a stream with a request on it. */
async function request(session: Session, bytes: Uint8Array): Promise<BidirectionalStream> {
  const stream = await session.openBidirectional();
  held.push(stream);
  // It may be refused before all of it is out.
  await stream.send.write(bytes).catch(() => {});
  return stream;
}

function subscribe(session: Session, id: number, track: string, broadcast = "a.hang"): Promise<BidirectionalStream> {
  return request(session, encodeSubscribe({ ...PLAIN, id, broadcast, track }, 5));
}

/**
 * Publishes broadcasts, answers TRACK, and returns the ids of the subscriptions it gets. Tracks named `no-...` it refuses,
 * those named `never-...` it never answers.
 */
function publish(session: Session, suffixes: readonly string[]): number[] {
  const subscriptions: number[] = [];
  const serve = async (stream: BidirectionalStream): Promise<void> => {
    held.push(stream);
    const reader = new StreamReader(stream.receive, 10_000);
    const type = await reader.varint();
    if (type === StreamType.ANNOUNCE) {
      await stream.send.write(encodeAnnounceOk(9n, suffixes.length));
      for (const suffix of suffixes) await stream.send.write(encodeAnnounce({ suffix, active: true, hops: [] }, 5));
    } else if (type === StreamType.TRACK) {
      const { track } = decodeTrackRequest(await reader.message(), 1000);
      if (track.startsWith("no-")) return stream.send.reset(Code.NOT_FOUND);
      if (track.startsWith("never-")) return;
      await stream.send.write(
        encodeTrackInfo({ priority: 1, ordered: false, maxLatencyMs: 1000, timescale: 1_000_000 }),
      );
      await stream.send.finish();
    } else if (type === StreamType.SUBSCRIBE) {
      subscriptions.push(decodeSubscribe(await reader.message(), 5, 1000).id);
    }
  };
  void (async () => {
    for (;;) {
      const stream = await session.acceptBidirectional();
      if (stream === undefined) return;
      serve(stream).catch(() => {});
    }
  })();
  return subscriptions;
}

test("a relay refuses requests beyond a limit with a code and counts them, and all sessions continue", async () => {
  const { relay, url } = await startRelay({
    limits: {
      subscriptionsPerSession: 2,
      requestsPerSession: 4,
      tracksPerBroadcast: 2,
      broadcasts: 1,
    },
  });
  const subscriptions = publish(await dial(url), ["a.hang", "b.hang"]);
  await expect.poll(() => relay.stats().broadcasts).toBe(1);
  const { capped } = relay.stats().counters;
  // An announcement has no answer in moq-lite, so one without room is only counted.
  await expect.poll(() => relay.stats().counters.capped.broadcasts).toBe(1);
  // Who has none yet is not shut out by who has many.
  publish(await dial(url), ["c.hang", "d.hang"]);
  await expect.poll(() => relay.stats()).toMatchObject({ broadcasts: 2, counters: { capped: { broadcasts: 2 } } });

  const greedy = await dial(url);
  await subscribe(greedy, 0, "one");
  await subscribe(greedy, 1, "two");
  await expect.poll(() => subscriptions.length).toBe(2);
  const third = await subscribe(greedy, 2, "one");
  await expect(third.receive.read()).rejects.toMatchObject({ streamCode: Code.BOUNDS_EXCEEDED });
  expect(relay.stats().counters.capped).toMatchObject({ ...capped, broadcasts: 2, subscriptions: 1 });

  for (let index = 0; index < 2; index++) {
    const announced = await request(greedy, encodeAnnounceRequest({ prefix: "", excludeHop: 0n }, 5));
    expect(await announced.receive.read()).toBeDefined();
  }
  const fifth = await request(greedy, encodeAnnounceRequest({ prefix: "", excludeHop: 0n }, 5));
  await expect(fifth.receive.read()).rejects.toMatchObject({ streamCode: Code.BOUNDS_EXCEEDED });
  expect(relay.stats().counters.capped.streams).toBe(1);

  const other = await dial(url);
  const full = await subscribe(other, 0, "three");
  await expect(full.receive.read()).rejects.toMatchObject({ streamCode: Code.BOUNDS_EXCEEDED });
  expect(relay.stats().counters.capped.tracks).toBe(1);
  await subscribe(other, 1, "one");
  await expect.poll(() => relay.stats().watchers).toBe(3);
  expect(relay.stats()).toMatchObject({ sessions: 4, counters: { sessionsFailed: 0 } });
});

test("a path or message that is too long or too deep ends its session with a code, and no other", async () => {
  const { relay, url } = await startRelay({ limits: { pathBytes: 80, messageBytes: 256, frameBytes: 1000 } });
  const publisher = await dial(url);
  const subscriptions = publish(publisher, ["a.hang"]);
  await expect.poll(() => relay.stats().broadcasts).toBe(1);
  const wrong: [string, string, string][] = [
    ["STRING_TOO_LONG", "p".repeat(81), "audio"],
    ["STRING_TOO_LONG", "a.hang", "t".repeat(81)],
    ["PATH_TOO_DEEP", `${"a/".repeat(32)}b`, "audio"],
    ["MESSAGE_TOO_LONG", "p".repeat(300), "audio"],
  ];
  for (const [index, [code, broadcast, track]] of wrong.entries()) {
    const session = await dial(url);
    await subscribe(session, 0, track, broadcast);
    expect(await session.closed).toMatchObject({
      closeCode: Code.PROTOCOL_VIOLATION,
      reason: expect.stringContaining(code),
    });
    expect(relay.stats().counters.sessionsFailed).toBe(index + 1);
  }

  const watcher = await dial(url);
  const watched = await subscribe(watcher, 0, "audio");
  await expect.poll(() => subscriptions.length).toBe(1);
  const group = await publisher.openUnidirectional();
  held.push(group);
  const header = new ByteWriter().varint(DataType.GROUP).message((body) => body.varint(subscriptions[0]!).varint(0));
  await group.write(header.varint(0).varint(1001).finish());
  expect(await publisher.closed).toMatchObject({
    closeCode: Code.PROTOCOL_VIOLATION,
    reason: expect.stringContaining("FRAME_TOO_LARGE"),
  });
  await expect.poll(() => relay.stats()).toMatchObject({ broadcasts: 0, sessions: 1 });
  // The watcher learns that its track is over and may ask for another.
  while ((await watched.receive.read().catch(() => undefined)) !== undefined);
  await request(watcher, encodeAnnounceRequest({ prefix: "", excludeHop: 0n }, 5));
});

test("a limit covers all tracks of a broadcast: the oldest groups are evicted and counted", async () => {
  const { relay, url } = await startRelay({ limits: { cacheBytesPerBroadcast: 30_000 } });
  const publisher = await dial(url);
  const subscriptions = publish(publisher, ["a.hang", "b.hang"]);
  await expect.poll(() => relay.stats().broadcasts).toBe(2);
  const watcher = await dial(url);
  const tracks = [
    ["a.hang", "pictures"],
    ["a.hang", "sound"],
    ["b.hang", "sound"],
  ] as const;
  for (const [id, [broadcast, track]] of tracks.entries()) {
    await subscribe(watcher, id, track, broadcast);
    await expect.poll(() => subscriptions.length).toBe(id + 1);
  }
  let sent = 0;
  // A group of one frame that takes this many bytes in total.
  const send = async (track: number, sequence: number, bytes: number): Promise<void> => {
    const stream = await publisher.openUnidirectional();
    held.push(stream);
    const id = subscriptions[track]!;
    const header = new ByteWriter().varint(DataType.GROUP).message((body) => body.varint(id).varint(sequence));
    await stream.write(
      header
        .varint(0)
        .varint(bytes - COST)
        .bytes(new Uint8Array(bytes - COST))
        .finish(),
    );
    void stream.finish();
    sent++;
    await expect.poll(() => relay.stats().counters.objectsIn).toBe(sent);
  };
  /** Whether the relay has a group, or the code with which it refuses it. */
  const fetched = async (track: number, group: number): Promise<true | number | undefined> => {
    const [broadcast, name] = tracks[track]!;
    const { receive } = await request(watcher, encodeFetch({ broadcast, track: name, priority: 1, group }));
    return receive.read().then(
      (): true => true,
      (error: { streamCode?: number }) => error.streamCode,
    );
  };
  for (const group of [0, 1]) await send(0, group, 10_000);
  for (const group of [0, 1]) await send(1, group, 4000);
  for (const group of [0, 1, 2]) await send(2, group, 9000);
  expect(relay.stats()).toMatchObject({ cachedBytes: 55_000, counters: { evicted: 0 } });

  // Sound comes, and the picture that is older than any of it makes room.
  await send(1, 2, 4000);
  await expect.poll(() => relay.stats().counters.cacheFull).toEqual({ broadcast: 1, relay: 0 });
  expect(relay.stats().cachedBytes).toBe(49_000);
  expect(await Promise.all([fetched(0, 0), fetched(0, 1), fetched(1, 0), fetched(2, 0)])).toEqual([
    Code.NOT_FOUND,
    true,
    true,
    true,
  ]);

  // The newest group of a track stays, so the broadcast holds a little too much.
  await send(0, 2, 29_000);
  await expect.poll(() => relay.stats().counters.cacheFull).toEqual({ broadcast: 4, relay: 0 });
  expect(relay.stats()).toMatchObject({ cachedBytes: 60_000, counters: { evicted: 4, capped: { groups: 0 } } });
  expect(await Promise.all([fetched(0, 2), fetched(1, 1), fetched(1, 2)])).toEqual([true, Code.NOT_FOUND, true]);

  // One that alone is too large is given up.
  await send(0, 3, 30_001);
  await expect.poll(() => relay.stats().counters.capped.groups).toBe(1);
  expect(await fetched(0, 3)).toBe(Code.NOT_FOUND);
  expect(relay.stats()).toMatchObject({ sessions: 2, watchers: 3, counters: { sessionsFailed: 0 } });
  await send(0, 4, 2000);
  expect(await fetched(0, 4)).toBe(true);
});

test("a client that offers only versions of moq-transport learns that the relay speaks none of them", async () => {
  const { relay, url } = await startRelay();
  const client = await connect(url, { backends: ["quic"], protocols: ["moql"] });
  onTestFinished(() => client.close());
  const draft14 = 0xff00000e;
  await request(client, encodeClientSetup([draft14]));
  expect(await client.closed).toMatchObject({
    closeCode: Code.VERSION,
    reason: expect.stringContaining("UNSUPPORTED_VERSION"),
  });
  expect(relay.stats().counters.sessionsRefused.version).toBe(1);
});

test("a relay limits sessions from one address where the carrier provides the address", async () => {
  const { relay, url } = await startRelay({ limits: { sessionsPerAddress: 2 } });
  const [first] = [await dial(url, { backends: ["qmux"] }), await dial(url, { backends: ["qmux"] })];
  await expect(dial(url, { backends: ["qmux"] })).rejects.toMatchObject({ code: "UNAVAILABLE", retryable: true });
  expect(relay.stats().counters.sessionsRefused.address).toBe(1);
  first.close();
  await expect.poll(() => relay.stats().sessions).toBe(1);
  await dial(url, { backends: ["qmux"] });
  await expect.poll(() => relay.stats().counters.sessionsAccepted).toBe(3);
});

test("requests for missing tracks are refused at once, or at the cost of the session that asks", async () => {
  const { relay, url } = await startRelay({
    limits: {
      unansweredPerSession: 5,
      unansweredPerBroadcast: 6,
      tracksPerBroadcast: 2,
    },
  });
  const subscriptions = publish(await dial(url), ["a.hang"]);
  await expect.poll(() => relay.stats().broadcasts).toBe(1);
  const greedy = await dial(url);
  for (let id = 0; id < 20; id++) {
    const { receive } = await subscribe(greedy, id, `no-${id}`);
    await expect(receive.read()).rejects.toMatchObject({ streamCode: Code.NOT_FOUND });
  }
  await expect.poll(() => relay.stats().tracks).toBe(0);
  for (let id = 0; id < 5; id++) await subscribe(greedy, id, `never-${id}`);
  await expect.poll(() => relay.stats().tracks).toBe(5);
  const { receive } = await subscribe(greedy, 5, "never-5");
  await expect(receive.read()).rejects.toMatchObject({ streamCode: Code.BOUNDS_EXCEEDED });
  expect(relay.stats().counters.capped.unanswered).toBe(1);
  // A second one fills what is common, and pays for it; a third, that asks for what a player does, is served all the same.
  const second = await dial(url);
  for (let id = 0; id < 4; id++) await subscribe(second, id, `never-again-${id}`);
  await expect.poll(() => relay.stats().tracks).toBe(9);
  const over = await subscribe(second, 4, "never-again-4");
  await expect(over.receive.read()).rejects.toMatchObject({ streamCode: Code.BOUNDS_EXCEEDED });
  const honest = await dial(url);
  const before = subscriptions.length;
  for (const [id, track] of ["catalog.json", "audio"].entries()) await subscribe(honest, id, track);
  await expect.poll(() => subscriptions.length).toBe(before + 2);
  expect(relay.stats().counters.capped).toMatchObject({ unanswered: 2, tracks: 0 });
});

test("a relay holds incomplete frames and frames without a byte only up to their limits", async () => {
  const { relay, url } = await startRelay({ limits: { partialBytesPerSession: 100_000, framesPerGroup: 1000 } });
  const publisher = await dial(url);
  const subscriptions = publish(publisher, ["a.hang"]);
  await expect.poll(() => relay.stats().broadcasts).toBe(1);
  const watcher = await dial(url);
  await subscribe(watcher, 0, "audio");
  await expect.poll(() => subscriptions.length).toBe(1);
  const open = async (sequence: number, body: Uint8Array) => {
    const stream = await publisher.openUnidirectional();
    held.push(stream);
    const id = subscriptions[0]!;
    const header = new ByteWriter().varint(DataType.GROUP).message((start) => start.varint(id).varint(sequence));
    await stream.write(header.bytes(body).finish()).catch(() => {});
  };
  const half = new ByteWriter().varint(0).varint(4_000_000).bytes(new Uint8Array(30_000)).finish();
  for (let sequence = 0; sequence < 8; sequence++) await open(sequence, half);
  await expect.poll(() => relay.stats().counters.capped.partial).toBeGreaterThan(3);
  expect(relay.stats().partialBytes).toBeLessThanOrEqual(100_000);
  expect(relay.stats().partialBytes).toBeGreaterThan(0);
  await open(100, new Uint8Array(2 * 1001));
  await expect.poll(() => relay.stats().counters.capped.groups).toBe(1);
  publisher.close();
  await expect.poll(() => relay.stats()).toMatchObject({ partialBytes: 0, cachedBytes: 0, broadcasts: 0 });
});

test("a relay holds groups that stay open, in whatever number of tracks, only up to its limits", async () => {
  const limits = { cacheBytesPerBroadcast: 60_000, partialBytesPerSession: 80_000 };
  const { relay, url } = await startRelay({ limits });
  const publisher = await dial(url);
  const subscriptions = publish(publisher, ["a.hang"]);
  await expect.poll(() => relay.stats().broadcasts).toBe(1);
  const watcher = await dial(url);
  const tracks = 16;
  for (let id = 0; id < tracks; id++) {
    await subscribe(watcher, id, `track-${id}`);
    await expect.poll(() => subscriptions.length).toBe(id + 1);
  }
  // 200 frames without a byte take 51 KB; the group goes on.
  for (const id of subscriptions) {
    const stream = await publisher.openUnidirectional();
    held.push(stream);
    const header = new ByteWriter().varint(DataType.GROUP).message((start) => start.varint(id).varint(0));
    await stream.write(header.bytes(new Uint8Array(2 * 200)).finish());
  }
  await expect.poll(() => relay.stats().counters.objectsIn).toBe(tracks * 200);
  const full = () => relay.stats().cachedBytes > 120_000 || relay.stats().partialBytes > 80_000;
  await expect.poll(full).toBe(false);
  const { cachedBytes, partialBytes, counters } = relay.stats();
  expect(Math.min(cachedBytes, partialBytes)).toBeGreaterThan(50_000);
  expect(counters.capped.partial).toBeGreaterThan(10);
  publisher.close();
  await expect.poll(() => relay.stats()).toMatchObject({ partialBytes: 0, cachedBytes: 0, broadcasts: 0 });
});

test("announcements that wait for their turn are forgotten when their session ends", async () => {
  const { relay, url } = await startRelay({ limits: { announcementsPerSecond: 10 } });
  const session = await dial(url);
  const names = Array.from({ length: 40 }, (_, index) => `flood/${index}`);
  publish(session, names);
  await expect.poll(() => relay.stats().broadcasts).toBeGreaterThanOrEqual(10);
  session.close();
  await expect.poll(() => relay.stats()).toMatchObject({ sessions: 0, broadcasts: 0 });
  // The next one in the queue would come after 100 ms.
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(relay.stats().broadcasts).toBe(0);
});

test("a stranger that takes and leaves a name many times a second costs its followers little, and not the name", async () => {
  const { relay, url } = await startRelay();
  publish(await dial(url), ["a.hang"]);
  await expect.poll(() => relay.stats().broadcasts).toBe(1);
  const follower = await request(await dial(url), encodeAnnounceRequest({ prefix: "", excludeHop: 0n }, 5));
  const reader = new StreamReader(follower.receive, 10_000);
  await reader.message();
  const seen: boolean[] = [];
  const seenAt: number[] = [];
  const following = (async () => {
    for (;;) {
      seen.push(decodeAnnounce(await reader.message(), 5, 1000).active);
      seenAt.push(performance.now());
    }
  })();
  following.catch(() => {});
  await expect.poll(() => seen).toEqual([true]);

  const stranger = await dial(url);
  const stream = await stranger.acceptBidirectional();
  held.push(stream);
  await stream!.send.write(encodeAnnounceOk(9n, 0));
  const since = performance.now();
  for (let turn = 0; turn < 480; turn++) {
    await stream!.send.write(encodeAnnounce({ suffix: "a.hang", active: turn % 2 === 0, hops: [] }, 5));
    if (turn % 40 === 39) await new Promise((resolve) => setTimeout(resolve, 20));
  }
  stranger.close();
  await expect.poll(() => relay.stats()).toMatchObject({ sessions: 2, broadcasts: 1, displaced: 0 });
  // The owner is announced once more, because its tracks ended meanwhile.
  await expect.poll(() => seen.slice(-2)).toEqual([false, true]);
  // An end and a start at once, and again every 100 ms, or a timer's millisecond less.
  const changesAt = seenAt.slice(1);
  const tooSoon = changesAt.filter((at, index) => index + 1 > 2 * (1 + Math.floor((at - since) / 99)));
  expect(tooSoon).toEqual([]);
});

test.each([
  ["subscriptions of its session", { subscriptionsPerSession: 1 }],
  ["tracks of the broadcast", { tracksPerBroadcast: 1 }],
])("a listener without room for one more of the %s says so in a sentence", async (_, limits) => {
  const { url } = await startRelay({ limits });
  // Its catalog is the first track.
  await using _publisher = new Publisher({ url, broadcast: "a" });
  await using listener = new Listener({ url, broadcast: "a" });
  const problem = new Promise((resolve) => listener.on("problem", resolve));
  expect(await problem).toMatchObject({
    code: "UNAVAILABLE",
    message: expect.stringMatching(/^The relay has no room for a subscription to \S+\.$/),
  });
});
