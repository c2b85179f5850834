import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import QmuxSession from "@moq/qmux";
import { expect, onTestFinished, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { connect as connectSession, listen, type SessionServer } from "../index.js";
import { balanceReading, ReadBalance } from "./read-balance.js";

test("a peer may send little more than it takes, and any amount while nothing waits for it", () => {
  const balance = new ReadBalance();
  balance.received(10_000_000, 32 * 1024, 0);
  expect(balance.mayRead(32 * 1024, 0)).toBe(true);

  balance.received(0, 0, 500);
  balance.received(64 * 1024, 100_000, 500);
  expect(balance.mayRead(100_000, 500)).toBe(true);
  balance.received(1000, 100_000, 500);
  expect(balance.mayRead(100_000, 500)).toBe(false);
  expect(balance.mayRead(100_000, 1500)).toBe(true);
  balance.received(1, 100_000, 1500);
  expect(balance.mayRead(100_000, 1500)).toBe(false);
  expect(balance.mayRead(0, 1500)).toBe(true);
});

test("a listener on a slow link that reports as it reads is never paused", () => {
  const balance = new ReadBalance();
  for (let tick = 0; tick < 36_000; tick++) {
    balance.received(120, 80_000, tick * 1200);
    expect(balance.mayRead(80_000, tick * 1200)).toBe(true);
  }
});

/** Upgrades to a WebSocket by hand; resolves with the socket and the head of the answer. */
async function upgrade(port: number, protocol?: string): Promise<[Socket, string]> {
  const socket = connect(port, "127.0.0.1");
  onTestFinished(() => void socket.destroy());
  socket.on("error", () => {});
  const offer = protocol === undefined ? "" : `Sec-WebSocket-Protocol: ${protocol}\r\n`;
  const key = randomBytes(16).toString("base64");
  socket.write(
    `GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n${offer}\r\n`,
  );
  const [head] = await once(socket, "data");
  return [socket, String(head)];
}

/** A frame of a client, with a mask of zeros. */
function frame(opcode: number, payload: Uint8Array): Buffer {
  const size = Buffer.alloc(2);
  size.writeUInt16BE(payload.length);
  return Buffer.concat([Buffer.of(0x80 | opcode, 0x80 | 126), size, Buffer.alloc(4), payload]);
}

test("a socket whose peer sends without reading is paused, and goes on once the peer reads", async () => {
  const http = createServer();
  const sockets = new WebSocketServer({ noServer: true });
  let served: WebSocket | undefined;
  http.on("upgrade", (request, socket, head) =>
    sockets.handleUpgrade(request, socket, head, (webSocket) => {
      served = webSocket;
      balanceReading(webSocket, socket);
      webSocket.on("message", () => webSocket.send(new Uint8Array(1 << 20)));
    }),
  );
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  onTestFinished(() => void http.close());
  const [socket] = await upgrade((http.address() as AddressInfo).port);
  socket.pause();
  const asking = setInterval(() => socket.write(frame(2, new Uint8Array(8192))), 1);
  onTestFinished(() => clearInterval(asking));
  await expect.poll(() => served?.isPaused).toBe(true);
  clearInterval(asking);
  socket.resume();
  await expect.poll(() => served?.isPaused).toBe(false);
});

async function listening(): Promise<[SessionServer, number]> {
  const httpServer = createServer();
  httpServer.listen(0, "127.0.0.1");
  await once(httpServer, "listening");
  const server = await listen({ backend: "qmux", host: "127.0.0.1", port: 0, httpServer });
  onTestFinished(async () => {
    await server.close();
    httpServer.closeAllConnections();
    httpServer.close();
  });
  return [server, (httpServer.address() as AddressInfo).port];
}

test("a client without a draft of QMux that has flow control is refused", async () => {
  const [server, port] = await listening();
  for (const protocol of [undefined, "webtransport", "chat", "qmux-03.moq-lite-05"]) {
    const [, head] = await upgrade(port, protocol);
    expect(head, protocol).toMatch(/^HTTP\/1\.1 400 /);
  }
  const request = server.accept();
  void upgrade(port, "webtransport, qmux-02.moq-lite-05");
  expect((await request)?.backend).toBe("qmux");
});

test("a message in hundreds of frames, each of which takes memory until it is whole, ends its connection", async () => {
  const [server, port] = await listening();
  server.accept().then(
    (request) => request?.accept().catch(() => {}),
    () => {},
  );
  const client = new WebSocket(`ws://127.0.0.1:${port}/`, "qmux-02.moq-lite-05");
  await once(client, "open");
  for (let count = 0; count < 400; count++) client.send(new Uint8Array(1), { binary: true, fin: false });
  const [code] = await once(client, "close");
  // It breaks the relay's rules.
  expect(code).toBe(1008);
});

test("a client reaches a relay that knows only the form before QMux, and leaves the version to SETUP", async () => {
  const http = createServer();
  const known = "webtransport";
  const sockets = new WebSocketServer({ server: http, handleProtocols: (names) => names.has(known) && known });
  const offers: unknown[] = [];
  sockets.on("connection", async (socket, request) => {
    offers.push(request.headers["sec-websocket-protocol"]);
    const relay = QmuxSession.accept(socket as unknown as Parameters<typeof QmuxSession.accept>[0], {});
    const streams: ReadableStream<ReadableStream<Uint8Array>> = relay.incomingUnidirectionalStreams;
    const { value: stream } = await streams.getReader().read();
    const { value: question } = await stream!.getReader().read();
    const answer = (await relay.createUnidirectionalStream()).getWriter();
    await answer.write(question!);
  });
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  onTestFinished(() => {
    http.closeAllConnections();
    http.close();
  });
  const session = await connectSession(`http://127.0.0.1:${(http.address() as AddressInfo).port}/`, {
    backends: ["qmux"],
  });
  onTestFinished(() => session.close());
  expect(session.protocol).toBe("");
  expect(String(offers[0])).toMatch(/^qmux-02\.moq-lite-05,.*,\s?webtransport$/);
  await (await session.openUnidirectional()).write(Uint8Array.of(7));
  expect(await (await session.acceptUnidirectional())?.read()).toEqual(Uint8Array.of(7));
});

test("a client that does not close its end of a session that has ended is cut off", async () => {
  const [server, port] = await listening();
  const opening = upgrade(port, "qmux-00.moq-lite-05");
  const session = await (await server.accept())?.accept();
  const [socket] = await opening;
  session?.close();
  await once(socket, "close");
  expect(socket.destroyed).toBe(true);
});
