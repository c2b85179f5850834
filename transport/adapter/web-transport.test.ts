import { Broadcast, Connection, Path, Time } from "@kixelated/moq";
import { afterEach, expect, test } from "vitest";
import { attachLogger } from "../../base/index.js";
import { certificateHash, connectQuic, createCertificate, listenQuic, type Session, toWebTransport } from "../index.js";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** Both ends of a QUIC session over loopback. */
async function pair(): Promise<{ near: Session; far: Session }> {
  const certificate = await createCertificate();
  const server = await listenQuic({ host: "127.0.0.1", port: 0, certificate });
  cleanups.push(() => server.close());
  const accepting = server.accept();
  const [near, far] = await Promise.all([
    connectQuic(new URL(`https://127.0.0.1:${server.address.port}/`), {
      certificateHashes: [Buffer.from(certificateHash(certificate.cert), "hex")],
    }),
    accepting.then((request) => request!.accept()),
  ]);
  return { near, far };
}

/** The rejection of a promise. */
async function failure(promise: Promise<unknown>): Promise<Error> {
  return promise.then(
    () => new Error("it was not rejected"),
    (error: Error) => error,
  );
}

test("a write after a stream's end rejects in the standard's way, while it closes and later", async () => {
  const { near, far } = await pair();
  const stream = await toWebTransport(near).createUnidirectionalStream();
  const writer = stream.getWriter();
  await writer.write(Uint8Array.of(1, 2, 3));
  const closing = writer.close();
  expect(await failure(writer.write(Uint8Array.of(4)))).toBeInstanceOf(TypeError);
  await closing;
  expect(await failure(writer.write(Uint8Array.of(4)))).toBeInstanceOf(TypeError);
  writer.releaseLock();
  expect(await failure(stream.getWriter().write(Uint8Array.of(4)))).toBeInstanceOf(TypeError);
  const received = await far.acceptUnidirectional();
  expect(await received?.read()).toEqual(Uint8Array.of(1, 2, 3));
  expect(await received?.read()).toBeUndefined();
});

test("a session that ends fails pending stream writes with a sentence of its own", async () => {
  const { near } = await pair();
  const transport = toWebTransport(near);
  const streams = await Promise.all([1, 2, 3].map(() => transport.createUnidirectionalStream()));
  const writers = streams.map((stream) => stream.getWriter());
  for (const writer of writers) writer.closed.catch(() => {});
  // More than the peer takes before it reads.
  const writes = writers.map((writer) => failure(writer.write(new Uint8Array(8 << 20))));
  const [first, second, third] = writers;
  const ends = [failure(first!.abort(new Error("enough"))), failure(second!.close())];
  near.close({ closeCode: 3, reason: "over" });
  for (const { message } of await Promise.all(writes)) expect(message).not.toContain("Node.js");
  await Promise.all(ends);
  for (const writer of [first!, second!, third!]) {
    expect((await failure(writer.write(Uint8Array.of(1)))).message).not.toContain("Node.js");
  }
});

test("a subscriber that leaves a track of @moq/net causes no message about the internals of Node", async () => {
  const { near, far } = await pair();
  const [publisher, listener] = await Promise.all([
    Connection.accept(toWebTransport(far), far.url),
    Connection.connect(near.url, { transport: toWebTransport(near) }),
  ]);
  const lines: string[] = [];
  const log = (_: object, message: string) => void lines.push(message);
  cleanups.push(attachLogger({ debug: log, info: log, warn: log }));
  const words = () => lines.join("\n");

  const broadcast = new Broadcast.Producer();
  cleanups.push(() => broadcast.close());
  const path = Path.from("demo.hang");
  publisher.publish(path, broadcast);
  void (async () => {
    for (let request = await broadcast.requested(); request; request = await broadcast.requested()) {
      const timestamp = Time.Timestamp.fromMicros(20_000 as Time.Micro);
      request.accept().writeFrame({ payload: Uint8Array.of(1, 2, 3), timestamp });
    }
  })();
  await listener.announced().next();
  const track = listener.consume(path).track("audio").subscribe();
  await track.nextGroup();
  track.close();
  await expect.poll(words).toMatch(/publish (?:close|error): broadcast=demo.hang track=audio/);
  expect(words()).not.toContain("Node.js");
});

test("groups of an audio track of @moq/net get a higher stream priority than those of video", async () => {
  const { near, far } = await pair();
  const priorities: (number | undefined)[] = [];
  const watched = new Proxy(far, {
    get(target, name) {
      if (name === "openUnidirectional")
        return (options?: { priority?: number }) => {
          priorities.push(options?.priority);
          return target.openUnidirectional(options);
        };
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  const [publisher, listener] = await Promise.all([
    Connection.accept(toWebTransport(watched), far.url),
    Connection.connect(near.url, { transport: toWebTransport(near) }),
  ]);
  const broadcast = new Broadcast.Producer();
  cleanups.push(() => broadcast.close());
  const path = Path.from("demo.hang");
  publisher.publish(path, broadcast);
  await listener.announced().next();
  for (const [name, priority] of [["video", 20] as const, ["audio", 50] as const]) {
    const track = broadcast.createTrack(name, { timescale: Time.Timescale.MICRO });
    const subscribed = listener.consume(path).track(name).subscribe({ priority });
    await expect.poll(() => track.used.peek()).toBe(true);
    track
      .appendGroup()
      .writeFrame({ payload: Uint8Array.of(1), timestamp: Time.Timestamp.fromMicros(0 as Time.Micro) });
    await subscribed.nextGroup();
  }
  // Streams of the protocol itself have 0 and go before both.
  const [video, audio] = priorities.filter((priority) => priority !== 0);
  expect(audio).toBeGreaterThan(video!);
  expect(audio).toBeLessThan(0);
});
