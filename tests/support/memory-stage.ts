import "../../base/polyfills.js";
import { setTimeout as delay } from "node:timers/promises";
import { queryObjects, setFlagsFromString } from "node:v8";
import { Broadcast, Connection, Group, Path, Time, type Track } from "@kixelated/moq";
import { serve } from "../../bench/support/remote.js";
import { Relay } from "../../relay/index.js";
import { type Backend, connect, toWebTransport } from "../../transport/index.js";

setFlagsFromString("--expose-gc");

const NAME = Path.from("memory.hang");
/** Groups under way at once: fewer than a peer allows streams. */
const BATCH = 30;
/** A listener of moq-lite-02 keeps a group for 5 s (`DEFAULT_LATENCY_MAX_MS` in `@moq/net`), whatever the publisher says. */
const KEPT_MS = 5500;

/** Objects left behind, by kind, after much was sent. */
export type Retained = Readonly<Record<"promises" | "groups" | "streams", number>>;

/**
 * Calls to the process of a memory test. Counting walks the whole heap, and stops the process meanwhile: so it
 * is done where there is little else.
 */
export interface MemoryCalls {
  /** Sends groups of one frame over QUIC and over WebSocket. */
  groups(count: number): Promise<void>;
  /** Sends frames of one group, which stays open, over both. */
  frames(count: number): Promise<void>;
  /** How many objects there are more than before, once everything that was sent had time to go. */
  grown(): Promise<Retained>;
}

/** Objects that a group or a frame leaves behind when something retains it. */
function retained(): Retained {
  const count = (kind: abstract new (...args: never) => unknown) => queryObjects(kind, { format: "count" });
  return {
    promises: count(Promise),
    groups: count(Group.Producer),
    streams: count(WritableStream) + count(ReadableStream),
  };
}

async function until(condition: () => boolean): Promise<void> {
  for (const deadline = performance.now() + 60_000; !condition(); await delay(1))
    if (performance.now() > deadline) throw new Error("The condition did not come true within a minute.");
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
    const url = `http://${host}:${port}/`;
    const session = async () => {
      const opened = await connect(url, { backends: [carrier] });
      return Connection.connect(opened.url, { transport: toWebTransport(opened) });
    };
    const broadcast = new Broadcast.Producer();
    // The relay keeps few groups for late joiners, so that few are left to count.
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
  }

  /** Sends frames of a group, and waits until all have come. */
  async sendFrames(group: Group.Producer, frames: number): Promise<void> {
    const from = this.received;
    for (let sent = 0; sent < frames; sent += 10) {
      for (let i = 0; i < 10; i++) this.write(group);
      await until(() => this.received === from + sent + 10);
    }
  }

  /** A track drops what it kept long enough when a group comes: at the publisher, in the relay and at the listener. */
  async drop(): Promise<void> {
    const before = this.received;
    const group = this.openGroup();
    this.write(group);
    group.close();
    await until(() => this.received > before);
  }
}

// Both carriers at once, because counting takes longer than sending.
const openBoth = () => Promise.all((["quic", "qmux"] as const).map((carrier) => Stage.open(carrier)));

let stages: readonly Stage[] = [];
let before = retained();

const drop = () => Promise.all(stages.map((stage) => stage.drop()));

/** Waits until nothing is left that is only kept for a while. */
async function settle(): Promise<void> {
  await delay(KEPT_MS);
  await drop();
}

serve<MemoryCalls>({
  async groups(count) {
    stages = await openBoth();
    const send = (groups: number) => Promise.all(stages.map((stage) => stage.send(groups)));
    await send(2 * BATCH);
    await settle();
    before = retained();
    await send(count);
    await settle();
  },
  async frames(count) {
    stages = await openBoth();
    const open = stages.map((stage) => ({ stage, group: stage.openGroup() }));
    const send = (frames: number) => Promise.all(open.map(({ stage, group }) => stage.sendFrames(group, frames)));
    await send(count / 2);
    before = retained();
    await send(count);
  },
  async grown() {
    await drop();
    await delay(100);
    const now = retained();
    const { promises, groups, streams } = before;
    return { promises: now.promises - promises, groups: now.groups - groups, streams: now.streams - streams };
  },
});
