import { Broadcast, Connection, Group, Path, Time, type Track } from "@kixelated/moq";
import { expect, test } from "vitest";
import { microseconds } from "../base/index.js";
import { encodeCatalog, encodeLegacyFrame } from "../container/index.js";
import { Relay } from "../relay/index.js";
import { connect, toWebTransport } from "../transport/index.js";
import { Listener } from "../watch/index.js";

// The protocol library logs every step to the console.
console.debug = () => {};

const PACKET_MS = 20;
const PACKETS = 25;
const RENDITION = { codec: "pcm-s16", sampleRate: 48_000, numberOfChannels: 1, container: { kind: "legacy" } };

function catalogOf(run: string): Uint8Array {
  return encodeCatalog({
    unsay: { renege: "rewind", mode: "ahead", run },
    audio: { renditions: { audio: RENDITION } },
  });
}

/** Sends half a second of one level, and lets the track end there. */
function say(track: Track.Producer, level: number): void {
  const payload = new Uint8Array(Int16Array.from({ length: 960 }, () => level).buffer);
  for (let sequence = 0; sequence < PACKETS; sequence++) {
    const timestamp = microseconds(sequence * PACKET_MS * 1000);
    const group = new Group.Producer(sequence);
    track.writeGroup(group);
    group.writeFrame({
      payload: encodeLegacyFrame({ timestamp, payload }),
      timestamp: Time.Timestamp.fromMicros(timestamp),
    });
    group.close();
  }
}

test("a listener hears a new run that replaces another in the same broadcast, under the same names and numbers", async () => {
  const relay = new Relay({ host: "127.0.0.1", port: 0 });
  const url = `http://127.0.0.1:${(await relay.listen()).port}`;
  const session = await connect(new URL(url), { backends: ["qmux"] });
  const connection = await Connection.connect(session.url, { transport: toWebTransport(session) });
  const broadcast = new Broadcast.Producer();
  const catalog = broadcast.createTrack("catalog.json", { latencyMax: 60_000 });
  const openTrack = () => broadcast.createTrack("audio", { timescale: Time.Timescale.MICRO, latencyMax: 30_000 });
  const publishCatalog = (run: string) => {
    const group = catalog.appendGroup();
    group.writeFrame({ payload: catalogOf(run), timestamp: Time.Timestamp.now() });
    group.close();
  };
  const levels: number[] = [];
  const sink = {
    write: ([samples]: readonly Float32Array[]) => void levels.push(Math.round(samples![64]! * 10)),
    close: async () => {},
  };
  const listener = new Listener({ url, broadcast: "demo", sink });
  try {
    publishCatalog("one");
    const first = openTrack();
    connection.publish(Path.from("demo"), broadcast);
    await expect.poll(() => first.used.peek()).toBe(true);
    say(first, 9830);
    // A listener that a busy machine holds up leaves some of it out.
    await expect.poll(() => listener.stats().playedMs).toBeGreaterThan(250);
    await expect.poll(() => listener.stats().playing).toBe(false);
    first.close();
    // Before the listener can subscribe again, the relay must know that this track has ended.
    await expect.poll(() => first.used.peek()).toBe(false);
    broadcast.removeTrack("audio");
    const second = openTrack();
    publishCatalog("two");
    await expect.poll(() => second.used.peek()).toBe(true);
    say(second, 19_660);
    await expect.poll(() => levels.filter((level) => level === 6).length).toBeGreaterThan(90);
    await expect.poll(() => listener.stats().playing).toBe(false);
    // A fade takes two quanta, and passes by the other's level.
    expect(levels.slice(levels.indexOf(6)).filter((level) => level === 3).length).toBeLessThanOrEqual(2);
    expect(listener.stats().staleMs).toBe(0);
  } finally {
    await listener.close();
    connection.close();
    await relay.close();
  }
});
