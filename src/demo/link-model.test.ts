import { expect, test } from "vitest";
import { CLEAN_LINK, LinkModel } from "./link-model.js";

test("a link delays each packet within its jitter and keeps their order", () => {
  const draws = [0.5, 1, 0.5, 0, 0.5, 0.5];
  const link = new LinkModel(() => draws.shift()!);
  link.set({ ...CLEAN_LINK, delayMs: 100, jitterMs: 40 });
  expect(link.offer(0, 100)).toBe(140);
  expect(link.offer(1, 100)).toBe(140);
  expect(link.offer(50, 100)).toBe(170);
});

test("a link loses the set share of packets, and all of them while it is cut", () => {
  let draw = 0;
  const link = new LinkModel(() => (draw++ % 20) / 20);
  link.set({ ...CLEAN_LINK, loss: 0.3 });
  const arrived = Array.from({ length: 100 }, (_, at) => link.offer(at, 100)).filter((at) => at !== undefined);
  expect(arrived.length).toBe(70);
  link.set(CLEAN_LINK);
  link.cut(2000);
  expect(link.offer(1999, 100)).toBeUndefined();
  expect(link.offer(2000, 100)).toBe(2000);
});

test("a narrow link sends at its rate, queues like a router and drops the rest", () => {
  const link = new LinkModel(() => 0.5);
  link.set({ ...CLEAN_LINK, rateKbps: 80 });
  const times = Array.from({ length: 100 }, () => link.offer(0, 972));
  const arrived = times.filter((at) => at !== undefined);
  expect(arrived).toEqual(Array.from({ length: 64 }, (_, index) => (index + 1) * 100));
});
