import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Broadcast, Connection, Group, Path, Time, type Track } from "@kixelated/moq";
import { createEncoder } from "libopus-wasm";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { fromMilliseconds, type Microseconds, microseconds, type UnsayError } from "../base/index.js";
import { EPOCH_SIZE, encodeCatalog, encodeLegacyFrame } from "../container/index.js";
import { decodeReport, isReportDatagram, type Report } from "../flow/report/index.js";
import {
  type Certificate,
  certificateHash,
  createCertificate,
  listen,
  type Session,
  type SessionServer,
  toWebTransport,
} from "../transport/index.js";
import { Listener, type ListenerOptions, WavSink } from "../watch/index.js";

const PACKET_MS = 20;
const PATH = "demo.hang";

let certificate: Certificate;
let packets: Uint8Array[];
let directory: string;
// The protocol library logs every step to the console.
console.debug = () => {};
const closers: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  certificate = await createCertificate();
  const encoder = await createEncoder({ channels: 1, sampleRate: 48_000, frameSize: 960, bitrate: 32_000 });
  packets = Array.from({ length: 50 }, (_, packet) =>
    encoder
      .encodeFloat(Float32Array.from({ length: 960 }, (_, at) => 0.5 * Math.sin((packet * 960 + at) * 0.05)))
      .slice(),
  );
  encoder.free();
  directory = await mkdtemp(join(tmpdir(), "unsay-listener-"));
});
afterAll(() => rm(directory, { recursive: true }));
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

interface Peer {
  readonly session: Session;
  readonly broadcast: Broadcast.Producer;
  readonly catalog: Track.Producer;
  readonly tracks: Map<string, Track.Producer>;
}

/** A server that publishes one broadcast to every client, frame by frame under the test's control. */
class Origin {
  readonly peers: Peer[] = [];
  readonly reports: Report[] = [];
  publishing = true;
  renditions = ["audio"];
  rewindBy: "rewind" | "track" = "rewind";
  codec = "opus";
  readonly #server: SessionServer;

  private constructor(server: SessionServer) {
    this.#server = server;
    void this.#accept();
  }

  static async open(port = 0) {
    const origin = new Origin(await listen({ backend: "quic", host: "127.0.0.1", port, certificate }));
    closers.push(() => origin.close());
    return origin;
  }

  get url() {
    return `https://127.0.0.1:${this.#server.address.port}`;
  }

  listen(options: Partial<ListenerOptions> = {}) {
    const hash = Buffer.from(certificateHash(certificate.cert), "hex");
    const listener = new Listener({
      url: this.url,
      broadcast: "demo",
      connect: { certificateHashes: [hash], backends: ["quic"] },
      backoff: { initialMs: 50 },
      ...options,
    });
    closers.push(() => listener.close());
    return listener;
  }

  get peer() {
    return this.peers.at(-1);
  }

  /** Waits until the newest peer has subscribed to a track. */
  async subscribed(name = "audio") {
    await expect.poll(() => this.peer?.tracks.get(name)?.used.peek()).toBe(true);
  }

  setCatalog() {
    const rendition = { codec: this.codec, sampleRate: 48_000, numberOfChannels: 1 };
    const catalog = encodeCatalog({
      audio: { renditions: Object.fromEntries(this.renditions.map((name) => [name, rendition])) },
      unsay: { renege: this.rewindBy },
    });
    for (const { catalog: track, tracks, broadcast } of this.peers) {
      for (const name of this.renditions)
        if (!tracks.has(name)) tracks.set(name, broadcast.createTrack(name, { timescale: Time.Timescale.MICRO }));
      const group = track.appendGroup();
      group.writeFrame({ payload: catalog, timestamp: Time.Timestamp.now() });
      group.close();
    }
  }

  send(
    sequence: number,
    timestampMs: number,
    {
      track = "audio",
      by = "stream" as "stream" | "datagram" | "both",
      packet = packets[(timestampMs / PACKET_MS) % packets.length]!,
    } = {},
  ) {
    const timestamp = fromMilliseconds(timestampMs);
    const payload = encodeLegacyFrame({ timestamp, payload: packet });
    const producer = this.peer?.tracks.get(track);
    const stamp = Time.Timestamp.fromMicros(timestamp as number as Time.Micro);
    if (by !== "stream") producer?.writeDatagram({ sequence, timestamp: stamp, payload });
    if (by === "datagram") return undefined;
    const group = new Group.Producer(sequence);
    group.writeFrame({ payload, timestamp: stamp });
    producer?.writeGroup(group);

    group.close();
    return group;
  }

