import fc from "fast-check";
import { expect, test } from "vitest";
import { microseconds } from "../../base/index.js";
import { SampleRing } from "./sample-ring.js";
import { framesAt, framesIn, timestampAt } from "./samples.js";

const STEP = 120;
const FADE = framesIn(5);
const CAPACITY = framesIn(100);

interface Cell {
  readonly value: number;
  readonly epoch: number;
  readonly generation: number;
  readonly faded: boolean;
}

const value = (position: number, generation: number) => Math.fround(1 + (position % 977) / 977 + generation);

/** A naive ring without any care for speed: a map from position to sample. */
class NaiveRing {
  cells = new Map<number, Cell>();
  floor = 0;

  write(start: number, length: number, epoch: number, generation: number) {
    for (let at = start; at < start + length; at++)
      if (at >= this.floor && at < this.floor + CAPACITY)
        this.cells.set(at, { value: value(at, generation), epoch, generation, faded: false });
  }

  truncate(cut: number, generation: number) {
    for (const [at, cell] of this.cells) if (at >= cut && cell.generation < generation) this.cells.delete(at);
    for (let at = cut - 1; at >= Math.max(cut - FADE, this.floor); at--) {
      const cell = this.cells.get(at);
      if (!cell || cell.generation >= generation) break;
      this.cells.set(at, { ...cell, faded: true });
    }
  }

  read(position: number) {
    this.floor = position + 1;
    const cell = this.cells.get(position);
    this.cells.delete(position);
    return cell;
  }
}

const command = fc.oneof(
  fc.record({ kind: fc.constant("write" as const), start: fc.nat(60), length: fc.integer({ min: 1, max: 9 }) }),
  fc.record({ kind: fc.constant("truncate" as const), start: fc.nat(60), length: fc.constant(0) }),
  fc.record({ kind: fc.constant("read" as const), start: fc.constant(0), length: fc.integer({ min: 1, max: 20 }) }),
);

test("a ring agrees with a naive map, sample by sample, in the audio it plays and its origin", () => {
  fc.assert(
    fc.property(fc.array(command, { minLength: 1, maxLength: 60 }), (commands) => {
      const ring = new SampleRing({ channels: 1, capacityMs: 100 });
      const naive = new NaiveRing();
      const wrong: object[] = [];
      ring.seek(0);
      let generation = 0;
      let position = 0;
      let settled = 0;
      let last: Cell | undefined;
      for (const { kind, start, length } of commands) {
        if (kind === "write") {
          const at = start * STEP;
          const samples = Float32Array.from({ length: length * STEP }, (_, index) => value(at + index, generation));
          ring.write(timestampAt(at), [samples], { epoch: generation * 2, generation });
          naive.write(at, length * STEP, generation * 2, generation);
        } else if (kind === "truncate") {
          generation++;
          ring.truncate(timestampAt(start * STEP), generation);
          naive.truncate(start * STEP, generation);
        } else {
          const output = new Float32Array(length * 64).fill(Number.NaN);
          const runs = ring.read([output], position, 0, output.length);
          const origin = new Array<(typeof runs)[number] | undefined>(output.length).fill(undefined);
          for (const run of runs) origin.fill(run, run.offset, run.offset + run.frames);
          for (let index = 0; index < output.length; index++) {
            const cell = naive.read(position + index);
            const run = origin[index];
            const at = run && framesAt(run.timestamp) + index - run.offset;
            const right =
              run?.generation === cell?.generation && run?.epoch === cell?.epoch && at === (cell && position + index);
            if (!right) wrong.push({ run, at, cell, position: position + index });
            settled = last?.generation === cell?.generation ? settled + 1 : 1;
            last = cell;
            const exact = settled > FADE && !cell?.faded;
            if (exact ? output[index] !== (cell?.value ?? 0) : !Number.isFinite(output[index]))
              wrong.push({ heard: output[index], cell });
          }
          position += output.length;
        }
      }
      expect(wrong).toEqual([]);
    }),
    { numRuns: 500, seed: 20260101 },
  );
});

