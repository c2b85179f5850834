import fc from "fast-check";
import { expect, test } from "vitest";
import { monotonicClock } from "../base/index.js";
import { Broadcast, type BroadcastSource } from "./broadcast.js";
import { ByteBudget } from "./byte-budget.js";
import { CacheBudget } from "./cache.js";
import { Counters } from "./counters.js";
import { limitsSchema } from "./options.js";
import { Origin } from "./origin.js";

const counters = new Counters();
const environment = {
  clock: monotonicClock,
  counters,
  budget: new CacheBudget(1000),
  partial: new ByteBudget(1000),
  limits: limitsSchema.parse({}),
  classifier: undefined,
  estimateStaleness: true,
};

function source(id: string): BroadcastSource {
  return {
    id,
    track: () => ({ timed: true, info: () => new Promise(() => {}), subscribe: () => () => {} }),
    sendAggregate: () => true,
  };
}

function broadcast(from: BroadcastSource, path = "demo.hang"): Broadcast {
  return new Broadcast({ path, sourcePath: path, source: from, hops: [], environment });
}

function open(maxBroadcasts = 100): { origin: Origin; changes: () => number } {
  const origin = new Origin({ maxBroadcasts, counters });
  let changes = 0;
  origin.listen(() => changes++);
  return { origin, changes: () => changes };
}

test("the newest publisher of a name is heard, and the one before it again when it leaves", () => {
  const { origin, changes } = open();
  const [first, second] = [broadcast(source("a")), broadcast(source("b"))];
  origin.publish(first);
  const track = first.track("audio", "x");
  origin.publish(second);
  expect(origin.get("demo.hang")).toBe(second);
  expect(origin.displaced).toBe(1);
  // Its watchers have to go to the other one, and none comes while it waits.
  expect(first.tracks.size).toBe(0);
  expect(first.track("audio", "x")).toBeUndefined();
  origin.withdraw(second);
  expect(origin.get("demo.hang")).toBe(first);
  expect(origin.displaced).toBe(0);
  expect(first.track("audio", "x")).not.toBe(track);
  expect(first.track("audio", "x")).toBeDefined();
  expect(changes()).toBe(3);
  origin.withdraw(first);
  expect(origin.size).toBe(0);
});

test("a displaced publisher that leaves changes nothing for the one that is heard", () => {
  const { origin, changes } = open();
  const [first, second] = [broadcast(source("a")), broadcast(source("b"))];
  origin.publish(first);
  origin.publish(second);
  const before = changes();
  origin.withdraw(first);
  expect(changes()).toBe(before);
  origin.withdraw(second);
  expect(origin.get("demo.hang")).toBeUndefined();
});

test("a session that announces its own name again displaces nobody", () => {
  const { origin } = open();
  const one = source("a");
  origin.publish(broadcast(one));
  const again = broadcast(one);
  origin.publish(again);
  expect(origin.displaced).toBe(0);
  origin.withdraw(again);
  expect(origin.size).toBe(0);
});

test("displaced publishers count against the relay's broadcasts, and a name keeps eight of them", () => {
  const { origin } = open(3);
  for (const id of ["a", "b", "c"]) expect(origin.publish(broadcast(source(id)))).toBe(true);
  expect(origin.publish(broadcast(source("d")))).toBe(false);

  const roomy = open().origin;
  const all = Array.from({ length: 12 }, (_, index) => broadcast(source(`${index}`)));
  for (const each of all) roomy.publish(each);
  expect(roomy.displaced).toBe(8);
  for (const each of all.slice(3).reverse()) roomy.withdraw(each);
  expect(roomy.size).toBe(0);
  expect(roomy.displaced).toBe(0);
});

test("however publishers come and go, the newest that is there is heard", () => {
  const events = fc.array(fc.record({ who: fc.nat(5), path: fc.constantFrom("a", "b") }), { maxLength: 60 });
  fc.assert(
    fc.property(events, (steps) => {
      const { origin } = open();
      const sources = Array.from({ length: 6 }, (_, index) => source(`${index}`));
      const there: Broadcast[] = [];
      for (const { who, path } of steps) {
        const index = there.findIndex((each) => each.source === sources[who] && each.path === path);
        if (index >= 0) origin.withdraw(there.splice(index, 1)[0]!);
        else {
          const each = broadcast(sources[who]!, path);
          there.push(each);
          origin.publish(each);
        }
        for (const name of ["a", "b"]) expect(origin.get(name)).toBe(there.findLast((each) => each.path === name));
        expect(origin.size + origin.displaced).toBe(there.length);
      }
    }),
    { seed: 11 },
  );
});
