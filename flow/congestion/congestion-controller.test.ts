import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromMilliseconds as ms } from "../../base/index.js";
import { type Acknowledgement, CongestionController } from "./congestion-controller.js";

const BYTES = 100;
const BITRATE = 40_000;

/** A receiver at the end of a path: a group every 20 ms, a report every 100 ms; players give up a hole after 300 ms. */
class Path {
  readonly delivery = new CongestionController({ spanMs: 250 });
  now = 1000;
  delayMs = 40;
  #group = 0;
  #received = 0;
  readonly #ahead = new Map<number, number>();
  readonly #missing = new Set<number>();
  #ack = -1;
  /** Whether groups wait for room in the window, as they do at the relay. */
  gated = false;
  /** Arrival times of the groups that a gated path had sent. */
  readonly arrivedAt: number[] = [];
  skipped = 0;
  /** Whether reports arrive. */
  reports = true;

  /** Groups sent. */
  get sent(): number {
    return this.#group;
  }

  /** Runs for a while; groups matched by `lost` do not arrive. */
  run(forMs: number, lost: (group: number) => boolean = () => false): void {
    const arrivals: [at: number, group: number][] = [];
    for (const end = this.now + forMs; this.now < end; this.now += 20) {
      if (this.gated && this.delivery.inFlight(ms(this.now)) > this.delivery.windowBytes(BITRATE)) this.skipped++;
      else {
        const group = this.#group++;
        this.delivery.sent(group, BYTES, ms(this.now));
        if (lost(group)) this.#missing.add(group);
        else arrivals.push([this.now + this.delayMs, group]);
        if (!lost(group)) this.arrivedAt.push(this.now + this.delayMs);
      }
      for (const [at, arrived] of arrivals)
        if (at <= this.now && !this.#ahead.has(arrived)) {
          this.#ahead.set(arrived, at);
          this.#received += BYTES;
        }
      if (this.reports && this.now % 100 === 0) this.delivery.acknowledged(this.report());
    }
    for (const [at, arrived] of arrivals)
      if (!this.#ahead.has(arrived)) {
        this.#ahead.set(arrived, at);
        this.#received += BYTES;
      }
  }

