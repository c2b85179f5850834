import { createDecoder, getPacketInfo } from "libopus-wasm";
import { describe, expect, test } from "vitest";
import { OpusEncoder } from "./opus.js";

function tone(length: number, from = 0): Float32Array {
  return Float32Array.from({ length }, (_, i) => 0.4 * Math.sin((2 * Math.PI * 440 * (from + i)) / 48_000));
}

/** How well two signals agree, 1 for the same up to level. */
function similarity(a: Float32Array, b: Float32Array): number {
  let ab = 0;
  let aa = 0;
  let bb = 0;
  for (let i = 0; i < a.length; i++) {
    ab += a[i]! * b[i]!;
    aa += a[i]! ** 2;
    bb += b[i]! ** 2;
  }
  return ab / Math.sqrt(aa * bb);
}

describe("OpusEncoder", () => {
  test("an encoder makes packets of 20, 10 and 5 ms that decode to the audio, late by its stated look-ahead", async () => {
    for (const frameMs of [20, 10, 5] as const) {
      for (const application of ["audio", "lowdelay"] as const) {
        const encoder = await OpusEncoder.create({ frameMs, application });
        const decoder = await createDecoder({ channels: 1 });
        expect(encoder.lookahead).toBe(application === "audio" ? 312 : 120);
        const { frameSize } = encoder;
        const decoded: number[] = [];
        for (let at = 0; at < 9600; at += frameSize) {
          const packet = encoder.encode(tone(frameSize, at));
          expect((await getPacketInfo(packet)).durationMs).toBe(frameMs);
          decoded.push(...decoder.decodeFloat(packet));
        }
        const heard = Float32Array.from(decoded).subarray(2400 + encoder.lookahead, 7200);
        expect(similarity(heard, tone(heard.length, 2400))).toBeGreaterThan(0.99);
        decoder.free();
        encoder.close();
      }
    }
  });

  test("an encoder forgets the past on every reset, and with history starts in the middle of audio", async () => {
    const encoder = await OpusEncoder.create();
    const first = encoder.encode(tone(960));
    const second = encoder.encode(tone(960, 960));
    expect(second).not.toEqual(first);
    for (let i = 0; i < 10; i++) {
      encoder.reset();
      if (i % 2 === 1) await new Promise((resolve) => setImmediate(resolve));
      expect(encoder.encode(tone(960))).toEqual(first);
      if (i % 2 === 1) encoder.encode(tone(960, 777));
    }
    encoder.reset(tone(960));
    expect(encoder.encode(tone(960, 960))).toEqual(second);
    encoder.close();
    encoder.close();
    expect(() => encoder.encode(tone(960))).toThrow("after close()");
  });

  test("an encoder has a packet of silence that decodes to silence of the right length", async () => {
    for (const frameMs of [20, 10, 5] as const) {
      const encoder = await OpusEncoder.create({ frameMs, channels: 2 });
      const decoder = await createDecoder({ channels: 2 });
      const samples = decoder.decodeFloat(encoder.silence);
      expect(samples.length).toBe(encoder.frameSize * 2);
      expect(samples.every((sample) => Math.abs(sample) < 1e-4)).toBe(true);
      encoder.close();
      decoder.free();
    }
  });

  test("an encoder spends less on silence with DTX and follows the bit rate", async () => {
    const dtx = await OpusEncoder.create({ dtx: true, application: "voice", bitrateBps: 24_000 });
    const sizes = Array.from({ length: 60 }, () => dtx.encode(new Float32Array(960)).length);
    expect(Math.min(...sizes.slice(20))).toBeLessThanOrEqual(2);
    const bytes = async (bitrateBps: number): Promise<number> => {
      const encoder = await OpusEncoder.create({ bitrateBps });
      let sum = 0;
      for (let i = 0; i < 50; i++)
        sum += encoder.encode(tone(960, i * 960).map((v, k) => v + Math.sin(k * k) * 0.2)).length;
      encoder.close();
      return sum;
    };
    expect(await bytes(96_000)).toBeGreaterThan(2 * (await bytes(24_000)));
    dtx.close();
  });

  test("a decoder recovers a lost packet from the next one's FEC", async () => {
    const encoder = await OpusEncoder.create({
      fec: true,
      packetLossPercent: 30,
      application: "voice",
      bitrateBps: 24_000,
    });
    const decoder = await createDecoder({ channels: 1 });
    const packets = Array.from({ length: 20 }, (_, i) => encoder.encode(tone(960, i * 960)));
    for (const packet of packets.slice(0, 10)) decoder.decodeFloat(packet);
    const recovered = decoder.decodeFloat(packets[11]!, { decodeFec: true, frameSize: 960 });
    expect(similarity(recovered, tone(960, 10 * 960 - encoder.lookahead))).toBeGreaterThan(0.9);
    encoder.close();
    decoder.free();
  });

  test("an encoder refuses bad options by name", async () => {
    await expect(OpusEncoder.create({ frameMs: 7 as 5 })).rejects.toMatchObject({
      code: "INVALID_OPTION",
      message: /frameMs/,
    });
    await expect(OpusEncoder.create({ bitrateBps: 1 })).rejects.toMatchObject({ message: /bitrateBps/ });
  });
});
