import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import fc from "fast-check";
import { Application, createDecoder, createEncoder } from "libopus-wasm";
import type { Browser, Page } from "playwright-core";
import { expect, test } from "vitest";
import { microseconds } from "../base/index.js";
import { RewindConsumer } from "../container/index.js";
import { knobsSchema, OpusEncoder, type OpusOptions } from "../publisher/index.js";
import { AudioPipeline, loadOpus } from "../watch/index.js";
import { launchChromium } from "./support/chromium.js";
import {
  CodecLoop,
  decibels,
  furthest,
  likeness,
  position,
  power,
  SECONDS,
  STEP,
  voiced,
} from "./support/codec-loop.js";

const settings = fc.record({
  application: fc.constantFrom("voice" as const, "audio" as const, "lowdelay" as const),
  frameMs: fc.constantFrom(5 as const, 10 as const, 20 as const),
  bitrateBps: fc.constantFrom(32_000, 64_000, 128_000),
  groupFrames: fc.integer({ min: 1, max: 3 }),
});
const utterance = fc.record({
  length: fc.integer({ min: 1, max: 12_000 }),
  pause: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 15_000 })),
  hertz: fc.integer({ min: 120, max: 300 }),
  // What happens in its midst: nothing, a cut of what is sent or still to be sent, a turn of a knob, a frame skipped, a
  // pause of the source, in which the rest is delayed.
  event: fc.constantFrom(
    "none" as const,
    "cut" as const,
    "cut unsent" as const,
    "turn" as const,
    "skip" as const,
    "delay" as const,
  ),
  share: fc.double({ min: 0.1, max: 0.9, noNaN: true }),
});

test("a listener hears every utterance at its level and position, from its first sample to its last", async () => {
  await fc.assert(
    fc.asyncProperty(settings, fc.array(utterance, { minLength: 1, maxLength: 6 }), async (options, utterances) => {
      const loop = await CodecLoop.open(options);
      const { heard, source, audioTrack } = loop;
      const whole: { from: number; to: number }[] = [];
      const silent: { from: number; to: number }[] = [];
      for (const { length, pause, hertz, event, share } of utterances) {
        const from = loop.say(voiced(length, hertz), pause);
        const to = from + length;
        const middle = from + Math.round(length * share);
        const isAhead = event === "none" || event === "cut" || event === "turn";
        loop.encode(isAhead ? {} : { until: middle, ended: false });
        if (event === "none") whole.push({ from, to });
        if (event === "cut" || event === "cut unsent") {
          // Of what is not sent yet the encoder has heard a look-ahead.
          const at = event === "cut" ? middle : Math.min(to, audioTrack.cursor + Math.round(share * 300));
          loop.cut(at);
          whole.push({ from, to: at });
          silent.push({ from: at + 240, to: at + 720 });
        }
        if (event === "turn") {
          loop.turn(middle, -6);
          // It takes a frame.
          whole.push({ from, to: middle }, { from: middle + 960, to });
        }
        if (event === "skip" && audioTrack.cursor > from) {
          whole.push({ from, to: Math.min(to, audioTrack.cursor) });
          source.fill(0, audioTrack.cursor, audioTrack.cursor + 48 * options.frameMs);
          audioTrack.skip(audioTrack.cursor + 1);
          // The decoder has nothing to overlap the first 2.5 ms with.
          whole.push({ from: audioTrack.cursor + 120, to });
        }
        if (event === "delay") {
          loop.encode({ until: middle, ended: false });
          const rest = audioTrack.unsent;
          const by = audioTrack.delay(rest + 1 + Math.round(share * 4800));
          source.copyWithin(rest + by, rest, to);
          source.fill(0, rest, rest + by);
          whole.push({ from, to: rest }, { from: Math.max(rest, from) + by, to: to + by });
        }
        loop.encode();
        audioTrack.setKnobs(knobsSchema.parse({}));
        // Behind what is cut, the next utterance is far enough away to hear that it is silent.
        if (event.startsWith("cut")) audioTrack.startAt(audioTrack.end + 960);
        await new Promise((resolve) => setImmediate(resolve));
      }
      for (const { from, to } of silent) expect(power(heard, from, to)).toBeLessThan(1e-3);
      for (const { from, to } of whole) {
        expect(furthest(heard, source, from, to)).toBeLessThan(3);
        if (to - from < 240) continue;
        const ends = [
          [from, from + 240],
          [to - 240, to],
        ] as const;
        for (const [a, b] of ends) expect(Math.abs(decibels(power(heard, a, b) / power(source, a, b)))).toBeLessThan(6);
        if (options.application === "voice") continue;
        expect(likeness(heard, source, from, to)).toBeGreaterThan(0.95);
        for (const [a, b] of ends) expect(likeness(heard, source, a, b)).toBeGreaterThan(0.8);
      }
      loop.close();
    }),
    { seed: 7, numRuns: 60, endOnFailure: false },
  );
});