  /** Sends consecutive packets as fast as they go. */
  burst(sequence: number, timestampMs: number, count: number, options: Parameters<Origin["send"]>[2] = {}) {
    for (let index = 0; index < count; index++) this.send(sequence + index, timestampMs + index * PACKET_MS, options);
  }

  async close() {
    for (const { session, broadcast } of this.peers) {
      broadcast.close();
      session.close();
    }
    await this.#server.close();
  }

  async #accept() {
    for (let request = await this.#server.accept(); request; request = await this.#server.accept()) {
      const session = await request.accept();
      const transport = toWebTransport(session, {
        tap: (datagram) => {
          if (!isReportDatagram(datagram)) return false;
          const decoded = decodeReport(datagram);
          if (decoded.ok) this.reports.push(decoded.report);
          return true;
        },
      });
      const connection = await Connection.accept(transport, session.url);
      const broadcast = new Broadcast.Producer();
      this.peers.push({ session, broadcast, catalog: broadcast.createTrack("catalog.json"), tracks: new Map() });
      if (!this.publishing) continue;
      this.setCatalog();
      connection.publish(Path.from(PATH), broadcast);
    }
  }
}

/** Milliseconds of an epoch that were played, at or after a media time and pulled after a clock time. */
function playedMs(
  listener: Listener,
  epoch: number,
  from: Microseconds = microseconds(0),
  after = Number.NEGATIVE_INFINITY,
) {
  let frames = 0;
  for (const run of listener.record) {
    if (run.epoch !== epoch || run.timestamp === undefined || run.lastPulledAt <= after) continue;
    frames += Math.max(0, Math.min(run.frames, ((run.timestamp - from) * 48) / 1e3 + run.frames));
  }
  return frames / 48;
}

test("a listener plays a broadcast, once, whether it comes by stream, by datagram or by both, and reports on it", async () => {
  const origin = await Origin.open();
  const path = join(directory, "played.wav");
  const listener = origin.listen({ sink: new WavSink({ path }) });
  const landed: number[] = [];
  listener.on("landing", ({ sequence }) => landed.push(sequence));
  const states: string[] = [];
  listener.on("state", (state) => states.push(state));
  await origin.subscribed();
  origin.burst(0, 0, 20);
  // Datagrams overtake streams, and what plays begins with what comes first.
  await expect.poll(() => listener.stats().group).toBe(19);
  origin.burst(20, 400, 20, { by: "datagram" });
  origin.burst(40, 800, 10, { by: "both" });
  await expect.poll(() => playedMs(listener, 0)).toBe(1000);
  // Behind its last sample a listener plays no more.
  expect(states).toContain("playing");
  const stats = listener.stats();
  expect(stats).toMatchObject({
    backend: "quic",
    discontinuities: 0,
    staleMs: 0,
    group: 49,
    sessions: 1,
  });
  expect(stats.dropped).toMatchObject({ duplicate: 10, stale: 0 });
  expect(stats.datagrams).toBe(30);
  expect(landed.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, sequence) => sequence));
  await expect.poll(() => origin.reports.at(-1)?.receivedGroup).toBe(49);
  expect(origin.reports.some(({ playing }) => playing)).toBe(true);
  expect(origin.reports.at(-1)).toMatchObject({ discontinuity: 0, staleMs: 0, receivedBytes: stats.receivedBytes });
  await listener.close();
  expect(await listener.closed).toBeNull();
  expect(listener.stats().state).toBe("closed");
  // 50 packets of a tone, its amplitude within what Opus makes of it.
  const wav = await readFile(path);
  let loudest = 0;
  for (let at = 44; at < wav.length; at += 2) loudest = Math.max(loudest, Math.abs(wav.readInt16LE(at)) / 32_767);
  expect(loudest).toBeGreaterThan(0.45);
  expect(loudest).toBeLessThan(0.6);
});

