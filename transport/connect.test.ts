import { createSocket } from "node:dgram";
import { createServer, type Server } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { type AddressInfo, createServer as createTcpServer, type Socket, type Server as TcpServer } from "node:net";
import { afterEach, expect, test, vi } from "vitest";
import { type Backend, certificateHash, connect, createCertificate, listen, type SessionServer } from "./index.js";

const certificate = await createCertificate(["relay.test"]);
const hash = certificateHash(certificate.cert);
const certificateHashes = [Buffer.from(hash, "hex")];

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function startHttp(server: Server = createServer()): Promise<number> {
  server.on("request", (request, response) => {
    if (request.url === "/certificate.sha256") response.end(`${hash}\n`);
    else response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanups.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** A TCP port without a listener. */
async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Accepts every request. */
function serve(server: SessionServer): void {
  cleanups.push(() => server.close());
  void (async () => {
    for (let request = await server.accept(); request; request = await server.accept()) {
      void request.accept().catch(() => undefined);
    }
  })();
}

test("http:// pins the fingerprint that the server serves and prefers QUIC on the same port number", async () => {
  const httpServer = createServer();
  const port = await startHttp(httpServer);
  serve(await listen({ backend: "qmux", host: "127.0.0.1", port: 0, httpServer }));
  serve(await listen({ backend: "quic", host: "127.0.0.1", port, certificate }));
  const session = await connect(`http://127.0.0.1:${port}/a`, { headStartMs: 10_000 });
  expect(session.backend).toBe("quic");
  expect(session.url.href).toBe(`https://127.0.0.1:${port}/a?moq=moq-lite-05`);
  session.close();
});

test("where UDP is swallowed without an answer, the session comes over WebSocket while QUIC still waits", async () => {
  const httpServer = createServer();
  const port = await startHttp(httpServer);
  serve(await listen({ backend: "qmux", host: "127.0.0.1", port: 0, httpServer }));
  let swallowed = 0;
  const hole = createSocket("udp4");
  hole.on("message", () => swallowed++);
  await new Promise<void>((resolve) => hole.bind(port, "127.0.0.1", resolve));
  cleanups.push(() => hole.close());

  const session = await connect(`http://127.0.0.1:${port}/`);
  expect(session.backend).toBe("qmux");
  expect(session.protocol).toBe("moq-lite-05");
  // QUIC was tried first: the hole swallowed its packets before the fallback was chosen.
  expect(swallowed).toBeGreaterThan(0);
  session.close();

  // With QUIC alone the wait ends, with a reason.
  await expect(connect(`http://127.0.0.1:${port}/`, { backends: ["quic"], timeoutMs: 300 })).rejects.toMatchObject({
    code: "CONNECT_TIMEOUT",
  });
});

test("https:// over WebSocket sends nothing to a server whose certificate is not pinned", async () => {
  const httpServer = createSecureServer({ cert: certificate.cert, key: certificate.key });
  let asked = 0;
  httpServer.on("upgrade", () => asked++);
  const port = await startHttp(httpServer);
  serve(await listen({ backend: "qmux", host: "127.0.0.1", port: 0, httpServer }));
  const url = `https://127.0.0.1:${port}/`;
  const session = await connect(url, { backends: ["qmux"], certificateHashes });
  expect(session.backend).toBe("qmux");
  session.close();
  expect(asked).toBe(1);
  for (const options of [{}, { certificateHashes: [new Uint8Array(32)] }]) {
    await expect(connect(url, { backends: ["qmux"], ...options })).rejects.toMatchObject({
      code: "CERTIFICATE_UNTRUSTED",
    });
  }
  expect(asked).toBe(1);
});

test("connect reports each impossible attempt in one sentence with a code", async () => {
  await expect(connect("not a url")).rejects.toMatchObject({ code: "INVALID_URL" });
  await expect(connect("ftp://localhost/")).rejects.toMatchObject({ code: "INVALID_URL" });
  await expect(connect("https://localhost/", { backends: [] })).rejects.toMatchObject({ code: "INVALID_OPTION" });

  const port = await startHttp();
  const server = await listen({ backend: "quic", host: "127.0.0.1", port, certificate });
  serve(server);
  for (const options of [{}, { certificateHashes: [new Uint8Array(32)] }]) {
    await expect(connect(`https://127.0.0.1:${port}/`, { backends: ["quic"], ...options })).rejects.toMatchObject({
      code: "CERTIFICATE_UNTRUSTED",
      message: expect.stringContaining(`127.0.0.1:${port}`),
      retryable: false,
    });
  }
  await expect(listen({ backend: "quic", host: "127.0.0.1", port, certificate })).rejects.toMatchObject({
    code: "PORT_IN_USE",
  });
  await expect(listen({ backend: "quic", host: "127.0.0.1", port: 0 })).rejects.toMatchObject({
    code: "INVALID_OPTION",
  });

  // No listener at all. A dead UDP port never answers; a refused TCP port is answer enough.
  const dead = await closedPort();
  await expect(connect(`http://127.0.0.1:${dead}/`)).rejects.toMatchObject({
    code: "CONNECT_FAILED",
    message: `Cannot connect to 127.0.0.1:${dead}: cannot fetch http://127.0.0.1:${dead}/certificate.sha256: nothing listens on that port; over WebSocket, nothing listens on that port.`,
    retryable: true,
  });
  await expect(connect(`https://127.0.0.1:${dead}/`, { timeoutMs: 60_000 })).rejects.toMatchObject({
    code: "CONNECT_TIMEOUT",
    message: expect.stringMatching(/: over QUIC, no answer in \d+ ms; over WebSocket, nothing listens on that port\.$/),
    retryable: true,
  });
  // Both carriers find the certificate untrusted: one sentence, which no retry can mend.
  const secure = createSecureServer({ cert: certificate.cert, key: certificate.key });
  const securePort = await startHttp(secure);
  serve(await listen({ backend: "quic", host: "127.0.0.1", port: securePort, certificate }));
  await expect(connect(`https://127.0.0.1:${securePort}/`)).rejects.toMatchObject({
    code: "CERTIFICATE_UNTRUSTED",
    message: expect.stringMatching(
      /^Cannot connect to \S+: over QUIC, the server's certificate is not trusted \(.+\); over WebSocket, the server's certificate is not trusted \(.+\)\.$/,
    ),
    retryable: false,
  });
  // A hash that the server serves but does not prove: it may have been renewed in between, so another attempt may fit.
  const renewedPort = await startHttp();
  const other = await createCertificate(["relay.test"]);
  serve(await listen({ backend: "quic", host: "127.0.0.1", port: renewedPort, certificate: other }));
  await expect(connect(`http://127.0.0.1:${renewedPort}/`)).rejects.toMatchObject({
    code: "CONNECT_FAILED",
    retryable: true,
  });
  const abort = new AbortController();
  const connecting = connect(`https://127.0.0.1:${port}/`, { signal: abort.signal });
  abort.abort();
  await expect(connecting).rejects.toMatchObject({ code: "ABORTED" });
});

test("a server that is no relay is named as what it is, whatever the libraries say about it", async () => {
  const start = async (server: Server | TcpServer): Promise<number> => {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => server.close());
    return (server.address() as AddressInfo).port;
  };
  const talker = (greet: (socket: Socket) => void) =>
    createTcpServer((socket) => greet(socket.on("error", () => socket.destroy())));
  const site = await start(createServer((_, response) => response.writeHead(404).end()));
  const flood = await start(createServer((_, response) => response.end("x".repeat(10_000))));
  const mail = await start(talker((socket) => socket.end("220 mail.example ESMTP\r\n\r\n")));
  const gone = await start(talker((socket) => socket.destroy()));
  const silent = await start(talker((socket) => void cleanups.push(() => socket.destroy())));
  const noTls = /: the server does not speak TLS at that port\.$/;
  const wrong: [url: string, backends: Backend[] | undefined, code: string, message: RegExp][] = [
    [`http://127.0.0.1:${site}`, undefined, "FINGERPRINT_FAILED", /: cannot fetch \S+: the server answered with HTTP/],
    [`http://127.0.0.1:${flood}`, ["quic"], "CONNECT_FAILED", /: the server's answer is too long\.$/],
    [`http://127.0.0.1:${mail}`, ["quic"], "CONNECT_FAILED", /: the server does not speak HTTP at that port\.$/],
    [`http://127.0.0.1:${mail}`, ["qmux"], "CONNECT_FAILED", /: the server does not speak HTTP at that port\.$/],
    [`http://127.0.0.1:${gone}`, ["quic"], "CONNECT_FAILED", /: the server ended the connection\.$/],
    [`http://127.0.0.1:${silent}`, ["quic"], "CONNECT_TIMEOUT", /: no answer in 500 ms\.$/],
    // A port of another protocol in the list of the Fetch standard.
    ["http://127.0.0.1:6000", ["quic"], "CONNECT_FAILED", /: nothing listens on that port\.$/],
    [`https://127.0.0.1:${site}`, ["qmux"], "CONNECT_FAILED", noTls],
    [`https://127.0.0.1:${mail}`, ["http2"], "CONNECT_FAILED", noTls],
    [`https://127.0.0.1:${gone}`, ["qmux"], "CONNECT_FAILED", /: the server ended the connection\.$/],
  ];
  for (const [url, backends, code, message] of wrong) {
    const timeoutMs = code === "CONNECT_TIMEOUT" ? 500 : 60_000;
    await expect(connect(url, { timeoutMs, ...(backends && { backends }) }), url).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
  }
});

test("a client over HTTP/2 waits for an answer as long as it was asked to", async () => {
  const silent = createTcpServer();
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  cleanups.push(() => silent.close());
  silent.on("connection", (socket) => cleanups.push(() => socket.destroy()));
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  cleanups.push(() => vi.useRealTimers());
  const { port } = silent.address() as AddressInfo;
  const ends: string[] = [];
  const connecting = connect(`https://127.0.0.1:${port}`, {
    backends: ["http2"],
    certificateHashes,
    timeoutMs: 30_000,
  }).catch(({ code }: { code: string }) => ends.push(code));
  // The limit of the library and ours.
  while (vi.getTimerCount() < 2) await new Promise((resolve) => setImmediate(resolve));
  await vi.advanceTimersByTimeAsync(29_000);
  expect(ends).toEqual([]);
  await vi.advanceTimersByTimeAsync(1000);
  await connecting;
  expect(ends).toEqual(["CONNECT_TIMEOUT"]);
});
