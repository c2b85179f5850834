import { createServer } from "node:http";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, describe, expect, test } from "vitest";
import {
  type Backend,
  certificateHash,
  connect,
  createCertificate,
  listen,
  type ReceiveStream,
  type Session,
  type SessionServer,
} from "../transport/index.js";
import { refused } from "./support/refused.js";

/** What every backend must do; where one can not, it says so here. */
const BACKENDS: { backend: Backend; backpressure: boolean }[] = [
  { backend: "quic", backpressure: true },
  { backend: "qmux", backpressure: true },
  // Its library buffers unread data.
  { backend: "http2", backpressure: false },
];

/** Sessions that open at once. */
const PARALLEL = 200;

const certificate = await createCertificate();
const certificateHashes = [Buffer.from(certificateHash(certificate.cert), "hex")];

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

describe.each(BACKENDS)("$backend", ({ backend, backpressure }) => {
  async function start({
    freesPort = false,
  } = {}): Promise<{ server: SessionServer; dial: (path?: string) => Promise<Session> }> {
    let scheme = "https";
    let server: SessionServer;
    if (backend === "qmux") {
      scheme = "http";
      const httpServer = createServer();
      await new Promise<void>((resolve) => httpServer.listen(0, "127.0.0.1", resolve));
      cleanups.push(() => httpServer.close());
      server = await listen({ backend, host: "127.0.0.1", port: 0, httpServer });
    } else {
      server = await listen({ backend, host: "127.0.0.1", port: 0, certificate, freesPort });
    }
    cleanups.push(() => server.close());
    return {
      server,
      dial: (path = "/") =>
        // Two hundred handshakes take a busy machine longer than a client waits by default.
        connect(`${scheme}://127.0.0.1:${server.address.port}${path}`, {
          backends: [backend],
          ...(scheme === "https" && { certificateHashes }),
          timeoutMs: 120_000,
        }),
    };
  }

  async function pair(): Promise<{ client: Session; served: Session; server: SessionServer }> {
    const { server, dial } = await start();
    const connecting = dial("/some/path?jwt=abc");
    const request = await server.accept();
    const served = await request!.accept();
    const client = await connecting;
    cleanups.push(() => client.close());
    return { client, served, server };
  }

  test("both ends know the URL, the protocol and the backend", async () => {
    const { client, served } = await pair();
    for (const session of [client, served]) {
      expect(session.backend).toBe(backend);
      expect(session.protocol).toBe("moq-lite-05");
      expect(session.url.pathname).toBe("/some/path");
      expect(session.url.searchParams.get("jwt")).toBe("abc");
    }
  });

  test("4 MB come back unchanged on a two-way stream, opened by either end", async () => {
    const { client, served } = await pair();
    for (const [near, far] of [
      [client, served],
      [served, client],
    ] as const) {
      const sent = pattern(4 << 20);
      const echoing = (async () => {
        const stream = await far.acceptBidirectional();
        for (let data = await stream!.receive.read(); data; data = await stream!.receive.read()) {
          await stream!.send.write(data);
        }
        await stream!.send.finish();
      })();
      const stream = await near.openBidirectional();
      const receiving = readAll(stream.receive);
      for (let at = 0; at < sent.length; at += 50_000) await stream.send.write(sent.subarray(at, at + 50_000));
      await stream.send.finish();
      expect(Buffer.compare(await receiving, sent)).toBe(0);
      await echoing;
    }
  });

  test("a one-way stream keeps the order of writes that no caller awaits", async () => {
    const { client, served } = await pair();
    const stream = await client.openUnidirectional({ priority: 5 });
    for (let i = 0; i < 100; i++) void stream.write(Uint8Array.of(i));
    stream.setPriority(-5);
    await stream.finish();
    const received = await readAll((await served.acceptUnidirectional())!);
    expect([...received]).toEqual(Array.from({ length: 100 }, (_, i) => i));
    await expect(stream.write(Uint8Array.of(1))).resolves.toBeUndefined();
  });

  test("reset and stop reach the other end with their codes", async () => {
    const { client, served } = await pair();
    const reset = await client.openUnidirectional();
    await reset.write(Uint8Array.of(1));
    const receiving = (await served.acceptUnidirectional())!;
    expect(await receiving.read()).toEqual(Uint8Array.of(1));
    reset.reset(9);
    await expect(receiving.read()).rejects.toMatchObject({
      code: "STREAM_RESET",
      streamCode: 9,
    });

    const stopped = await client.openUnidirectional();
    await stopped.write(Uint8Array.of(1));
    const stopping = (await served.acceptUnidirectional())!;
    await stopping.read();
    stopping.stop(7);
    expect(await stopping.read()).toBeUndefined();
    await expect(writeUntilRejected(stopped.write.bind(stopped))).rejects.toMatchObject({
      code: "STREAM_STOPPED",
      streamCode: 7,
    });
    expect(await stopped.stopped).toBe(7);

    // A read that waits ends at once when its own side stops the stream.
    const waiting = await client.openUnidirectional();
    await waiting.write(Uint8Array.of(1));
    const silent = (await served.acceptUnidirectional())!;
    await silent.read();
    const pending = silent.read();
    silent.stop(3);
    expect(await pending).toBeUndefined();

    // And the session goes on.
    const other = await client.openUnidirectional();
    await other.write(Uint8Array.of(4));
    expect(await (await served.acceptUnidirectional())!.read()).toEqual(Uint8Array.of(4));
  });

  test("a stream stays open when its opener keeps no reference to it", async () => {
    const { client, served } = await pair();
    await (async () => {
      const { send } = await client.openBidirectional();
      await send.write(Uint8Array.of(1));
      await (await client.openUnidirectional()).write(Uint8Array.of(2));
    })();
    const twoWay = (await served.acceptBidirectional())!;
    const oneWay = (await served.acceptUnidirectional())!;
    expect(await twoWay.receive.read()).toEqual(Uint8Array.of(1));
    expect(await oneWay.read()).toEqual(Uint8Array.of(2));
    const ends: string[] = [];
    const note = (stream: string) => () => ends.push(stream);
    void twoWay.receive.read().then(note("two-way"), note("two-way"));
    void oneWay.read().then(note("one-way"), note("one-way"));
    void twoWay.send.stopped.then(() => ends.push("stopped"));
    for (let i = 0; i < 10; i++) {
      collectGarbage();
      await twoWay.send.write(Uint8Array.of(3));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(ends).toEqual([]);
  });

  test("streams that the reader stopped make room for others, even while the writer still holds them", async () => {
    const { client, served } = await pair();
    const held = [];
    for (let i = 0; i < 250; i++) {
      const stream = await client.openUnidirectional();
      held.push(stream);
      await stream.write(Uint8Array.of(i));
      const receiving = (await served.acceptUnidirectional())!;
      expect(await receiving.read()).toEqual(Uint8Array.of(i));
      receiving.stop(1);
      // The stop is noticed by a write, arrives before the end, or after it.
      if (i % 3 === 0) await writeUntilRejected(stream.write.bind(stream)).catch(() => {});
      else if (i % 3 === 1) await new Promise((resolve) => setTimeout(resolve, 10));
      await stream.finish();
    }
    expect(held).toHaveLength(250);
  });

  test("a datagram arrives complete, and one that is too large is refused and harms no other", async () => {
    const { client, served } = await pair();
    const received: [length: number, first: number][] = [];
    const receiving = (async () => {
      for (let data = await served.datagrams!.receive(); data; data = await served.datagrams!.receive()) {
        received.push([data.length, data[0]!]);
      }
    })();
    expect(client.datagrams!.maxSize).toBeGreaterThanOrEqual(1200);
    expect(client.datagrams!.send(new Uint8Array(client.datagrams!.maxSize + 1))).toBe(false);
    for (let i = 0; i < 50; i++) {
      expect(client.datagrams!.send(new Uint8Array(1000).fill(i))).toBe(true);
      // Over TCP a burst may be shed.
      await new Promise((resolve) => setImmediate(resolve));
    }
    await expect.poll(() => received.length).toBe(50);
    expect(received).toEqual(Array.from({ length: 50 }, (_, i) => [1000, i]));
    client.close();
    await receiving;
    expect(client.datagrams!.send(new Uint8Array(1))).toBe(false);
  });

  test("code and reason of a close reach the other end, and everything that waits there ends", async () => {
    for (const closer of ["client", "served"] as const) {
      const { client, served } = await pair();
      const [near, far] = closer === "client" ? [client, served] : [served, client];
      const pending = [far.acceptUnidirectional(), far.acceptBidirectional(), far.datagrams?.receive()];
      near.close({ closeCode: 42, reason: "enough" });
      near.close({ closeCode: 43, reason: "again" });
      expect(await near.closed).toEqual({ closeCode: 42, reason: "enough" });
      expect(await far.closed).toEqual({ closeCode: 42, reason: "enough" });
      expect(await Promise.all(pending)).toEqual([undefined, undefined, undefined]);
      expect(await near.acceptUnidirectional()).toBeUndefined();
      await expect(far.openUnidirectional()).rejects.toMatchObject({ code: "SESSION_CLOSED" });
      await expect(near.openBidirectional()).rejects.toMatchObject({ code: "SESSION_CLOSED" });
    }
  });

  test(`${PARALLEL} sessions open at once and each carries a stream`, async () => {
    const { server, dial } = await start();
    const serving = (async () => {
      for (let i = 0; i < PARALLEL; i++) {
        const request = await server.accept();
        void request!.accept().then(async (session) => {
          const stream = await session.acceptBidirectional();
          if (!stream) return;
          await stream.send.write((await stream.receive.read()) ?? new Uint8Array());
          await stream.send.finish();
        });
      }
    })();
    const answers = await Promise.all(
      Array.from({ length: PARALLEL }, async (_, i) => {
        const session = await dial(`/${i}`);
        const stream = await session.openBidirectional();
        await stream.send.write(Uint8Array.of(i));
        const answer = await readAll(stream.receive);
        session.close();
        return answer[0];
      }),
    );
    expect(answers).toEqual(Array.from({ length: PARALLEL }, (_, i) => i));
    await serving;
  });

  test("an unread stream blocks neither end: the writer waits, other streams continue, and everything arrives in the end", async () => {
    const { client, served } = await pair();
    const slow = await client.openUnidirectional();
    const total = 16 << 20;
    let written = 0;
    const writing = (async () => {
      const chunk = new Uint8Array(1 << 16).fill(7);
      while (written < total) {
        await slow.write(chunk);
        written += chunk.length;
      }
      await slow.finish();
    })();
    const reader = (await served.acceptUnidirectional())!;
    // Stalled: no progress over many turns of the loop, short of the end.
    let before = -1;
    await expect
      .poll(
        () => {
          const stalled = written === before;
          before = written;
          return stalled;
        },
        { interval: 200, timeout: 10_000 },
      )
      .toBe(true);
    expect(written < total).toBe(backpressure);

    const other = await client.openUnidirectional({ priority: 1 });
    await other.write(Uint8Array.of(1));
    expect(await (await served.acceptUnidirectional())!.read()).toEqual(Uint8Array.of(1));

    let received = 0;
    for (let data = await reader.read(); data; data = await reader.read()) received += data.length;
    expect(received).toBe(total);
    await writing;
  });

  test("a server closes with an accept pending, refuses waiting clients, and frees its port", async () => {
    const { server, dial } = await start({ freesPort: true });
    const pending = server.accept();
    const dialled = dial("/a");
    const first = await (await pending)!.accept();
    const client = await dialled;
    const unanswered = dial("/b").then(
      () => "accepted",
      () => "refused",
    );
    await expect.poll(() => server.accept().then((request) => request?.url.pathname)).toBe("/b");
    const waiting = server.accept();
    await Promise.all([server.close(), server.close()]);
    expect(await waiting).toBeUndefined();
    expect(await server.accept()).toBeUndefined();
    await first.closed;
    await client.closed;
    expect(backend === "quic" ? await unanswered : "refused").toBe("refused");
    if (backend === "qmux") return;
    const again = await listen({ backend, host: "127.0.0.1", port: server.address.port, certificate });
    await again.close();
  });

  test("a refused request fails at the client and cannot be accepted any more", async () => {
    const { server, dial } = await start();
    const connecting = dial("/secret");
    connecting.catch(() => undefined);
    const request = await server.accept();
    await request!.reject({ status: 403, code: "UNAUTHORIZED", message: "Not this path." });
    expect(await refused(connecting)).toMatchObject({
      code: "UNAUTHORIZED",
      message: "Not this path.",
      retryable: false,
    });
    await expect(request!.accept()).rejects.toMatchObject({ code: "REQUEST_TAKEN" });
  });
});

function pattern(length: number): Uint8Array {
  return new Uint8Array(length).map((_, i) => (i * 31 + (i >> 8)) & 0xff);
}

async function readAll(stream: ReceiveStream): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for (let data = await stream.read(); data; data = await stream.read()) chunks.push(data);
  return Buffer.concat(chunks);
}

async function writeUntilRejected(write: (data: Uint8Array) => Promise<void>): Promise<never> {
  for (;;) {
    await write(Uint8Array.of(1));
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
