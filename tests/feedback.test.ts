import { connect as connectTcp, createServer } from "node:net";
import { Broadcast, Connection, Path, Time } from "@kixelated/moq";
import { expect, test } from "vitest";
import { microseconds } from "../base/index.js";
import { PlayheadBound } from "../flow/playhead/index.js";
import {
  broadcastHash,
  encodeAggregate,
  encodeReport,
  FEEDBACK_TRACK,
  feedbackPath,
  MAX_REPORT_BYTES,
  REPORT_STREAM_TYPE,
  type Report,
  ReportAggregator,
} from "../flow/report/index.js";
import type { Publisher, PublisherOptions } from "../publisher/index.js";
import { FeedbackReader } from "../publisher/send/feedback-reader.js";
import { UplinkEvents } from "../publisher/send/uplink-events.js";
import { Wake } from "../publisher/wake.js";
import type { Relay } from "../relay/index.js";
import {
  type ConnectOptions,
  certificateHash,
  connect,
  createCertificate,
  demuxStreams,
  listen,
  toWebTransport,
} from "../transport/index.js";
import type { Listener } from "../watch/index.js";
import { NetRelay } from "./support/net-relay.js";
import { reportWith } from "./support/reports.js";
import { eventually, heardBefore, inReserve, PATIENT, Stage, say, tone, until, urlOf } from "./support/stage.js";

// The protocol library logs every step to the console.
console.debug = () => {};

async function publish(stage: Stage, at: Relay | string, options: Partial<PublisherOptions> = {}): Promise<Publisher> {
  return stage.publish(at, { source: await tone(), aheadMs: 2000, ...options }, PATIENT);
}

/** A listener's report, the n-th. */
function report(reportId: number): Report {
  return reportWith({
    broadcast: broadcastHash("demo.hang"),
    session: 77,
    reportId,
    clientTimeMs: reportId * 100,
    playhead: microseconds(reportId * 100_000),
    receivedGroup: 0,
    bufferedMs: 50,
  });
}