  /** A report as the receiver makes it now. */
  report(): Acknowledgement {
    for (;;) {
      const next = this.#ack + 1;
      const at = this.#ahead.get(next);
      let following = next + 1;
      while (this.#missing.has(following)) following++;
      const after = this.#ahead.get(following);
      const arrived = at !== undefined && at <= this.now;
      const givenUp = this.#missing.has(next) && after !== undefined && this.now - after >= 300;
      if (!arrived && !givenUp) break;
      this.#ack = next;
    }
    return {
      session: 1,
      receivedGroup: this.#ack < 0 ? undefined : this.#ack,
      receivedBytes: this.#received,
      at: ms(this.now),
      staleness: ms(0),
    };
  }
}

describe("CongestionController", () => {
  test("a controller lets a window exceed the round trip, and shrinks only the excess when a queue builds up", () => {
    const path = new Path();
    path.delayMs = 200;
    expect(path.delivery.windowBytes(1_000_000)).toBe((1_000_000 / 8) * 0.5);
    path.run(2000);
    const idle = path.delivery.windowBytes(1_000_000);
    expect(idle).toBeGreaterThanOrEqual((1_000_000 / 8) * 0.55);
    expect(idle).toBeLessThan((1_000_000 / 8) * 0.6);
    path.delayMs = 500;
    path.run(3000);
    expect(path.delivery.level).not.toBe("full");
    expect(path.delivery.queueing).toBeGreaterThan(ms(250));
    expect(path.delivery.windowBytes(1_000_000)).toBeLessThan(idle - (1_000_000 / 8) * 0.05);
    expect(path.delivery.windowBytes(1_000_000)).toBeGreaterThan((1_000_000 / 8) * 0.3);
    path.delayMs = 200;
    path.run(40_000);
    expect([path.delivery.level, path.delivery.windowBytes(1_000_000)]).toEqual(["full", idle]);
  });

  test("a controller takes a delay that lasts for the path's own, and gives full service again", () => {
    const path = new Path();
    path.run(10_000);
    path.delayMs = 340;
    path.run(10_000);
    expect(path.delivery.level).toBe("low");
    path.run(65_000);
    expect(path.delivery.level).toBe("full");
    expect(path.delivery.queueing).toBe(0);
  });

  test("a controller never mistakes holes for a queue or a queue for holes, and asks for repeats where the path loses", () => {
    const lossy = new Path();
    lossy.run(20_000, (group) => group % 47 === 11);
    expect(lossy.delivery.level).toBe("full");
    expect([lossy.delivery.lossy, lossy.delivery.repeats]).toEqual([true, true]);
    expect(lossy.delivery.inFlight(ms(lossy.now))).toBeLessThan(lossy.delivery.windowBytes(BITRATE));
    const overlapping = new Path();
    overlapping.run(20_000, (group) => group % 47 === 11 || group % 47 === 19);
    expect(overlapping.delivery.level).toBe("full");

    const full = new Path();
    full.run(2000);
    full.delayMs = 400;
    full.run(20_000, (group) => group % 47 === 11);
    expect(full.delivery.level).toBe("low");
    expect(full.delivery.repeats).toBe(false);

    const clean = new Path();
    clean.run(20_000);
    expect([clean.delivery.level, clean.delivery.lossy]).toEqual(["full", false]);
  });

  test("a controller takes the waits of a long lossy path for loss, and those of a clean one for a queue", () => {
    const holes = (group: number) => group % 97 === 11;
    const run = (delayMs: number, waitMs: number, lost?: (group: number) => boolean) => {
      const path = new Path();
      path.delayMs = delayMs;
      path.run(20_000, lost);
      path.delayMs = delayMs + waitMs;
      path.run(20_000, lost);
      return { level: path.delivery.level, repeats: path.delivery.repeats };
    };
    expect(run(300, 100, holes)).toEqual({ level: "full", repeats: true });
    expect(run(300, 100)).toEqual({ level: "low", repeats: false });
    expect(run(300, 300, holes)).toEqual({ level: "low", repeats: false });
    expect(run(40, 250, holes)).toEqual({ level: "low", repeats: false });
  });

  test("a controller sends again within a round trip and two reports after the path lost everything in flight", () => {
    for (const delayMs of [20, 100, 300]) {
      const path = new Path();
      path.gated = true;
      path.delayMs = delayMs;
      path.run(4000);
      expect(path.skipped).toBe(0);
      // Everything is lost until the window is full, and for half a second more.
      const from = path.sent;
      path.run(1500, (group) => group >= from);
      expect(path.skipped).toBeGreaterThan(20);
      const clear = path.now;
      path.run(4000);
      const first = path.arrivedAt.find((at) => at >= clear)!;
      // The last probe before may have been lost: the next one waits up to four times as long.
      expect(first - clear).toBeLessThanOrEqual(4 * (delayMs + 150 + 50) + delayMs);
      const skippedAfter = path.skipped;
      path.run(2000);
      expect(path.skipped).toBe(skippedAfter);
    }
  });

  test("a controller counts a burst right behind a single loss as losses, not as a full queue", () => {
    for (let first = 100; first < 105; first++) {
      for (let behind = 2; behind <= 6; behind += 2) {
        for (let length = 1; length <= 24; length++) {
          const path = new Path();
          path.run(2000);
          // A report may rise up to the first hole and cover bytes beyond it; a long burst then delays all acks.
          const from = first + behind;
          path.run(1700, (group) => group === first || (group >= from && group < from + length));
          expect([first, behind, length, path.delivery.level, path.delivery.lossy]).toEqual([
            first,
            behind,
            length,
            "full",
            true,
          ]);
        }
      }
    }
  });

  test("a controller takes no clean path for a lossy one, be there video, rewinds, or lost and late reports", () => {
    const step = fc.record({
      pauseMs: fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, fc.nat({ max: 1500 })),
      rewinds: fc.oneof({ weight: 5, arbitrary: fc.constant(false) }, fc.constant(true)),
      groups: fc.integer({ min: 1, max: 40 }),
    });
    const report = fc.record({
      lost: fc.oneof({ weight: 3, arbitrary: fc.constant(false) }, fc.constant(true)),
      lateMs: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat({ max: 300 })),
    });
    fc.assert(
      fc.property(
        fc.record({
          delayMs: fc.integer({ min: 5, max: 300 }),
          video: fc.boolean(),
          steps: fc.array(step, { minLength: 5, maxLength: 20 }),
          reports: fc.array(report, { minLength: 1, maxLength: 12 }),
        }),
        (run) => {
          expect(lossyOn(run)).toBe(false);
        },
      ),
      { seed: 20261127, numRuns: 200 },
    );
  });

  test("a controller takes a path for a lossy one for half a minute after its first hole, and much longer after the next", () => {
    const path = new Path();
    path.run(2000);
    expect(path.delivery.lossy).toBe(false);
    path.run(800, (group) => group === 101);
    expect([path.delivery.lossy, path.delivery.repeats]).toEqual([true, true]);
    path.run(29_000);
    expect(path.delivery.lossy).toBe(true);
    path.run(2000);
    expect(path.delivery.lossy).toBe(false);
    const next = path.sent + 1;
    path.run(800, (group) => group === next);
    path.run(200_000);
    expect(path.delivery.lossy).toBe(true);
    path.run(50_000);
    expect(path.delivery.lossy).toBe(false);
  });

