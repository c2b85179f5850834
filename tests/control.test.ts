import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as Moq from "@kixelated/moq";
import { afterEach, describe, expect, test, vi } from "vitest";
import { monotonicClock } from "../base/index.js";
import { type ControlEvent, parseOperation } from "../flow/control/index.js";
import { RemoteControl, type RemoteControlLimits } from "../publisher/control/remote-control.js";
import { modelPayload, openSource, Publisher } from "../publisher/index.js";
import { generateKey, Relay, type RelayOptions, signToken } from "../relay/index.js";
import { type ConnectOptions, connect, toWebTransport } from "../transport/index.js";
import { Controller, type ControllerOptions, Listener } from "../watch/index.js";
import { unsay } from "./support/command-line.js";
import { NetRelay } from "./support/net-relay.js";
import { until } from "./support/stage.js";

// The library logs every subscription to the console.
for (const level of ["debug", "warn", "info"] as const) vi.spyOn(console, level).mockImplementation(() => {});

const closers: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

interface Door {
  readonly url: string;
  readonly connect: Omit<ConnectOptions, "signal">;
  /** Waits until the relay has the publisher's broadcast, or has lost it; only a stock relay needs the wait. */
  readonly settled: (isThere: boolean) => Promise<void>;
}

async function ours(backend: "quic" | "qmux", options: Partial<RelayOptions> = {}): Promise<Door> {
  const relay = new Relay({ host: "127.0.0.1", port: 0, ...options });
  closers.push(() => relay.close());
  await relay.listen();
  return { url: `http://127.0.0.1:${relay.address.port}`, connect: { backends: [backend] }, settled: async () => {} };
}

async function stock(): Promise<Door> {
  const relay = await NetRelay.listen();
  closers.push(() => relay.close());
  return {
    url: relay.url,
    connect: { backends: ["quic"], certificateHashes: [relay.certificateHash] },
    settled: (isThere) => until("the broadcast comes or goes", () => relay.has("demo.hang") === isThere),
  };
}

interface Done {
  readonly operation: ReturnType<typeof parseOperation>;
  readonly payload: Uint8Array | undefined;
}

/** The controlled end of a publisher: everything but the sound. */
async function controlled(door: Door, limits: Partial<RemoteControlLimits> = {}) {
  const done: Done[] = [];
  const remote = new RemoteControl({
    broadcast: "demo",
    clock: monotonicClock,
    limits,
    logger: { debug: () => {}, info: () => {}, warn: () => {} },
    async control(value, payload): Promise<ControlEvent> {
      const operation = parseOperation(value, payload);
      done.push({ operation, payload });
      if (operation.op === "swap_source") throw new Error("internals that no peer should see");
      const { op, requestId } = operation;
      return { outcome: "applied", op, requestId, controlEpoch: done.length, reason: undefined };
    },
  });
  const open = async () => {
    const session = await connect(door.url, door.connect);
    const connection = await Moq.Connection.connect(new URL(session.url), { transport: toWebTransport(session) });
    const broadcast = new Moq.Broadcast.Producer();
    remote.attach(broadcast, connection);
    connection.publish(Moq.Path.from("demo.hang"), broadcast);
    closers.push(() => session.close());
    await door.settled(true);
    return session;
  };
  closers.push(() => remote.close());
  return { remote, done, open, session: await open() };
}

function controller(door: Door, options: Partial<ControllerOptions> = {}): Controller {
  const made = new Controller({
    url: door.url,
    broadcast: "demo",
    connect: door.connect,
    timeoutMs: 120_000,
    ...options,
  });
  closers.push(() => made.close());
  return made;
}

