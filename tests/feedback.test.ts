import { connect as connectTcp, createServer } from "node:net";
import { Broadcast, Connection, Path, Time } from "@kixelated/moq";
import { afterEach, describe, expect, test } from "vitest";
import { microseconds } from "../base/index.js";
import {
  broadcastHash,
  encodeReport,
  FEEDBACK_TRACK,
  feedbackPath,
  MAX_REPORT_BYTES,
  REPORT_STREAM_TYPE,
} from "../flow/index.js";
import { type AudioSource, openSource, Publisher, type PublisherOptions } from "../publisher/index.js";
import { Relay, type RelayOptions } from "../relay/index.js";
import {
  type ConnectOptions,
  certificateHash,
  connect,
  createCertificate,
  demuxStreams,
  listen,
  toWebTransport,
} from "../transport/index.js";
import { Listener, type ListenerOptions } from "../watch/index.js";
import { NetRelay } from "./support/net-relay.js";

// The protocol library tells every step of its own.
console.debug = () => {};
const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function startRelay(options: RelayOptions = {}): Promise<{ relay: Relay; url: string }> {
  const relay = new Relay({ port: 0, ...options });
  const { host, port } = await relay.listen();
  closers.push(() => relay.close());
  return { relay, url: `http://${host}:${port}` };
}

async function publish(url: string, options: Partial<PublisherOptions> = {}): Promise<Publisher> {
  const publisher = new Publisher({ url, source: await tone(60, 0.05), aheadMs: 3000, ...options });
  closers.push(() => publisher.close());
  return publisher;
}

function tone(seconds: number, step: number): Promise<AudioSource> {
  return openSource({
    samples: Float32Array.from({ length: seconds * 48_000 }, (_, at) => 0.3 * Math.sin(at * step)),
    name: "a tone",
  });
}

function listener(url: string, options: Partial<ListenerOptions> = {}): Listener {
  const made = new Listener({ url, broadcast: "demo", ...options });
  made.closed.catch(() => {});
  closers.push(() => made.close());
  return made;
}