test("a listener never plays stale audio behind the playhead again, and at once reports how far it heard", async () => {
  const origin = await Origin.open();
  const listener = origin.listen();
  const rewinds: number[] = [];
  listener.on("rewind", ({ discontinuity }) => rewinds.push(discontinuity));
  await origin.subscribed();
  origin.burst(0, 0, 200);
  await expect.poll(() => playedMs(listener, 0)).toBeGreaterThan(300);
  await expect.poll(() => listener.stats().receivedFrames).toBe(200);
  // By datagram too, as a publisher sends the first group of an epoch: streams may come late and in any order.
  origin.burst(EPOCH_SIZE, 100, 21, { by: "both" });
  await expect.poll(() => rewinds).toEqual([1]);
  const heard = listener.record.findLast(({ epoch }) => epoch === 0)!;
  const heardMs = heard.timestamp! / 1000 + heard.frames / 48;
  await expect.poll(() => playedMs(listener, 1)).toBe(21 * PACKET_MS);
  expect(listener.record.findLast(({ epoch }) => epoch === 0)).toBe(heard);
  expect(heard.timestamp! / 1000 + heard.frames / 48).toBe(heardMs);
  const report = origin.reports.find(({ discontinuity }) => discontinuity === 1);
  expect(report?.from).toBe(100_000);
  expect(report!.heardUntil! / 1000).toBeCloseTo(heardMs, 1);
  expect(listener.stats()).toMatchObject({ discontinuities: 1, staleMs: 0 });

  // Ahead of the playhead: what is before the cut is played to its end.
  origin.burst(EPOCH_SIZE + 21, 520, 200, { by: "both" });
  await expect.poll(() => playedMs(listener, 1)).toBeGreaterThan(500);
  const cut = Math.ceil((listener.stats().playheadUs! / 1000 + 3000) / PACKET_MS) * PACKET_MS;
  origin.burst(2 * EPOCH_SIZE, cut, 10, { by: "both" });
  await expect.poll(() => playedMs(listener, 2)).toBe(200);
  const kept = listener.record.findLast(({ epoch }) => epoch === 1)!;
  expect(kept.timestamp! / 1000 + kept.frames / 48).toBeCloseTo(cut, 1);
  // Timestamps are whole microseconds, and samples are not.
  expect(playedMs(listener, 1, fromMilliseconds(cut))).toBeCloseTo(0, 1);
  expect(listener.stats()).toMatchObject({ discontinuities: 2, staleMs: 0 });
});

test("a listener whose session breaks reconnects and plays on, even when the publisher restarts", async () => {
  const origin = await Origin.open();
  const listener = origin.listen();
  await origin.subscribed();
  origin.burst(100, 2000, 10);
  await expect.poll(() => playedMs(listener, 0)).toBe(200);
  origin.peer?.session.close({ closeCode: 1, reason: "gone" });
  await expect.poll(() => origin.peers.length).toBe(2);
  await origin.subscribed();
  origin.burst(110, 2200, 10);
  await expect.poll(() => playedMs(listener, 0)).toBe(400);
  expect(listener.stats()).toMatchObject({ sessions: 2, discontinuities: 0 });

  origin.peer?.session.close();
  await expect.poll(() => origin.peers.length).toBe(3);
  await origin.subscribed();
  origin.burst(0, 0, 10, { by: "both" });
  await expect.poll(() => playedMs(listener, 0)).toBe(600);
  expect(listener.stats()).toMatchObject({ sessions: 3, discontinuities: 1, state: "playing" });

  // A relay that is back before the publisher.
  origin.publishing = false;
  const states: string[] = [];
  listener.on("state", (state) => states.push(state));
  origin.peer?.session.close();
  await expect.poll(() => origin.peers.length).toBe(4);
  await expect.poll(() => listener.stats()).toMatchObject({ sessions: 4, playing: false });
  await expect.poll(() => states.at(-1)).toBe("waiting");
});

test("a listener follows a broadcast that rewinds by a fresh track, and broken groups do no harm", async () => {
  const origin = await Origin.open();
  origin.rewindBy = "track";
  origin.renditions = ["audio-0"];
  const listener = origin.listen();
  await origin.subscribed("audio-0");
  origin.burst(0, 0, 100, { track: "audio-0" });
  await expect.poll(() => playedMs(listener, 0)).toBeGreaterThan(200);
  origin.renditions = ["audio-1"];
  origin.setCatalog();
  await origin.subscribed("audio-1");
  const broken = new Group.Producer(0);
  origin.peer?.tracks.get("audio-1")?.writeGroup(broken);
  broken.close(new Error("broken off"));
  origin.burst(EPOCH_SIZE, 300, 20, { track: "audio-1", by: "both" });
  await expect.poll(() => playedMs(listener, 1)).toBe(400);
  const last = listener.record.findLast(({ epoch }) => epoch === 0)!;
  const first = listener.record.find(({ epoch }) => epoch === 1)!;
  expect(last.lastPulledAt).toBeLessThanOrEqual(first.pulledAt);
  expect(first.timestamp).toBe(300_000);
  expect(listener.stats().discontinuities).toBe(1);
});