/** A controller without manners: writes what it likes where a controller writes. */
async function hostile(door: Door, id: string) {
  const session = await connect(door.url, door.connect);
  closers.push(() => session.close());
  const connection = await Moq.Connection.connect(new URL(session.url), { transport: toWebTransport(session) });
  const broadcast = new Moq.Broadcast.Producer();
  const info = { timescale: Moq.Time.Timescale.MICRO, latencyMax: 5000 };
  const operations = broadcast.createTrack("operations", info);
  connection.publish(Moq.Path.from(`demo.control/${id}`), broadcast);
  const answers: Record<string, unknown>[] = [];
  const track = connection.consume(Moq.Path.from("demo.hang")).track("control.json").subscribe({ latencyMax: 30_000 });
  void (async () => {
    for (let frame = await track.readJson(); frame; frame = await track.readJson()) {
      const answer = frame as Record<string, unknown>;
      if (answer.controller === id) answers.push(answer);
    }
  })().catch(() => {});
  let stamp = 0;
  const write = (to: Moq.Track.Producer, payload: Uint8Array) => {
    const group = to.appendGroup();
    group.writeFrame({ payload, timestamp: Moq.Time.Timestamp.fromMicros(++stamp * 1000) });
    group.close();
  };
  await expect.poll(() => operations.used.peek()).toBe(true);
  return {
    answers,
    say: (text: string) => write(operations, new TextEncoder().encode(text)),
    payload: (requestId: string) => {
      const to = broadcast.createTrack(`payload/${requestId}`, info);
      return (bytes: Uint8Array) => write(to, bytes);
    },
  };
}

describe.each([
  ["our relay over QUIC", () => ours("quic")],
  ["our relay over qmux", () => ours("qmux")],
  ["a relay on stock @moq/net", stock],
])("a controller through %s", (_, make) => {
  test("a publisher runs operations in order, payloads byte for byte, each with one event, even after broken sessions", async () => {
    const door = await make();
    const { done, remote, session, open } = await controlled(door);
    const one = controller(door);

    const turns = Array.from({ length: 20 }, (_, turn) =>
      one.send({ op: "set", requestId: `turn-${turn}`, knobs: { strength: turn / 20 } }),
    );
    const events = await Promise.all(turns);
    expect(events.map(({ outcome }) => outcome)).toEqual(Array(20).fill("applied"));
    expect(events.map(({ requestId }) => requestId)).toEqual(turns.map((_, turn) => `turn-${turn}`));
    expect(done.map(({ operation }) => operation.op === "set" && operation.knobs.strength)).toEqual(
      turns.map((_, turn) => turn / 20),
    );

    const two = controller(door, { id: "second" });
    const payload = new Uint8Array(randomBytes(300_001));
    const progress: number[] = [];
    one.on("progress", ({ ackedBytes }) => progress.push(ackedBytes));
    const swapping = one.send({ op: "model" }, payload);
    const splice = { op: "write_audio", at: 0, mode: "sum", format: "s16", sampleRateHz: 48_000, channels: 1 } as const;
    const splicing = two.send(splice, payload.subarray(0, 2000));
    expect(await two.send({ op: "interrupt" })).toMatchObject({ outcome: "applied", op: "interrupt" });
    expect(await splicing).toMatchObject({ outcome: "applied", op: "write_audio" });
    expect(await swapping).toMatchObject({ outcome: "applied", op: "model" });
    expect(progress.at(-1)).toBe(payload.length);
    const model = done.find(({ operation }) => operation.op === "model");
    expect(Buffer.compare(model!.payload!, payload)).toBe(0);

    // What fails inside the publisher says so, and no more.
    const swapped = await one.send({ op: "swap_source", source: "other.wav" });
    expect(swapped).toMatchObject({ outcome: "failed", reason: "The publisher failed to do it." });
    await expect(one.send({ op: "set", knobs: { strength: 2 } })).rejects.toMatchObject({ code: "INVALID_OPERATION" });

    // The publisher's session breaks in the middle of a payload.
    const broken = one.send({ op: "model", requestId: "again" }, payload);
    await expect.poll(() => Object.keys(one.stats().payloads)).toEqual(["again"]);
    session.close();
    await door.settled(false);
    await open();
    expect(await broken).toMatchObject({ outcome: "applied", requestId: "again" });
    expect(done.filter(({ operation }) => operation.op === "model")).toHaveLength(2);
    expect(remote.counters).toMatchObject({ payloads: 0, malformed: 0, controllers: 2 });

    await one.close();
    await expect(one.send({ op: "resume" })).rejects.toMatchObject({ code: "CLOSED" });
    await expect.poll(() => remote.counters.controllers).toBe(1);
  });
});

