import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromMilliseconds, fromSeconds, microseconds } from "../../base/index.js";
import { randomFrom } from "../../tests/support/signal.js";
import { BytesInFlight } from "./bytes-in-flight.js";
import { DelayBasedEstimator } from "./delay-based-estimator.js";
import { SkipPolicy } from "./skip-policy.js";
import { TokenBucket } from "./token-bucket.js";
import { Window } from "./window.js";

const ms = fromMilliseconds;

describe("BytesInFlight", () => {
  test("bytes in flight are those above the ack; stale ones are written off at once, and the rest after 4 s", () => {
    const inFlight = new BytesInFlight();
    for (let group = 1; group <= 5; group++) inFlight.sent(group, 100, ms(group));
    inFlight.sent(5, 20, ms(6));
    expect(inFlight.inFlight(ms(6))).toBe(520);
    expect(inFlight.acked(2)).toBe(ms(2));
    expect(inFlight.acked(1)).toBeUndefined();
    inFlight.sent(2, 999, ms(7));
    expect(inFlight.inFlight(ms(7))).toBe(320);
    expect(inFlight.writeOff(4, 5)).toBe(220);
    expect(inFlight.inFlight(ms(7))).toBe(100);
    inFlight.sent(70_000, 50, ms(2000));
    expect(inFlight.inFlight(ms(4003))).toBe(150);
    expect(inFlight.inFlight(ms(4004))).toBe(50);
    expect(inFlight.counters).toEqual({ acked: 200, reset: 220, aged: 100, overflow: 0 });
    inFlight.clear();
    inFlight.sent(1, 7, ms(5000));
    expect(inFlight.inFlight(ms(5000))).toBe(7);
  });

  test("no byte is lost in the count, whatever the order of sends, acks and write-offs", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            kind: fc.constantFrom("send", "send", "send", "ack", "reset", "read"),
            group: fc.nat({ max: 40 }),
            bytes: fc.integer({ min: 1, max: 500 }),
            gapMs: fc.nat({ max: 900 }),
          }),
          { maxLength: 80 },
        ),
        (steps) => {
          const inFlight = new BytesInFlight({ maxEntries: 12 });
          let now = 0;
          let sent = 0;
          let ack = -1;
          for (const { kind, group, bytes, gapMs } of steps) {
            now += gapMs;
            if (kind === "send") {
              inFlight.sent(group, bytes, ms(now));
              if (group > ack) sent += bytes;
            }
            if (kind === "ack") {
              inFlight.acked(group);
              ack = Math.max(ack, group);
            }
            if (kind === "reset") inFlight.writeOff(group, group + 5);
            const held = inFlight.inFlight(ms(now));
            const { acked, reset, aged, overflow } = inFlight.counters;
            expect(held).toBeGreaterThanOrEqual(0);
            expect(held + acked + reset + aged + overflow).toBe(sent);
          }
          expect(inFlight.inFlight(ms(now + 4001))).toBe(0);
        },
      ),
      { seed: 5, numRuns: 1000 },
    );
  });
});

describe("Window", () => {
  test("a window holds a quarter of a second of media between 4 KiB and 256 KiB", () => {
    expect(new Window({ bitrateBps: 64_000 }).bytes).toBe(4096);
    expect(new Window({ bitrateBps: 1_500_000 }).bytes).toBe(46_875);
    expect(new Window({ bitrateBps: 20_000_000 }).bytes).toBe(262_144);
    const window = new Window({ bitrateBps: 1_500_000, spanMs: 500 });
    window.factor = 0.5;
    expect(window.bytes).toBe(46_875);
  });
});

describe("SkipPolicy", () => {
  test("the policy skips strictly above the window, then past the age cap, and has no window without reports", () => {
    const policy = new SkipPolicy();
    const now = fromSeconds(10);
    const producedAt = fromSeconds(8);
    expect(policy.decide({ inFlight: 4096, window: 4096, producedAt, now })).toBe("send");
    expect(policy.decide({ inFlight: 4097, window: 4096, producedAt: microseconds(0), now })).toBe("window");
    expect(policy.decide({ inFlight: 0, window: 4096, producedAt: microseconds(7_999_999), now })).toBe("age");
    expect(policy.decide({ inFlight: 1e9, window: undefined, producedAt, now })).toBe("send");
    policy.count("stale", 3);
    expect(policy.counters).toEqual({ window: 1, age: 1, passed: 0, stale: 3, overflow: 0 });
  });

  test("the policy has at most one line to log per five seconds, with the skips since the last", () => {
    const policy = new SkipPolicy();
    expect(policy.takeLog(ms(0))).toBeUndefined();
    policy.count("window");
    expect(policy.takeLog(ms(1))).toMatchObject({ window: 1, age: 0 });
    policy.count("window", 2);
    expect(policy.takeLog(ms(5000))).toBeUndefined();
    expect(policy.takeLog(ms(5001))).toMatchObject({ window: 2 });
    expect(policy.takeLog(ms(20_000))).toBeUndefined();
  });
});

