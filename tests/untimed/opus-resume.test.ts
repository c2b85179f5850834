import { expect, test } from "vitest";
import { OpusEncoder } from "../../publisher/index.js";
import { findLag } from "../../src/score.js";
import { loadOpus } from "../../watch/decoders/opus.js";
import { noise } from "../support/signal.js";
import { VirtualStage } from "../support/virtual-stage.js";

const FULL_SCALE = 32_768;
/** Samples that are compared: a tenth of a second. */
const PROBE = 4800;
/** How much earlier or later than expected they may be: 20 ms. */
const AROUND = 960;
/** Samples in a row that only silence has. */
const QUIET = 192;
const SAMPLE_RATE = 48_000;
/** How long the Opus encoder looks ahead, in samples. */
const LOOKAHEAD = 312;

/** How alike two stretches are, from -1 to 1: noise after a codec is like the same noise, and like nothing else. */
function likeness(one: Float32Array, other: Float32Array): number {
  const product = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, at) => sum + value * b[at]!, 0);
  return product(one, other) / Math.sqrt(product(one, one) * product(other, other));
}

for (const frameMs of [5, 20] as const)
  test(`a listener continues at the sample where it fell silent when the publisher resumes, in Opus frames of ${frameMs} ms`, async () => {
    const recording = noise(10 * SAMPLE_RATE, 1);
    const played: number[] = [];
    const stage = new VirtualStage({
      aheadMs: 2000,
      frameMs,
      codec: {
        encoder: await OpusEncoder.create({ channels: 1, frameMs }),
        openDecoder: await loadOpus({ channels: 1 }),
      },
      heard: (values) => {
        for (const value of values) played.push(value / FULL_SCALE);
      },
    });
    stage.say([{ afterMs: 0, ms: 10_000 }], 0, { code: (index) => Math.round(0.3 * FULL_SCALE * recording[index]!) });
    await stage.runTo(1510);
    const interruption = stage.interrupt();
    await stage.runTo(3000);
    await interruption;
    expect(stage.interrupts.resumeAll()).toHaveLength(1);
    await stage.runTo(4500);
    const heard = Float32Array.from(played);
    const isSilent = (at: number) => heard.subarray(at, at + QUIET).every((sample) => Math.abs(sample) < 0.005);
    const cut = heard.findIndex((_, at) => at > SAMPLE_RATE && isSilent(at));
    // Which sample of the recording was the last one: the decoder's output comes a look-ahead after it.
    const next = cut - LOOKAHEAD;
    expect(likeness(recording.subarray(next - PROBE, next), heard.subarray(cut - PROBE, cut))).toBeGreaterThan(0.3);
    // Not one sample is left out, and none repeated: between them lie a frame of silence and the look-ahead.
    const expected = recording.subarray(next, next + PROBE);
    const behind = cut + 48 * frameMs;
    expect(findLag(expected, heard.subarray(behind, behind + PROBE), AROUND)).toBe(LOOKAHEAD);
    const start = behind + LOOKAHEAD;
    expect(likeness(expected, heard.subarray(start, start + PROBE))).toBeGreaterThan(0.3);
  });
