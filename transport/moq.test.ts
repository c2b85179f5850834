import { Broadcast, Connection, Group, Path, Time } from "@kixelated/moq";
import { afterEach, expect, test } from "vitest";
import { microseconds } from "../base/index.js";
import {
  certificateHash,
  connectQuic,
  createCertificate,
  listenQuic,
  type ReceiveStream,
  type Session,
  toWebTransport,
} from "./index.js";
import { type BrowserCarrier, FrameTrackWriter, followTrack, openMoq, type TrackEvent } from "./moq.js";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const bytes = (...values: number[]) => Uint8Array.from(values);

function track(name = "track") {
  const broadcast = new Broadcast.Producer();
  const open = () => broadcast.createTrack(name, { timescale: Time.Timescale.MICRO });
  return { broadcast, open, name };
}

/** Follows a track and records its events. */
function follow(broadcast: Broadcast.Producer, options: Partial<Parameters<typeof followTrack>[2]> = {}) {
  const events: TrackEvent[] = [];
  const stop = new AbortController();
  const retryMs = { first: 100, most: 200 };
  const ended = (async () => {
    const following = followTrack(broadcast.consume(), "track", {
      priority: 1,
      signal: stop.signal,
      retryMs,
      ...options,
    });
    for await (const event of following) events.push(event);
  })();
  const kinds = () => events.map(({ kind }) => kind);
  return { events, stop, ended, kinds };
}

const timestamp = Time.Timestamp.fromMicros(1000);

test("following a track yields frames of open groups, datagrams, ends and resets, and stops with its signal", async () => {
  const { broadcast, open } = track();
  const producer = open();
  const { events, stop, ended } = follow(broadcast);
  await expect.poll(() => producer.used.peek()).toBe(true);
  producer.writeDatagram({ sequence: 2, payload: bytes(9), timestamp });
  await expect.poll(() => events.length).toBe(3);
  expect(events.splice(1)).toEqual([
    { kind: "frame", sequence: 2, index: 0, payload: bytes(9), via: "datagram" },
    { kind: "end", sequence: 2, whole: true },
  ]);
  const group = new Group.Producer(3);
  producer.writeGroup(group);
  group.writeFrame({ payload: bytes(1), timestamp });
  await expect.poll(() => events.length).toBe(2);
  group.writeFrame({ payload: bytes(2), timestamp });
  group.close();
  const reset = new Group.Producer(4);
  producer.writeGroup(reset);
  await expect.poll(() => events.length).toBe(4);
  reset.close(new Error("taken back"));
  await expect.poll(() => events.length).toBe(5);
  expect(events[1]).toEqual({ kind: "frame", sequence: 3, index: 0, payload: bytes(1), via: "stream" });
  expect(events[2]).toMatchObject({ sequence: 3, index: 1 });
  expect(events[3]).toEqual({ kind: "end", sequence: 3, whole: true });
  expect(events[4]).toEqual({ kind: "end", sequence: 4, whole: false });
  stop.abort();
  await ended;
  await expect.poll(() => producer.used.peek()).toBe(false);
  expect(events).toHaveLength(5);
});

test("a datagram ends its group only while every group of the track had one frame", async () => {
  const { broadcast, open } = track();
  const producer = open();
  const { events, stop, ended } = follow(broadcast);
  await expect.poll(() => producer.used.peek()).toBe(true);
  const write = (sequence: number, frames: number) => {
    const group = new Group.Producer(sequence);
    producer.writeGroup(group);
    for (let i = 0; i < frames; i++) group.writeFrame({ payload: bytes(i), timestamp });
    return group;
  };
  write(0, 2).close();
  await expect.poll(() => events.length).toBe(4);
  // A relay repeats the first frame of a group with more frames to come.
  const open1 = write(1, 1);
  await expect.poll(() => events.length).toBe(5);
  producer.writeDatagram({ sequence: 1, payload: bytes(0), timestamp });
  await expect.poll(() => events.length).toBe(6);
  open1.writeFrame({ payload: bytes(1), timestamp });
  open1.close();
  await expect.poll(() => events.length).toBe(8);
  const of1 = events.filter((event) => "sequence" in event && event.sequence === 1);
  expect(of1.map(({ kind }) => kind)).toEqual(["frame", "frame", "frame", "end"]);
  stop.abort();
  await ended;
});

test("a follower subscribes again to a track that breaks, but not to one that ends in order", async () => {
  const { broadcast, open } = track();
  const broken = open();
  const { events, kinds, ended } = follow(broadcast);
  await expect.poll(() => broken.used.peek()).toBe(true);
  broken.close(new Error("broken"));
  const producer = open();
  await expect.poll(kinds).toContain("ended");
  expect(events.at(-1)).toMatchObject({ error: { code: "TRACK_BROKEN", message: "The track track broke: broken." } });
  await expect.poll(() => producer.used.peek(), { timeout: 5000 }).toBe(true);
  const group = producer.appendGroup();
  group.writeFrame({ payload: bytes(1), timestamp });
  group.close();
  producer.close();
  await ended;
  expect(kinds().slice(-4)).toEqual(["subscribed", "frame", "end", "ended"]);
  expect(events.at(-1)).toEqual({ kind: "ended", error: undefined, isRepeated: false });
});

