import { setTimeout as delay } from "node:timers/promises";
import { queryObjects, setFlagsFromString } from "node:v8";
import { Broadcast, Connection, Group, Path, Time, type Track } from "@kixelated/moq";
import { afterEach, beforeAll, expect, test, vi } from "vitest";
import { Relay } from "../relay/index.js";
import { type Backend, connect, toWebTransport } from "../transport/index.js";

setFlagsFromString("--expose-gc");

const NAME = Path.from("memory.hang");
const GROUPS = 150;
/** Groups under way at once: fewer than a peer allows streams. */
const BATCH = 30;
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

// Node warns, once, that what is counted with may change.
beforeAll(() => {
  const warning = vi.spyOn(process, "emitWarning").mockImplementationOnce(() => {});
  queryObjects(class {}, { format: "count" });
  expect(warning.mock.calls.map(([words]) => words)).toEqual([expect.stringContaining("queryObjects")]);
  warning.mockRestore();
});

/** What a group or a frame leaves behind when something holds on to it. */
function retained(): Record<string, number> {
  const count = (kind: abstract new (...args: never) => unknown) => queryObjects(kind, { format: "count" });
  return {
    promises: count(Promise),
    groups: count(Group.Producer),
    streams: count(WritableStream) + count(ReadableStream),
  };
}

async function until(condition: () => boolean): Promise<void> {
  for (const deadline = performance.now() + 20_000; !condition(); await delay(1))
    if (performance.now() > deadline) throw new Error("It never came to it.");
}

/** A publisher and a listener of one track, each with a session of its own to a relay. */
class Stage {
  readonly track: Track.Producer;
  received = 0;
  #sequence = 0;

  private constructor(track: Track.Producer) {
    this.track = track;
  }

  static async open(carrier: Backend): Promise<Stage> {
    const relay = new Relay({ port: 0 });
    const { host, port } = await relay.listen();
    cleanups.push(() => relay.close());
    const url = `http://${host}:${port}/`;
    const session = async () => {
      const opened = await connect(url, { backends: [carrier] });
      cleanups.push(() => opened.close());
      return Connection.connect(opened.url, { transport: toWebTransport(opened) });
    };
    const broadcast = new Broadcast.Producer();
    // Little is kept for who comes late, so that little is left to be counted.
    const track = broadcast.createTrack("audio", { timescale: Time.Timescale.MICRO, latencyMax: 50 });
    (await session()).publish(NAME, broadcast);
    const stage = new Stage(track);
    const listener = await session();
    const announced = listener.announced();
    while ((await announced.next())?.path !== NAME);
    const subscriber = listener.consume(NAME).subscribe("audio", { priority: 1, latencyMax: 30_000 });
    stage.#read(subscriber).catch(() => {});
    await until(() => track.used.peek());
    return stage;
  }

  async #read(track: Track.Subscriber): Promise<void> {
    const readGroup = async (group: Group.Consumer) => {
      while ((await group.readFrame()) !== undefined) this.received++;
    };
    for (let group = await track.recvGroup(); group; group = await track.recvGroup())
      void readGroup(group).catch(() => {});
  }

  openGroup(): Group.Producer {
    const group = new Group.Producer(this.#sequence++);
    this.track.writeGroup(group);
    return group;
  }

  write(group: Group.Producer): void {
    const timestamp = Time.Timestamp.fromMicros((group.sequence * 1000) as Time.Micro);
    group.writeFrame({ payload: new Uint8Array(100), timestamp });
  }

  /** Sends groups of one frame, and waits until nearly all have come: a relay may skip some. */
  async send(groups: number): Promise<void> {
    for (let sent = 0; sent < groups; sent += BATCH) {
      const before = this.received;
      for (let i = 0; i < BATCH; i++) {
        const group = this.openGroup();
        this.write(group);
        group.close();
      }
      await until(() => this.received - before > BATCH / 2);
    }
    await this.settle();
  }

  /** Waits until what is kept for a while is gone; the publisher's track looks when something is written. */
  async settle(): Promise<void> {
    await delay(400);
    this.openGroup().close();
    await delay(100);
  }
}

// Both carriers at once, because counting takes longer than sending.
const openBoth = () => Promise.all((["quic", "qmux"] as const).map((carrier) => Stage.open(carrier)));

test("publisher, relay and listener hold on to no group over QUIC or WebSocket", async () => {
  const stages = await openBoth();
  const send = (groups: number) => Promise.all(stages.map((stage) => stage.send(groups)));
  await send(2 * BATCH);
  const before = retained();
  await send(GROUPS);
  const after = retained();
  for (const [kind, count] of Object.entries(after)) expect(count - before[kind]!, kind).toBeLessThan(GROUPS / 2);
});

test("publisher and listener hold on to no frame of a long group over QUIC or WebSocket", async () => {
  const stages = (await openBoth()).map((stage) => ({ stage, group: stage.openGroup() }));
  const send = async (frames: number) => {
    const sends = stages.map(async ({ stage, group }) => {
      const from = stage.received;
      for (let sent = 0; sent < frames; sent += 10) {
        for (let i = 0; i < 10; i++) stage.write(group);
        await until(() => stage.received === from + sent + 10);
      }
    });
    await Promise.all(sends);
  };
  await send(200);
  const before = retained();
  await send(400);
  for (const [kind, count] of Object.entries(retained())) expect(count - before[kind]!, kind).toBeLessThan(50);
});
