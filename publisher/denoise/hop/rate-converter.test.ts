import { expect, test } from "vitest";
import { sine } from "../../../tests/support/signal.js";
import { CONVERSION_DELAY, Decimator, Interpolator } from "./rate-converter.js";

const HOP = 768;

function converted(samples: Float32Array): Float32Array {
  const down = new Decimator(HOP);
  const up = new Interpolator(HOP / 3);
  const low = new Float32Array(HOP / 3);
  const output = new Float32Array(samples.length);
  for (let at = 0; at < samples.length; at += HOP) {
    down.process(samples.subarray(at, at + HOP), low);
    up.process(low, output.subarray(at, at + HOP));
  }
  return output;
}

const level = (samples: Float32Array) => Math.sqrt(samples.reduce((sum, x) => sum + x * x, 0) / samples.length);

test("a tone below 6.3 kHz passes both conversions unchanged, late by the stated delay", () => {
  for (const hertz of [50, 440, 3000, 6000, 6250]) {
    const samples = sine({ hz: hertz, ms: 192 });
    const error = converted(samples).map((x, i) => x - (i < CONVERSION_DELAY ? 0 : samples[i - CONVERSION_DELAY]!));
    expect(level(error.subarray(HOP)) / level(samples), `${hertz} Hz`).toBeLessThan(0.005);
  }
});

test("a tone above 8.2 kHz is gone after both conversions", () => {
  for (const hertz of [8200, 9000, 12_000, 15_900, 20_000]) {
    const samples = sine({ hz: hertz, ms: 192 });
    expect(level(converted(samples).subarray(HOP)) / level(samples), `${hertz} Hz`).toBeLessThan(0.002);
  }
});
