import { connect as dial, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { ByteWriter, microseconds } from "../../base/index.js";
import { StreamType } from "../../relay/wire/stream.js";
import type { Backend } from "../../transport/index.js";
import { Hostile } from "./hostile.js";

/** Where an attack strikes. */
export interface Target {
  readonly url: string;
  readonly port: number;
  readonly carrier: Backend;
  /** Playhead of a healthy listener when it begins, in microseconds. */
  readonly playheadUs: number;
  /** A number below a bound, the same in every run. */
  readonly random: (below: number) => number;
}

/** Resolves with the bytes it sent, once it is done; all it opened is closed by then. */
export type Attack = (target: Target) => Promise<number>;

const ROUNDS = 40;
/** How long an attack goes on that depends on how soon the relay takes what it sends. */
const STRIKE_MS = 8000;

async function lie(target: Target, fields: (round: number) => Parameters<Hostile["report"]>[0]): Promise<number> {
  const liar = await Hostile.open(target.url, target.carrier);
  await liar.subscribe(1, "healthy.hang", "audio");
  await sleep(300);
  for (let round = 0; round < ROUNDS; round++) {
    liar.report({ reportId: round, ...fields(round) });
    await sleep(100);
  }
  liar.close();
  return ROUNDS * 60;
}

/** A broadcast of the attacker's own with a watcher of its own, and what it does as its publisher. */
async function own(
  { url, carrier }: Target,
  tracks: number,
  act: (publisher: Hostile, subscriptions: readonly number[]) => Promise<number>,
): Promise<number> {
  const publisher = await Hostile.open(url, carrier);
  const subscriptions: number[] = [];
  publisher.publish(["evil.hang"], (id) => subscriptions.push(id));
  await sleep(300);
  const watcher = await Hostile.open(url, carrier);
  for (let id = 0; id < tracks; id++) await watcher.subscribe(id, "evil.hang", `track-${id}`);
  await sleep(500);
  const bytes = await act(publisher, subscriptions);
  await sleep(1000);
  watcher.close();
  publisher.close();
  return bytes;
}

/** Reads all announcements. */
async function follow(session: Hostile): Promise<void> {
  const { receive } = await session.interest();
  while ((await receive.read()) !== undefined);
}

async function within(milliseconds: number, work: Promise<unknown>): Promise<void> {
  await Promise.race([work.catch(() => {}), sleep(milliseconds)]);
}

/** The control: a listener that subscribes as the others do and reports where it is. */
export const honest: Attack = (target) =>
  lie(target, (round) => ({ playhead: microseconds(target.playheadUs + 300_000 + round * 100_000) }));

/** Attacks, by name. */
export const ATTACKS: Readonly<Record<string, Attack>> = {
  "lie-far-ahead": (target) => lie(target, () => ({ playhead: microseconds(2 ** 50 - 1) })),
  "lie-20s-ahead": (target) => lie(target, (n) => ({ playhead: microseconds(target.playheadUs + 20e6 + n * 1e5) })),
  "lie-at-zero": (target) =>
    lie(target, () => ({ playhead: microseconds(0), worstLead: microseconds(-9e8), worstLeadGroup: 2 ** 52 })),
  "lie-everything": (target) =>
    lie(target, () => ({
      playhead: microseconds(target.random(2 ** 52)),
      discontinuity: target.random(2 ** 21),
      receivedGroup: target.random(2 ** 52),
      receivedBytes: target.random(2 ** 40),
      bufferedMs: target.random(2 ** 21),
      clientTimeMs: target.random(2 ** 35),
      session: target.random(2 ** 32),
      playing: target.random(2) === 0,
    })),
  "frames-without-bytes": (target) =>
    own(target, 1, async (publisher, [id = 0]) => {
      const stream = await publisher.group(id, 1, new Uint8Array(0));
      let sent = 0;
      while (sent < 6e6) {
        await within(200, stream.write(new Uint8Array(65_536)));
        sent += 65_536;
      }
      return sent;
    }),
  "half-frames": (target) =>
    own(target, 1, async (publisher, [id = 0]) => {
      const half = new ByteWriter().varint(0).varint(4_000_000).bytes(new Uint8Array(1_000_000)).finish();
      for (let sequence = 0; sequence < 38; sequence++) await within(300, publisher.group(id, sequence, half));
      return 38 * half.length;
    }),
  "tiny-groups": (target) =>
    own(target, 1, async (publisher, [id = 0]) => {
      // A busy relay takes them slowly.
      const until = performance.now() + STRIKE_MS;
      let sequence = 0;
      for (; sequence < 4000 && performance.now() < until; sequence++)
        await within(200, publisher.group(id, sequence, Uint8Array.of(0, 0), true));
      return sequence * 8;
    }),
  "far-sequences": (target) =>
    own(target, 1, async (publisher, [id = 0]) => {
      const far = [2 ** 49, 2 ** 50, 2 ** 52, Number.MAX_SAFE_INTEGER];
      for (const sequence of far) await publisher.group(id, sequence, Uint8Array.of(0, 1, 9), true);
      return far.length * 16;
    }),
  "no-reading": async ({ url, carrier }) => {
    const watcher = await Hostile.open(url, carrier);
    for (let id = 0; id < 90; id++) await within(100, watcher.subscribe(id, "healthy.hang", "audio"));
    await sleep(6000);
    watcher.close();
    return 90 * 40;
  },
  "tracks-there-are-not": async ({ url, carrier }) => {
    const sessions = [await Hostile.open(url, carrier), await Hostile.open(url, carrier)];
    for (const session of sessions)
      for (let id = 0; id < 90; id++) await within(100, session.subscribe(id, "healthy.hang", `nothing-${id}`));
    await sleep(2000);
    for (const session of sessions) session.close();
    return 180 * 40;
  },
  announcements: async ({ url, carrier }) => {
    const session = await Hostile.open(url, carrier);
    session.publish(Array.from({ length: 1500 }, (_, index) => `flood/${index}`));
    await sleep(5000);
    session.close();
    return 1500 * 20;
  },
  "flapping-names": async ({ url, carrier }) => {
    // Rivals for the same names, before many who follow all names.
    const open = () => Hostile.open(url, carrier);
    const followers = await Promise.all(Array.from({ length: 10 }, open));
    for (const follower of followers) follow(follower).catch(() => {});
    const rivals = [await open(), await open()];
    for (const rival of rivals) rival.flap(() => Array.from({ length: 50 }, (_, index) => `flap/${index}`));
    await sleep(6000);
    for (const session of [...rivals, ...followers]) session.close();
    return rivals.reduce((sum, { announcedBytes }) => sum + announcedBytes, 0);
  },
  "vanishing-names": async ({ url, carrier }) => {
    // Ever new names before followers that do not read.
    const followers = await Promise.all(Array.from({ length: 8 }, () => Hostile.open(url, carrier)));
    for (const follower of followers) for (let index = 0; index < 16; index++) await within(100, follower.interest());
    const stranger = await Hostile.open(url, carrier);
    let next = 0;
    stranger.flap(() => Array.from({ length: 10 }, () => `vanish/${next++}`));
    await sleep(6000);
    for (const session of [stranger, ...followers]) session.close();
    return stranger.announcedBytes;
  },
  interests: async ({ url, carrier }) => {
    const session = await Hostile.open(url, carrier);
    for (let index = 0; index < 90; index++) await within(100, session.interest());
    await sleep(1000);
    session.close();
    return 90 * 4;
  },
  "slow-loris": async ({ port }) => {
    const first = [Uint8Array.of(22), Buffer.from("GET / HTTP/1.1\r\n"), new Uint8Array(0)];
    const sockets: Socket[] = [];
    for (let index = 0; index < 200; index++) {
      const socket = dial(port, "127.0.0.1");
      socket.on("error", () => {});
      socket.write(first[index % first.length]!);
      sockets.push(socket);
    }
    for (let round = 0; round < 12; round++) {
      await sleep(500);
      for (const socket of sockets) if (socket.writable) socket.write("a");
    }
    for (const socket of sockets) socket.destroy();
    return 200 * 30;
  },
  "unread-pings": async ({ port }) => {
    const socket = dial(port, "127.0.0.1");
    socket.on("error", () => {});
    socket.write(
      "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: qmux-01.moq-lite-05\r\n\r\n",
    );
    // The head of a binary frame with a mask of zeros, and QX_PING requests.
    const pings = Buffer.from("f48c67529ef8c7bd00".repeat(1000), "hex");
    const head = Buffer.of(0x82, 0xfe, pings.length >> 8, pings.length & 255, 0, 0, 0, 0);
    const record = Buffer.concat([head, pings]);
    const until = performance.now() + 5000;
    let sent = 0;
    while (!socket.destroyed && performance.now() < until) {
      if (socket.writableLength > 1e6) await sleep(1);
      else {
        socket.write(record);
        sent += record.length;
        if (sent % (16 * record.length) === 0) await sleep(1);
      }
    }
    socket.destroy();
    return sent;
  },
  resets: async ({ url, carrier, random }) => {
    const session = await Hostile.open(url, carrier);
    for (let id = 0; id < 300; id++) {
      const { send, receive } = await session.subscribe(id, "healthy.hang", "audio");
      if (random(2) === 0) await sleep(random(20));
      send.reset(random(64));
      receive.stop(random(64));
    }
    session.close();
    return 300 * 40;
  },
  takeover: async ({ url, carrier }) => {
    // Without tokens the owner of a name may be displaced, but under no other name.
    const session = await Hostile.open(url, carrier);
    session.publish(["healthy.hang/.feedback/00000001", "healthy", "healthy.hang.hang"]);
    await sleep(3000);
    session.close();
    return 100;
  },
  "random-messages": async ({ url, carrier, random }) => {
    let sent = 0;
    const types = Object.values(StreamType);
    for (let round = 0; round < 30; round++) {
      const session = await Hostile.open(url, carrier);
      for (let index = 0; index < 10; index++) {
        const body = Uint8Array.from({ length: random(60) }, () => random(256));
        const bytes = new ByteWriter().varint(types[random(types.length)]!).varint(body.length).bytes(body).finish();
        sent += bytes.length;
        if (random(3) === 0) await within(100, session.stream(body, random(2) === 0));
        else await within(100, session.request(bytes));
        session.session.datagrams?.send(body);
      }
      session.close();
    }
    return sent;
  },
};
