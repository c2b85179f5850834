import fc from "fast-check";
import { Application, createDecoder, createEncoder } from "libopus-wasm";
import { expect, test } from "vitest";
import { type Microseconds, microseconds } from "../base/index.js";
import { RewindConsumer } from "../container/index.js";
import { Composer } from "../publisher/composer.js";
import { knobsSchema, OpusEncoder, type OpusOptions } from "../publisher/index.js";
import type { OutgoingFrame } from "../publisher/outbox.js";
import { AudioPipeline, loadOpus, type PlayoutRewind } from "../watch/index.js";

const SECONDS = 8;
const STEP = 480;
const position = (time: number) => Math.round((time * 48) / 1000);
const decibels = (ratio: number) => 10 * Math.log10(ratio + 1e-9);

/** A voiced sound: many harmonics, steady, so that its level is the same in every 10 ms. */
function voiced(length: number, hertz: number): Float32Array {
  return Float32Array.from({ length }, (_, i) => {
    let sum = 0;
    for (let h = 1; h < 12; h++) sum += Math.sin((2 * Math.PI * hertz * h * i) / 48_000 + h * h) / h;
    return 0.15 * sum;
  });
}

function power(samples: Float32Array, from: number, to: number): number {
  let sum = 0;
  for (let i = from; i < to; i++) sum += samples[i]! ** 2;
  return sum / (to - from);
}

/** The furthest that any whole 10 ms of a stretch is from its source, in dB; the first is left out. */
function furthest(heard: Float32Array, source: Float32Array, from: number, to: number): number {
  let worst = 0;
  for (let at = from + STEP; at + STEP <= to; at += STEP) {
    const error = decibels(power(heard, at, at + STEP) / power(source, at, at + STEP));
    worst = Math.max(worst, Math.abs(error));
  }
  return worst;
}

/** How much of what was heard is the source, in its place: 1 when it is nothing else. */
function likeness(heard: Float32Array, source: Float32Array, from: number, to: number): number {
  let both = 0;
  for (let i = from; i < to; i++) both += heard[i]! * source[i]!;
  return both / ((to - from) * Math.sqrt(power(heard, from, to) * power(source, from, to)) + 1e-12);
}

/** Composer, encoders, consumer and decoder in a row, without time and without a network. */
class Loop {
  /** What should be heard, by place on the timeline. */
  readonly source = new Float32Array(SECONDS * 48_000);
  readonly heard = new Float32Array(SECONDS * 48_000);
  readonly frames: Omit<OutgoingFrame, "producedAt">[] = [];
  readonly composer: Composer;
  lowWanted = false;
  readonly #consumer = new RewindConsumer({ clock: () => microseconds(0), maxSpanUs: microseconds(60_000_000) });
  readonly #pipeline: AudioPipeline;

