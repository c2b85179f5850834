import { describe, expect, test } from "vitest";
import { fromMilliseconds } from "../../base/index.js";
import { PathWatch, TICK_MS } from "./path-watch.js";

/** Runs a watch for a while; `heard` and `answers` say when data arrives. Returns when each decision first came. */
function run(
  watch: PathWatch,
  {
    from,
    to,
    heard,
    answerMs,
  }: { from: number; to: number; heard: (ms: number) => boolean; answerMs?: number | undefined },
): { asked: number[]; silentAt: number | undefined } {
  const asked: number[] = [];
  let silentAt: number | undefined;
  let answerAt: number | undefined;
  for (let ms = from; ms <= to; ms += 10) {
    const now = fromMilliseconds(ms);
    if (heard(ms)) watch.heard(now);
    if (answerAt !== undefined && ms >= answerAt) {
      watch.answered(now);
      answerAt = undefined;
    }
    if (ms % TICK_MS !== 0) continue;
    const state = watch.tick(now);
    if (state === "silent") silentAt ??= ms;
    if (state !== "ask") continue;
    asked.push(ms);
    if (answerMs !== undefined) answerAt = ms + answerMs;
  }
  return { asked, silentAt };
}

describe("PathWatch", () => {
  test("a stream of audio that stops is missed at once, and the path is silent within a second and a half", () => {
    const watch = new PathWatch(fromMilliseconds(0));
    const alive = run(watch, { from: 10, to: 20_000, heard: (ms) => ms % 20 === 0 });
    expect(alive).toEqual({ asked: [], silentAt: undefined });
    const { asked, silentAt } = run(watch, { from: 20_010, to: 30_000, heard: () => false });
    expect(asked[0]).toBeLessThanOrEqual(20_500);
    expect(silentAt).toBeLessThanOrEqual(21_500);
  });

  test("a path with traffic once a second is never asked, and silent within two and a half seconds", () => {
    const watch = new PathWatch(fromMilliseconds(0));
    const settled = run(watch, { from: 10, to: 3900, heard: (ms) => ms % 1000 === 0, answerMs: 40 });
    expect(settled.silentAt).toBeUndefined();
    expect(run(watch, { from: 3910, to: 60_000, heard: (ms) => ms % 1000 === 0 })).toEqual({
      asked: [],
      silentAt: undefined,
    });
    expect(run(watch, { from: 60_010, to: 70_000, heard: () => false }).silentAt).toBeLessThanOrEqual(62_500);
  });

  test.each([0, 50, 300, 700])("a quiet path whose peer answers after %i ms is never silent", (answerMs) => {
    const watch = new PathWatch(fromMilliseconds(0));
    const { asked, silentAt } = run(watch, { from: 10, to: 60_000, heard: () => false, answerMs });
    expect(silentAt).toBeUndefined();
    // Nor asked more often than once a second, once it is known to be quiet.
    expect(asked.length).toBeLessThanOrEqual(62);
  });

  test("a process that stalled for ten seconds gives the path time to show that it is alive", () => {
    for (const answerMs of [50, undefined]) {
      const watch = new PathWatch(fromMilliseconds(0));
      run(watch, { from: 10, to: 5000, heard: (ms) => ms % 20 === 0 });
      const { asked, silentAt } = run(watch, { from: 15_000, to: 20_000, heard: () => false, answerMs });
      expect(asked[0]).toBeGreaterThanOrEqual(15_400);
      expect(silentAt === undefined).toBe(answerMs !== undefined);
      expect(silentAt ?? 20_000).toBeGreaterThanOrEqual(16_200);
    }
  });

  test("a silent path that comes back is alive with the first arrival", () => {
    const watch = new PathWatch(fromMilliseconds(0));
    expect(run(watch, { from: 10, to: 5000, heard: () => false }).silentAt).toBeDefined();
    watch.heard(fromMilliseconds(5010));
    expect(watch.tick(fromMilliseconds(5100))).toBe("alive");
    expect(run(watch, { from: 5110, to: 8000, heard: (ms) => ms % 20 === 0 }).silentAt).toBeUndefined();
  });
});
