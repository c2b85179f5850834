import fc from "fast-check";
import { expect, test } from "vitest";
import { fromMilliseconds, microseconds } from "../../base/index.js";
import { Playout } from "./playout.js";
import { framesAt, framesIn, millisecondsIn, QUANTUM_FRAMES } from "./samples.js";

const PACKET_MS = 20;
const PACKET = framesIn(PACKET_MS);
const HZ = 440;
const AMPLITUDE = 0.5;
/** Of a sine, and of the fades and crossfades of 5 ms between two samples of it. */
const LARGEST_STEP = AMPLITUDE * ((2 * Math.PI * HZ) / 48_000 + Math.PI / framesIn(5));

interface Heard {
  /** Frames pulled before. */
  readonly at: number;
  readonly from: number;
  readonly frames: number;
  readonly epoch: number;
}

/** A broadcast captured without a pause, over a path with set delays, into a playout. */
class Live {
  readonly playout: Playout;
  readonly heard: Heard[] = [];
  readonly skips: { readonly frames: number; readonly excess: number; readonly at: number; readonly from: number }[] =
    [];
  largestStep = 0;
  /** The smallest of the peaks of each quantum. */
  lowestPeak = Number.POSITIVE_INFINITY;
  frames = 0;
  epoch = 0;
  /** First packet not yet captured. */
  next = 0;
  #last = 0;
  #waiting: { readonly at: number; readonly packet: number }[] = [];
  readonly #delayMs: (captureMs: number) => number;
  readonly #sample: (frame: number) => number;

  constructor(
    live: boolean,
    delayMs: (captureMs: number) => number,
    options: { readonly jitterMs?: number; readonly adaptive?: boolean } = {},
    sample = (frame: number) => AMPLITUDE * Math.sin((2 * Math.PI * HZ * frame) / 48_000),
  ) {
    this.playout = new Playout({ channels: 2, adaptive: false, ...options });
    this.playout.setLive(live);
    this.#delayMs = delayMs;
    this.#sample = sample;
  }

