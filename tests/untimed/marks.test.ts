import fc from "fast-check";
import { expect, test } from "vitest";
import { MarkPlay, type MarkStep, markHistories } from "../support/mark-history.js";

test("under every order of media, marks, clears and listeners that fall silent each mark comes back once, and not early", async () => {
  await fc.assert(
    fc.asyncProperty(markHistories, fc.constantFrom("first", "all"), async (steps, marks) => {
      const play = new MarkPlay(marks);
      await play.run(steps);
      expect(play.faults).toEqual([]);
    }),
    { numRuns: Number(process.env.HISTORIES ?? 25), seed: 14 },
  );
});

test("a mark comes back with the first of two listeners that heard the audio before it, or with the second", async () => {
  const steps = Array.from({ length: 20 }, (): MarkStep[] => [{ do: "media", ms: 100 }, { do: "mark" }]).flat();
  const timesOf = async (marks: "first" | "all") => {
    const play = new MarkPlay(marks, { secondLagMs: 300, aheadMs: 2000 });
    await play.run(steps);
    expect(play.faults).toEqual([]);
    return play.answered.map(({ at }) => at);
  };
  const first = await timesOf("first");
  const all = await timesOf("all");
  // The second listener is not known before its first report.
  const later = all.slice(5).map((at, index) => at - first[index + 5]!);
  expect(later).toHaveLength(15);
  for (const ms of later) expect(ms).toBe(300);
});

test("a mark comes back with the first of two listeners also where the other has not heard what came before a pause", async () => {
  const timesOf = async (marks: "first" | "all") => {
    const play = new MarkPlay(marks, { secondLagMs: 900, aheadMs: 2000 });
    const said: MarkStep[] = [{ do: "media", ms: 600 }, { do: "mark" }];
    // Then both are known to listen, and the second one hears an utterance while the first hears the next.
    await play.run([...said, { do: "wait", ms: 3000 }, ...said, { do: "wait", ms: 700 }, ...said]);
    expect(play.faults).toEqual([]);
    return play.answered.map(({ at }) => at);
  };
  const first = await timesOf("first");
  const all = await timesOf("all");
  expect(first).toHaveLength(3);
  for (const number of [1, 2]) expect(all[number]! - first[number]!).toBeGreaterThan(800);
});

test("audio that was cleared before a listener reported it does not count as time without a report", async () => {
  const play = new MarkPlay("all");
  await play.run([
    { do: "report", on: false },
    { do: "media", ms: 3000 },
    { do: "wait", ms: 1500 },
    { do: "clear" },
    { do: "wait", ms: 3000 },
    { do: "media", ms: 3000 },
    { do: "wait", ms: 1200 },
  ]);
  expect(play.isByClock).toBe(false);
});

test.each([
  ["a little faster than it speaks", 160, 150],
  ["in messages of a frame at its own pace", 20, 20],
])("a bot that sends %s is heard without a hole", async (_, ms, everyMs) => {
  const steps = Array.from({ length: 20 }, (): MarkStep[] => [
    { do: "media", ms },
    { do: "wait", ms: everyMs },
  ]).flat();
  const play = new MarkPlay("all");
  await play.run([...steps, { do: "mark" }]);
  expect(play.faults).toEqual([]);
  expect(play.answered[0]!.audibleMs).toBeGreaterThan(20 * ms - 20);
  expect(play.holesMs).toEqual([]);
});

test.each([250, 900, 1200, 2000, 5013])(
  "a bot that sends messages of %i ms at its own pace is heard without a hole",
  async (ms) => {
    const steps = Array.from({ length: 5 }, (): MarkStep[] => [
      { do: "media", ms },
      { do: "wait", ms },
    ]).flat();
    const play = new MarkPlay("all");
    await play.run([...steps, { do: "mark" }]);
    expect(play.faults).toEqual([]);
    expect(play.answered[0]!.audibleMs).toBeGreaterThan(5 * ms - 20);
    expect(play.holesMs).toEqual([]);
  },
);

test("a message that no other follows is heard to its last sample without a hole, however long it is", async () => {
  for (const ms of [513, 1207, 2013, 5013]) {
    const play = new MarkPlay("all");
    await play.run([{ do: "media", ms }, { do: "mark" }]);
    expect(play.faults).toEqual([]);
    expect(play.answered[0]!.audibleMs).toBeGreaterThan(ms - 20);
    expect(play.holesMs).toEqual([]);
  }
});
