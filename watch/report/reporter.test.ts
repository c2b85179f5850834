import { expect, test } from "vitest";
import { fromMilliseconds, type Microseconds, microseconds } from "../../base/index.js";
import { decodeReport } from "../../flow/report/index.js";
import { type ListenerReading, Reporter } from "./reporter.js";

const READING: ListenerReading = {
  playhead: fromMilliseconds(1000),
  moving: true,
  applied: undefined,
  receivedBytes: 0,
  receivedGroup: 1,
  bufferedMs: 0,
  bleedMs: 0,
  counters: { staleMs: 0, stalls: 0 },
};

/** A reporter on a virtual clock, and the worst lead of each of its reports. */
class Bench {
  readonly leads: (number | undefined)[] = [];
  readonly reporter: Reporter;
  #now = 0;
  #stalls = 0;

  constructor() {
    this.reporter = new Reporter({ clock: () => microseconds(this.#now) });
    this.reporter.follow("room.hang");
    this.reporter.attach({
      send: (record) => {
        const decoded = decodeReport(record);
        if (decoded.ok) this.leads.push(decoded.report.worstLead);
        return true;
      },
      publish: () => {},
      unpublish: () => {},
      backedUp: false,
    });
  }

  pass(milliseconds: number, { stalls = 0 } = {}): void {
    this.#now += milliseconds * 1000;
    this.#stalls += stalls;
    this.reporter.tick({ ...READING, counters: { staleMs: 0, stalls: this.#stalls } });
  }
}

const LATE: Microseconds = fromMilliseconds(-3000);
const EARLY: Microseconds = fromMilliseconds(200);

test("a listener that stalled reports no lead of its backlog, and every lead after that", () => {
  const bench = new Bench();
  const { leads, reporter } = bench;
  reporter.landed(EARLY, 1);
  bench.pass(100);
  // It stands still for 6 s. What waited meanwhile lands before and after its playhead has jumped.
  reporter.landed(LATE, 2);
  bench.pass(6000, { stalls: 1 });
  reporter.landed(LATE, 3);
  bench.pass(100);
  reporter.landed(EARLY, 4);
  bench.pass(100);
  bench.pass(1000);
  reporter.landed(LATE, 5);
  bench.pass(100);
  expect(leads).toEqual([EARLY, undefined, undefined, EARLY, undefined, LATE]);
});
