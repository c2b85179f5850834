import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { type ControlRequest, pageHandler } from "./index.js";
import { writeSite } from "./static-site.js";

const asked: ControlRequest[] = [];
const recording = { text: "One two.", words: [], levels: [0, 0.1], levelMs: 20 };
const handler = pageHandler({
  recording,
  control(request) {
    asked.push(request);
    return { heardUntil: 1_230_000 };
  },
  stats: () => ({ listeners: 2 }),
});
const server = createServer((request, response) => {
  if (!handler(request, response)) response.writeHead(404).end("elsewhere");
});
let origin = "";
let token = "";

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const page = await (await fetch(origin)).text();
  token = /<meta name="unsay-control" content="([0-9a-f]{32})"/.exec(page)![1]!;
});
afterAll(() => {
  server.close();
});

function post(body: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${origin}/control`, {
    method: "POST",
    body,
    headers: { "Content-Type": "application/json", "X-Unsay-Control": token, ...headers },
  });
}

test("the page, its script, its worklet and its style are served, and every other path is left to the server", async () => {
  for (const [path, type] of [
    ["/", "text/html"],
    ["/?broadcast=demo", "text/html"],
    ["/page.js", "text/javascript"],
    ["/picture.js", "text/javascript"],
    ["/worklet.js", "text/javascript"],
    ["/unsay-element.js", "text/javascript"],
    ["/style.css", "text/css"],
  ] as const) {
    const response = await fetch(origin + path);
    expect([path, response.status]).toEqual([path, 200]);
    expect(response.headers.get("content-type")).toContain(type);
    // The element is a file for pages of other sites: it needs nothing itself.
    const policy = path === "/unsay-element.js" ? "default-src 'none'" : "script-src 'self'";
    expect(response.headers.get("content-security-policy")).toContain(policy);
    expect((await response.text()).length).toBeGreaterThan(500);
  }
  expect(await (await fetch(`${origin}/certificate.sha256`)).text()).toBe("elsewhere");
  expect(await (await fetch(`${origin}/stats`)).json()).toEqual({ listeners: 2 });
  expect(await (await fetch(`${origin}/recording`)).json()).toEqual(recording);
  expect((await fetch(`${origin}/`, { method: "HEAD" })).headers.get("content-length")).toMatch(/^\d+$/);
});

test("a well-formed control request reaches the publisher and its answer comes back", async () => {
  asked.length = 0;
  const set = { op: "set", denoise: { strength: 0.4, bypass: false } } as const;
  expect((await post(JSON.stringify(set), { Origin: origin })).status).toBe(200);
  const reply = await post('{"op":"interrupt"}', { "Sec-Fetch-Site": "same-origin" });
  expect(await reply.json()).toEqual({ heardUntil: 1_230_000 });
  await post('{"op":"resume"}');
  expect(asked).toEqual([set, { op: "interrupt" }, { op: "resume" }]);
});

test("a bad control request gets one sentence with a code and never reaches the publisher", async () => {
  asked.length = 0;
  const cases: [string, Record<string, string>, number, string][] = [
    ["not json", {}, 400, "BAD_JSON"],
    ["", {}, 400, "BAD_JSON"],
    ["null", {}, 400, "INVALID_OPTION"],
    ['{"op":"dance"}', {}, 400, "INVALID_OPTION"],
    ['{"op":"set"}', {}, 400, "INVALID_OPTION"],
    ['{"op":"cut","ms":1e9}', {}, 400, "INVALID_OPTION"],
    ['{"op":"link","delayMs":0,"jitterMs":0,"loss":2,"rateKbps":0}', {}, 400, "INVALID_OPTION"],
    ['{"op":"set","denoise":{}}', {}, 400, "INVALID_OPTION"],
    ['{"op":"set","denoise":{"strength":1.5}}', {}, 400, "INVALID_OPTION"],
    ['{"op":"set","denoise":{"attenuationLimitDb":101}}', {}, 400, "INVALID_OPTION"],
    ['{"op":"set","denoise":{"strength":1e999}}', {}, 400, "INVALID_OPTION"],
    ['{"op":"interrupt","extra":1}', {}, 400, "INVALID_OPTION"],
    ['{"op":"interrupt"}', { Origin: "http://evil.example" }, 403, "WRONG_ORIGIN"],
    ['{"op":"interrupt"}', { Origin: "null" }, 403, "WRONG_ORIGIN"],
    ['{"op":"interrupt"}', { "Sec-Fetch-Site": "cross-site" }, 403, "WRONG_ORIGIN"],
    ['{"op":"interrupt"}', { "X-Unsay-Control": "" }, 403, "WRONG_TOKEN"],
    ['{"op":"interrupt"}', { "X-Unsay-Control": "0".repeat(32) }, 403, "WRONG_TOKEN"],
    ['{"op":"interrupt"}', { "X-Unsay-Control": `${token}0` }, 403, "WRONG_TOKEN"],
    ['{"op":"interrupt"}', { "Content-Type": "text/plain" }, 415, "WRONG_TYPE"],
    [`{"op":"interrupt","pad":"${"x".repeat(20_000)}"}`, {}, 413, "BODY_TOO_LARGE"],
  ];
  for (const [body, headers, status, code] of cases) {
    const response = await post(body, headers);
    const answer = (await response.json()) as { code: string; message: string };
    expect([body.slice(0, 60), response.status, answer.code]).toEqual([body.slice(0, 60), status, code]);
    expect(answer.message).toMatch(/^[A-Z][^\n]*\.$/);
  }
  expect((await fetch(`${origin}/control`)).status).toBe(405);
  expect((await fetch(`${origin}/stats`, { method: "DELETE" })).status).toBe(405);
  expect(asked).toEqual([]);
});

test("a body without end is cut off and the server goes on", async () => {
  const { port } = server.address() as AddressInfo;
  const socket = connect(port, "127.0.0.1");
  const answered = new Promise<string>((resolve) => {
    let text = "";
    socket.on("data", (piece) => {
      text += piece.toString();
    });
    socket.on("close", () => resolve(text));
    socket.on("error", () => resolve(text));
  });
  socket.write(
    `POST /control HTTP/1.1\r\nHost: h\r\nX-Unsay-Control: ${token}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n`,
  );
  for (let index = 0; index < 40; index++) socket.write(`400\r\n${"x".repeat(1024)}\r\n`);
  expect(await answered).toContain("413");
  expect((await fetch(`${origin}/stats`)).status).toBe(200);
});

test("a site replaces a page of its own, and never another's", async () => {
  const folder = await mkdtemp(join(tmpdir(), "unsay-site-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const page = await readFile(join(import.meta.dirname, "listen.html"));
  const names = ["listen.js", "listen.css", "unsay-element.js", "worklet.js"];
  const assets = new Map([["/listen.html", page], ...names.map((name) => [`/${name}`, Buffer.from(name)] as const)]);
  const write = (url: string, broadcast = "demo") => writeSite(folder, assets, { url: new URL(url), broadcast });
  const written = () => readFile(join(folder, "index.html"), "utf8");
  const policy = async () => /connect-src ([^;]*);/.exec(await written())![1];

  await write("https://relay.example:4443", `"$&'<RELAY_URL>`);
  expect(await policy()).toBe("https://relay.example:4443 wss://relay.example:4443");
  expect(await written()).toContain(`broadcast="&quot;$&amp;'&lt;RELAY_URL&gt;"`);
  // No policy can name an IPv6 address.
  await write("http://[::1]:4443");
  expect(await policy()).toBe("https: wss: http: ws:");
  expect(await readFile(join(folder, "worklet.js"), "utf8")).toBe("worklet.js");

  for (const other of ["<!doctype html><p>Mine</p>", "x".repeat(2 ** 20 + 1)]) {
    await writeFile(join(folder, "index.html"), other);
    await expect(write("https://relay.example")).rejects.toMatchObject({ code: "FILE_EXISTS" });
    expect(await written()).toBe(other);
  }
});
