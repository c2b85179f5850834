import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import { connect } from "./browser.js";

test("a page's attempt ends at its limit where a server takes connections and never answers", async () => {
  const sockets = new Set<Socket>();
  const silent = createServer((socket) => void sockets.add(socket.on("error", () => {}).resume())).listen(
    0,
    "127.0.0.1",
  );
  await once(silent, "listening");
  const { port } = silent.address() as AddressInfo;
  vi.stubGlobal("WebSocket", WebSocket);
  vi.stubGlobal("WebTransport", class {});
  try {
    const attempt = connect(`http://127.0.0.1:${port}`, { timeoutMs: 300, headStartMs: 0 });
    await expect(attempt).rejects.toThrow(`Cannot connect to 127.0.0.1:${port}: `);
    await expect(attempt).rejects.toThrow("did not answer in 300 ms.");
    // Both carriers had connected, and nothing of either stays open.
    expect(sockets.size).toBe(2);
    await expect.poll(() => [...sockets].every((socket) => socket.destroyed)).toBe(true);
  } finally {
    vi.unstubAllGlobals();
    for (const socket of sockets) socket.destroy();
    silent.close();
  }
});

test("a page that was busy while WebTransport connected opens no WebSocket beside it", async () => {
  let webSockets = 0;
  vi.stubGlobal(
    "WebSocket",
    class {
      constructor() {
        webSockets++;
      }
    },
  );
  vi.stubGlobal(
    "WebTransport",
    class {
      ready = new Promise((resolve) => setTimeout(resolve, 40));
      closed = new Promise(() => {});
      datagrams = { readable: new ReadableStream(), writable: new WritableStream(), maxDatagramSize: 1200 };
      createBidirectionalStream = () => new Promise(() => {});
      close(): void {}
    },
  );
  try {
    const connecting = connect("https://127.0.0.1:1", { headStartMs: 30 });
    const busyUntil = performance.now() + 100;
    while (performance.now() < busyUntil);
    expect((await connecting).backend).toBe("webtransport");
    expect(webSockets).toBe(0);
  } finally {
    vi.unstubAllGlobals();
  }
});

test("a page that pins a certificate and names an http URL, which ignores that, is refused before anything is dialled", async () => {
  let dialled = 0;
  const carrier = class {
    constructor() {
      dialled++;
    }
  };
  for (const name of ["WebSocket", "WebTransport"]) vi.stubGlobal(name, carrier);
  try {
    await expect(connect("http://a.example", { certificateHashes: [new Uint8Array(32)] })).rejects.toMatchObject({
      code: "INVALID_OPTION",
      message: "connect.certificateHashes must come with an https:// URL, but is given with http://a.example.",
    });
    expect(dialled).toBe(0);
  } finally {
    vi.unstubAllGlobals();
  }
});