/** Packets of a steady sound, and that sound as it is to be heard. */
async function packets(options: OpusOptions, hertz: number) {
  const encoder = await OpusEncoder.create(options);
  const source = voiced(48_000, hertz);
  const { frameSize, lookahead } = encoder;
  const made: Uint8Array[] = [];
  for (let at = 0; at + frameSize <= source.length; at += frameSize)
    made.push(encoder.encode(source.subarray(at, at + frameSize)));
  encoder.close();
  return { made, frameSize, sound: (index: number) => source.subarray(Math.max(0, index * frameSize - lookahead)) };
}

test("a packet is at its level whatever the decoder heard before it", async () => {
  const pasts = ["nothing", "silence", "another voice, louder", "the other rendition", "a loss"] as const;
  for (const frameMs of [5, 10, 20] as const) {
    for (const [application, bitrateBps] of [
      ["audio", 16_000],
      ["audio", 64_000],
      ["lowdelay", 64_000],
      ["voice", 64_000],
    ] as const) {
      const options = { application, frameMs, bitrateBps };
      const { made, frameSize, sound } = await packets(options, 170);
      const other = await packets(options, 290);
      const low = await packets({ application: "audio", frameMs, bitrateBps: 16_000 }, 170);
      const joined = Math.round(24_000 / frameSize);
      for (const past of pasts) {
        const decoder = await createDecoder({ channels: 1 });
        const before = past === "another voice, louder" ? other.made : past === "the other rendition" ? low.made : made;
        if (past === "silence") decoder.decodeFloat(await silence(options));
        else if (past !== "nothing") for (const each of before.slice(0, joined)) decoder.decodeFloat(each);
        if (past === "a loss") for (let i = 0; i < 3; i++) decoder.decodePacketLossFloat(frameSize);
        const heard = made.slice(joined).flatMap((packet) => [...decoder.decodeFloat(packet)]);
        decoder.free();
        const errors = Array.from({ length: 10 }, (_, step) => {
          const [a, b] = [(step + 1) * STEP, (step + 2) * STEP];
          return decibels(power(Float32Array.from(heard.slice(0, b)), a, b) / power(sound(joined), a, b));
        });
        expect(Math.max(...errors)).toBeLessThan(3);
        // SILK goes on from what was before: with another past it is too quiet at first.
        const isExact = application !== "voice" || frameMs === 5;
        expect(Math.min(...errors)).toBeGreaterThan(isExact ? -3 : Number.NEGATIVE_INFINITY);
      }
    }
  }
});

async function silence(options: OpusOptions): Promise<Uint8Array> {
  const encoder = await OpusEncoder.create(options);
  encoder.close();
  return encoder.silence;
}

test("audio of another encoder that runs through pauses decodes at its level", async () => {
  const encoder = await createEncoder({ channels: 1, bitrate: 64_000, application: Application.Audio });
  const heard = new Float32Array(SECONDS * 48_000);
  const source = new Float32Array(heard.length);
  const consumer = new RewindConsumer({ clock: () => microseconds(0) });
  const pipeline = new AudioPipeline({
    consumer,
    openDecoder: await loadOpus({ channels: 1 }),
    output: {
      playhead: undefined,
      arrive: () => microseconds(0),
      rewind: () => {},
      write: (timestamp, [samples]) => {
        heard.set(samples!, position(timestamp));
        return samples!.length;
      },
    },
  });
  let sequence = 0;
  let at = 0;
  const utterances: { from: number; to: number }[] = [];
  // Pauses of 40 ms to 1 s that its media time knows and its encoder does not.
  for (const pause of [0, 1920, 4800, 24_000, 48_000]) {
    at += pause;
    const samples = voiced(9600, 200);
    source.set(samples, at + 312);
    utterances.push({ from: at + 312, to: at + 9600 });
    for (let i = 0; i < samples.length; i += 960, at += 960) {
      const payload = encoder.encodeFloat(samples.subarray(i, i + 960));
      consumer.receive(sequence, { timestamp: microseconds((at * 1000) / 48), payload, keyframe: true });
      consumer.finish(sequence++);
      pipeline.pump();
    }
  }
  for (const { from, to } of utterances) expect(furthest(heard, source, from, to)).toBeLessThan(3);
  expect(pipeline.counters.concealed).toBe(0);
  pipeline.close();
  encoder.free();
});

