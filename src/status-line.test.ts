import fc from "fast-check";
import { expect, test } from "vitest";
import { type MeterReading, meterLine } from "./meter.js";
import { StatusLine } from "./status-line.js";

/** A terminal's content after everything written to it; it wraps at its last column. */
class Terminal {
  readonly isTTY = true;
  readonly columns: number;
  readonly rows: string[] = [""];

  constructor(columns: number) {
    this.columns = columns;
  }

  write(text: string): void {
    for (const [index, part] of text.split("\r\u001b[K").entries()) {
      if (index > 0) this.rows[this.rows.length - 1] = "";
      for (const character of part) {
        if (character === "\n") this.rows.push("");
        else if (this.rows.at(-1)!.length < this.columns) this.rows[this.rows.length - 1] += character;
        else this.rows.push(character);
      }
    }
  }
}

const reading: MeterReading = {
  playing: true,
  playheadUs: 83_400_000,
  bufferMs: 215,
  group: 1234,
  discontinuities: 3,
  underruns: 5,
  leadMs: 102,
  relay: { stalenessMs: 12, inFlightBytes: 480, skips: { window: 3, passed: 1 } },
  levelDb: -23,
  voice: 0.87,
};

test("a meter line fits every width, shows the most important parts first and keeps their order", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 0, max: 2 ** 53 - 1 }), (columns, large) => {
      const odd = { ...reading, underruns: large, bufferMs: large, playheadUs: large, group: large };
      for (const each of [reading, odd, { ...reading, relay: undefined, voice: undefined, leadMs: undefined }])
        expect(meterLine(each, columns).length).toBeLessThanOrEqual(columns);
    }),
    { seed: 15 },
  );
  expect(meterLine(reading, 20)).toBe("▶ 01:23.4   -23 dB");
  expect(meterLine(reading, 80)).toBe("▶ 01:23.4  ██████████░░░░░░   -23 dB  voice  87 %  buffer  215 ms  underruns 5");
  expect(meterLine(reading, 300)).toContain("rewinds 3  group 1234  staleness 12 ms  in flight 480 B  skips 3 window");
});

test("a notice stands on lines of its own above the meter, at every width", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 8, max: 120 }),
      fc.array(fc.oneof(fc.constant("meter"), fc.stringMatching(/^[a-z]{1,7}\n?$/)), { maxLength: 30 }),
      (columns, steps) => {
        const terminal = new Terminal(columns);
        const status = new StatusLine(terminal);
        let notices = "";
        for (const step of steps) {
          if (step === "meter") status.show(meterLine(reading, status.columns));
          else {
            status.write(step);
            notices += step;
          }
        }
        status.end();
        const meter = meterLine(reading, columns - 1);
        const rows = terminal.rows.filter((row) => row !== meter && row !== "");
        const lines = notices.split("\n").flatMap((line) => line.match(new RegExp(`.{1,${columns}}`, "g")) ?? []);
        expect(rows).toEqual(lines);
      },
    ),
    { seed: 15 },
  );
});

test("without a terminal the meter is a line of at most 80 columns, without control characters", () => {
  for (const screen of [{}, { isTTY: false, columns: 400 }, { isTTY: true, columns: 400, dumb: true }]) {
    let written = "";
    const write = (text: string) => {
      written += text;
    };
    const status = new StatusLine({ ...screen, write }, "dumb" in screen ? { TERM: "dumb" } : {});
    status.show(meterLine(reading, status.columns));
    status.write("unsay: A notice.\n");
    status.show("x".repeat(500));
    status.end();
    expect(written.split("\n").map((line) => line.length <= 80)).toEqual([true, true, true, true]);
    expect(written).toContain("\nunsay: A notice.\n");
    for (const control of ["\r", "\u001b"]) expect(written).not.toContain(control);
  }
});
