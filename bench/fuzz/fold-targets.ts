import { microseconds } from "../../base/index.js";
import { RewindConsumer, Timeline } from "../../container/index.js";
import { PlayheadClock } from "../../flow/playhead/index.js";
import type { Target } from "./fuzzer.js";

/** Numbers that fields of 62 bits may have, from small ones to the largest that doubles distinguish. */
function numbers(input: Uint8Array): number[] {
  const view = new DataView(input.buffer, input.byteOffset, input.byteLength);
  const found: number[] = [];
  for (let at = 0; at + 4 <= input.length; at += 4) {
    const value = view.getUint32(at);
    // Its last bits choose the size, so that mutation reaches each.
    found.push(value % 4 === 0 ? value % 1024 : value % 4 === 1 ? value : value * 2 ** (value % 21));
  }
  return found;
}

const seed = (...values: number[]): Uint8Array => {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [index, value] of values.entries()) bytes.writeUInt32BE(value, index * 4);
  return new Uint8Array(bytes);
};

/** State of a peer that is kept from one message to the next. */
export const FOLD_TARGETS: readonly Target[] = [
  {
    name: "consumer",
    seeds: [seed(0, 0, 4, 80, 8, 160, 65_536, 80), seed(4, 100_000, 8, 120_000, 262_144, 60_000)],
    execute(input) {
      let now = 0;
      const consumer = new RewindConsumer({
        clock: () => microseconds(now),
        maxGroups: 16,
        maxBytes: 64,
        maxFrames: 16,
      });
      const values = numbers(input);
      let discontinuity = 0;
      for (let index = 0; index + 1 < values.length; index += 2) {
        const timestamp = microseconds(values[index + 1]!);
        now += 50_000;
        consumer.receive(values[index]!, { timestamp, payload: input.subarray(0, 4), keyframe: index % 3 === 0 });
        if (index % 4 === 0) consumer.finish(values[index]!);
        for (let delivery = consumer.read(); delivery !== undefined; delivery = consumer.read()) {
          if (delivery.discontinuity < discontinuity) throw new RangeError("Rewinds were lost.");
          discontinuity = delivery.discontinuity;
          if (consumer.isStale(delivery.sequence, delivery.frame.timestamp)) throw new RangeError("A frame is stale.");
        }
        const { groups, frames, bytes } = consumer.buffered;
        if (groups > 16 || frames > 16 || bytes > 64) throw new RangeError("A bound is passed.");
      }
      return 0;
    },
  },
  {
    name: "timeline",
    seeds: [seed(0, 80, 160, 41, 200)],
    execute(input) {
      const timeline = new Timeline();
      let last = -1;
      for (const value of numbers(input)) {
        if (value % 2 === 1) timeline.rewind(microseconds(value));
        const { sequence } = timeline.next(microseconds(value));
        if (sequence <= last || !Number.isSafeInteger(sequence)) throw new RangeError("A sequence does not climb.");
        last = sequence;
      }
      return 0;
    },
  },
  {
    name: "playhead",
    seeds: [seed(0, 4, 8, 80_000, 160_000, 1)],
    execute(input) {
      const clock = new PlayheadClock();
      let now = 0;
      for (const value of numbers(input)) {
        now += 50_000;
        clock.observe({
          playhead: microseconds(value),
          playing: value % 3 > 0,
          arrival: microseconds(now),
          staleness: microseconds(value % 100_000),
        });
        const at = clock.at(microseconds(now));
        if (at !== undefined && !Number.isFinite(at)) throw new RangeError("The playhead is not a number.");
      }
      return 0;
    },
  },
];