describe.each([
  ["our relay over QUIC", () => ours("quic")],
  ["our relay over qmux", () => ours("qmux")],
  ["a relay on stock @moq/net", stock],
])("a publisher of sound controlled through %s", (_, make) => {
  test("a publisher under control changes a knob, swaps its model, splices audio in and falls silent", async () => {
    const door = await make();
    const model = "publisher/denoise/fixtures/tiny.onnx";
    const publisher = new Publisher({ url: door.url, connect: door.connect, model, aheadMs: 500, control: true });
    closers.push(() => publisher.close());
    publisher.say(await openSource({ file: "examples/audio/noisy-speech.wav", loop: true }));
    await door.settled(true);
    const listener = new Listener({ url: door.url, broadcast: "demo", connect: door.connect, timeoutMs: 120_000 });
    listener.closed.catch(() => {});
    closers.push(() => listener.close());
    await expect.poll(() => listener.stats().playedMs).toBeGreaterThan(200);

    const far = controller(door);
    const turned = await far.send({ op: "set", knobs: { strength: 0.25, gainDb: -6 } });
    expect(turned).toMatchObject({ outcome: "applied", controlEpoch: publisher.stats().controlEpoch });
    expect(publisher.knobs).toMatchObject({ strength: 0.25, gainDb: -6, bypass: false });

    const [sidecar, onnx] = await Promise.all(
      ["json", "onnx"].map((end) => readFile(`publisher/denoise/fixtures/other.${end}`)),
    );
    expect(await far.send({ op: "model" }, modelPayload(sidecar!, onnx!))).toMatchObject({ outcome: "applied" });
    const rubbish = await far.send({ op: "model" }, new Uint8Array(randomBytes(5000)));
    expect(rubbish).toMatchObject({ outcome: "failed", reason: expect.stringContaining("sidecar") });

    const at = publisher.stats().playheadUs + 20_000_000;
    const tone = new Int16Array(24_000).map((_, index) => 8000 * Math.sin(index / 10));
    const splice = {
      op: "write_audio",
      at,
      mode: "replace",
      format: "s16",
      sampleRateHz: 48_000,
      channels: 1,
    } as const;
    expect(await far.send(splice, new Uint8Array(tone.buffer))).toMatchObject({ outcome: "applied" });
    expect(await far.send({ op: "swap_source", source: "none" })).toMatchObject({ outcome: "failed" });

    const before = listener.stats().playedMs;
    await expect.poll(() => listener.stats().playedMs).toBeGreaterThan(before);
    expect(await far.send({ op: "interrupt" })).toMatchObject({ outcome: "applied" });
    await expect.poll(() => listener.stats().playing).toBe(false);
    expect(publisher.stats().control).toMatchObject({ controllers: 1, applied: 4, failed: 2, malformed: 0 });
  });
});

