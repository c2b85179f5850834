import fc from "fast-check";
import { expect, test } from "vitest";
import { microseconds } from "../../base/index.js";
import type { SendStream, Session } from "../../transport/index.js";
import { ByteBudget } from "../broadcast/byte-budget.js";
import { CachedGroup } from "../broadcast/cached-group.js";
import { RelayCounters } from "../relay-counters.js";
import { Code } from "../wire/code.js";
import { encodeGroupHeader, WireFrame } from "../wire/group.js";
import { StreamSender } from "./stream-sender.js";

/** A stream whose writes the transport takes when the test says so. */
class SlowStream implements SendStream {
  bytes = 0;
  finishes = 0;
  readonly resets: number[] = [];
  readonly stopped = new Promise<undefined>(() => {});
  #waiting: (() => void)[] = [];

  write(data: Uint8Array): Promise<void> {
    this.bytes += data.length;
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  take(): boolean {
    const waiting = this.#waiting.splice(0);
    for (const resolve of waiting) resolve();
    return waiting.length > 0;
  }

  async finish(): Promise<void> {
    this.finishes++;
  }

  reset(code: number): void {
    this.resets.push(code);
  }

  setPriority(): void {}
}

async function microtasks(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await undefined;
}

const step = fc.record({ kind: fc.constantFrom("frame", "take"), microtasks: fc.nat({ max: 12 }) });

test("a group goes whole and its stream ends once, whenever frames and the end come while a write settles", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 12 }), fc.nat({ max: 12 }), async (steps, settling) => {
      const stream = new SlowStream();
      const openUnidirectional = () => Promise.resolve(stream);
      const sender = new StreamSender({
        session: { openUnidirectional } as Partial<Session> as Session,
        form: "timed",
        subscribe: 3,
        counters: new RelayCounters(),
        clock: () => microseconds(0),
        pending: new ByteBudget(1e6),
      });
      const group = new CachedGroup(7, microseconds(0));
      let expected = encodeGroupHeader(3, 7).length;
      const push = () => {
        const frame = WireFrame.of(0, new Uint8Array(80));
        expected += frame.bytes("timed").length;
        group.push(frame);
      };
      push();
      sender.send(group, { priority: 1, ordered: true, urgent: false });
      for (const { kind, microtasks: pause } of steps) {
        if (kind === "take") stream.take();
        else {
          push();
          sender.progress(7);
        }
        await microtasks(pause);
      }
      // The end comes any number of microtasks after the transport took the last write.
      stream.take();
      await microtasks(settling);
      group.end();
      sender.progress(7);
      do await microtasks(20);
      while (stream.take());
      expect({ bytes: stream.bytes, finishes: stream.finishes }).toEqual({ bytes: expected, finishes: 1 });
    }),
    { seed: 11, numRuns: 1000 },
  );
});

test("a group that waits too long for the transport is reset, and time in which the process stood still does not count", async () => {
  const stream = new SlowStream();
  let now = 0;
  const sender = new StreamSender({
    session: { openUnidirectional: () => Promise.resolve(stream) } as Partial<Session> as Session,
    form: "timed",
    subscribe: 3,
    counters: new RelayCounters(),
    clock: () => microseconds(now),
    pending: new ByteBudget(1e6),
  });
  const group = new CachedGroup(7, microseconds(0));
  group.push(WireFrame.of(0, new Uint8Array(80)));
  sender.send(group, { priority: 1, ordered: true, urgent: false });
  await microtasks(20);
  const sweepUntil = (ms: number) => {
    for (; now < ms * 1000; now += 100_000) sender.sweep(microseconds(now), microseconds(2_000_000));
  };
  sweepUntil(1000);
  now += 10_000_000;
  sweepUntil(11_500);
  expect(stream.resets).toEqual([]);
  sweepUntil(13_000);
  expect(stream.resets).toEqual([Code.LAGGED]);
});
