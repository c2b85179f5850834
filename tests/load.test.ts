import { expect, test } from "vitest";
import { generateKey, loadRelay, signToken } from "../relay/index.js";
import { unsay } from "./support/command-line.js";
import { startRelay } from "./support/relay.js";

const SMALL = { watchers: 4, seconds: 1, perSecond: 50, payloadBytes: 160, signal: new AbortController().signal };

test("a load run counts the objects of each watcher, over datagrams and streams, and leaves no session behind", async () => {
  const { relay, url } = await startRelay();
  for (const [via, backend] of [
    ["datagram", "quic"],
    ["stream", "quic"],
    ["stream", "qmux"],
  ] as const) {
    const result = await loadRelay({ ...SMALL, url, via, connect: { backends: [backend] } });
    expect(result, via).toMatchObject({ joined: 4, failed: 0, lost: 0, published: 50 });
    // How many of them come in time is for the benches to say: a busy machine delivers less.
    expect(result.deliveredShare).toBeGreaterThan(0);
    expect(result.deliveredShare).toBeLessThanOrEqual(1);
    expect(result.joinMs).toHaveLength(4);
    expect(result.latencyMs.length).toBeGreaterThan(0);
    expect(Math.min(...result.latencyMs)).toBeGreaterThan(0);
    await expect.poll(() => relay.stats()).toMatchObject({ sessions: 0, broadcasts: 0, watchers: 0 });
  }
});

test("a load run counts the watchers that could not join, and fails without the right to publish", async () => {
  const { url } = await startRelay({ limits: { sessions: 3 } });
  const options = { ...SMALL, via: "datagram", connect: { backends: ["quic"] } } as const;
  expect(await loadRelay({ ...options, url })).toMatchObject({ joined: 2, failed: 2 });

  const key = await generateKey("HS256");
  const closed = await startRelay({ auth: { public: { get: ["/"] } } });
  await expect(loadRelay({ ...options, url: closed.url })).rejects.toMatchObject({ code: "NOT_GRANTED" });
  const foreign = `${closed.url}?jwt=${await signToken(key, { put: "", get: "" })}`;
  await expect(loadRelay({ ...options, url: foreign })).rejects.toMatchObject({ code: "UNAUTHORIZED" });
});

test("unsay bench relay prints the outcome for people or as JSON", async () => {
  const { url } = await startRelay();
  const few = ["bench", "relay", "--url", url, "--watchers", "2", "--seconds", "1"];
  const plain = await unsay(few);
  expect(plain).toMatchObject({ exitCode: 0 });
  expect(plain.out).toMatch(/watchers {3}2 joined, 0 failed, 0 lost\ndelivered {2}[\d.]+ % of 50 objects to each\n/);
  const json = await unsay([...few, "--json", "--delivery", "stream"]);
  expect(JSON.parse(json.out)).toMatchObject({
    joined: 2,
    failed: 0,
    published: 50,
    latencyMs: { p99: expect.any(Number) },
  });
});
