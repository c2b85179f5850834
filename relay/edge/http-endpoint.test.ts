import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { afterEach, expect, test } from "vitest";
import { createCertificate } from "../../transport/index.js";
import { closeHttp, listenHttp, portOf } from "./http-endpoint.js";
import type { ConnectionLimits } from "./waiting-sockets.js";

/** More than the buffers of a connection take. */
const LARGE = Buffer.alloc(32 << 20);
const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function open(limits: Partial<ConnectionLimits>) {
  const counters = { limit: 0, address: 0, timeout: 0, pipelined: 0 };
  const door = await listenHttp({
    host: "127.0.0.1",
    port: 0,
    certificate: await createCertificate(["127.0.0.1"]),
    handler: (request, response) => response.end(request.url === "/large" ? LARGE : "here"),
    limits: { connections: 100, connectionsPerAddress: 100, handshakeMs: 200, ...limits },
    counters,
  });
  cleanups.push(() => closeHttp(door.server));
  door.server.on("upgrade", (_, socket) => socket.write("HTTP/1.1 101 \r\n\r\n"));
  const dial = (first: string | Uint8Array): Socket => {
    const socket = connect(portOf(door.server), "127.0.0.1");
    // Before anything that a test writes, however long connecting takes.
    socket.write(first);
    socket.on("error", () => {});
    cleanups.push(() => socket.destroy());
    return socket;
  };
  return { door, counters, dial };
}

// An error on the way, such as a write to a closed socket, does not matter.
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once("close", () => resolve()));
}

test("a connection without a request ends in time, however little of TLS or of a request it sends", async () => {
  const { door, counters, dial } = await open({});
  const clientHello = Uint8Array.of(22, 3, 1, 2, 0, 1);
  const sockets = [dial(""), dial(clientHello), dial("GET / HTTP/1.1\r\nHost: a\r\n")];
  const drip = setInterval(() => {
    for (const socket of sockets) socket.write("x");
  }, 20);
  cleanups.push(() => clearInterval(drip));
  await Promise.all(sockets.map(closed));
  await expect.poll(() => door.connections).toBe(0);
  expect(counters).toMatchObject({ limit: 0, address: 0 });
  expect(counters.timeout).toBeGreaterThan(1);
});

test("connections without a session have a bound in total and by address, and free their place", async () => {
  const { door, counters, dial } = await open({ connectionsPerAddress: 3, handshakeMs: 60_000 });
  const waiting = [dial("G"), dial("G"), dial("G")];
  await expect.poll(() => door.connections).toBe(3);
  await closed(dial("GET / HTTP/1.1\r\n\r\n"));
  expect(counters).toMatchObject({ limit: 0, address: 1, timeout: 0 });
  // A session is counted elsewhere, and one that ends makes room.
  waiting[0]!.write("ET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
  await once(waiting[0]!, "data");
  expect(door.connections).toBe(2);
  waiting[1]!.destroy();
  await expect.poll(() => door.connections).toBe(1);
  const [answer] = (await once(dial("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "data")) as [Buffer];
  expect(String(answer)).toContain("here");
  const small = await open({ connections: 1, handshakeMs: 60_000 });
  small.dial("G");
  await expect.poll(() => small.door.connections).toBe(1);
  await closed(small.dial("G"));
  expect(small.counters).toMatchObject({ limit: 1, address: 0, timeout: 0 });
});

test("a client that does not read its answer loses its connection, unlike one that does", async () => {
  const { door, counters, dial } = await open({ handshakeMs: 100 });
  const unread = dial("GET /large HTTP/1.1\r\nHost: a\r\n\r\n").pause();
  const slow = dial("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  expect(String((await once(slow, "data"))[0])).toContain("here");
  await expect.poll(() => door.connections).toBe(1);
  expect(counters).toMatchObject({ timeout: 1, pipelined: 0 });
  unread.destroy();
});

test("a client that sends many requests at once is answered eight and no more", async () => {
  const { counters, dial } = await open({ handshakeMs: 60_000 });
  const request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  let answers = "";
  const few = dial(request.repeat(8)).on("data", (bytes) => {
    answers += bytes;
  });
  await expect.poll(() => answers.split("here").length - 1).toBe(8);
  expect(counters).toMatchObject({ pipelined: 0 });
  expect(few.destroyed).toBe(false);
  await closed(dial(request.repeat(1000)).resume());
  expect(counters).toMatchObject({ pipelined: 1, timeout: 0 });
});
