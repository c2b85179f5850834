import fc from "fast-check";
import { expect, test } from "vitest";
import { BargeIn, type BargeInAction, type BargeInPolicy } from "./barge-in.js";

const interrupt: BargeInPolicy = { action: "interrupt", minDurationMs: 0, falseAlarmMs: 2000, asks: false };
const pause: BargeInPolicy = { ...interrupt, action: "pause" };

test("a caller's speech interrupts the current speeches, once, and no later ones", () => {
  const bargeIn = new BargeIn(interrupt);
  expect(bargeIn.speech(60)).toEqual([]);
  bargeIn.said(1);
  bargeIn.said(2);
  expect(bargeIn.speech(60)).toEqual([{ kind: "interrupt", ids: [1, 2] }]);
  bargeIn.said(3);
  bargeIn.ended(1);
  bargeIn.ended(2);
  expect(bargeIn.tick(1000, 900)).toEqual([]);
  expect(bargeIn.silence(2000)).toEqual([]);
  expect(bargeIn.speech(60)).toEqual([{ kind: "interrupt", ids: [3] }]);
});

test("speech shorter than the minimum has no effect, and spares speeches said meanwhile", () => {
  const bargeIn = new BargeIn({ ...interrupt, minDurationMs: 300 });
  bargeIn.said(1);
  expect(bargeIn.speech(60)).toEqual([]);
  expect(bargeIn.tick(100, 150)).toEqual([]);
  expect(bargeIn.silence(700)).toEqual([]);
  expect(bargeIn.tick(1000, 400)).toEqual([]);
  bargeIn.speech(60);
  bargeIn.said(2);
  expect(bargeIn.tick(1300, 300)).toEqual([{ kind: "interrupt", ids: [1] }]);
});

test("a paused agent continues after a false alarm, unless the caller speaks again or the agent answers", () => {
  const bargeIn = new BargeIn(pause);
  bargeIn.said(1);
  expect(bargeIn.speech(60)).toEqual([{ kind: "pause", ids: [1] }]);
  expect(bargeIn.silence(1000)).toEqual([]);
  expect(bargeIn.tick(2999, 0)).toEqual([]);
  expect(bargeIn.speech(60)).toEqual([]);
  expect(bargeIn.tick(3500, 0)).toEqual([]);
  bargeIn.silence(4000);
  expect(bargeIn.tick(6000, 0)).toEqual([{ kind: "resume", ids: [1] }]);
  expect(bargeIn.speech(60)).toEqual([{ kind: "pause", ids: [1] }]);
  expect(bargeIn.said(2)).toEqual([{ kind: "interrupt", ids: [1] }]);
  expect(bargeIn.silence(9000)).toEqual([]);
  expect(bargeIn.tick(20_000, 0)).toEqual([]);
});

test("an answer decides, but not one that the caller has spoken into", () => {
  const bargeIn = new BargeIn({ ...pause, asks: true });
  bargeIn.said(1);
  bargeIn.speech(60);
  expect(bargeIn.silence(0)).toEqual([{ kind: "ask", ids: [1] }]);
  bargeIn.speech(60);
  expect(bargeIn.answered(1, true)).toEqual([]);
  expect(bargeIn.silence(0)).toEqual([{ kind: "ask", ids: [1] }]);
  // One that was slow, while the second question is open.
  expect(bargeIn.answered(1, true)).toEqual([]);
  expect(bargeIn.answered(2, false)).toEqual([{ kind: "interrupt", ids: [1] }]);
  expect(bargeIn.answered(2, true)).toEqual([]);
});

test("a question without an answer in time is a false alarm, and a later answer does not count", () => {
  const bargeIn = new BargeIn({ ...pause, asks: true });
  bargeIn.said(1);
  bargeIn.speech(60);
  expect(bargeIn.silence(1000)).toEqual([{ kind: "ask", ids: [1] }]);
  expect(bargeIn.waits).toBe(true);
  expect(bargeIn.tick(2999, 0)).toEqual([]);
  expect(bargeIn.tick(3000, 0)).toEqual([{ kind: "resume", ids: [1] }]);
  expect(bargeIn.waits).toBe(false);
  expect(bargeIn.answered(1, false)).toEqual([]);
});

type Event = "say" | "end" | "speech" | "silence" | "tick" | "answer" | "decide";

test("under every order of events each speech is paused, resumed and interrupted in turn, and no later one is touched", () => {
  const events = fc.array(
    fc.record({
      event: fc.constantFrom<Event>("say", "end", "speech", "silence", "tick", "answer", "decide"),
      isFalse: fc.boolean(),
    }),
    { maxLength: 60 },
  );
  const policies = fc.record({
    action: fc.constantFrom<"interrupt" | "pause">("interrupt", "pause"),
    minDurationMs: fc.constantFrom(0, 300),
    falseAlarmMs: fc.constantFrom(0, 2000),
    asks: fc.boolean(),
  });
  fc.assert(
    fc.property(events, policies, (history, policy) => {
      const bargeIn = new BargeIn(policy);
      const states = new Map<number, "said" | "paused" | "over">();
      let now = 0;
      let next = 1;
      /** The newest speech when the caller last began while no speech was held or pending. */
      let newest = 0;
      const apply = (actions: readonly BargeInAction[]) => {
        for (const { kind, ids } of actions)
          for (const id of ids) {
            const before = states.get(id);
            expect(id).toBeLessThanOrEqual(newest);
            const isHeld = kind === "resume" || kind === "ask" || (kind === "interrupt" && policy.action === "pause");
            expect(before).toBe(isHeld ? "paused" : "said");
            if (kind !== "ask") states.set(id, kind === "pause" ? "paused" : kind === "resume" ? "said" : "over");
            if (kind === "interrupt") bargeIn.ended(id);
          }
      };
      for (const { event, isFalse } of history) {
        now += 500;
        if (event === "say") {
          states.set(next, "said");
          apply(bargeIn.said(next++));
        } else if (event === "end") {
          const id = [...states].find(([, state]) => state === "said")?.[0];
          if (id !== undefined) states.set(id, "over");
          if (id !== undefined) bargeIn.ended(id);
        } else if (event === "speech") {
          if (!bargeIn.holds && !bargeIn.waits) newest = next - 1;
          apply(bargeIn.speech(isFalse ? 60 : 600));
        } else if (event === "silence") apply(bargeIn.silence(now));
        else if (event === "tick") apply(bargeIn.tick(now, isFalse ? 60 : 600));
        else if (event === "answer") apply(bargeIn.answered(bargeIn.question, isFalse));
        else apply(bargeIn.decide(isFalse));
        expect([...states.values()].includes("paused")).toBe(bargeIn.holds);
      }
      // A silent caller leaves no speech paused.
      apply(bargeIn.silence(now));
      apply(bargeIn.tick(now + 10_000, 0));
      expect([...states.values()]).not.toContain("paused");
    }),
    { seed: 14, numRuns: 2000 },
  );
});