  /** What goes into a path that has been dead for 600 ms, in the given time. */
  function probesInto(milliseconds: number): number {
    const path = new Path();
    path.gated = true;
    path.run(4000);
    const from = path.sent;
    path.run(600, (group) => group >= from);
    const full = path.sent;
    path.run(milliseconds, (group) => group >= from);
    return path.sent - full;
  }

  test("a controller sends a probe with each of the first reports that show nothing new", () => {
    expect(probesInto(700)).toBeGreaterThanOrEqual(5);
  });

  test("a controller sends few probes into a dead path", () => {
    const probes = probesInto(3000);
    expect(probes).toBeGreaterThanOrEqual(3);
    expect(probes).toBeLessThanOrEqual(8);
  });

  test("a controller returns from a burst of losses to full service as soon as an ack comes without queueing", () => {
    const path = new Path();
    path.run(2000);
    const from = path.sent;
    path.run(1000, (group) => group >= from);
    expect(path.delivery.level).not.toBe("full");
    path.run(1000);
    expect([path.delivery.level, path.delivery.queueing]).toEqual(["full", 0]);
  });

  test("a controller keeps a reduction for silence where the next acks come late", () => {
    const path = new Path();
    path.run(2000);
    const from = path.sent;
    path.run(1000, (group) => group >= from);
    path.delayMs = 300;
    path.run(1000);
    expect(path.delivery.level).not.toBe("full");
  });

  test("a controller notices a dead path, and a new run of the player resets it", () => {
    const path = new Path();
    path.run(2000);
    path.run(1500, () => true);
    expect(path.delivery.level).not.toBe("full");
    path.delivery.acknowledged({ session: 2, receivedGroup: 0, receivedBytes: 0, at: ms(path.now), staleness: ms(0) });
    expect([path.delivery.level, path.delivery.inFlight(ms(path.now))]).toEqual(["full", 0]);
  });

  test("takes a report that was late itself for no evidence about groups that were sent after it", () => {
    const path = new Path();
    path.run(2000);
    path.delivery.acknowledged(path.report());
    const late = path.report();
    path.reports = false;
    path.run(400);
    path.delivery.acknowledged({ ...late, staleness: ms(400) });
    path.reports = true;
    path.run(1000);
    expect([path.delivery.level, path.delivery.queueing]).toEqual(["full", 0]);
  });

  test("a controller holds groups back while a lossy path delivers nothing, but for a probe every 40 ms", () => {
    const path = new Path();
    const { delivery } = path;
    path.run(1000);
    path.run(1000, (group) => group === 60);
    expect([delivery.lossy, delivery.silent(ms(path.now)), delivery.holds(ms(path.now))]).toEqual([true, false, false]);
    path.run(300, () => true);
    expect(delivery.silent(ms(path.now))).toBe(true);
    const probes: number[] = [];
    for (let at = path.now; at < path.now + 400; at++) {
      if (delivery.holds(ms(at))) continue;
      probes.push(at);
      delivery.sent(path.sent + probes.length, 30, ms(at));
    }
    expect(probes.slice(1).map((at, index) => at - probes[index]!)).toEqual(probes.slice(1).map(() => 40));
    expect(probes.length).toBeGreaterThanOrEqual(9);
  });

  test("a controller holds nothing back on a clean path, nor after a pause on a lossy one", () => {
    const clean = new Path();
    clean.run(2000);
    clean.run(300, () => true);
    expect(clean.delivery.holds(ms(clean.now))).toBe(false);
    const lossy = new Path();
    lossy.run(1000);
    lossy.run(1000, (group) => group === 60);
    const { delivery } = lossy;
    for (let pause = 0; pause < 10; pause++) {
      lossy.now += 100;
      delivery.acknowledged(lossy.report());
    }
    expect(delivery.lossy).toBe(true);
    delivery.sent(lossy.sent, 100, ms(lossy.now));
    delivery.acknowledged({ ...lossy.report(), at: ms(lossy.now + 20) });
    expect(delivery.holds(ms(lossy.now + 20))).toBe(false);
  });