/** Opens pages that decode with the browser's decoders. */
async function decodePages(browser: Browser): Promise<() => Promise<Page>> {
  const script = await build({
    entryPoints: [fileURLToPath(new URL("support/decode-page.ts", import.meta.url))],
    bundle: true,
    format: "iife",
    target: "es2023",
    write: false,
  });
  return async () => {
    const page = await browser.newPage();
    await page.route("http://localhost/**", (route) => route.fulfill({ contentType: "text/html", body: "" }));
    await page.goto("http://localhost/");
    await page.addScriptTag({ content: script.outputFiles[0]!.text });
    return page;
  };
}

test("the browser's decoder plays utterances at their level and position too, and no rendition at another rate", async () => {
  const browser = await launchChromium();
  try {
    const open = await decodePages(browser);
    const page = await open();
    const renditions = [
      { codec: "opus", sampleRate: 48_000, numberOfChannels: 2 },
      { codec: "opus", sampleRate: 24_000, numberOfChannels: 1 },
      { codec: "opus", sampleRate: 48_000, numberOfChannels: 6 },
      { codec: "pcm-s16", sampleRate: 48_000, numberOfChannels: 2 },
      { codec: "pcm-s16", sampleRate: 24_000, numberOfChannels: 1 },
      { codec: "pcm-s16", sampleRate: 48_000, numberOfChannels: 6 },
      { codec: "flac", sampleRate: 44_100, numberOfChannels: 2 },
      { codec: "mp3", sampleRate: 48_000, numberOfChannels: 2 },
      { codec: "mp3", sampleRate: 44_100, numberOfChannels: 2 },
    ];
    const can = await page.evaluate<boolean[]>(`canDecode(${JSON.stringify(renditions)})`);
    expect(can).toEqual([true, true, false, true, false, false, false, true, false]);
    const decodeAll = async (frameMs: 5 | 10 | 20) => {
      const page = await open();
      const loop = await CodecLoop.open({ frameMs });
      const { source, audioTrack } = loop;
      const whole: { from: number; to: number }[] = [];
      const say = (length: number, pause: number, until = length) => {
        const from = loop.say(voiced(length, 170 + 7 * whole.length), pause);
        whole.push({ from, to: from + until });
        loop.encode();
        return from + until;
      };
      // After nothing, after a pause, right behind the one before, and after an interrupt.
      say(10_001, 4800);
      say(5000, 12_345);
      say(777, 0);
      loop.cut(say(20_000, 30_000, 7000));
      say(6000, 3000);
      // A knob turned, and a lower rendition for some of it.
      const turned = say(14_400, 9000, 4800);
      loop.turn(turned, -6);
      loop.encode({ until: turned + 4800 });
      whole.push({ from: turned + 960, to: turned + 9600 });
      loop.lowWanted = true;
      loop.encode();
      const packets = loop.frames.map(({ sequence, timestamp, low, payload }) => {
        return { sequence, timestamp, payload: [...(low ?? payload)] };
      });
      const decode = async (those: typeof packets) => {
        const decoded = await page.evaluate<string>(`decode(${JSON.stringify(those)}, ${SECONDS})`);
        return new Float32Array(Uint8Array.from(Buffer.from(decoded, "base64")).buffer);
      };
      const heard = await decode(packets);
      for (const { from, to } of whole) {
        expect(furthest(heard, source, from, to)).toBeLessThan(3);
        expect(likeness(heard, source, from, to)).toBeGreaterThan(0.95);
        expect(likeness(heard, source, from, from + 240)).toBeGreaterThan(0.8);
      }
      // Joined in the midst of the last utterance.
      const joined = packets.findIndex(({ timestamp }) => position(timestamp) > whole.at(-1)!.from);
      const late = await decode(packets.slice(joined));
      const from = position(packets[joined]!.timestamp);
      expect(furthest(late, source, from, audioTrack.end)).toBeLessThan(3);
      loop.close();
    };
    await Promise.all(([5, 10, 20] as const).map(decodeAll));
  } finally {
    await browser.close();
  }
});
