import * as Moq from "@kixelated/moq";
import { beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { microseconds, sleep } from "../base/index.js";
import {
  type Aggregate,
  broadcastHash,
  decodeAggregate,
  decodeReceipt,
  encodeReport,
  type Receipt,
} from "../flow/report/index.js";
import type { Relay } from "../relay/index.js";
import { decodeDatagram, decodeGroupHeader } from "../relay/wire/group.js";
import { StreamReader } from "../relay/wire/stream.js";
import { encodeSubscribe } from "../relay/wire/subscribe.js";
import { connect, probe, type Session, StreamError, toWebTransport } from "../transport/index.js";
import { KEEPALIVE } from "../transport/tcp/keepalive.js";
import { impair } from "./support/impairment.js";
import { dial, dialMoq, publishTracks, startRelay } from "./support/relay.js";
import { reportWith } from "./support/reports.js";

const PLAIN = { priority: 128, ordered: false, maxLatencyMs: 0, startGroup: undefined, endGroup: undefined };

type Connection = Awaited<ReturnType<typeof Moq.Connection.connect>>;

beforeAll(() => {
  // The MoQ package logs every stream to the console.
  for (const method of ["debug", "info", "warn", "error"] as const)
    vi.spyOn(console, method).mockImplementation(() => {});
});

function writeGroup(track: Moq.Track.Producer, sequence: number, timestamps: number[], size = 20): void {
  const group = new Moq.Group.Producer(sequence);
  track.writeGroup(group);
  for (const timestamp of timestamps)
    group.writeFrame({
      payload: new Uint8Array(size).fill(sequence),
      timestamp: Moq.Time.Timestamp.fromMicros(timestamp),
    });
  group.close();
}

/** A listener's report of the broadcast that stands at its start and has received nothing, but for `fields`. */
function reportOf(fields: Partial<Parameters<typeof encodeReport>[0]>): Uint8Array {
  const report = reportWith({
    broadcast: broadcastHash("demo.hang"),
    reportId: 1,
    playing: false,
    receivedGroup: 0,
    bufferedMs: 100,
    ...fields,
  });
  return encodeReport(report);
}

/** Writes groups until one went through; returns the next sequence. */
async function flowing(relay: Relay, track: Moq.Track.Producer): Promise<number> {
  for (let sequence = 0; ; sequence++) {
    writeGroup(track, sequence, [sequence * 20_000]);
    await sleep(20);
    if (relay.stats().counters.objectsOut > 0) return sequence + 1;
  }
}

async function announced(moq: Connection, path: string, active = true): Promise<void> {
  const announcements = moq.announced();
  for (;;) {
    const next = await announcements.next();
    if (next === undefined) throw new Error("no more announcements");
    if (next.path === path && next.active === active) return announcements.close();
  }
}

describe("relay", () => {
  test("a relay carries groups from one publisher to several watchers with one upstream subscription", async () => {
    const { relay, url } = await startRelay();
    const publisher = await dialMoq(url);
    const [audio] = publishTracks(publisher.moq, "demo.hang");
    const watchers = await Promise.all([dialMoq(url), dialMoq(url), dialMoq(url)]);
    const subscribers = await Promise.all(
      watchers.map(async ({ moq }) => {
        await announced(moq, "demo.hang");
        return moq.consume(Moq.Path.from("demo.hang")).subscribe("audio");
      }),
    );
    const received = subscribers.map(async (subscriber) => {
      const groups: number[] = [];
      while (groups.length < 20) {
        const group = await subscriber.recvGroup();
        if (!group) break;
        const frame = await group.readFrame();
        expect(frame?.payload[0]).toBe(group.sequence);
        expect(frame?.timestamp.as(Moq.Time.Timescale.MICRO)).toBe(group.sequence * 20_000);
        groups.push(group.sequence);
      }
      return groups;
    });
    await expect.poll(() => relay.stats().watchers).toBe(3);
    for (let sequence = 0; sequence < 25; sequence++) {
      writeGroup(audio!, sequence, [sequence * 20_000]);
      await sleep(5);
    }
    for (const groups of await Promise.all(received)) expect(groups).toHaveLength(20);
    expect(relay.stats().tracks).toBe(1);
    expect(relay.stats().counters.objectsIn).toBeLessThanOrEqual(25);
  });

  test.each([
    ["moq-lite-05", "moq-lite-05"],
    ["moq-lite-05", "moq-lite-02"],
    ["moq-lite-02", "moq-lite-05"],
    ["moq-lite-04", "moq-lite-05"],
    ["moq-lite-05", "moq-lite-04"],
    ["moq-lite-02", "moq-lite-02"],
  ])("carries a publisher's %s to a watcher's %s", async (from, to) => {
    const { url } = await startRelay();
    const publisher = await dialMoq(url, { protocols: from === "moq-lite-02" ? [] : [from] });
    // At once: the stock publisher misses a broadcast that is added while it answers the first announce request.
    const [audio] = publishTracks(publisher.moq, "some/where.hang");
    const watcher = await dialMoq(url, { protocols: to === "moq-lite-02" ? [] : [to] });
    expect([publisher.moq.version, watcher.moq.version]).toEqual([from, to]);
    await announced(watcher.moq, "some/where.hang");
    const subscriber = watcher.moq.consume(Moq.Path.from("some/where.hang")).subscribe("audio");
    const received = (async () => {
      const group = await subscriber.recvGroup();
      const frames = [];
      for (let frame = await group?.readFrame(); frame; frame = await group?.readFrame()) frames.push(frame);
      return { sequence: group!.sequence, frames };
    })();
    void subscriber.recvGroup();
    for (let sequence = 7; sequence < 20; sequence++) {
      writeGroup(audio!, sequence, [sequence * 1000, sequence * 1000 + 10, sequence * 1000 + 5], 300);
      await sleep(20);
    }
    const { sequence, frames } = await received;
    expect(frames.map(({ payload }) => [payload.length, payload[0]])).toEqual(Array(3).fill([300, sequence]));
    const times = frames.map(({ timestamp }) => timestamp.as(Moq.Time.Timescale.MICRO) - sequence * 1000);
    // Older versions have no timestamps: they come from the times of arrival.
    const isKept = from === "moq-lite-05" && to === "moq-lite-05";
    expect(times).toEqual(isKept ? [0, 10, 5] : Array(3).fill(expect.any(Number)));
  });

  test("a relay serves stock clients over WebSocket on the same port, also behind TLS", async () => {
    const { relay, url } = await startRelay();
    const { host, port } = relay.address;
    const certificateHashes = [Buffer.from(relay.fingerprint, "hex")];
    expect(await (await fetch(new URL("/certificate.sha256", url))).text()).toBe(relay.fingerprint);
    const publisher = await dialMoq(url, { backends: ["qmux"] });
    const [audio] = publishTracks(publisher.moq, "demo.hang");
    const watcher = await dialMoq(`https://${host}:${port}/`, { backends: ["qmux"], certificateHashes });
    expect([publisher.moq.version, watcher.moq.version]).toEqual(["moq-lite-05", "moq-lite-05"]);
    await announced(watcher.moq, "demo.hang");
    const subscriber = watcher.moq.consume(Moq.Path.from("demo.hang")).subscribe("audio");
    const received = subscriber.readFrame();
    await expect.poll(() => relay.stats().watchers).toBe(1);
    for (let sequence = 0; sequence < 10; sequence++) {
      writeGroup(audio!, sequence, [sequence]);
      await sleep(10);
    }
    expect((await received)?.payload).toHaveLength(20);
  });

  test("a relay starts a late joiner at the newest group, forwards a frame before its group ends, and answers FETCH", async () => {
    const { relay, url } = await startRelay();
    const publisher = await dialMoq(url);
    const [audio] = publishTracks(publisher.moq, "demo.hang");
    const early = await dialMoq(url);
    await announced(early.moq, "demo.hang");
    const following = early.moq.consume(Moq.Path.from("demo.hang")).subscribe("audio");
    const seen = new Set<number>();
    void (async () => {
      for (let next = await following.recvGroup(); next; next = await following.recvGroup()) seen.add(next.sequence);
    })().catch(() => {});
    const start = await flowing(relay, audio!);
    for (let sequence = start; sequence < start + 10; sequence++) writeGroup(audio!, sequence, [sequence * 20_000]);
    const open = new Moq.Group.Producer(start + 10);
    audio!.writeGroup(open);
    const at = (start + 10) * 20_000;
    open.writeFrame({ payload: new Uint8Array([1]), timestamp: Moq.Time.Timestamp.fromMicros(at) });
    // What the early one has the relay has.
    const written = Array.from({ length: 11 }, (_, index) => start + index);
    await expect.poll(() => written.filter((sequence) => !seen.has(sequence))).toEqual([]);

    const late = await dialMoq(url);
    await announced(late.moq, "demo.hang");
    const consumer = late.moq.consume(Moq.Path.from("demo.hang"));
    const group = await consumer.subscribe("audio").recvGroup();
    expect(group?.sequence).toBe(start + 10);
    expect((await group?.readFrame())?.payload).toEqual(new Uint8Array([1]));
    open.writeFrame({ payload: new Uint8Array([2]), timestamp: Moq.Time.Timestamp.fromMicros(at + 10_000) });
    expect((await group?.readFrame())?.payload).toEqual(new Uint8Array([2]));
    open.close();
    expect(await group?.readFrame()).toBeUndefined();

    const fetched = await consumer.fetchGroup("audio", start + 4);
    expect((await fetched.readFrame())?.payload[0]).toBe(start + 4);
  });

  test("a relay announces to watchers when a broadcast goes, comes back, and is replaced", async () => {
    const { relay, url } = await startRelay();
    const watcher = await dialMoq(url);
    const seen: [string, boolean][] = [];
    const announcements = watcher.moq.announced();
    void (async () => {
      for (let next = await announcements.next(); next; next = await announcements.next())
        seen.push([next.path, next.active]);
    })().catch(() => {});
    const first = await dialMoq(url);
    publishTracks(first.moq, "demo.hang");
    await expect.poll(() => seen.at(-1)).toEqual(["demo.hang", true]);
    first.session.close();
    await expect.poll(() => seen.at(-1)).toEqual(["demo.hang", false]);
    const second = await dialMoq(url);
    publishTracks(second.moq, "demo.hang");
    await expect.poll(() => seen.length).toBe(3);
    const third = await dialMoq(url);
    const [audio] = publishTracks(third.moq, "demo.hang");
    await expect.poll(() => seen.length).toBe(5);
    expect(seen.slice(3)).toEqual([
      ["demo.hang", false],
      ["demo.hang", true],
    ]);
    // The one that was replaced leaves without taking the new one along.
    second.session.close();
    await expect.poll(() => relay.stats().sessions).toBe(2);
    const subscriber = watcher.moq.consume(Moq.Path.from("demo.hang")).subscribe("audio");
    const received = subscriber.readFrame();
    await expect.poll(() => relay.stats().watchers).toBe(1);
    await flowing(relay, audio!);
    expect(await received).toBeDefined();
    expect(seen).toHaveLength(5);
  });

  describe("taking back", () => {
    const EPOCH = 65_536;

    // Reads a watcher's raw streams, so that what a stock client would hide is seen: bytes, ends and resets.
    async function rawWatcher(
      url: string,
      options: Parameters<typeof connect>[1] = {},
    ): Promise<{ session: Session; groups: Map<number, string> }> {
      const session = await connect(url, { backends: ["quic"], ...options });
      onTestFinished(() => session.close());
      const groups = new Map<number, string>();
      const { send } = await session.openBidirectional();
      await send.write(encodeSubscribe({ ...PLAIN, id: 0, broadcast: "demo.hang", track: "audio" }, 5));
      return { session, groups };
    }

    async function readGroups({ session, groups }: { session: Session; groups: Map<number, string> }): Promise<void> {
      for (let stream = await session.acceptUnidirectional(); stream; stream = await session.acceptUnidirectional()) {
        // One that is reset before its header has come is no group here.
        readGroup(new StreamReader(stream, 65_536), groups).catch(() => {});
      }
    }

    async function readGroup(reader: StreamReader, groups: Map<number, string>): Promise<void> {
      if ((await reader.varint()) !== 0) return;
      const { sequence } = decodeGroupHeader(await reader.message());
      groups.set(sequence, "open");
      const ended = (error: unknown) => `reset ${error instanceof StreamError ? error.streamCode : error}`;
      groups.set(sequence, await reader.drain().then(() => "ended", ended));
    }

    test("a relay resets stale groups in flight to a slow watcher, and a late joiner gets none", async () => {
      const { relay, url } = await startRelay();
      const publisher = await dialMoq(url);
      const [audio] = publishTracks(publisher.moq, "demo.hang");
      await expect.poll(() => relay.stats().broadcasts).toBe(1);
      const link = await impair({ target: relay.address, seed: 1 });
      onTestFinished(() => link.close());
      const certificateHashes = [Buffer.from(relay.fingerprint, "hex")];
      const slow = await rawWatcher(`https://127.0.0.1:${link.port}/`, { certificateHashes });
      void readGroups(slow);
      const start = await flowing(relay, audio!);
      // Groups may still be on their way when the first of them has gone through.
      await expect.poll(() => slow.groups.get(start - 1)).toBe("ended");
      link.setDown({ rateBps: 1_000_000, queueBytes: 8000 });
      const sentBefore = relay.stats().counters.objectsOut;
      for (let sequence = start; sequence < start + 20; sequence++)
        writeGroup(audio!, sequence, [sequence * 20_000], 20_000);
      await expect.poll(() => relay.stats().counters.objectsOut).toBe(sentBefore + 20);
      // Most of it still waits in the streams. The publisher takes back the last ten groups.
      writeGroup(audio!, EPOCH, [(start + 10) * 20_000]);
      await expect.poll(() => relay.stats().counters.rewinds).toBe(1);
      expect(relay.stats().counters.staleStreamsReset).toBe(10);
      await expect.poll(() => slow.groups.get(EPOCH)).toBe("ended");
      await expect.poll(() => slow.groups.get(start + 9)).toBe("ended");
      const stale = [...slow.groups].filter(([sequence]) => sequence >= start + 10 && sequence < EPOCH);
      expect(stale.filter(([, end]) => end === "ended").length).toBeLessThan(5);
      for (const [, end] of stale) expect(end).toMatch(/^ended$|^reset 2$/);

      // A straggler of the old timeline goes nowhere.
      writeGroup(audio!, start + 20, [(start + 20) * 20_000]);
      await expect.poll(() => relay.stats().counters.staleIn).toBe(1);
      const late = await rawWatcher(url);
      void readGroups(late);
      await expect.poll(() => late.groups.get(EPOCH)).toBe("ended");
      writeGroup(audio!, EPOCH + 1, [(start + 11) * 20_000]);
      await expect.poll(() => late.groups.get(EPOCH + 1)).toBe("ended");
      expect([...late.groups.keys()]).toEqual([EPOCH, EPOCH + 1]);
      await expect.poll(() => slow.groups.get(EPOCH + 1)).toBe("ended");
      expect([...slow.groups.keys()]).not.toContain(start + 20);
    });

    test("a relay that does not rewind forwards stale groups too", async () => {
      const { relay, url } = await startRelay({}, { keepStale: true });
      const publisher = await dialMoq(url);
      const [audio] = publishTracks(publisher.moq, "demo.hang");
      await expect.poll(() => relay.stats().broadcasts).toBe(1);
      const watcher = await rawWatcher(url);
      void readGroups(watcher);
      const start = await flowing(relay, audio!);
      await expect.poll(() => watcher.groups.get(start - 1)).toBe("ended");
      for (let sequence = start; sequence < start + 5; sequence++) writeGroup(audio!, sequence, [sequence * 20_000]);
      await expect.poll(() => watcher.groups.get(start + 4)).toBe("ended");
      writeGroup(audio!, EPOCH, [0]);
      await expect.poll(() => watcher.groups.get(EPOCH)).toBe("ended");
      writeGroup(audio!, start + 5, [start * 20_000]);
      await expect.poll(() => watcher.groups.get(start + 5)).toBe("ended");
      expect(relay.stats().counters.rewinds).toBe(0);
    });
  });

  test("a stalled watcher loses whole groups and does not hurt a healthy one", async () => {
    const { relay, url } = await startRelay({ limits: { queueMs: 300, cacheMs: 1000 } });
    const publisher = await dialMoq(url);
    const [audio] = publishTracks(publisher.moq, "demo.hang");
    const healthy = await dialMoq(url);
    await announced(healthy.moq, "demo.hang");
    const subscriber = healthy.moq.consume(Moq.Path.from("demo.hang")).subscribe("audio");
    const stalled = await connect(url, { backends: ["quic"] });
    onTestFinished(() => stalled.close());
    const { send } = await stalled.openBidirectional();
    await send.write(encodeSubscribe({ ...PLAIN, id: 0, broadcast: "demo.hang", track: "audio" }, 5));
    await expect.poll(() => relay.stats().watchers).toBe(2);
    const received: number[] = [];
    void (async () => {
      for (let group = await subscriber.recvGroup(); group; group = await subscriber.recvGroup())
        received.push(group.sequence);
    })().catch(() => {});
    const start = await flowing(relay, audio!);
    // More groups than the peer's stream limit allows at once, none of which the stalled one accepts.
    for (let sequence = start; sequence < start + 300; sequence++) {
      writeGroup(audio!, sequence, [sequence * 20_000], 1000);
      await sleep(5);
    }
    await expect.poll(() => received.at(-1)).toBe(start + 299);
    expect(received.length).toBeGreaterThan(290);
    await expect.poll(() => relay.stats().counters.dropped.age).toBeGreaterThan(0);
    await expect.poll(() => relay.stats().queuedGroups).toBe(0);
    expect(relay.stats().sessions).toBe(3);
  });

  test("a relay closes the session of a client that sends garbage, and the others continue", async () => {
    const { relay, url } = await startRelay();
    const publisher = await dialMoq(url);
    const [audio] = publishTracks(publisher.moq, "demo.hang");
    const watcher = await dialMoq(url);
    await announced(watcher.moq, "demo.hang");
    const subscriber = watcher.moq.consume(Moq.Path.from("demo.hang")).subscribe("audio");
    const garbage: [protocols: string[], bytes: number[]][] = [
      [["moq-lite-05"], [2, 0x40, 0x10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]],
      [["moq-lite-05"], [2, 0xbf, 0xff, 0xff, 0xff]],
      [["moq-lite-05"], [1, 3, 2, 0xff, 0xfe]],
      [["moq-lite-05"], [6, 0]],
      [["moq-lite-04"], [2, 6, 0, 1, 97, 1, 98, 0]],
      [[], [0x20, 0, 1, 0xff]],
      [[], [0x77]],
    ];
    for (const [protocols, bytes] of garbage) {
      const hostile = await connect(url, { backends: ["quic"], protocols });
      const stream = await hostile.openBidirectional();
      await stream.send.write(new Uint8Array(bytes));
      void stream.send.finish();
      const { closeCode, reason } = await hostile.closed;
      expect(closeCode).toBe(15);
      expect(reason).toMatch(/^[A-Z_]+: .*\.$/);
    }
    const hostile = await connect(url, { backends: ["quic"] });
    const uni = await hostile.openUnidirectional();
    await uni.write(new Uint8Array([0, 2, 5, 5, 0]));
    expect((await hostile.closed).reason).toMatch(/^UNKNOWN_SUBSCRIPTION/);
    await expect.poll(() => relay.stats().counters.sessionsFailed).toBe(garbage.length + 1);
    await expect.poll(() => relay.stats().sessions).toBe(2);
    const received = subscriber.readFrame();
    await flowing(relay, audio!);
    expect(await received).toBeDefined();
  });

  test("a relay keeps a quiet page's session, over either carrier, when its keepalive comes", async () => {
    const { relay, url } = await startRelay();
    for (const backend of ["quic", "qmux"] as const) {
      const page = await dial(url, { backends: [backend] });
      // A page sends it every ten seconds.
      expect(page.datagrams?.send(KEEPALIVE)).toBe(true);
      for (let round = 0; round < 5; round++) expect(await probe(page)).toBe(true);
    }
    expect(relay.stats()).toMatchObject({ sessions: 2, counters: { sessionsFailed: 0 } });
  });

  test("a relay sends datagrams to a player that reports, keeps its window, and sends the publisher one aggregate, also when the player leaves", async () => {
    const { relay, url } = await startRelay({ repeat: true });
    const aggregates: Aggregate[] = [];
    const session = await connect(url, { backends: ["quic"] });
    onTestFinished(() => session.close());
    const tap = (datagram: Uint8Array): boolean => {
      const decoded = decodeAggregate(datagram);
      if (decoded.ok) aggregates.push(decoded.aggregate);
      return decoded.ok;
    };
    const moq = await Moq.Connection.connect(new URL(url), { transport: toWebTransport(session, { tap }) });
    const [audio] = publishTracks(moq, "demo.hang");
    await expect.poll(() => relay.stats().broadcasts).toBe(1);

    const player = await connect(url, { backends: ["quic"] });
    onTestFinished(() => player.close());
    const { send } = await player.openBidirectional();
    await send.write(encodeSubscribe({ ...PLAIN, id: 3, broadcast: "demo.hang", track: "audio" }, 5));
    const byDatagram: number[] = [];
    const datagrams: [subscribe: number, bytes: number][] = [];
    const receipts: Receipt[] = [];
    void (async () => {
      for (let body = await player.datagrams?.receive(); body; body = await player.datagrams?.receive()) {
        const receipt = decodeReceipt(body);
        if (receipt.ok) receipts.push(receipt.receipt);
        if (receipt.ok) continue;
        const { subscribe, sequence, frame } = decodeDatagram(body);
        datagrams.push([subscribe, frame.payload.length]);
        byDatagram.push(sequence);
      }
    })();
    const byStream: number[] = [];
    void (async () => {
      for (let stream = await player.acceptUnidirectional(); stream; stream = await player.acceptUnidirectional()) {
        const reader = new StreamReader(stream, 1000);
        if ((await reader.varint()) === 0) byStream.push(decodeGroupHeader(await reader.message()).sequence);
      }
    })();
    // A few groups a second could be a catalog; datagrams are for what comes thick and fast.
    let start = await flowing(relay, audio!);
    for (const end = start + 12; start < end; start++) {
      writeGroup(audio!, start, [start * 40_000], 300);
      await sleep(10);
    }
    await expect.poll(() => byStream).toContain(start - 1);

    let reportId = 0;
    const report = (playhead: number, receivedGroup: number, discontinuity = 0): void => {
      const body = reportOf({
        session: 77,
        reportId: ++reportId,
        clientTimeMs: Math.floor(performance.now()),
        playhead: microseconds(playhead),
        discontinuity,
        from: discontinuity ? microseconds(playhead) : undefined,
        heardUntil: discontinuity ? microseconds(playhead) : undefined,
        receivedGroup,
      });
      expect(player.datagrams?.send(body)).toBe(true);
    };
    report(start * 40_000, start - 1);
    await expect.poll(() => relay.stats().listeners).toBe(1);
    await expect.poll(() => receipts.at(-1)).toMatchObject({ session: 77, level: "full", inFlightBytes: 0 });
    // 4 KiB may be in flight: fourteen objects of 300 bytes pass it, then the rest waits for the next report.
    for (let sequence = start; sequence < start + 30; sequence++)
      writeGroup(audio!, sequence, [sequence * 40_000], 300);
    await expect.poll(() => relay.stats().queuedGroups).toBe(16);
    await expect.poll(() => new Set(byDatagram).size).toBe(14);
    report((start + 1) * 40_000, start + 8);
    await expect.poll(() => new Set(byDatagram).size).toBe(23);
    // The playhead moves on meanwhile, and what it passes would not be sent.
    report((start + 1) * 40_000, start + 29);
    await expect.poll(() => new Set(byDatagram).size).toBe(30);
    report((start + 22) * 40_000, start + 29);
    // Each object once, and once more a little later.
    await expect.poll(() => byDatagram.length).toBe(60);
    const copies = [...new Set(byDatagram)].map((sequence) => byDatagram.filter((other) => other === sequence).length);
    expect(copies.sort()).toEqual(Array(30).fill(2));
    expect(byStream.every((sequence) => sequence < start)).toBe(true);
    expect(datagrams).toEqual(Array(60).fill([3, 300]));

    // The first group of a new epoch goes both ways, past the window, and an applied rewind is reported at once.
    for (let sequence = start + 30; sequence < start + 50; sequence++)
      writeGroup(audio!, sequence, [sequence * 40_000], 300);
    await expect.poll(() => relay.stats().queuedGroups).toBe(6);
    writeGroup(audio!, 65_536, [(start + 30) * 40_000], 300);
    await expect.poll(() => byDatagram).toContain(65_536);
    await expect.poll(() => byStream).toContain(65_536);
    expect(relay.stats().counters.dropped.stale).toBe(6);
    report((start + 30) * 40_000, 65_536, 1);
    await expect.poll(() => aggregates.at(-1)?.discontinuity).toBe(1);
    expect(aggregates.at(-1)).toMatchObject({ broadcast: broadcastHash("demo.hang"), listeners: 1, ingestAck: 65_536 });
    expect(aggregates.at(-1)?.listed[0]).toMatchObject({ session: 77, heardUntil: (start + 30) * 40_000 });
    // It leaves, and no report that stays away says so.
    await send.finish();
    await expect.poll(() => aggregates.at(-1)?.listeners).toBe(0);
    expect(relay.stats()).toMatchObject({ sessions: 2, listeners: 0 });
  });

  test("a relay sends no group of several frames in datagrams, even while it only has the first", async () => {
    const { relay, url } = await startRelay({ repeat: true });
    const publisher = await dialMoq(url);
    const [audio] = publishTracks(publisher.moq, "demo.hang");
    await expect.poll(() => relay.stats().broadcasts).toBe(1);
    const player = await dialMoq(url);
    const track = player.moq
      .consume(Moq.Path.from("demo.hang"))
      .track("audio")
      .subscribe({ priority: 1, ordered: true });
    const byDatagram: number[] = [];
    const readDatagrams = async () => {
      for (let each = await track.recvDatagram(); each; each = await track.recvDatagram())
        byDatagram.push(each.sequence);
    };
    const frames: number[] = [];
    const readFrames = async (group: Moq.Group.Consumer) => {
      while (await group.readFrame()) frames.push(group.sequence);
    };
    const readGroups = async () => {
      for (let group = await track.recvGroup(); group; group = await track.recvGroup())
        readFrames(group).catch(() => {});
    };
    // Stale groups are reset, and the subscription is at the end.
    for (const read of [readDatagrams, readGroups]) read().catch(() => {});
    const report = () => {
      const body = reportOf({ session: 78 });
      expect(player.session.datagrams?.send(body)).toBe(true);
      return relay.stats().listeners;
    };
    const first = await flowing(relay, audio!);
    await expect.poll(report).toBe(1);
    writeGroup(audio!, first, [first * 20_000, first * 20_000 + 10_000]);
    await expect.poll(() => frames.filter((each) => each === first)).toHaveLength(2);
    // Groups of one frame between those of several, as at the end of an utterance.
    let sequence = first + 1;
    for (; sequence < first + 12; sequence++) writeGroup(audio!, sequence, [sequence * 20_000]);
    await expect.poll(() => frames).toContain(sequence - 1);
    const half = async (number: number, at: number) => {
      const group = new Moq.Group.Producer(number);
      audio!.writeGroup(group);
      const write = (timestamp: number) =>
        group.writeFrame({ payload: new Uint8Array(20), timestamp: Moq.Time.Timestamp.fromMicros(timestamp) });
      write(at);
      await expect.poll(() => frames.filter((each) => each === number)).toHaveLength(1);
      write(at + 10_000);
      group.close();
      await expect.poll(() => frames.filter((each) => each === number)).toHaveLength(2);
    };
    await half(sequence, sequence * 20_000);
    // A rewind within an epoch, as other publishers make it.
    await half(sequence + 1, (sequence - 5) * 20_000);
    expect(relay.stats().counters.rewinds).toBe(1);
    expect(byDatagram).toEqual([]);
    // One that is whole goes both ways.
    writeGroup(audio!, 65_536, [(sequence - 5) * 20_000]);
    await expect.poll(() => byDatagram).toContain(65_536);
    await expect.poll(() => frames).toContain(65_536);
  });

  test("a relay serves as the edge of another relay, with one subscription upstream and reports on the way back", async () => {
    const origin = await startRelay();
    const { relay: edge, url } = await startRelay({ upstream: { url: origin.url, backends: ["quic"] } });
    const aggregates: Aggregate[] = [];
    const session = await connect(origin.url, { backends: ["quic"] });
    onTestFinished(() => session.close());
    const tap = (datagram: Uint8Array): boolean => {
      const decoded = decodeAggregate(datagram);
      if (decoded.ok) aggregates.push(decoded.aggregate);
      return decoded.ok;
    };
    const moq = await Moq.Connection.connect(new URL(origin.url), { transport: toWebTransport(session, { tap }) });
    const [audio] = publishTracks(moq, "demo.hang");
    await expect.poll(() => edge.stats().broadcasts).toBe(1);
    const watchers = await Promise.all([dialMoq(url), dialMoq(url)]);
    const received = watchers.map(({ moq }) => moq.consume(Moq.Path.from("demo.hang")).subscribe("audio").readFrame());
    // No playhead can be beyond the newest frame.
    const playhead = microseconds(((await flowing(edge, audio!)) - 1) * 20_000);
    for (const frame of await Promise.all(received)) expect(frame?.payload).toHaveLength(20);
    expect(origin.relay.stats().watchers).toBe(1);
    expect(edge.stats().watchers).toBe(2);
    const report = reportOf({ session: 42, clientTimeMs: 1, playhead, bufferedMs: 50 });
    watchers[0]!.session.datagrams!.send(report);
    await expect.poll(() => aggregates.at(-1)?.listed[0]?.session).toBe(42);
    expect(aggregates.at(-1)).toMatchObject({ listeners: 1, earliest: playhead });
    for (const { session: watcher } of watchers) watcher.close();
    await expect.poll(() => aggregates.at(-1)?.listeners).toBe(0);
    // The origin goes, and its broadcasts with it; the edge stays and finds the next one at the same address.
    session.close();
    await expect.poll(() => edge.stats().broadcasts).toBe(0);
    await origin.relay.close();
    const { port } = origin.relay.address;
    const next = await startRelay({ port });
    publishTracks((await dialMoq(next.url)).moq, "again.hang");
    await expect.poll(() => edge.stats().broadcasts).toBe(1);
  });
});