test("a listener reports audio that it can't decode once, until some of it decodes again", async () => {
  const origin = await Origin.open();
  origin.codec = "pcm-s16";
  const listener = origin.listen();
  const problems: string[] = [];
  listener.on("problem", (problem) => problems.push(`${(problem as UnsayError).code}: ${problem.message}`));
  await origin.subscribed();
  const whole = new Uint8Array((PACKET_MS * 48_000 * 2) / 1000);
  const broken = whole.subarray(1);
  const refused = "UNDECODABLE: The decoder refuses every packet of the audio.";
  origin.burst(0, 0, 3, { packet: whole });
  origin.burst(3, 60, 1, { packet: broken });
  origin.burst(4, 80, 2, { packet: whole });
  await expect.poll(() => listener.stats().playheadUs).toBeGreaterThan(120_000);
  expect(problems).toEqual([]);
  origin.burst(6, 120, 12, { packet: broken });
  await expect.poll(() => listener.stats().malformed).toBe(13);
  await expect.poll(() => problems).toEqual([refused]);
  origin.burst(18, 360, 1, { packet: whole });
  origin.burst(19, 380, 12, { packet: broken });
  await expect.poll(() => listener.stats().malformed).toBe(25);
  await expect.poll(() => problems).toEqual([refused, refused]);
});

test("a listener reports once that a track breaks again and again, or that no catalog can be played", async () => {
  const origin = await Origin.open();
  const listener = origin.listen();
  const problems: string[] = [];
  listener.on("problem", ({ message }) => problems.push(message));
  for (let count = 0; count < 3; count++) {
    await origin.subscribed();
    const { broadcast, tracks } = origin.peer!;
    tracks.get("audio")?.close(new Error("out of memory"));
    broadcast.removeTrack("audio");
    tracks.set("audio", broadcast.createTrack("audio", { timescale: Time.Timescale.MICRO }));
  }
  await origin.subscribed();
  expect(problems).toHaveLength(1);
  origin.burst(0, 0, 10);
  await expect.poll(() => playedMs(listener, 0)).toBe(200);
  origin.renditions = ["odd"];
  origin.codec = "nonsense";
  origin.setCatalog();
  origin.setCatalog();
  await expect.poll(() => problems.length).toBe(2);
  expect(problems[1]).toContain("nonsense");
  origin.renditions = ["good"];
  origin.codec = "opus";
  origin.setCatalog();
  await origin.subscribed("good");
  origin.codec = "nonsense";
  origin.setCatalog();
  await expect.poll(() => problems).toEqual([problems[0], problems[1], problems[1]]);
});

test("a listener gives up with a plain sentence without a publisher, without an answer or with an invalid URL", async () => {
  const code = (listener: Listener) =>
    listener.closed.then((error) => error && ([(error as UnsayError).code, error.message] as const));
  const origin = await Origin.open();
  origin.publishing = false;
  const waiting = origin.listen({ timeoutMs: 1500 });
  expect(await code(waiting)).toEqual([
    "NO_BROADCAST",
    `No publisher of ${PATH} at ${new URL(origin.url).host} within 1500 ms.`,
  ]);
  expect(waiting.stats()).toMatchObject({ state: "closed", receivedBytes: 0, reports: 0 });

  const url = origin.url;
  await closers.pop()?.();
  await origin.close();
  const refused = origin.listen({
    url,
    timeoutMs: 1500,
    connect: { insecure: true, backends: ["quic"], timeoutMs: 500 },
  });
  expect((await code(refused))?.[0]).toMatch(/^CONNECT_/);
  expect(() => new Listener({ url: "nonsense", broadcast: "demo" })).toThrow(
    'Listener.url must be an absolute URL, but is "nonsense".',
  );
  expect(() => new Listener({ url, broadcast: "demo", jitterMs: -1 })).toThrow(
    "Listener.jitterMs must be at least 0, but is -1.",
  );
  expect(() => new Listener({ url: "ftp://127.0.0.1/", broadcast: "demo" })).toThrow(
    'Listener.url must be an http or https URL, but is "ftp://127.0.0.1/".',
  );
});