  test("a controller begins an utterance as if the end of the last one had not been lost", () => {
    for (const pauseMs of [200, 1000, 3000, 6000]) {
      const path = lossyPath();
      const { delivery } = path;
      path.run(300, () => true);
      expect(delivery.silent(ms(path.now))).toBe(true);
      for (const end = path.now + pauseMs; path.now < end; path.now += 20) delivery.acknowledged(path.report());
      expect([delivery.silent(ms(path.now)), delivery.holds(ms(path.now))]).toEqual([false, false]);
      for (let group = 0; group < 3; group++, path.now += 20) {
        expect(delivery.holds(ms(path.now))).toBe(false);
        delivery.sent(path.sent + group, BYTES, ms(path.now));
        expect(delivery.silent(ms(path.now))).toBe(false);
        delivery.acknowledged(path.report());
      }
    }
  });

  test("a controller doubles the time between probes from the end of those in quick succession", () => {
    const path = lossyPath();
    const { delivery } = path;
    path.run(300, () => true);
    const probes: number[] = [];
    for (const end = path.now + 6000; path.now < end; path.now++) {
      if (path.now % 100 === 0) delivery.acknowledged(path.report());
      if (delivery.holds(ms(path.now))) continue;
      probes.push(path.now);
      delivery.sent(path.sent + probes.length, 30, ms(path.now));
    }
    const waits = probes.slice(1).map((at, index) => at - probes[index]!);
    const slow = waits.slice(waits.findIndex((wait) => wait > 40));
    expect(waits.length - slow.length).toBeGreaterThanOrEqual(17);
    expect(slow.slice(0, 4)).toEqual([slow[0], slow[0]! * 2, slow[0]! * 4, slow[0]! * 4]);
  });

  test("a copy that goes by itself is a probe", () => {
    const path = lossyPath();
    const { delivery } = path;
    path.run(300, () => true);
    path.now = delivery.probeAt / 1000;
    expect(delivery.holds(ms(path.now))).toBe(false);
    delivery.copied(30, ms(path.now));
    expect(delivery.holds(ms(path.now))).toBe(true);
    expect(delivery.probeAt).toBe(ms(path.now + 40));
  });
});

/** A path that has lost a group, and delivers. */
function lossyPath(): Path {
  const path = new Path();
  path.run(1000);
  path.run(1000, (group) => group === 60);
  expect(path.delivery.lossy).toBe(true);
  return path;
}

interface CleanRun {
  readonly delayMs: number;
  readonly video: boolean;
  /** What is sent: groups after a pause, the first of which may be a rewind's. */
  readonly steps: readonly {
    readonly pauseMs: number;
    readonly rewinds: boolean;
    readonly groups: number;
  }[];
  /** What becomes of the reports, again and again. */
  readonly reports: readonly { readonly lost: boolean; readonly lateMs: number }[];
}

/** Whether a controller ever takes a path for a lossy one on which everything arrives in time. */
function lossyOn({ delayMs, video, steps, reports }: CleanRun): boolean {
  const delivery = new CongestionController({ spanMs: 250 });
  const events: [at: number, run: () => void][] = [];
  let ack: number | undefined;
  let receivedBytes = 0;
  let lossy = false;
  const arrives = (at: number, group?: number) =>
    events.push([
      at,
      () => {
        receivedBytes += BYTES;
        ack = group ?? ack;
      },
    ]);
  let now = 1000;
  let group = 0;
  for (const { pauseMs, rewinds, groups } of steps) {
    now += pauseMs;
    // Groups in flight become stale, and arrive all the same.
    for (let stale = group - 1; rewinds && stale >= group - 5; stale--) {
      const sequence = stale;
      events.push([now, () => delivery.writeOff(sequence)]);
    }
    // A rewind's first group goes on a stream, too, and twice as a datagram.
    if (rewinds) for (const behind of [10, 30]) arrives(now + delayMs + behind);
    for (let count = 0; count < groups; count++, now += 20) {
      const sent = { group: group++, at: now };
      events.push([now, () => delivery.sent(sent.group, BYTES, ms(sent.at))]);
      arrives(now + delayMs, sent.group);
    }
  }
  for (let at = 1000; video && at < now; at += 33) arrives(at + delayMs);
  for (let at = 1000, count = 0; at < now + 500; at += 100, count++) {
    const { lost, lateMs } = reports[count % reports.length]!;
    if (lost) continue;
    const made = at + delayMs;
    events.push([
      made,
      () => {
        const report = { session: 1, receivedGroup: ack, receivedBytes, at: ms(made), staleness: ms(lateMs) };
        events.push([
          made + lateMs,
          () => {
            delivery.acknowledged(report);
            lossy ||= delivery.lossy;
          },
        ]);
        events.sort(([left], [right]) => left - right);
      },
    ]);
  }
  events.sort(([left], [right]) => left - right);
  for (let next = events.shift(); next; next = events.shift()) next[1]();
  return lossy;
}