test("a ring fades out before a cut and fades in after it, without a step", () => {
  const ring = new SampleRing({ channels: 2, fadeMs: 5 });
  const one = new Float32Array(4800).fill(1);
  ring.write(microseconds(0), [one, one], { epoch: 0, generation: 0 });
  const output = [new Float32Array(4800), new Float32Array(4800)];
  ring.read(output, 0, 0, 1000);
  expect(ring.truncate(timestampAt(2400))).toBe(2400);
  ring.write(timestampAt(2400), [one.map(() => -1)], { epoch: 1, generation: 1 });
  const runs = ring.read(output, 1000, 0, 4800);
  expect(runs.map(({ offset, frames, epoch }) => [offset, frames, epoch])).toEqual([
    [0, 1400, 0],
    [1400, 3400, 1],
  ]);
  for (const channel of output) {
    expect(channel[1400 - FADE - 1]).toBe(1);
    expect(Math.abs(channel[1399]!)).toBeLessThan(0.01);
    expect(Math.abs(channel[1400]!)).toBeLessThan(0.01);
    expect(channel[1400 + FADE]).toBe(-1);
    for (let index = 1; index < 4800; index++)
      expect(Math.abs(channel[index]! - channel[index - 1]!)).toBeLessThan(0.02);
  }
});

test("a ring decays from the last value after a sudden stop, and silence stays silent", () => {
  const ring = new SampleRing({ channels: 1, fadeMs: 10 });
  ring.write(microseconds(0), [new Float32Array(960).fill(0.5)], { epoch: 0, generation: 0 });
  const output = [new Float32Array(1920)];
  ring.read(output, 0, 0, 700);
  ring.truncate(microseconds(0));
  ring.read(output, 700, 0, 1920);
  expect(output[0]![0]).toBeCloseTo(0.5, 3);
  expect(output[0]![240]).toBeCloseTo(0.25, 1);
  expect(output[0]!.subarray(480).every((sample) => sample === 0)).toBe(true);
});

test("a ring closes holes of less than half a millisecond, which come from rounding, and keeps longer ones", () => {
  const ring = new SampleRing({ channels: 1 });
  const samples = [new Float32Array(960).fill(1)];
  ring.write(microseconds(0), samples, { epoch: 0, generation: 0 });
  ring.write(microseconds(20_300), samples, { epoch: 0, generation: 0 });
  expect(ring.end).toBe(1920);
  ring.write(microseconds(41_000), samples, { epoch: 0, generation: 0 });
  expect(ring.end).toBe(framesAt(microseconds(41_000)) + 960);
  expect(ring.framesFrom(0)).toBe(2880);
  expect(ring.nextAudio(1920)).toBe(1968);
});

test("a ring counts audio that is late or too far ahead, and drops it", () => {
  const ring = new SampleRing({ channels: 1, capacityMs: 20 });
  ring.seek(480);
  expect(ring.write(microseconds(0), [new Float32Array(960)], { epoch: 0, generation: 0 })).toBe(480);
  expect(ring.write(microseconds(20_000), [new Float32Array(960)], { epoch: 0, generation: 0 })).toBe(480);
  expect(ring.write(microseconds(60_000), [new Float32Array(960)], { epoch: 0, generation: 0 })).toBe(0);
  expect(ring.counters).toEqual({ lateFrames: 480, overflowFrames: 480 + 960, truncatedFrames: 0 });
  expect(() => new SampleRing({ channels: 1, fadeMs: 11 })).toThrow(
    "fadeMs must be above 0 and at most 10, but is 11.",
  );
});

test("a ring plays on without a fade where the epoch alone changes, and fades where the generation does", () => {
  for (const [epoch, generation] of [
    [1, 0],
    [0, 1],
    [1, 1],
  ] as const) {
    const ring = new SampleRing({ channels: 1 });
    ring.write(microseconds(0), [new Float32Array(960).fill(1)], { epoch: 0, generation: 0 });
    // A rounded timestamp continues the audio before it, unless a rewind lies between.
    ring.write(microseconds(20_300), [new Float32Array(960).fill(-1)], { epoch, generation });
    expect(ring.end).toBe(generation === 0 ? 1920 : 1934);
    const output = new Float32Array(1900);
    ring.read([output], 0, 0, 900);
    const runs = ring.read([output], 900, 900, 1000);
    expect(runs.map((run) => [run.epoch, run.generation])).toEqual([
      [0, 0],
      [epoch, generation],
    ]);
    const steps = output.subarray(FADE + 1).map((sample, index) => Math.abs(sample - output[FADE + index]!));
    const largest = Math.max(...steps);
    expect(largest > 1.9, `a step of ${largest} at epoch ${epoch}, generation ${generation}`).toBe(generation === 0);
  }
});
