import { expect, test } from "vitest";
import { fromMilliseconds, fromSeconds, type Microseconds, microseconds } from "../../base/index.js";
import { LookaheadPacer } from "./lookahead-pacer.js";

const ms = (value: number): Microseconds => fromMilliseconds(value);
const GROUP: Microseconds = ms(20);

/** Speech sent far ahead, heard by a listener whose playhead runs; each group goes as soon as it may. */
class Speech {
  readonly #lookahead = new LookaheadPacer();
  readonly #lossy: boolean;
  readonly #begun = fromSeconds(1);
  now: Microseconds = this.#begun;
  #next: Microseconds = microseconds(0);

  constructor(lossy: boolean) {
    this.#lossy = lossy;
  }

  get playhead(): Microseconds {
    return microseconds(this.now - this.#begun);
  }

  /** Milliseconds of audio received and not played yet. */
  get aheadMs(): number {
    return (this.#next - this.playhead) / 1000;
  }

  run(seconds: number): void {
    const until = this.now + seconds * 1e6;
    for (; this.now < until; this.now = microseconds(this.now + 1000)) {
      const { now, playhead } = this;
      for (;;) {
        const from = this.#lookahead.waitsFrom({ now, playhead });
        if (from !== undefined && this.#next >= from) break;
        this.#lookahead.take(this.#next, { now, playhead, lossy: this.#lossy });
        this.#next = microseconds(this.#next + GROUP);
      }
    }
  }

  /** Everything sent becomes stale, and new speech is sent ahead. */
  interrupt(): void {
    this.#next = this.playhead;
  }
}

test("a second of audio goes at once, and the rest at twice its speed, or no faster than it plays on a lossy path", () => {
  for (const [lossy, gained] of [
    [false, 1000],
    [true, 0],
  ] as const) {
    const speech = new Speech(lossy);
    speech.run(0.001);
    expect(speech.aheadMs).toBeGreaterThanOrEqual(1000);
    expect(speech.aheadMs).toBeLessThanOrEqual(1060);
    speech.run(1);
    const before = speech.aheadMs;
    speech.run(2);
    expect(Math.abs((speech.aheadMs - before) / 2 - gained)).toBeLessThan(30);
  }
});

test("after a hundred interrupts the pace is still the same", () => {
  const speech = new Speech(false);
  for (let time = 0; time < 100; time++) {
    speech.interrupt();
    speech.run(0.3);
  }
  const before = speech.aheadMs;
  speech.run(2);
  expect(Math.abs((speech.aheadMs - before) / 2 - 1000)).toBeLessThan(30);
});

test("without a known playhead no group waits", () => {
  const lookahead = new LookaheadPacer();
  for (let group = 0; group < 500; group++) {
    expect(lookahead.waitsFrom({ now: ms(1000), playhead: undefined })).toBeUndefined();
    lookahead.take(microseconds(group * GROUP), { now: ms(1000), playhead: undefined, lossy: true });
  }
});