  private constructor(frameMs: number, groupFrames: number, openDecoder: Awaited<ReturnType<typeof loadOpus>>) {
    this.composer = new Composer({
      channels: 1,
      frameMs,
      frameSize: 48 * frameMs,
      groupFrames,
      capacity: this.source.length,
      renege: "rewind",
      knobs: knobsSchema.parse({}),
      lowWanted: () => this.lowWanted,
      onFrame: (frame) => this.#deliver(frame),
      onRewind: () => {},
      onTrack: () => {},
    });
    this.#pipeline = new AudioPipeline({
      consumer: this.#consumer,
      openDecoder,
      output: {
        playhead: undefined,
        arrive: () => microseconds(0),
        write: (timestamp: Microseconds, [samples]: readonly Float32Array[]) => {
          this.heard.set(samples!, position(timestamp));
          return samples!.length;
        },
        rewind: ({ from }: PlayoutRewind) => this.heard.fill(0, position(from)),
      },
    });
  }

  static async open({ groupFrames = 1, ...options }: OpusOptions & { groupFrames?: number }): Promise<Loop> {
    const loop = new Loop(options.frameMs ?? 20, groupFrames, await loadOpus({ channels: 1 }));
    const encoder = await OpusEncoder.create(options);
    const { lookahead } = encoder;
    const { frameMs } = options;
    const low = await OpusEncoder.create({ frameMs, bitrateBps: 16_000, application: "lowdelay", lookahead });
    loop.composer.setEncoders(encoder, low);
    return loop;
  }

  /** Says something, `pause` samples behind what was said last, and returns where it begins. */
  say(samples: Float32Array, pause: number): number {
    this.composer.startAt(this.composer.end + pause);
    const start = this.composer.end;
    this.composer.write({ dry: samples, wet: samples });
    this.source.set(samples, start);
    return start;
  }

  encode({ until = this.source.length, ended = true } = {}): void {
    while (this.composer.encode(until, { ended }));
  }

  /** Ends what is said at a place, taken back where it was sent. */
  cut(at: number): void {
    const reneged = at < this.composer.cursor;
    this.composer.cut(at);
    this.source.fill(0, at);
    if (reneged) this.composer.silence(at);
  }

  /** Says what follows a place otherwise. */
  turn(at: number, gainDb: number): void {
    this.composer.setKnobs(knobsSchema.parse({ gainDb }));
    if (at < this.composer.cursor) this.composer.rewind(at);
    for (let i = at; i < this.composer.end; i++) this.source[i]! *= 10 ** (gainDb / 20);
  }

  close(): void {
    this.composer.close();
    this.#pipeline.close();
  }

  #deliver(frame: Omit<OutgoingFrame, "producedAt">): void {
    this.frames.push(frame);
    const { sequence, timestamp, low, payload } = frame;
    this.#consumer.receive(sequence, { timestamp, payload: low ?? payload, keyframe: true });
    if (frame.endsGroup) this.#consumer.finish(sequence);
    this.#pipeline.pump();
  }
}

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
  // What happens in its midst: nothing, a cut of what is sent or still to be sent, a turn of a knob, a frame skipped.
  event: fc.constantFrom("none" as const, "cut" as const, "cut unsent" as const, "turn" as const, "skip" as const),
  share: fc.double({ min: 0.1, max: 0.9, noNaN: true }),
});

test("every utterance is heard at its level and in its place, from its first sample to its last", async () => {
  await fc.assert(
    fc.asyncProperty(settings, fc.array(utterance, { minLength: 1, maxLength: 6 }), async (options, utterances) => {
      const loop = await Loop.open(options);
      const { heard, source, composer } = loop;
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
          const at = event === "cut" ? middle : Math.min(to, composer.cursor + Math.round(share * 300));
          loop.cut(at);
          whole.push({ from, to: at });
          silent.push({ from: at + 240, to: at + 720 });
        }
        if (event === "turn") {
          loop.turn(middle, -6);
          // It takes a frame.
          whole.push({ from, to: middle }, { from: middle + 960, to });
        }
        if (event === "skip" && composer.cursor > from) {
          whole.push({ from, to: Math.min(to, composer.cursor) });
          source.fill(0, composer.cursor, composer.cursor + 48 * options.frameMs);
          composer.skip(composer.cursor + 1);
          // The decoder has nothing to overlap the first 2.5 ms with.
          whole.push({ from: composer.cursor + 120, to });
        }
        loop.encode();
        composer.setKnobs(knobsSchema.parse({}));
        // Behind what is cut, the next utterance is far enough away to hear that it is silent.
        if (event.startsWith("cut")) composer.startAt(composer.end + 960);
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
        if (application !== "voice" || frameMs === 5) expect(Math.min(...errors)).toBeGreaterThan(-3);
      }
    }
  }
});

async function silence(options: OpusOptions): Promise<Uint8Array> {
  const encoder = await OpusEncoder.create(options);
  encoder.close();
  return encoder.silence;
}

test("an encoder of another make that goes on over pauses is decoded at its level", async () => {
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
