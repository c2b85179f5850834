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
  missed: undefined,
  bleedMs: 0,
  counters: { staleMs: 0, stalls: 0 },
};

/** A reporter on a virtual clock, and the worst lead of each of its reports. */
class Bench {
  readonly leads: (number | undefined)[] = [];
  /** Where each report's playhead is, and how much is ready. */
  readonly reports: { readonly clientTimeMs: number; readonly playhead: number; readonly bufferedMs: number }[] = [];
  readonly reporter: Reporter;
  #now = 0;
  #stalls = 0;

  constructor() {
    this.reporter = new Reporter({ clock: () => microseconds(this.#now) });
    this.reporter.follow("room.hang");
    this.reporter.attach({
      send: (record) => {
        const decoded = decodeReport(record);
        if (!decoded.ok) return false;
        this.leads.push(decoded.report.worstLead);
        const { clientTimeMs, playhead, bufferedMs } = decoded.report;
        this.reports.push({ clientTimeMs, playhead, bufferedMs });
        return true;
      },
      publish: () => {},
      unpublish: () => {},
      backedUp: false,
    });
  }

  pass(
    milliseconds: number,
    { stalls = 0, ...reading }: Partial<ListenerReading> & { readonly stalls?: number } = {},
  ): void {
    this.#now += milliseconds * 1000;
    this.#stalls += stalls;
    this.reporter.tick({ ...READING, ...reading, counters: { staleMs: 0, stalls: this.#stalls } });
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

test("a listener reports three times what it had no audio for, each time before the report that shows audio behind it", () => {
  const bench = new Bench();
  const missed = { from: fromMilliseconds(400), to: fromMilliseconds(900) };
  bench.pass(100);
  for (let i = 0; i < 4; i++) bench.pass(100, { missed, bufferedMs: 60 });
  const present = { playhead: 1_000_000, bufferedMs: 60 };
  const past = { clientTimeMs: 0, playhead: 900_000, bufferedMs: -500 };
  expect(bench.reports).toEqual([
    { clientTimeMs: 100, playhead: 1_000_000, bufferedMs: 0 },
    ...[200, 300, 400].flatMap((clientTimeMs) => [past, { clientTimeMs, ...present }]),
    { clientTimeMs: 500, ...present },
  ]);
});