describe("TokenBucket", () => {
  test("a bucket allows a burst, then the long-run rate, and always a send at the time it names", () => {
    const bucket = new TokenBucket({ perSecond: 1000, burst: 10 });
    expect(bucket.take(ms(0), 64)).toBe(10);
    expect(bucket.take(ms(0))).toBe(0);
    let now = ms(0);
    for (let sent = 0; sent < 100; sent++) {
      now = bucket.nextAt(now);
      expect(bucket.take(now)).toBe(1);
    }
    expect(now).toBeGreaterThanOrEqual(ms(98));
    expect(now).toBeLessThanOrEqual(ms(101));
    expect(bucket.take(fromSeconds(60), 64)).toBe(10);
  });
});

describe("DelayBasedEstimator", () => {
  test("the estimator ignores a short spike, reduces on a lasting queue, and goes to the low rendition when that does not help", () => {
    const estimator = new DelayBasedEstimator();
    let now = 0;
    const run = (queueMs: number, forMs: number) => {
      for (const end = now + forMs; now < end; now += 100) estimator.observe(ms(now - 40 - queueMs), ms(now));
    };
    run(0, 3000);
    run(200, 300);
    run(0, 1000);
    expect([estimator.level, estimator.factor]).toEqual(["full", 1]);
    run(49, 3000);
    expect(estimator.level).toBe("full");
    run(60, 400);
    expect([estimator.level, estimator.factor]).toEqual(["reduced", 0.7]);
    expect(estimator.queueing).toBe(ms(60));
    run(200, 2000);
    expect(estimator.level).toBe("low");
    run(200, 10_000);
    expect(estimator.factor).toBe(0.25);
    run(40, 1000);
    expect(estimator.level).toBe("low");
    run(10, 60_000);
    expect([estimator.level, estimator.factor]).toEqual(["full", 1]);
  });

  test("the estimator takes up to 100 ms of delay that remains with the low rendition for the path's own", () => {
    const play = (swingMs: number, restMs: number) => {
      const random = randomFrom(2026);
      const estimator = new DelayBasedEstimator();
      const lowAt: number[] = [];
      // Every 30 s a group has no delay: the smallest one of the last 40 s stays what it was.
      for (let now = 0, delay = 0; now < 240_000; now += 100) {
        if (now % 300 === 0) delay = now % 30_000 === 0 ? 0 : restMs + random() * swingMs;
        estimator.observe(ms(now - 40 - delay), ms(now));
        if (estimator.level === "low") lowAt.push(now);
      }
      return { first: lowAt[0], count: lowAt.length, last: lowAt.at(-1) };
    };
    for (const swingMs of [90, 120, 150]) {
      const { count, last } = play(swingMs, 0);
      expect(count).toBeGreaterThan(10);
      expect(last).toBeLessThan(60_000);
    }
    const { first, count } = play(0, 150);
    expect(first).toBeLessThan(2000);
    expect(count).toBeGreaterThan(2300);
  });

  test("the estimator waits longer each time a raise brings the queue back", () => {
    // A link that carries 60 % of the stream: any larger factor builds a queue, any smaller one drains it.
    const estimator = new DelayBasedEstimator();
    let queueMs = 0;
    const reductions: number[] = [];
    let previous = 1;
    for (let now = 0; now < 180_000; now += 100) {
      const offered = estimator.level === "low" ? 0.4 * estimator.factor : estimator.factor;
      queueMs = Math.max(0, queueMs + (offered - 0.6) * 100);
      estimator.observe(ms(now - 40 - queueMs), ms(now));
      const effort = estimator.factor + (estimator.level === "full" ? 1 : 0);
      if (effort < previous) reductions.push(now);
      previous = effort;
    }
    expect(reductions.length).toBeGreaterThan(2);
    expect(reductions.length).toBeLessThan(40);
    const firstMinute = reductions.filter((at) => at < 60_000).length;
    const lastMinute = reductions.filter((at) => at >= 120_000).length;
    expect(lastMinute).toBeLessThan(firstMinute);
    estimator.reset();
    expect([estimator.level, estimator.factor, estimator.queueing]).toEqual(["full", 1, 0]);
  });
});
