import { request } from "node:http";
import { expect, onTestFinished, test } from "vitest";
import { WebSocket } from "ws";
import { Relay } from "../relay/index.js";
import { Demo } from "../src/demo/demo.js";
import { createLogger } from "../src/log.js";
import { startRelay } from "./support/relay.js";

/** What a WebSocket to the relay meets: "open", or the HTTP status of its refusal. */
function dial(port: number, headers: Record<string, string>, path = "/"): Promise<string | number | undefined> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, ["qmux-02.moq-lite-05"], { headers });
    socket.once("unexpected-response", (_, response) => resolve(response.statusCode));
    socket.once("error", reject);
    socket.once("open", () => {
      resolve("open");
      socket.terminate();
    });
  });
}

interface Answer {
  readonly status: number | undefined;
  readonly body: string;
  readonly allowed: string | undefined;
}

function get(port: number, path: string, headers: Record<string, string>, body?: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request({ port, path, headers, method: body === undefined ? "GET" : "POST" }, async (response) => {
      const pieces: Buffer[] = [];
      for await (const piece of response) pieces.push(piece);
      const allowed = response.headers["access-control-allow-origin"];
      resolve({ status: response.statusCode, body: Buffer.concat(pieces).toString(), allowed });
    });
    asked.once("error", reject);
    asked.end(body);
  });
}

test("a web page of another site gets neither a session nor an answer of a relay on loopback, whatever name it uses", async () => {
  const { relay, port } = await startRelay({ opsPort: 0 });
  const evil = "http://evil.example";
  expect(await dial(port, {})).toBe("open");
  expect(await dial(port, { Origin: "http://localhost:5173" })).toBe("open");
  expect(await dial(port, { Origin: evil })).toBe(403);
  expect(await dial(port, { Origin: "null" })).toBe(403);
  expect(await dial(port, { Origin: `http://evil.example:${port}`, Host: `evil.example:${port}` })).toBe(403);
  // A path with two slashes is a path, and no other host.
  expect(await dial(port, { Host: `evil.example:${port}` }, "//127.0.0.1/")).toBe(403);
  expect(await dial(port, {}, "//live/")).toBe("open");
  const refused = relay.stats().counters.sessionsRefused;
  expect(refused).toMatchObject({ site: 4, unauthorized: 0 });

  expect(await get(port, "/certificate.sha256", {})).toMatchObject({ status: 200, body: relay.fingerprint });
  const near = await get(port, "/certificate.sha256", { Origin: "http://localhost:5173" });
  expect(near).toMatchObject({ status: 200, allowed: "http://localhost:5173" });
  const far = await get(port, "/certificate.sha256", { Origin: evil });
  expect(far).toMatchObject({ status: 403, allowed: undefined });
  expect(far.body).not.toContain(relay.fingerprint);
  for (const path of ["/metrics", "/broadcasts", "/health", "/ready"]) {
    const ops = relay.opsPort!;
    expect((await get(ops, path, {})).status).toBe(200);
    expect((await get(ops, path, { Origin: evil })).status).toBe(403);
    expect((await get(ops, path, { Host: "evil.example" })).body).toMatch(/^WRONG_HOST: .*--allow-host evil\.example/);
  }
});

test("a relay accepts the pages and names of its settings", async () => {
  const { relay, port } = await startRelay({
    opsPort: 0,
    allowedHosts: ["relay.example"],
    allowedOrigins: ["https://app.example"],
  });
  expect(await dial(port, { Origin: "https://app.example" })).toBe("open");
  expect(await dial(port, { Host: "relay.example", Origin: "https://app.example" })).toBe("open");
  expect(await dial(port, { Origin: "https://other.example" })).toBe(403);
  expect((await get(relay.opsPort!, "/health", { Host: "relay.example" })).status).toBe(200);
  for (const allowedOrigins of [["app.example"], ["https://app.example/"], [""], ["https://a.example", " "]])
    expect(() => new Relay({ allowedOrigins })).toThrow(/^Relay\.allowedOrigins\.\d must be an origin/);
});

test("only the demo's own page can use its controls", async () => {
  const demo = await Demo.start({ port: 0, keepSeconds: 1, control: false, logger: createLogger("silent", () => {}) });
  onTestFinished(() => demo.close());
  const port = Number(new URL(demo.pageUrl).port);
  const origin = `http://localhost:${port}`;
  const json = { "Content-Type": "application/json" };
  const turn = JSON.stringify({ op: "set", denoise: { strength: 0.25 } });
  const knobs = async () => JSON.parse((await get(port, "/stats", {})).body).denoise.strength;
  for (const headers of [
    { ...json },
    { ...json, Origin: origin, Host: `localhost:${port}` },
    { ...json, Origin: "http://evil.example" },
    { ...json, Origin: "http://evil.example", Host: "evil.example" },
  ])
    expect((await get(port, "/control", headers, turn)).status).toBe(403);
  expect((await get(port, "/stats", { Host: "evil.example" })).status).toBe(403);
  expect((await get(port, "/", { Host: "evil.example" })).status).toBe(403);
  expect(await knobs()).toBe(1);
  const [, token] = /content="([0-9a-f]{32})"/.exec((await get(port, "/", {})).body) ?? [];
  const own = { ...json, Origin: origin, Host: `localhost:${port}`, "X-Unsay-Control": token! };
  expect((await get(port, "/control", own, turn)).status).toBe(200);
  expect(await knobs()).toBe(0.25);
});
