import { createSocket } from "node:dgram";
import { once } from "node:events";
import { afterEach, expect, test } from "vitest";
import { impair, type Link, LinkModel } from "./impairment.js";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function fates(link: Link, seed: number, packets: number, everyMs = 20, bytes = 172) {
  const model = new LinkModel(link, seed);
  return Array.from({ length: packets }, (_, i) => model.offer(i * everyMs, bytes));
}

test("a seed fixes the fate of every packet, and losses match the requested rate and bursts", () => {
  const link: Link = { loss: 0.02, delayMs: 50, jitterMs: 10 };
  expect(fates(link, 1, 1000)).toEqual(fates(link, 1, 1000));
  expect(fates(link, 1, 1000)).not.toEqual(fates(link, 2, 1000));

  const single = fates({ loss: 0.02 }, 7, 100_000).filter((fate) => fate === "lost").length;
  expect(single / 100_000).toBeGreaterThan(0.018);
  expect(single / 100_000).toBeLessThan(0.022);

  // Bad for 1 / leave = 10 packets on average, one packet in 0.01 / (0.01 + 0.1) = 9.1 % bad.
  const bunched = fates({ burst: { enter: 0.01, leave: 0.1, loss: 1 } }, 7, 100_000).map((fate) => fate === "lost");
  const lost = bunched.filter(Boolean).length;
  const runs = bunched.filter((isLost, i) => isLost && !bunched[i - 1]).length;
  expect(lost / 100_000).toBeGreaterThan(0.08);
  expect(lost / 100_000).toBeLessThan(0.1);
  expect(lost / runs).toBeGreaterThan(9);
  expect(lost / runs).toBeLessThan(11);
});

test("jitter keeps the order by default, and the bottleneck has a queue that ends", () => {
  const ordered = fates({ delayMs: 30, jitterMs: 100 }, 3, 1000) as number[];
  expect(ordered.every((at, i) => i === 0 || at >= ordered[i - 1]!)).toBe(true);
  expect(ordered.every((at, i) => at >= i * 20 + 30)).toBe(true);
  const shuffled = fates({ delayMs: 30, jitterMs: 100, reorder: true }, 3, 1000) as number[];
  expect(shuffled.some((at, i) => i > 0 && at < shuffled[i - 1]!)).toBe(true);
  expect(shuffled.every((at, i) => at >= i * 20 + 30 && at < i * 20 + 130)).toBe(true);

  // 200 bytes with headers, at 16 kbit/s: 100 ms each. Five fit into 1000 bytes of queue.
  expect(fates({ rateBps: 16_000, queueBytes: 1000 }, 1, 7, 0)).toEqual([
    100,
    200,
    300,
    400,
    500,
    "dropped",
    "dropped",
  ]);
  expect(fates({ rateBps: 16_000, queueBytes: Number.POSITIVE_INFINITY }, 1, 500, 0)).not.toContain("dropped");
  expect(fates({ blackhole: true }, 1, 5)).toEqual(Array(5).fill("lost"));
});

test("packets pass both ways between several clients and the target, links change live and counts add up", async () => {
  const echo = createSocket("udp4");
  echo.on("message", (packet, from) => echo.send(packet, from.port, from.address));
  echo.bind(0, "127.0.0.1");
  await once(echo, "listening");
  cleanups.push(() => echo.close());
  const proxy = await impair({
    target: { host: "127.0.0.1", port: echo.address().port },
    down: { delayMs: 5 },
    seed: 1,
  });
  cleanups.push(() => proxy.close());

  const clients = [1, 2, 3].map((id) => {
    const socket = createSocket("udp4");
    const received: number[] = [];
    socket.on("message", (packet) => received.push(packet[0]!));
    cleanups.push(() => socket.close());
    return { id, received, send: () => socket.send(Uint8Array.of(id, 0), proxy.port, "127.0.0.1") };
  });
  for (const client of clients) for (let i = 0; i < 10; i++) client.send();
  await expect.poll(() => clients.map(({ received }) => received.length)).toEqual([10, 10, 10]);
  for (const { id, received } of clients) expect(new Set(received)).toEqual(new Set([id]));

  proxy.setUp({ blackhole: true });
  clients[0]!.send();
  await expect.poll(() => proxy.stats().up.packetsLost).toBe(1);
  proxy.setUp({ delayMs: 60_000 });
  clients[0]!.send();
  await expect.poll(() => proxy.stats().up.bytesQueued).toBe(2);
  const { up, down } = proxy.stats();
  expect(up).toMatchObject({ packetsIn: 32, bytesIn: 64, packetsOut: 30, packetsLost: 1, packetsDropped: 0 });
  expect(down).toMatchObject({ packetsIn: 30, bytesIn: 60, packetsOut: 30, bytesOut: 60, bytesQueued: 0 });
});
