import { setImmediate as nextTurn } from "node:timers/promises";
import fc from "fast-check";
import { expect, test } from "vitest";
import { fromMilliseconds, type Microseconds, microseconds, monotonicClock } from "../../base/index.js";
import { broadcast, counters, source } from "../../tests/support/broadcasts.js";
import type { SendStream } from "../../transport/index.js";
import { type AnnouncerOptions, announce } from "./announcer.js";
import type { Broadcast } from "./broadcast.js";
import { FollowedNames, type NameChange } from "./followed-names.js";
import { Origin } from "./origin.js";

const at = (path: string) => broadcast(source("publisher"), path);

/** A follower on a clock of its own, and the names that are there. */
function follow() {
  let now = microseconds(0);
  const there = new Map<string, Broadcast>();
  const names = new FollowedNames({ clock: () => now, current: (path) => there.get(path) });
  const take = (): NameChange[] => names.take(10_000);
  return {
    names,
    there,
    take,
    paths: () => take().map(({ path }) => path),
    pass(milliseconds: number) {
      now = (now + fromMilliseconds(milliseconds)) as Microseconds;
    },
    come(path: string) {
      there.set(path, at(path));
      names.changed(path);
    },
    go(path: string) {
      there.delete(path);
      names.changed(path);
    },
  };
}

test("a join and a takeover are announced at once beside names that come and go all the time", () => {
  const { names, come, go, paths, pass } = follow();
  come("flapping");
  come("agent");
  expect(paths()).toEqual(["flapping", "agent"]);
  pass(150);
  const announced: string[] = [];
  for (let turn = 0; turn < 100; turn++) {
    (turn % 2 === 0 ? go : come)("flapping");
    if (turn === 33) come("joined");
    if (turn === 66) come("agent");
    announced.push(...paths().map((path) => `${turn} ${path}`));
    pass(10);
  }
  expect(announced.filter((each) => !each.endsWith("flapping"))).toEqual(["33 joined", "66 agent"]);
  // It ends on being there.
  expect(announced.filter((each) => each.endsWith("flapping")).length).toBeLessThanOrEqual(10);
  pass(100);
  paths();
  expect(names.nextDue).toBeUndefined();
});

test("names that came and went unseen leave nothing behind at a follower that does not read", () => {
  const { names, come, go, take } = follow();
  come("agent");
  take();
  for (let index = 0; index < 1000; index++) {
    come(`stranger/${index}`);
    go(`stranger/${index}`);
  }
  expect(names.nextDue).toBeUndefined();
  expect(take()).toEqual([]);
});

test("whatever comes and goes, a follower ends up with what is there, and no name changes twice within 100 ms", () => {
  const step = fc.record({
    path: fc.constantFrom("a", "b", "c"),
    verb: fc.constantFrom("come", "go", "take", "take"),
    pass: fc.integer({ min: 0, max: 60 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const follower = follow();
      const known = new Map<string, object>();
      const changedAt = new Map<string, number>();
      let now = 0;
      const look = (): void => {
        for (const { path, ended, started } of follower.take()) {
          expect(now - (changedAt.get(path) ?? Number.NEGATIVE_INFINITY)).toBeGreaterThanOrEqual(100);
          changedAt.set(path, now);
          expect(ended).toBe(known.has(path));
          expect(started?.opening).not.toBe(known.get(path));
          if (started === undefined) known.delete(path);
          else known.set(path, started.opening);
        }
      };
      for (const { path, verb, pass } of steps) {
        if (verb === "take") look();
        else follower[verb](path);
        follower.pass(pass);
        now += pass;
      }
      for (let due = follower.names.nextDue; due !== undefined; due = follower.names.nextDue) {
        const wait = Math.max(0, due / 1000 - now);
        follower.pass(wait);
        now += wait;
        look();
      }
      expect(known).toEqual(new Map([...follower.there].map(([path, { opening }]) => [path, opening])));
    }),
    { seed: 12, numRuns: 500 },
  );
});

/** Announces all names of an origin to a follower; returns the end, once it has left. */
function announceAll(options: Pick<AnnouncerOptions, "origin" | "clock"> & { write: SendStream["write"] }) {
  const { origin, clock, write } = options;
  const left = Promise.withResolvers<void>();
  const send: SendStream = {
    write,
    finish: () => Promise.resolve(),
    reset() {},
    setPriority() {},
    stopped: new Promise(() => {}),
  };
  const shared = { version: 5, prefix: "", get: [""], hopId: 1n, publishes: () => false, hidden: () => false } as const;
  const ended = announce({ ...shared, clock, origin, send, left: left.promise });
  return () => {
    left.resolve();
    return ended;
  };
}

test("a follower that reads nothing has at most 16 KB of names waiting at its stream, however many there are", async () => {
  const origin = new Origin({ maxBroadcasts: 10_000, counters });
  for (let index = 0; index < 2000; index++) origin.publish(at(`${"long/".repeat(20)}${index}`));
  const written: number[] = [];
  let read = (): void => {};
  const leave = announceAll({
    clock: monotonicClock,
    origin,
    write: (data) => {
      written.push(data.length);
      return new Promise((resolve) => {
        read = resolve;
      });
    },
  });
  expect(written).toHaveLength(1);
  read();
  await expect.poll(() => written.length).toBe(2);
  expect(Math.max(...written)).toBeLessThan(17_000);
  const ended = leave();
  read();
  await ended;
});

test("a name that comes and goes all the time wakes its followers no more often than it is due", async () => {
  const origin = new Origin({ maxBroadcasts: 10, counters });
  let looks = 0;
  let writes = 0;
  const leave = announceAll({
    clock: () => {
      looks++;
      return microseconds(0);
    },
    origin,
    async write() {
      writes++;
    },
  });
  const flapping = at("flapping");
  origin.publish(flapping);
  await expect.poll(() => writes).toBe(2);
  const before = looks;
  for (let turn = 0; turn < 500; turn++) {
    if (turn % 2 === 0) origin.withdraw(flapping);
    else origin.publish(flapping);
    await nextTurn();
  }
  expect(looks - before).toBeLessThan(100);
  origin.publish(at("joined"));
  await expect.poll(() => writes).toBe(3);
  await leave();
});