test("a persistent follower subscribes again after an orderly end, until the broadcast ends", async () => {
  const { broadcast, open } = track();
  const first = open();
  const { ended } = follow(broadcast, { persistent: true });
  await expect.poll(() => first.used.peek()).toBe(true);
  first.close();
  broadcast.removeTrack("track");
  const second = open();
  await expect.poll(() => second.used.peek(), { timeout: 5000 }).toBe(true);
  broadcast.close();
  second.close();
  await ended;
});

test("groups above the limit of parallel reads are refused and reported as ended", async () => {
  const { broadcast, open } = track();
  const producer = open();
  const { events, stop, ended } = follow(broadcast, { maxOpenGroups: 2 });
  await expect.poll(() => producer.used.peek()).toBe(true);
  for (let sequence = 0; sequence < 5; sequence++) {
    const group = new Group.Producer(sequence);
    producer.writeGroup(group);
    group.writeFrame({ payload: bytes(sequence), timestamp });
  }
  const refused = () => events.filter((event) => event.kind === "end" && !event.whole).length;
  await expect.poll(refused).toBe(3);
  expect(events.filter(({ kind }) => kind === "frame")).toHaveLength(2);
  stop.abort();
  await ended;
});

test("a frame track's timestamps rise though its clock stands still or falls, and its writer sees its subscriber", async () => {
  const broadcast = new Broadcast.Producer();
  let now = 5000;
  const writer = new FrameTrackWriter(broadcast, {
    name: "track",
    priority: 1,
    retainMs: 1000,
    clock: () => microseconds(now),
  });
  expect(writer.used).toBe(false);
  const subscriber = broadcast.consume().track("track").subscribe({ latencyMax: 1000 });
  await expect.poll(() => writer.used).toBe(true);
  for (const at of [5000, 5000, 10, 9000]) {
    now = at;
    writer.write(bytes(at & 255));
  }
  const stamps: number[] = [];
  for (let index = 0; index < 4; index++) {
    const frame = await (await subscriber.recvGroup())?.readFrame();
    stamps.push(Number(frame?.timestamp.asMicros()));
  }
  expect(stamps).toEqual([5000, 5001, 5002, 9000]);
  const other = new FrameTrackWriter(broadcast, { name: "other", priority: 1, retainMs: 1000 });
  other.close();
  other.write(bytes(1));
  expect(other.used).toBe(false);
});

/** Both ends of a QUIC session over loopback, with MoQ on the far one. */
async function pair() {
  const certificate = await createCertificate();
  const server = await listenQuic({ host: "127.0.0.1", port: 0, certificate });
  cleanups.push(() => server.close());
  const accepting = server.accept();
  const [near, far] = await Promise.all([
    connectQuic(new URL(`https://127.0.0.1:${server.address.port}/room?jwt=secret`), {
      certificateHashes: [Buffer.from(certificateHash(certificate.cert), "hex")],
    }),
    accepting.then((request) => request!.accept()),
  ]);
  return { near, far, accepted: Connection.accept(toWebTransport(far), far.url) };
}

