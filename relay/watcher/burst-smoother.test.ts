import { expect, test } from "vitest";
import { BurstSmoother } from "./burst-smoother.js";

test("a burst goes at once, the rest in order over a few turns, and an idle smoother holds no timer", () => {
  const turns: (() => void)[] = [];
  const sent: number[] = [];
  const counters = { datagramsRefused: 0, datagramsDropped: 0 };
  const smoother = new BurstSmoother({ counters, burst: 4, maxWaiting: 30, schedule: (turn) => turns.push(turn) });
  const path = { send: (body: Uint8Array) => sent.push(body[0]!) > 0 && body[0] !== 13 };
  const send = (value: number) => smoother.send(new Uint8Array([value]), path);
  for (let value = 0; value < 20; value++) send(value);
  expect([sent.length, smoother.waiting, turns.length]).toEqual([4, 16, 1]);
  turns.shift()!();
  send(20);
  expect(sent.length).toBe(8);
  while (turns.length > 0) turns.shift()!();
  expect(sent).toEqual(Array.from({ length: 21 }, (_, index) => index));
  send(21);
  expect(sent.at(-1)).toBe(21);
  for (let value = 0; value < 40; value++) send(value);
  expect(smoother.waiting).toBe(30);
  // The path refuses every 13.
  expect(counters).toEqual({ datagramsRefused: sent.filter((value) => value === 13).length, datagramsDropped: 7 });
});