/** Another door to a relay, whose WebSockets speak the oldest wire format of QMux, which has no datagrams. */
async function withoutDatagrams(url: string): Promise<string> {
  const { hostname, port } = new URL(url);
  const server = createServer((client) => {
    const relay = connectTcp(Number(port), hostname);
    for (const [one, other] of [
      [client, relay],
      [relay, client],
    ] as const) {
      one.on("error", () => other.destroy());
      one.on("close", () => other.destroy());
    }
    client.once("data", (head) => {
      relay.write(
        head.toString("latin1").replace(/^(sec-websocket-protocol: ).*$/im, "$1qmux-00.moq-lite-05"),
        "latin1",
      );
      client.pipe(relay);
    });
    relay.pipe(client);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closers.push(() => server.close());
  const door = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
  const session = await connect(door, { backends: ["qmux"] });
  expect(session.datagrams).toBeUndefined();
  session.close();
  return door;
}

/** Media time behind the last sample of the first timeline that a listener's speaker pulled. */
function heardBy({ record }: Listener): number {
  const last = record.findLast((run) => run.epoch === 0 && run.timestamp !== undefined)!;
  return last.timestamp! + (last.frames * 1e6) / 48_000;
}

/** Interrupts what all of them hear, answers, and compares what is told of each with what its speaker pulled. */
async function interruptHeard(publisher: Publisher, listeners: readonly Listener[]): Promise<void> {
  await expect
    .poll(() => listeners.every((one) => one.stats().playing && one.stats().bufferMs > 1000), { timeout: 20_000 })
    .toBe(true);
  await expect.poll(() => publisher.stats().listeners).toBe(listeners.length);
  const interruption = publisher.interrupt();
  publisher.play(await tone(2, 0.1)).done.catch(() => {});
  const { heardUntil, perListener, rewound } = await interruption;
  expect(rewound).toBe(true);
  expect(perListener.map(({ measured }) => measured)).toEqual(listeners.map(() => true));
  const told = perListener.map((one) => one.heardUntil as number).sort((a, b) => a - b);
  expect(heardUntil).toBe(told[0]);
  // What is kept up to the cut may still have to be played.
  await expect.poll(() => listeners.every(({ record }) => record.some(({ epoch }) => epoch === 1))).toBe(true);
  const heard = listeners.map(heardBy).sort((a, b) => a - b);
  heard.forEach((end, at) => {
    expect(told[at]! - end).toBeLessThanOrEqual(1);
    expect(told[at]! - end).toBeGreaterThan(-20_000);
  });
  for (const listener of listeners) expect(listener.stats().staleMs).toBe(0);
}

describe("reports where the relay does not read them", () => {
  test("reach the publisher on a broadcast of the listener's own, and an interrupt is told how far it heard", async () => {
    const { relay, url } = await startRelay({ reports: false });
    const publisher = await publish(url);
    const made = listener(url);
    await expect.poll(() => made.stats().playing).toBe(true);
    expect(made.stats()).toMatchObject({ relay: undefined, feedbacks: 0 });
    await expect.poll(() => publisher.stats().listeners).toBe(1);
    const { feedbacks, relay: told } = made.stats();
    expect(feedbacks).toBeGreaterThan(0);
    expect(told).toBeUndefined();
    expect(relay.stats()).toMatchObject({ listeners: 0, broadcasts: 2 });
    await expect.poll(() => made.stats().bufferMs).toBeGreaterThan(500);
    const { perListener, rewound } = await publisher.interrupt();
    expect(rewound).toBe(true);
    expect(perListener).toHaveLength(1);
    expect(perListener[0]?.measured).toBe(true);
    await made.close();
    await expect.poll(() => publisher.stats().listeners).toBe(0);
    await expect.poll(() => relay.stats().broadcasts).toBe(1);
  });

  test("are left alone by the publisher where the relay does read them", async () => {
    const { relay, url } = await startRelay();
    const publisher = await publish(url);
    const [direct, both] = [listener(url), listener(url, { report: "broadcast" })];
    await expect.poll(() => direct.stats().relay?.level).toBe("full");
    await expect.poll(() => both.stats().feedbacks).toBeGreaterThan(5);
    // The one that only publishes its reports is none of the relay's listeners, and the relay's word goes first.
    expect(relay.stats().listeners).toBe(1);
    await expect.poll(() => publisher.stats().listeners).toBe(1);
    expect(direct.stats().feedbacks).toBe(0);
    expect(direct.stats().relay?.skips).toEqual({ window: 0, age: 0, passed: 0, stale: 0, overflow: 0 });
  });

  test("are not believed when they are of another broadcast or no reports at all", async () => {
    const { url } = await startRelay({ reports: false });
    const publisher = await publish(url);
    await expect.poll(() => publisher.stats().connected).toBe(true);
    const session = await connect(url, { backends: ["quic"] });
    closers.push(() => session.close());
    const connection = await Connection.connect(new URL(url), { transport: toWebTransport(session) });
    const broadcast = new Broadcast.Producer();
    const track = broadcast.createTrack(FEEDBACK_TRACK);
    connection.publish(Path.from(feedbackPath("demo.hang", 77)), broadcast);
    let subscribed = false;
    track.used.subscribe((used) => {
      subscribed ||= used;
    });
    await expect.poll(() => subscribed).toBe(true);
    for (const length of [0, 10, MAX_REPORT_BYTES, 5000]) {
      const group = track.appendGroup();
      group.writeFrame({ payload: new Uint8Array(length).fill(0xff), timestamp: Time.Timestamp.now() });
      group.close();
    }
    const made = listener(url, { report: "broadcast" });
    await expect.poll(() => publisher.stats().listeners).toBe(1);
    expect(made.stats().reports).toBeGreaterThan(0);
  });
});

describe("reports on a broadcast of the listener's own", () => {
  test("are read though one before them is given up on the way, or never comes", async () => {
    const relay = await NetRelay.listen();
    closers.push(() => relay.close());
    const door: Pick<ConnectOptions, "backends" | "certificateHashes"> = {
      backends: ["quic"],
      certificateHashes: [relay.certificateHash],
    };
    const publisher = await publish(relay.url, { connect: door });
    await expect.poll(() => relay.has("demo.hang")).toBe(true);
    const session = await connect(relay.url, door);
    closers.push(() => session.close());
    const connection = await Connection.connect(new URL(relay.url), { transport: toWebTransport(session) });
    const broadcast = new Broadcast.Producer();
    const track = broadcast.createTrack(FEEDBACK_TRACK);
    connection.publish(Path.from(feedbackPath("demo.hang", 77)), broadcast);
    let subscribed = false;
    track.used.subscribe((used) => {
      subscribed ||= used;
    });
    await expect.poll(() => subscribed).toBe(true);
    let reportId = 0;
    const report = (): number => {
      const group = track.appendGroup();
      const payload = encodeReport({
        broadcast: broadcastHash("demo.hang"),
        session: 77,
        reportId: ++reportId,
        clientTimeMs: reportId * 100,
        playhead: microseconds(reportId * 100_000),
        playing: true,
        discontinuity: 0,
        from: undefined,
        heardUntil: undefined,
        receivedBytes: 0,
        receivedGroup: 0,
        worstLead: undefined,
        worstLeadGroup: undefined,
        bufferedMs: 50,
        bleedMs: 0,
        staleMs: 0,
      });
      group.writeFrame({ payload, timestamp: Time.Timestamp.now() });
      group.close();
      return publisher.stats().listeners;
    };
    await expect.poll(report).toBe(1);
    const open = [track.appendGroup(), track.appendGroup()];
    await expect.poll(() => publisher.stats().listeners).toBe(0);
    await expect.poll(report).toBe(1);
    open[0]!.close(new Error("given up"));
    await expect.poll(() => publisher.stats().listeners).toBe(0);
    await expect.poll(report).toBe(1);
  });
});

describe("what an edge's listeners report", () => {
  test("reaches the publisher on a broadcast of the edge's own where the upstream relay knows nothing of ours", async () => {
    const upstream = await NetRelay.listen();
    closers.push(() => upstream.close());
    const door: Pick<ConnectOptions, "backends" | "certificateHashes"> = {
      backends: ["quic"],
      certificateHashes: [upstream.certificateHash],
    };
    // That relay takes its time for every group.
    const publisher = await publish(upstream.url, { connect: door, groupFrames: 5, lowBitrateBps: false });
    await expect.poll(() => upstream.has("demo.hang")).toBe(true);
    const { relay: edge, url } = await startRelay({ upstream: { url: upstream.url, ...door } });
    await expect.poll(() => edge.stats().broadcasts).toBe(1);
    const listeners = [listener(url), listener(url, { report: "stream" }), listener(url)];
    await interruptHeard(publisher, listeners);
    // They report to the edge alone, and what goes up is none of what the edge has to offer.
    for (const one of listeners) expect(one.stats()).toMatchObject({ feedbacks: 0, relay: expect.anything() });
    expect(edge.stats()).toMatchObject({ broadcasts: 1, listeners: 3, counters: { reportsInvalid: 0 } });
    await listeners[0]!.close();
    await expect.poll(() => publisher.stats().listeners).toBe(2);
  });

  test("is withdrawn when nobody listens any more, and not taken for a broadcast by other edges", async () => {
    const { relay: upstream, url: upstreamUrl } = await startRelay({ reports: false });
    const publisher = await publish(upstreamUrl);
    const edges = await Promise.all([1, 2].map(() => startRelay({ upstream: { url: upstreamUrl } })));
    await expect.poll(() => edges.map(({ relay }) => relay.stats().broadcasts)).toEqual([1, 1]);
    const listeners = edges.map(({ url }) => listener(url));
    await expect.poll(() => publisher.stats().listeners).toBe(2);
    expect(upstream.stats()).toMatchObject({ broadcasts: 3, listeners: 0 });
    expect(edges.map(({ relay }) => relay.stats().broadcasts)).toEqual([1, 1]);
    await listeners[0]!.close();
    await expect.poll(() => upstream.stats().broadcasts).toBe(2);
    await expect.poll(() => publisher.stats().listeners).toBe(1);
  });

  test.each(["with", "without"])("is not published to an upstream relay of ours, %s datagrams", async (kind) => {
    const { relay: upstream, url: upstreamUrl } = await startRelay();
    const publisher = await publish(upstreamUrl);
    const door =
      kind === "with"
        ? { url: upstreamUrl }
        : { url: await withoutDatagrams(upstreamUrl), backends: ["qmux" as const] };
    const { relay: edge, url } = await startRelay({ upstream: door });
    await expect.poll(() => edge.stats().broadcasts).toBe(1);
    const made = listener(url);
    await expect.poll(() => publisher.stats().listeners).toBe(1);
    // More than a relay may leave unanswered.
    await expect.poll(() => edge.stats().counters.aggregatesOut).toBeGreaterThan(45);
    expect(upstream.stats().broadcasts).toBe(1);
    expect(upstream.stats().counters.receiptsOut).toBeGreaterThan(0);
    for (const relay of [upstream, edge]) expect(relay.stats().counters.reportsInvalid).toBe(0);
    await interruptHeard(publisher, [made]);
  });
});

describe("reports on a stream", () => {
  test("are taken by the relay as those in datagrams are", async () => {
    const { relay, url } = await startRelay();
    const publisher = await publish(url);
    const made = listener(url, { report: "stream" });
    await expect.poll(() => publisher.stats().listeners).toBe(1);
    await expect.poll(() => relay.stats().counters.reportsIn).toBeGreaterThan(10);
    await expect.poll(() => made.stats().relay?.level).toBe("full");
    expect(relay.stats().counters.reportsInvalid).toBe(0);
    expect(made.stats().feedbacks).toBe(0);
  });

  test("reach a publisher that has no datagrams either, summed up, and an interrupt is told what was heard", async () => {
    const { relay, url } = await startRelay();
    const publisher = await publish(await withoutDatagrams(url), { connect: { backends: ["qmux"] } });
    const made = listener(url, { connect: { backends: ["quic"] } });
    await interruptHeard(publisher, [made]);
    expect(made.stats()).toMatchObject({ feedbacks: 0, relay: expect.anything() });
    expect(relay.stats().counters.aggregatesOut).toBeGreaterThan(0);
    expect(relay.stats()).toMatchObject({ broadcasts: 1, listeners: 1 });
  });

  test("are told from the streams of the protocol by their first bytes, however these are cut", async () => {
    const certificate = await createCertificate();
    const server = await listen({ backend: "quic", host: "127.0.0.1", port: 0, certificate });
    closers.push(() => server.close());
    const accepted = server.accept().then((request) => request?.accept());
    const client = await connect(`https://127.0.0.1:${server.address.port}`, {
      backends: ["quic"],
      certificateHashes: [Buffer.from(certificateHash(certificate.cert), "hex")],
    });
    closers.push(() => client.close());
    const taken: number[] = [];
    const session = demuxStreams((await accepted)!, REPORT_STREAM_TYPE, async (stream) => {
      for (let bytes = await stream.read(); bytes; bytes = await stream.read()) taken.push(...bytes);
    });
    // A stream that says nothing yet holds up none of the others.
    const silent = await client.openUnidirectional();
    await silent.write(REPORT_STREAM_TYPE.subarray(0, 3));
    const reports = await client.openUnidirectional();
    for (const byte of [...REPORT_STREAM_TYPE, 1, 2, 3]) await reports.write(Uint8Array.of(byte));
    const media = await client.openUnidirectional();
    await media.write(Uint8Array.of(0xff, 0xff, 7));
    await media.finish();
    const received: number[] = [];
    const stream = await session.acceptUnidirectional();
    for (let bytes = await stream!.read(); bytes; bytes = await stream!.read()) received.push(...bytes);
    expect(received).toEqual([0xff, 0xff, 7]);
    await expect.poll(() => taken).toEqual([1, 2, 3]);
    expect(session.backend).toBe("quic");
    client.close();
    expect(await session.acceptUnidirectional()).toBeUndefined();
  });
});