describe("a publisher that takes control", () => {
  test("a publisher answers a repeated request with the same event and runs it once", async () => {
    const door = await ours("quic");
    const { done } = await controlled(door);
    const { say, answers } = await hostile(door, "parrot");
    const request = JSON.stringify({ order: 0, op: "set", requestId: "a", knobs: { gainDb: 1 } });
    await expect
      .poll(() => {
        say(request);
        return answers.filter(({ event }) => event === "set_applied").length;
      })
      .toBeGreaterThanOrEqual(3);
    expect(done).toHaveLength(1);
    expect(new Set(answers.map((answer) => answer.controlEpoch)).size).toBe(1);
  });

  test("a publisher serves its other controllers beside those that send rubbish, too much, or nothing any more", async () => {
    const door = await ours("quic");
    const { remote, done } = await controlled(door, {
      payloadBytes: 100_000,
      idleMs: 2000,
      controllers: 3,
      requestsPerSecond: 50,
    });
    const good = controller(door);
    expect(await good.send({ op: "resume" })).toMatchObject({ outcome: "applied" });

    const bad = await hostile(door, "bad");
    const digest = "0".repeat(64);
    const request = (requestId: string, rest: object) => bad.say(JSON.stringify({ order: 0, requestId, ...rest }));
    // A request that is said twice is answered twice, with the same event.
    const outcome = (requestId: string) => () => {
      const found = bad.answers.filter(
        (answer) => answer.requestId === requestId && answer.event !== "pending" && "reason" in answer,
      );
      return [...new Map(found.map((answer) => [`${answer.event} ${answer.reason}`, answer])).values()];
    };
    // A relay may drop a group: what has had no effect is said again.
    const ends = (requestId: string, act: () => void) =>
      expect.poll(
        () => {
          const found = outcome(requestId)();
          if (found.length === 0) act();
          return found;
        },
        { interval: 60 },
      );
    const refused = (requestId: string, rest: object) => ends(requestId, () => request(requestId, rest));
    for (const text of [
      "",
      "rubbish",
      "[]",
      "{}",
      "null",
      '{"op":"set"}',
      `{"x":"${"x".repeat(20_000)}"}`,
      "\u0000\ud800",
    ]) {
      const { malformed } = remote.counters;
      const say = () => {
        if (remote.counters.malformed === malformed) bad.say(text);
        return remote.counters.malformed;
      };
      await expect.poll(say, { interval: 60 }).toBeGreaterThan(malformed);
    }

    await refused("unknown", { op: "explode" }).toMatchObject([{ event: "explode_failed" }]);
    await refused("range", { op: "set", knobs: { strength: 7 } }).toMatchObject([
      { event: "set_failed", reason: expect.stringContaining("knobs.strength") },
    ]);
    const large = { op: "model", payload: { bytes: 100_001, sha256: digest } };
    await refused("large", large).toMatchObject([{ reason: expect.stringContaining("100000 bytes at most") }]);
    await refused("key", { op: "set", knobs: { ["\u0001".repeat(2500)]: 1 } }).toMatchObject([{ event: "set_failed" }]);
    const needless = { op: "interrupt", payload: { bytes: 10, sha256: digest } };
    await refused("none", needless).toMatchObject([{ reason: expect.stringContaining("takes no payload") }]);

    // Five payloads of which nothing ever comes: four wait and then fail, the fifth is refused at once.
    const model = { op: "model", payload: { bytes: 10, sha256: digest } };
    for (const each of [1, 2, 3, 4]) {
      const open = () => {
        if (remote.counters.payloads < each) request(`silent-${each}`, model);
        return remote.counters.payloads;
      };
      await expect.poll(open, { interval: 60 }).toBe(each);
    }
    await refused("silent-5", model).toMatchObject([{ reason: expect.stringContaining("4 payloads") }]);
    await refused("silent-1", model).toMatchObject([{ event: "model_failed", reason: expect.stringContaining("2 s") }]);
    await refused("silent-4", model).toHaveLength(1);

    for (const [requestId, piece, reason] of [
      ["malformed", new Uint8Array(5), "piece"],
      ["other", new Uint8Array(12 + 10), "SHA-256"],
    ] as const) {
      const write = bad.payload(requestId);
      request(requestId, model);
      const act = () => {
        request(requestId, model);
        write(piece);
      };
      await ends(requestId, act).toMatchObject([{ reason: expect.stringContaining(reason) }]);
    }

    // Out of order and with a hole; the publisher does not wait for a request that never comes.
    request("late", { op: "resume", order: 50 });
    await expect.poll(() => bad.answers.some((answer) => answer.event === "resume_applied")).toBe(true);
    let flood = 0;
    const pour = () => {
      for (let each = 0; each < 100; each++, flood++) request(`flood-${flood}`, { op: "resume", order: 51 + flood });
      return remote.counters.tooFast;
    };
    await expect.poll(pour, { interval: 200 }).toBeGreaterThan(0);

    // One controller too many, one with a name that is none; the good one has noticed nothing.
    const last = controller(door, { id: "third" });
    expect(await last.send({ op: "resume" })).toMatchObject({ outcome: "applied" });
    const late = controller(door, { id: "fourth", timeoutMs: 1500 });
    await expect(late.send({ op: "resume" })).rejects.toMatchObject({ code: "CONTROL_TIMEOUT" });
    expect(remote.counters).toMatchObject({ controllers: 3, refusedControllers: 1, payloads: 0 });
    const payload = new Uint8Array(randomBytes(90_000));
    expect(await good.send({ op: "model" }, payload)).toMatchObject({ outcome: "applied" });
    const swapped = done.findLast(({ operation }) => operation.op === "model");
    expect(Buffer.compare(swapped!.payload!, payload)).toBe(0);
  });

  test("a publisher obeys only controllers whose tokens let them publish under its path", async () => {
    const folder = await mkdtemp(join(tmpdir(), "unsay-control-"));
    closers.push(() => rm(folder, { recursive: true }));
    const key = await generateKey("HS256");
    await writeFile(join(folder, "key.jwk"), JSON.stringify(key));
    const door = await ours("quic", { auth: { keys: folder } });
    const doorOf = async (claims: Parameters<typeof signToken>[1]) => ({
      ...door,
      url: `${door.url}/?jwt=${await signToken(key, { root: "", ...claims })}`,
    });
    const { remote } = await controlled(await doorOf({ put: "demo.hang", get: "demo.control" }));
    const allowed = controller(await doorOf({ put: "demo.control/desk", get: "demo.hang" }), { id: "desk" });
    expect(await allowed.send({ op: "resume" })).toMatchObject({ outcome: "applied" });
    const listening = controller(await doorOf({ get: "demo.hang" }), { timeoutMs: 1500 });
    const elsewhere = controller(await doorOf({ put: "demo.control/desk", get: "demo.hang" }), { timeoutMs: 1500 });
    for (const refused of [listening, elsewhere])
      await expect(refused.send({ op: "resume" })).rejects.toMatchObject({ code: "NOT_GRANTED" });
    expect(remote.counters).toMatchObject({ controllers: 1, requests: 1 });
  });

  test("a publisher follows the command line, which prints the outcome in one line and exits with its code", async () => {
    const door = await ours("quic");
    const { done } = await controlled(door);
    const run = (...argv: string[]) => unsay(["control", door.url, ...argv]);
    expect(await run("set", "--strength", "0.5")).toEqual({ exitCode: 0, out: "set: applied\n", error: "" });
    const spliced = await run(
      "write-audio",
      "examples/audio/clean-speech.wav",
      "--at",
      "1.5",
      "--mode",
      "sum",
      "--json",
    );
    expect(JSON.parse(spliced.out)).toMatchObject({ event: "write_audio_applied" });
    expect(await run("model", "publisher/denoise/fixtures/tiny.onnx")).toMatchObject({ exitCode: 0 });
    expect(await run("loop-band", "--start", "0.2", "--end", "0.3")).toMatchObject({ exitCode: 0 });
    expect(done.map(({ operation: { requestId: _, ...rest } }) => rest)).toMatchObject([
      { op: "set", knobs: { strength: 0.5 } },
      { op: "write_audio", at: 1_500_000, mode: "sum", format: "f32" },
      { op: "model" },
      { op: "loop_band", band: { start: 200_000, end: 300_000 } },
    ]);
    const failed = await run("swap-source", "other");
    expect(failed).toEqual({
      exitCode: 1,
      out: "",
      error: "unsay: The publisher did not do it: The publisher failed to do it. (CONTROL_FAILED)\n",
    });
    expect(await run("swap-source", "other", "--json")).toMatchObject({ exitCode: 1, error: "" });
    for (const [argv, sentence] of [
      [["set"], /set needs a --strength/],
      [["explode"], /--operation must be .*, but is "explode"/],
      [["write-audio", "examples/audio/clean-speech.wav"], /needs an --at/],
      [["loop-band", "--start", "2", "--end", "1"], /--end must be at least 0\.1 s after --start/],
      [["noise-profile"], /noise-profile needs a WAV file/],
    ] as const)
      expect(await run(...argv)).toMatchObject({ exitCode: 2, error: expect.stringMatching(sentence) });
  });

  test("a controller reports that there is no publisher", async () => {
    const door = await ours("quic");
    const lonely = controller(door, { timeoutMs: 500 });
    await expect(lonely.send({ op: "interrupt" })).rejects.toMatchObject({
      code: "CONTROL_TIMEOUT",
      message: expect.stringContaining("demo"),
    });
    expect(() => controller(door, { id: "not/one" })).toThrow(expect.objectContaining({ code: "INVALID_OPTION" }));
  });
});
