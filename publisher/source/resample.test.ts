import { describe, expect, test } from "vitest";
import { sine } from "../../tests/support/signal.js";
import { Resampler } from "./resample.js";

function convert(samples: Float32Array, from: number, chunk = samples.length, channels = 1): Float32Array {
  const resampler = new Resampler({ from, channels });
  const pieces: Float32Array[] = [];
  for (let at = 0; at < samples.length; at += chunk) pieces.push(resampler.process(samples.subarray(at, at + chunk)));
  pieces.push(resampler.flush());
  const joined = new Float32Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    joined.set(piece, at);
    at += piece.length;
  }
  return joined;
}

/** Level of one frequency in dB relative to a full-scale sine, away from the edges, under a Blackman window. */
function levelAt(samples: Float32Array, hz: number): number {
  const body = samples.subarray(2400, samples.length - 2400);
  let re = 0;
  let im = 0;
  let sum = 0;
  for (let i = 0; i < body.length; i++) {
    const t = (2 * Math.PI * i) / body.length;
    const window = 0.42 - 0.5 * Math.cos(t) + 0.08 * Math.cos(2 * t);
    sum += window;
    re += window * body[i]! * Math.cos((2 * Math.PI * hz * i) / 48_000);
    im += window * body[i]! * Math.sin((2 * Math.PI * hz * i) / 48_000);
  }
  return 20 * Math.log10((2 * Math.hypot(re, im)) / sum + 1e-12);
}

describe("Resampler", () => {
  test("a resampler keeps the pass band in time and level from every usual rate", () => {
    for (const rate of [8000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000]) {
      const hz = 1000;
      const input = sine({ hz, ms: 500, rate });
      const output = convert(input, rate);
      expect(output.length).toBe(Math.round((input.length * 48_000) / rate));
      const ideal = sine({ hz, ms: 500, rate: 48_000 });
      let error = 0;
      for (let i = 2400; i < 21_600; i++) error = Math.max(error, Math.abs(output[i]! - ideal[i]!));
      expect(error, `${rate} Hz`).toBeLessThan(1e-3);
      const edge = Math.min(rate, 48_000) * 0.4;
      expect(Math.abs(levelAt(convert(sine({ hz: edge, ms: 500, rate }), rate), edge)), `${rate} Hz`).toBeLessThan(0.1);
    }
  });

  test("a resampler rejects images above the input's band and aliases from above the output's by 75 dB", () => {
    for (const rate of [8000, 16_000, 22_050, 24_000, 32_000, 44_100]) {
      for (const share of [0.1, 0.25, 0.4].filter((one) => rate * (1 - one) < 24_000)) {
        const output = convert(sine({ hz: rate * share, ms: 500, rate }), rate);
        expect(levelAt(output, rate * (1 - share)), `${rate} Hz at ${share}`).toBeLessThan(-75);
      }
    }
    expect(levelAt(convert(sine({ hz: 30_000, ms: 500, rate: 96_000 }), 96_000), 18_000)).toBeLessThan(-75);
  });

  test("a resampler returns the same samples however the input is cut, also in stereo", () => {
    const mono = sine({ hz: 777, ms: 200, rate: 44_100 });
    const whole = convert(mono, 44_100);
    expect(convert(mono, 44_100, 1)).toEqual(whole);
    expect(convert(mono, 44_100, 441)).toEqual(whole);
    const stereo = new Float32Array(mono.length * 2);
    for (let i = 0; i < mono.length; i++) stereo[i * 2 + 1] = mono[i]!;
    const output = convert(stereo, 44_100, 1000, 2);
    expect(output.filter((_, i) => i % 2 === 1)).toEqual(whole);
    expect(output.filter((_, i) => i % 2 === 0).every((sample) => sample === 0)).toBe(true);
  });

  test("a resampler converts a rate without a short ratio as cleanly as any other", () => {
    for (const rate of [11_127, 22_254, 37_800, 44_056, 47_999, 65_537, 191_999]) {
      const edge = Math.min(rate, 48_000) * 0.4;
      for (const hz of [1000, edge]) {
        const output = convert(sine({ hz, ms: 500, rate }), rate);
        expect(output.length, `${rate} Hz`).toBe(Math.round((Math.round(rate * 0.5) * 48_000) / rate));
        expect(Math.abs(levelAt(output, hz)), `${rate} Hz`).toBeLessThan(0.1);
        const images = [rate - hz, 1.5 * hz, 9000].filter((image) => image < 24_000 && Math.abs(image - hz) > 200);
        expect(Math.max(...images.map((image) => levelAt(output, image))), `${rate} Hz`).toBeLessThan(-75);
      }
    }
  });

  test("a resampler refuses a rate it has no filter for", () => {
    for (const from of [0, 99, 48_000.5, 768_001, 1e6]) {
      expect(() => new Resampler({ from, channels: 1 })).toThrow(`${from} Hz`);
    }
  });

  test("a resampler keeps the pass band of a lower rate and removes what lies above it", () => {
    for (const to of [8000, 16_000, 22_050, 24_000]) {
      const down = (hz: number) => {
        const resampler = new Resampler({ from: 48_000, to, channels: 1 });
        return Float32Array.from([...resampler.process(sine({ hz, ms: 500, rate: 48_000 })), ...resampler.flush()]);
      };
      const output = down(1000);
      expect(output.length).toBe(to / 2);
      const ideal = sine({ hz: 1000, ms: 500, rate: to });
      let error = 0;
      for (let i = Math.ceil(to / 20); i < to * 0.45; i++) error = Math.max(error, Math.abs(output[i]! - ideal[i]!));
      expect(error, `${to} Hz`).toBeLessThan(1e-3);
      const alias = down(to * 0.6).subarray(to / 20, to * 0.45);
      const peak = alias.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      expect(20 * Math.log10(peak), `${to} Hz`).toBeLessThan(-75);
    }
  });
});
