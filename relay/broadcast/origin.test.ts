import fc from "fast-check";
import { expect, test } from "vitest";
import { broadcast, counters, source } from "../../tests/support/broadcasts.js";
import type { Broadcast } from "./broadcast.js";
import { Origin } from "./origin.js";

function open(maxBroadcasts = 100): { origin: Origin; changes: () => number } {
  const origin = new Origin({ maxBroadcasts, counters });
  let changes = 0;
  origin.listen(() => changes++);
  return { origin, changes: () => changes };
}

test("watchers get the newest publisher of a name, and the one before it again when it leaves", () => {
  const { origin, changes } = open();
  const [first, second] = [broadcast(source("a")), broadcast(source("b"))];
  origin.publish(first);
  const track = first.track("audio", "x");
  origin.publish(second);
  expect(origin.get("demo.hang")).toBe(second);
  expect(origin.displaced).toBe(1);
  // Its watchers have to move to the other one, and none joins while it waits.
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

test("a displaced publisher that leaves changes nothing for the current one", () => {
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

test("a silent publisher gives way to the one before it, and takes its place again afterwards", () => {
  const { origin, changes } = open();
  const [one, two, three] = [source("a"), source("b"), source("c")];
  const [first, second, third] = [broadcast(one), broadcast(two), broadcast(three)];
  for (const each of [first, second, third]) origin.publish(each);
  origin.sweep();
  expect(origin.get("demo.hang")).toBe(third);
  const before = { changes: changes(), silent: counters.publishersSilent };
  three.silent = true;
  origin.sweep();
  expect(origin.get("demo.hang")).toBe(second);
  expect(origin.displaced).toBe(2);
  two.silent = true;
  origin.sweep();
  expect(origin.get("demo.hang")).toBe(first);
  three.silent = false;
  origin.sweep();
  expect(origin.get("demo.hang")).toBe(third);
  expect(changes() - before.changes).toBe(3);
  expect(counters.publishersSilent - before.silent).toBe(2);
  // All are silent: the newest waits for its session's end like any other.
  for (const each of [one, two, three]) each.silent = true;
  origin.sweep();
  expect(origin.get("demo.hang")).toBe(third);
});

test("a displaced session that announces its name again becomes the newest, and leaves nothing behind", () => {
  const { origin } = open();
  const one = source("a");
  origin.publish(broadcast(one));
  const other = broadcast(source("b"));
  origin.publish(other);
  const again = broadcast(one);
  origin.publish(again);
  expect(origin.get("demo.hang")).toBe(again);
  origin.withdraw(again);
  expect(origin.get("demo.hang")).toBe(other);
  expect(origin.displaced).toBe(0);
});

test("a session that announces its own name again displaces no other", () => {
  const { origin } = open();
  const one = source("a");
  origin.publish(broadcast(one));
  const again = broadcast(one);
  origin.publish(again);
  expect(origin.displaced).toBe(0);
  origin.withdraw(again);
  expect(origin.size).toBe(0);
});

test("displaced publishers count against the relay's broadcasts, and the first of a name keeps its place", () => {
  const { origin } = open(3);
  for (const id of ["a", "b", "c"]) expect(origin.publish(broadcast(source(id)))).toBe(true);
  expect(origin.publish(broadcast(source("d")))).toBe(false);

  const roomy = open().origin;
  const all = Array.from({ length: 12 }, (_, index) => broadcast(source(`${index}`)));
  for (const each of all) roomy.publish(each);
  expect(roomy.displaced).toBe(8);
  for (const each of all.slice(1).reverse()) roomy.withdraw(each);
  expect(roomy.get("demo.hang")).toBe(all[0]);
  expect(roomy.displaced).toBe(0);
});

test("a publisher that was current is heard again once a stranger leaves, however many had the name before it", () => {
  const { origin } = open();
  const strangers = Array.from({ length: 9 }, (_, index) => broadcast(source(`${index}`)));
  const owner = broadcast(source("owner"));
  for (const each of [...strangers, owner]) origin.publish(each);
  for (let visit = 0; visit < 3; visit++) {
    const late = broadcast(source(`late ${visit}`));
    origin.publish(late);
    origin.withdraw(late);
    expect(origin.get("demo.hang")).toBe(owner);
  }
  for (const each of strangers) origin.withdraw(each);
  expect(origin.get("demo.hang")).toBe(owner);
  expect(origin.displaced).toBe(0);
});

test("a publisher that is heard because all newer ones are silent keeps its place when one more comes", () => {
  const { origin } = open();
  const sources = Array.from({ length: 9 }, (_, index) => source(`${index}`));
  const [, heard] = sources.map((each) => {
    const published = broadcast(each);
    origin.publish(published);
    return published;
  });
  for (const each of sources.slice(2)) each.silent = true;
  origin.sweep();
  expect(origin.get("demo.hang")).toBe(heard);
  const late = broadcast(source("late"));
  origin.publish(late);
  origin.withdraw(late);
  expect(origin.get("demo.hang")).toBe(heard);
});

test("however publishers come, go and fall silent, the newest one with traffic is current", () => {
  const events = fc.array(
    fc.record({ who: fc.nat(5), path: fc.constantFrom("a", "b"), what: fc.constantFrom("come", "come", "silence") }),
    { maxLength: 60 },
  );
  fc.assert(
    fc.property(events, (steps) => {
      const { origin } = open();
      const sources = Array.from({ length: 6 }, (_, index) => source(`${index}`));
      const there: Broadcast[] = [];
      for (const { who, path, what } of steps) {
        const index = there.findIndex((each) => each.source === sources[who] && each.path === path);
        if (what === "silence") sources[who]!.silent = !sources[who]!.silent;
        else if (index >= 0) origin.withdraw(there.splice(index, 1)[0]!);
        else {
          const each = broadcast(sources[who]!, path);
          there.push(each);
          origin.publish(each);
        }
        origin.sweep();
        for (const name of ["a", "b"]) {
          const all = there.filter((each) => each.path === name);
          const newest = all.findLast((each) => each.source.alive()) ?? all.at(-1);
          expect(origin.get(name)).toBe(newest);
          // Only the current one accepts subscriptions.
          for (const each of all) expect(each.track("audio", "x") !== undefined).toBe(each === newest);
        }
        expect(origin.size + origin.displaced).toBe(there.length);
      }
    }),
    { seed: 11 },
  );
});
