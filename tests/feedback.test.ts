import { afterEach, describe, expect, test } from "vitest";
import { FEEDBACK_TRACK, feedbackPath, MAX_REPORT_BYTES, REPORT_STREAM_TYPE } from "../flow/index.js";
import { type AudioSource, openSource, Publisher } from "../publisher/index.js";
import { Relay, type RelayOptions } from "../relay/index.js";
import { certificateHash, connect, createCertificate, divertStreams, listen } from "../transport/index.js";
import { Listener, type ListenerOptions } from "../watch/index.js";

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

async function publish(url: string): Promise<Publisher> {
  const source: AudioSource = await openSource({
    samples: Float32Array.from({ length: 60 * 48_000 }, (_, at) => 0.3 * Math.sin(at * 0.05)),
    name: "a tone",
  });
  const publisher = new Publisher({ url, source, aheadMs: 3000 });
  closers.push(() => publisher.close());
  return publisher;
}

function listener(url: string, options: Partial<ListenerOptions> = {}): Listener {
  const made = new Listener({ url, broadcast: "demo", ...options });
  made.closed.catch(() => {});
  closers.push(() => made.close());
  return made;
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
    const { perListener, reneged } = await publisher.interrupt();
    expect(reneged).toBe(true);
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
    const { Broadcast, Connection, Path, Time } = await import("@kixelated/moq");
    const { toWebTransport } = await import("../transport/index.js");
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
    const session = divertStreams((await accepted)!, REPORT_STREAM_TYPE, async (stream) => {
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