/** The same session on a carrier that delivers a one-way stream in one piece, as a WebSocket does with a short one. */
function inOnePiece(session: Session): Session {
  const acceptUnidirectional = async (): Promise<ReceiveStream | undefined> => {
    const stream = await session.acceptUnidirectional();
    if (stream === undefined) return undefined;
    const read = async (): Promise<Uint8Array | undefined> => {
      const pieces: Uint8Array[] = [];
      for (let piece = await stream.read(); piece; piece = await stream.read()) pieces.push(piece);
      return pieces.length === 0 ? undefined : Buffer.concat(pieces);
    };
    return { read, stop: (code) => stream.stop(code) };
  };
  return new Proxy(session, {
    get(target, name) {
      const value: unknown = name === "acceptUnidirectional" ? acceptUnidirectional : Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** The same session without datagrams. */
function withoutDatagrams(session: Session): Session {
  return new Proxy(session, {
    get(target, name) {
      const value: unknown = name === "datagrams" ? undefined : Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

const FORMAT = {
  streamType: bytes(255, 255, 7),
  isRecord: (datagram: Uint8Array) => datagram[0] === 255,
  newReader: () => ({
    push: (data: Uint8Array) => {
      if (data.includes(9)) throw new Error("no record");
      return [...data].map((value) => bytes(value));
    },
  }),
};

async function readAll(records: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
  const read: Uint8Array[] = [];
  for await (const record of records) read.push(record);
  return read;
}

test("openMoq removes the token from the URL, and yields records from datagrams until the session ends", async () => {
  const { near, far } = await pair();
  const { connection, records } = await openMoq(near, { records: FORMAT });
  expect(connection.url.href).toBe(`https://127.0.0.1:${near.url.port}/room`);
  const reader = records[Symbol.asyncIterator]();
  const first = reader.next();
  far.datagrams!.send(bytes(255, 1));
  expect((await first).value).toEqual(bytes(255, 1));
  far.datagrams!.send(bytes(255, 2));
  expect((await reader.next()).value).toEqual(bytes(255, 2));
  near.close();
  expect((await reader.next()).done).toBe(true);
});

test("records come from a stream of their own without datagrams, and a stream of other bytes is stopped", async () => {
  const { near, far } = await pair();
  const { records } = await openMoq(withoutDatagrams(near), { records: FORMAT });
  const bad = await far.openUnidirectional();
  await bad.write(bytes(255, 255, 7, 9));
  const good = await far.openUnidirectional();
  await good.write(bytes(255, 255));
  await good.write(bytes(7, 1));
  const reader = records[Symbol.asyncIterator]();
  expect((await reader.next()).value).toEqual(bytes(1));
  await good.write(bytes(2, 3));
  expect((await reader.next()).value).toEqual(bytes(2));
  const refused = async () => {
    await bad.write(bytes(0)).catch(() => {});
    return Promise.race([bad.stopped, "open"]);
  };
  await expect.poll(refused).toBe(0);
  near.close();
  expect(await readAll(records)).toEqual([bytes(3)]);
});

test("a group of frames without bytes leaves the process its turns, however many arrive at once", async () => {
  const { near, far, accepted } = await pair();
  const { broadcast, open } = track();
  const producer = open();
  (await accepted).publish(Path.from("room"), broadcast);
  const { connection } = await openMoq(inOnePiece(near));
  const stop = new AbortController();
  const events = followTrack(connection.consume(Path.from("room")), "track", { priority: 1, signal: stop.signal });
  await events.next();
  const first = events.next();
  await expect.poll(() => producer.used.peek()).toBe(true);
  let turns = 0;
  const counting = setInterval(() => turns++, 0);
  cleanups.push(() => clearInterval(counting));
  const frames = 30_000;
  const stream = await far.openUnidirectional();
  // A group of the first subscription; each frame is a microsecond behind the one before, and has no bytes.
  await stream.write(Buffer.concat([bytes(0, 2, 0, 1), Buffer.alloc(2 * frames, bytes(2, 0))]));
  await stream.finish();
  expect((await first).value).toMatchObject({ kind: "frame", index: 0 });
  const before = turns;
  let last = 0;
  while (last < frames - 1) {
    const { value } = await events.next();
    if (value?.kind !== "frame") throw new Error(`The group ended after ${last} frames.`);
    last = value.index;
  }
  expect(turns - before).toBeGreaterThan(3);
  stop.abort();
  near.close();
});

test("a browser's session keeps its own transport, and records come from its tap", async () => {
  const { near } = await pair();
  const carrier: BrowserCarrier = { transport: toWebTransport(near), url: near.url, tap: undefined };
  const { connection, records } = await openMoq(carrier, { records: FORMAT });
  expect(connection.url.search).toBe("");
  expect([carrier.tap?.(bytes(255, 1)), carrier.tap?.(bytes(8))]).toEqual([true, false]);
  near.close();
  expect(await readAll(records)).toEqual([bytes(255, 1)]);
});

test("a track that breaks again for the same reason says that it repeats, until it has worked for a while", async () => {
  const { broadcast, open } = track();
  let now = 0;
  let producer = open();
  const { events, stop, ended } = follow(broadcast, { retryMs: { first: 1, most: 1 }, clock: () => microseconds(now) });
  const breaks = () => events.flatMap((event) => (event.kind === "ended" ? [event] : []));
  /** Breaks the track once it has worked for this long. */
  const breakOff = async (reason: string, workedMs: number) => {
    await expect.poll(() => producer.used.peek()).toBe(true);
    const seen = events.length;
    const count = breaks().length;
    producer.writeDatagram({ sequence: 0, payload: bytes(9), timestamp });
    await expect.poll(() => events.length).toBeGreaterThan(seen);
    now += workedMs * 1000;
    producer.close(new Error(reason));
    producer = open();
    await expect.poll(() => breaks().length).toBeGreaterThan(count);
  };
  await breakOff("overloaded", 0);
  await breakOff("overloaded", 100);
  await breakOff("lost", 100);
  await breakOff("overloaded", 100);
  await breakOff("overloaded", 3000);
  stop.abort();
  await ended;
  expect(breaks().map(({ error, isRepeated }) => `${error?.message}${isRepeated ? " again" : ""}`)).toEqual([
    "The track track broke: overloaded.",
    "The track track broke: overloaded. again",
    "The track track broke: lost.",
    "The track track broke: overloaded. again",
    "The track track broke: overloaded.",
  ]);
});