/** Another door to a relay, whose WebSockets speak the oldest wire format of QMux, which has no datagrams. */
async function withoutDatagrams(stage: Stage, relay: Relay): Promise<string> {
  const { host, port } = relay.address;
  const server = createServer((client) => {
    const onward = connectTcp(port, host);
    for (const [one, other] of [
      [client, onward],
      [onward, client],
    ] as const) {
      one.on("error", () => other.destroy());
      one.on("close", () => other.destroy());
    }
    client.once("data", (head) => {
      onward.write(
        head.toString("latin1").replace(/^(sec-websocket-protocol: ).*$/im, "$1qmux-00.moq-lite-05"),
        "latin1",
      );
      client.pipe(onward);
    });
    onward.pipe(client);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  stage.use(server);
  const door = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
  const session = await connect(door, { backends: ["qmux"] });
  expect(session.datagrams).toBeUndefined();
  session.close();
  return door;
}

/** Interrupts what all listeners play, and compares what the publisher learns with what their speakers played. */
async function interruptHeard(publisher: Publisher, listeners: readonly Listener[]): Promise<void> {
  await inReserve(publisher, ...listeners);
  const stalledMs = () => listeners.reduce((sum, listener) => sum + listener.stats().stalledMs, 0);
  const stalledBefore = stalledMs();
  const interruption = publisher.interrupt();
  say(publisher, await tone({ hz: 764 })).done.catch(() => {});
  const { heardUntil, perListener, rewound } = await interruption;
  expect(rewound).toBe(true);
  const { epoch } = publisher.stats();
  // Audio before the cut may still play.
  await until("every listener plays the reply", () =>
    listeners.every(({ record }) => record.some((run) => run.epoch === epoch)),
  );
  const isMeasured = perListener.map(({ measured }) => measured);
  expect(isMeasured).toEqual(listeners.map(() => true));
  const reported = perListener.map((one) => one.heardUntil as number).sort((a, b) => a - b);
  expect(heardUntil).toBe(reported[0]);
  const heard = listeners.map((listener) => heardBefore(listener, epoch)).sort((a, b) => a - b);
  // What a listener was about to play when it reported, a process that stands still does not play.
  const stalled = (stalledMs() - stalledBefore) * 1000;
  heard.forEach((end, at) => {
    expect(reported[at]! - end).toBeLessThanOrEqual(1 + stalled);
    expect(reported[at]! - end).toBeGreaterThanOrEqual(-20_000);
  });
  for (const listener of listeners) expect(listener.stats().staleMs).toBe(0);
}

test.concurrent("a listener reports on its own broadcast where the relay reads no reports, and an interrupt finds out how far it heard", async () => {
  await using stage = new Stage();
  const relay = await stage.relay({}, { ignoreReports: true });
  const publisher = await publish(stage, relay);
  const made = stage.listen(relay);
  await eventually(() => expect(made.stats().playing).toBe(true));
  expect(made.stats()).toMatchObject({ relay: undefined });
  await eventually(() => expect(publisher.stats().listeners).toBe(1));
  const { feedbacks, relay: receipt } = made.stats();
  expect(feedbacks).toBeGreaterThan(0);
  expect(receipt).toBeUndefined();
  expect(relay.stats()).toMatchObject({ listeners: 0, broadcasts: 2 });
  await eventually(() => expect(made.stats().bufferMs).toBeGreaterThan(500));
  const { perListener, rewound } = await publisher.interrupt();
  expect(rewound).toBe(true);
  expect(perListener).toHaveLength(1);
  expect(perListener[0]?.measured).toBe(true);
  await made.close();
  await eventually(() => expect(publisher.stats().listeners).toBe(0));
  await eventually(() => expect(relay.stats().broadcasts).toBe(1));
});

test.concurrent("a publisher ignores a listener's broadcast of reports where the relay reads reports", async () => {
  await using stage = new Stage();
  const relay = await stage.relay();
  const publisher = await publish(stage, relay);
  const [direct, both] = [stage.listen(relay), stage.listen(relay, { report: "broadcast" })];
  await eventually(() => expect(direct.stats().relay?.level).toBe("full"));
  await eventually(() => expect(both.stats().feedbacks).toBeGreaterThan(5));
  // The one that only publishes its reports is none of the relay's listeners, and the relay's word goes first.
  expect(relay.stats().listeners).toBe(1);
  await eventually(() => expect(publisher.stats().listeners).toBe(1));
  expect(direct.stats().feedbacks).toBe(0);
  expect(direct.stats().relay?.skips).toEqual({ window: 0, age: 0, passed: 0, stale: 0, overflow: 0 });
});

test("a listener that publishes its reports counts as soon as the relay has none left, until it leaves", async () => {
  await using stage = new Stage();
  const url = urlOf(await stage.relay());
  const dial = async () => {
    const session = stage.use(await connect(url, { backends: ["quic"] }));
    return Connection.connect(new URL(url), { transport: toWebTransport(session) });
  };
  const events = new UplinkEvents(new Wake());
  const counts = () => events.take().flatMap((event) => (event.kind === "aggregate" ? event.aggregate.listeners : []));
  // Its clock stands still: no time passes in which a silence would count.
  const clock = () => microseconds(0);
  const bound = new PlayheadBound();
  const reader = stage.use(new FeedbackReader({ connection: await dial(), path: "demo.hang", bound, events, clock }));
  const broadcast = new Broadcast.Producer();
  const track = broadcast.createTrack(FEEDBACK_TRACK);
  (await dial()).publish(Path.from(feedbackPath("demo.hang", 77)), broadcast);
  const write = (record: Uint8Array): number | undefined => {
    const group = track.appendGroup();
    group.writeFrame({ payload: record, timestamp: Time.Timestamp.now() });
    group.close();
    return counts().at(-1);
  };
  // An edge names one listener, and then none.
  const edge = new ReportAggregator({ broadcast: broadcastHash("demo.hang") });
  const aggregate = () => edge.aggregate(clock(), { group: undefined, bytes: 0 });
  edge.fold(report(1), clock());
  const one = aggregate();
  await eventually(() => expect(write(encodeAggregate(aggregate()))).toBe(1));
  expect(reader.relayed(one)).toBe(true);
  counts();
  const none = { ...one, listeners: 0, listed: [] };
  expect(reader.relayed(none)).toBe(false);
  expect(counts()).toEqual([1]);
  edge.forget(77);
  await eventually(() => expect(write(encodeAggregate(aggregate()))).toBe(0));
  expect(reader.relayed(none)).toBe(true);
});

test.concurrent("a publisher ignores reports of another broadcast and bytes that are not a report", async () => {
  await using stage = new Stage();
  const relay = await stage.relay({}, { ignoreReports: true });
  const publisher = await publish(stage, relay);
  await eventually(() => expect(publisher.stats().connected).toBe(true));
  const url = urlOf(relay);
  const session = await connect(url, { backends: ["quic"] });
  stage.use(session);
  const connection = await Connection.connect(new URL(url), { transport: toWebTransport(session) });
  const broadcast = new Broadcast.Producer();
  const track = broadcast.createTrack(FEEDBACK_TRACK);
  connection.publish(Path.from(feedbackPath("demo.hang", 77)), broadcast);
  let subscribed = false;
  track.used.subscribe((used) => {
    subscribed ||= used;
  });
  await eventually(() => expect(subscribed).toBe(true));
  for (const length of [0, 10, MAX_REPORT_BYTES, 5000]) {
    const group = track.appendGroup();
    group.writeFrame({ payload: new Uint8Array(length).fill(0xff), timestamp: Time.Timestamp.now() });
    group.close();
  }
  const made = stage.listen(relay, { report: "broadcast" });
  await eventually(() => expect(publisher.stats().listeners).toBe(1));
  expect(made.stats().reports).toBeGreaterThan(0);
});

test.concurrent("a publisher reads reports although one before them is given up in transit, or never arrives", async () => {
  await using stage = new Stage();
  const relay = await NetRelay.listen();
  stage.use(relay);
  const door: Pick<ConnectOptions, "backends" | "certificateHashes"> = {
    backends: ["quic"],
    certificateHashes: [relay.certificateHash],
  };
  const publisher = await publish(stage, relay.url, { connect: door });
  await eventually(() => expect(relay.has("demo.hang")).toBe(true));
  const session = await connect(relay.url, door);
  stage.use(session);
  const connection = await Connection.connect(new URL(relay.url), { transport: toWebTransport(session) });
  const broadcast = new Broadcast.Producer();
  const track = broadcast.createTrack(FEEDBACK_TRACK);
  connection.publish(Path.from(feedbackPath("demo.hang", 77)), broadcast);
  let subscribed = false;
  track.used.subscribe((used) => {
    subscribed ||= used;
  });
  await eventually(() => expect(subscribed).toBe(true));
  let reportId = 0;
  const send = (): number => {
    const group = track.appendGroup();
    group.writeFrame({ payload: encodeReport(report(++reportId)), timestamp: Time.Timestamp.now() });
    group.close();
    return publisher.stats().listeners;
  };
  await eventually(() => expect(send()).toBe(1));
  const open = [track.appendGroup(), track.appendGroup()];
  await eventually(() => expect(publisher.stats().listeners).toBe(0));
  await eventually(() => expect(send()).toBe(1));
  open[0]!.close(new Error("given up"));
  await eventually(() => expect(publisher.stats().listeners).toBe(0));
  await eventually(() => expect(send()).toBe(1));
});

test.concurrent("an edge reports on its own broadcast where the upstream relay does not support reports", async () => {
  await using stage = new Stage();
  const upstream = await NetRelay.listen();
  stage.use(upstream);
  const door: Pick<ConnectOptions, "backends" | "certificateHashes"> = {
    backends: ["quic"],
    certificateHashes: [upstream.certificateHash],
  };
  // That relay takes its time for every group.
  const publisher = await publish(stage, upstream.url, { connect: door, groupFrames: 5, lowBitrateBps: false });
  await eventually(() => expect(upstream.has("demo.hang")).toBe(true));
  const edge = await stage.relay({ upstream: { url: upstream.url, ...door } });
  await eventually(() => expect(edge.stats().broadcasts).toBe(1));
  const listeners = [stage.listen(edge), stage.listen(edge, { report: "stream" }), stage.listen(edge)];
  await interruptHeard(publisher, listeners);
  // They report to the edge alone, and what goes up is none of what the edge has to offer.
  for (const one of listeners) expect(one.stats()).toMatchObject({ feedbacks: 0, relay: expect.anything() });
  expect(edge.stats()).toMatchObject({ broadcasts: 1, listeners: 3, counters: { reportsInvalid: 0 } });
  await listeners[0]!.close();
  await eventually(() => expect(publisher.stats().listeners).toBe(2));
});

test.concurrent("an edge withdraws its broadcast of reports with its last listener, and other edges do not offer it", async () => {
  await using stage = new Stage();
  const upstream = await stage.relay({}, { ignoreReports: true });
  const publisher = await publish(stage, upstream);
  const edges = await Promise.all([1, 2].map(() => stage.relay({ upstream: { url: urlOf(upstream) } })));
  await eventually(() => expect(edges.map((edge) => edge.stats().broadcasts)).toEqual([1, 1]));
  const listeners = edges.map((edge) => stage.listen(edge));
  await eventually(() => expect(publisher.stats().listeners).toBe(2));
  expect(upstream.stats()).toMatchObject({ broadcasts: 3, listeners: 0 });
  expect(edges.map((edge) => edge.stats().broadcasts)).toEqual([1, 1]);
  await listeners[0]!.close();
  await eventually(() => expect(upstream.stats().broadcasts).toBe(2));
  await eventually(() => expect(publisher.stats().listeners).toBe(1));
});

test.concurrent.each(["with", "without"])(
  "an edge publishes no reports to an upstream relay of ours, %s datagrams",
  async (kind) => {
    await using stage = new Stage();
    const upstream = await stage.relay();
    const publisher = await publish(stage, upstream);
    const door =
      kind === "with"
        ? { url: urlOf(upstream) }
        : { url: await withoutDatagrams(stage, upstream), backends: ["qmux" as const] };
    const edge = await stage.relay({ upstream: door });
    await eventually(() => expect(edge.stats().broadcasts).toBe(1));
    const made = stage.listen(edge);
    await eventually(() => expect(publisher.stats().listeners).toBe(1));
    // More than a relay may leave unanswered.
    await eventually(() => expect(edge.stats().counters.aggregatesOut).toBeGreaterThan(45));
    expect(upstream.stats().broadcasts).toBe(1);
    expect(upstream.stats().counters.receiptsOut).toBeGreaterThan(0);
    for (const relay of [upstream, edge]) expect(relay.stats().counters.reportsInvalid).toBe(0);
    await interruptHeard(publisher, [made]);
  },
);

test.concurrent("a relay takes reports on a stream as it takes those in datagrams", async () => {
  await using stage = new Stage();
  const relay = await stage.relay();
  const publisher = await publish(stage, relay);
  const made = stage.listen(relay, { report: "stream" });
  await eventually(() => expect(publisher.stats().listeners).toBe(1));
  await eventually(() => expect(relay.stats().counters.reportsIn).toBeGreaterThan(10));
  await eventually(() => expect(made.stats().relay?.level).toBe("full"));
  expect(relay.stats().counters.reportsInvalid).toBe(0);
  expect(made.stats().feedbacks).toBe(0);
});

test.concurrent("a publisher without datagrams gets the aggregated reports, and an interrupt finds out what was heard", async () => {
  await using stage = new Stage();
  const relay = await stage.relay();
  const publisher = await publish(stage, await withoutDatagrams(stage, relay), { connect: { backends: ["qmux"] } });
  const made = stage.listen(relay, { connect: { backends: ["quic"] } });
  await interruptHeard(publisher, [made]);
  expect(made.stats()).toMatchObject({ feedbacks: 0, relay: expect.anything() });
  expect(relay.stats().counters.aggregatesOut).toBeGreaterThan(0);
  expect(relay.stats()).toMatchObject({ broadcasts: 1, listeners: 1 });
});

test.concurrent("a session recognises a stream of reports by its first bytes, however these are cut", async () => {
  await using stage = new Stage();
  const certificate = await createCertificate();
  const server = await listen({ backend: "quic", host: "127.0.0.1", port: 0, certificate });
  stage.use(server);
  const accepted = server.accept().then((request) => request?.accept());
  const client = await connect(`https://127.0.0.1:${server.address.port}`, {
    backends: ["quic"],
    certificateHashes: [Buffer.from(certificateHash(certificate.cert), "hex")],
  });
  stage.use(client);
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
  await eventually(() => expect(taken).toEqual([1, 2, 3]));
  expect(session.backend).toBe("quic");
  client.close();
  expect(await session.acceptUnidirectional()).toBeUndefined();
});