  runTo(milliseconds: number) {
    const output = [new Float32Array(QUANTUM_FRAMES), new Float32Array(QUANTUM_FRAMES)];
    for (; this.frames < framesIn(milliseconds); this.frames += QUANTUM_FRAMES) {
      this.#deliver();
      const { position, excess } = this.playout.clock;
      const before = this.playout.counters.skippedMs;
      for (const { timestamp, frames, offset, epoch } of this.playout.pull(output))
        this.heard.push({ at: this.frames + offset, from: framesAt(timestamp), frames, epoch });
      const skipped = framesIn(this.playout.counters.skippedMs - before);
      if (skipped > 0) this.skips.push({ frames: skipped, excess, at: this.frames, from: position! });
      let peak = 0;
      for (const sample of output[1]!) {
        peak = Math.max(peak, Math.abs(sample));
        this.largestStep = Math.max(this.largestStep, Math.abs(sample - this.#last));
        this.#last = sample;
      }
      this.lowestPeak = Math.min(this.lowestPeak, peak);
    }
  }

  /** From capture to audio, less the packet. */
  get delayMs() {
    const { at, from } = this.heard.at(-1)!;
    return millisecondsIn(at - from) - PACKET_MS;
  }

  /** Frames of media heard, and frames between them that were skipped. */
  get coverage() {
    let heard = 0;
    let left = 0;
    let overlap = 0;
    let end = this.heard[0]!.from;
    for (const { from, frames } of this.heard) {
      overlap += Math.max(0, end - from);
      left += from - end;
      heard += frames;
      end = from + frames;
    }
    expect(overlap).toBe(0);
    return { heard, left };
  }

  #deliver() {
    for (; (this.next + 1) * PACKET <= this.frames; this.next++) {
      const captureMs = (this.next + 1) * PACKET_MS;
      this.#waiting.push({ at: framesIn(captureMs + this.#delayMs(captureMs)), packet: this.next });
    }
    for (; this.#waiting[0] && this.#waiting[0].at <= this.frames; this.#waiting.shift()) {
      const { packet } = this.#waiting[0];
      const timestamp = fromMilliseconds(packet * PACKET_MS);
      const samples = new Float32Array(PACKET);
      for (let index = 0; index < PACKET; index++) samples[index] = this.#sample(packet * PACKET + index);
      this.playout.arrive(timestamp);
      this.playout.landed(timestamp);
      this.playout.write(timestamp, [samples], { epoch: this.epoch, generation: this.epoch });
    }
  }
}

/** From -0.5 to 0.5, never alike. */
function noise(frame: number) {
  const mixed = Math.imul(frame ^ (frame >>> 15), 0x2c1b3c6d);
  return (Math.imul(mixed ^ (mixed >>> 12), 0x297a2d39) >>> 8) / 2 ** 24 - 0.5;
}

/** No packet arrives from `fromMs` until `untilMs`; otherwise the path takes `delayMs`. */
const stall =
  (fromMs: number, untilMs: number, delayMs = 10) =>
  (captureMs: number) =>
    captureMs + delayMs > fromMs && captureMs < untilMs ? Math.max(delayMs, untilMs - captureMs) : delayMs;

test("after a stall the delay of a live broadcast returns to the target without a step, and the record shows what was skipped", () => {
  const stalled = new Live(false, stall(3000, 3300));
  stalled.runTo(20_000);
  expect(stalled.delayMs).toBeGreaterThan(200);
  expect(stalled.playout.counters.skippedMs).toBe(0);

  const live = new Live(true, stall(3000, 3300));
  live.runTo(5000);
  expect(live.playout.counters).toMatchObject({ underruns: 1, skippedMs: 0 });
  expect(live.delayMs).toBeGreaterThan(200);
  live.lowestPeak = Number.POSITIVE_INFINITY;
  live.runTo(20_000);
  expect(live.lowestPeak).toBeGreaterThan(AMPLITUDE * 0.9);
  expect(live.delayMs).toBeGreaterThanOrEqual(90);
  expect(live.delayMs).toBeLessThan(100);
  const { skippedMs, playedMs } = live.playout.counters;
  expect(live.coverage).toEqual({ heard: framesIn(playedMs), left: framesIn(skippedMs) });
  // A sine is never quiet: a fifth faster at most, and 5 % once less than 100 ms are left.
  expect(live.skips.length).toBeGreaterThan(4);
  for (const [index, { frames, at, excess }] of live.skips.entries()) {
    const spacing = excess > framesIn(100) ? 5 : 20;
    expect((live.skips[index + 1]?.at ?? Number.POSITIVE_INFINITY) - at).toBeGreaterThanOrEqual(frames * spacing);
  }
  expect(live.largestStep).toBeLessThan(LARGEST_STEP);
});

test("a listener that set its playhead by a late frame catches up too, and does not take a slower path for delay", () => {
  const late = new Live(true, (captureMs) => (captureMs <= PACKET_MS ? 400 : Math.max(10, 420 - captureMs)));
  late.runTo(20_000);
  expect(late.delayMs).toBeLessThan(100);
  expect(late.playout.counters).toMatchObject({ underruns: 0, anchors: 1 });

  const slower = new Live(true, (captureMs) => (captureMs < 5000 ? 10 : 60));
  slower.runTo(20_000);
  expect(slower.playout.counters).toMatchObject({ underruns: 0, skippedMs: 0 });
});

test("where frames are often late, more than the target remains to cover them", () => {
  const steady = stall(3000, 3300);
  const live = new Live(true, (captureMs) => Math.max(steady(captureMs), captureMs % 200 === 0 ? 90 : 0), {
    jitterMs: 40,
  });
  live.runTo(9000);
  const { underruns, skippedMs } = live.playout.counters;
  expect(skippedMs).toBeGreaterThan(50);
  live.runTo(15_000);
  expect(live.delayMs).toBeLessThan(120);
  expect(live.playout.counters.underruns).toBe(underruns);
});

test("where there are quiet stretches the listener skips only those", () => {
  const isSpeech = (frame: number) => frame % framesIn(700) < framesIn(500);
  const live = new Live(true, stall(3000, 3300), {}, (frame) =>
    isSpeech(frame) ? Math.sin(frame * 0.03) : noise(frame) * 0.02,
  );
  live.runTo(20_000);
  expect(live.delayMs).toBeLessThan(100);
  expect(live.skips.length).toBeGreaterThan(4);
  for (const { from, frames } of live.skips)
    for (let frame = from - framesIn(5); frame < from + frames + framesIn(5); frame++)
      expect(isSpeech(frame)).toBe(false);
});

test("an adaptive delay follows the jitter up and comes back down in the audio, not only in the target", () => {
  const jitter = (captureMs: number) => (captureMs % 500 === 0 && captureMs < 10_000 ? 160 : 10);
  const live = new Live(true, jitter, { adaptive: true });
  live.runTo(10_000);
  expect(live.playout.clock.targetMs).toBeCloseTo(170, -1);
  expect(live.delayMs).toBeGreaterThan(130);
  live.runTo(40_000);
  expect(live.playout.clock.targetMs).toBe(40);
  expect(live.delayMs).toBeLessThan(70);
});

test("a rewind takes back a joint of a skip, and reports how far the listener heard", () => {
  const live = new Live(true, stall(3000, 3300));
  live.runTo(5000);
  while (live.skips.length < 3) live.runTo(millisecondsIn(live.frames + QUANTUM_FRAMES));
  // Right behind a skip, half of whose crossfade is still to come.
  const from = live.playout.playhead!;
  live.epoch = 1;
  live.playout.rewind({ discontinuity: 1, from, generation: 1 });
  const skips = live.skips.length;
  expect(live.playout.applied?.heardUntil).toBe(from);
  live.runTo(20_000);
  expect(live.heard.filter(({ epoch }) => epoch === 0).at(-1)).toMatchObject({ at: expect.any(Number) });
  const ends = live.heard.filter(({ epoch }) => epoch === 0).map(({ from: heard, frames }) => heard + frames);
  expect(Math.max(...ends)).toBeLessThanOrEqual(framesAt(from));
  expect(live.playout.counters.staleMs).toBe(0);
  expect(live.skips.length).toBeGreaterThanOrEqual(skips);
  expect(live.largestStep).toBeLessThan(LARGEST_STEP);
});

test("over many paths the listener never skips more than the excess nor in audio sent ahead, makes no step, and converges", () => {
  const stalls = fc.array(fc.record({ atMs: fc.integer({ min: 500, max: 4000 }), ms: fc.integer({ max: 400 }) }), {
    maxLength: 4,
  });
  fc.assert(
    fc.property(
      fc.constantFrom(true, true, true, false),
      stalls.map((all) => all.map(({ atMs, ms }) => ({ atMs, ms: Math.max(0, ms) }))),
      fc.integer({ min: 0, max: 80 }),
      fc.constantFrom(40, 80, 120),
      fc.constantFrom(undefined, undefined, 110, HZ),
      fc.nat(1e6),
      (live, stalls, jitterMs, targetMs, hz, seed) => {
        let last = 0;
        const delay = (captureMs: number) => {
          let delayMs = 10 + ((captureMs * 31 + seed) % 997) * (jitterMs / 997);
          for (const { atMs, ms } of stalls)
            if (captureMs >= atMs && captureMs < atMs + ms) delayMs = Math.max(delayMs, atMs + ms - captureMs);
          // No packet overtakes another.
          last = Math.max(last, captureMs + delayMs);
          return last - captureMs;
        };
        const tone = (frame: number) =>
          hz === undefined ? noise(frame + seed) : AMPLITUDE * Math.sin((2 * Math.PI * hz * frame) / 48_000);
        const path = new Live(live, delay, { jitterMs: targetMs }, tone);
        path.runTo(8000);
        const { underruns } = path.playout.counters;
        path.runTo(18_000);
        const any = Number.POSITIVE_INFINITY;
        expect(path.playout.counters.underruns).toBeLessThanOrEqual(live ? underruns : any);
        const { left } = path.coverage;
        expect(left).toBe(framesIn(path.playout.counters.skippedMs));
        for (const { frames, excess } of path.skips) expect(frames).toBeLessThanOrEqual(excess);
        // A step shows only in a tone, and audio sent ahead has no delay to bound.
        expect(path.largestStep).toBeLessThan(hz === undefined ? any : LARGEST_STEP);
        expect(path.skips.length).toBeLessThanOrEqual(live ? any : 0);
        expect(path.delayMs).toBeLessThan(live ? 10 + Math.max(targetMs, jitterMs + 20) + 50 : any);
        expect(path.delayMs).toBeGreaterThanOrEqual(10 + targetMs - millisecondsIn(QUANTUM_FRAMES));
      },
    ),
    { numRuns: 12, seed: 20260102 },
  );
});

test("a new timeline and a broadcast that is no longer live restart the evidence", () => {
  const live = new Live(true, stall(3000, 3300));
  live.runTo(6000);
  expect(live.playout.clock.excess).toBeGreaterThan(0);
  live.playout.setLive(false);
  expect(live.playout.clock.excess).toBe(0);
  live.playout.setLive(true);
  expect(live.playout.clock.excess).toBe(0);
  live.playout.reset();
  live.playout.landed(microseconds(0));
  expect(live.playout.clock.excess).toBe(0);
});
