import { cp, mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { microseconds, TransportError } from "../../base/index.js";
import { loadModel, openAudio, openSource } from "../../publisher/index.js";
import { cough, echo, gain, keys, readSamples, silence } from "../../tests/support/caller-sounds.js";
import { descriptorsOf } from "../../tests/support/open-files.js";
import { concat } from "../../tests/support/signal.js";
import { VirtualAgent, VirtualMicrophone } from "../../tests/support/virtual-microphone.js";
import { Caller, type CallerChange, type CallerOptions } from "./caller.js";
import type { CallerFrame, FrameOptions } from "./frame-reader.js";

const root = fileURLToPath(new URL("../../", import.meta.url));
const model = await loadModel(`${root}models/unsay-denoise.onnx`);
const clean = await readSamples(`${root}examples/audio/clean-speech.wav`);
const noisy = await readSamples(`${root}examples/audio/noisy-speech.wav`);
/** "Congratulazioni", the first word of the recording, without the pause before it. */
const word = clean.subarray(9600, 9600 + 16_320);

interface Heard {
  readonly speech: readonly CallerChange[];
  readonly silence: readonly CallerChange[];
  readonly frames: readonly CallerFrame[];
  readonly caller: Caller;
}

/** What a caller hears; `said` is what the agent says meanwhile, where the caller knows of it. */
async function hear(
  samples: Float32Array,
  { said, ...options }: Partial<CallerOptions> & { readonly said?: Float32Array } = {},
  frameOptions?: FrameOptions,
): Promise<Heard> {
  const microphone = new VirtualMicrophone(samples);
  const agent = said && new VirtualAgent(said, microphone);
  const caller = new Caller({ audio: microphone, model, ...(agent && { agent }), ...options }, microphone.clock);
  const speech: CallerChange[] = [];
  const quiet: CallerChange[] = [];
  caller.on("speech", (change) => speech.push(change));
  caller.on("silence", (change) => quiet.push(change));
  const frames: CallerFrame[] = [];
  if (frameOptions) for await (const frame of caller.frames(frameOptions)) frames.push(frame);
  expect(await caller.closed).toBeNull();
  return { speech, silence: quiet, frames, caller };
}

test("a caller's word is detected within 40 ms of its start, and so is its end", async () => {
  const { speech, silence: quiet } = await hear(concat([silence(1000), word, silence(1000)]));
  expect(speech).toHaveLength(1);
  expect(Math.abs(speech[0]!.startMs - 1000)).toBeLessThanOrEqual(40);
  expect(speech[0]!.startedAt - speech[0]!.startMs).toBeCloseTo(1000, 0);
  expect(quiet).toHaveLength(1);
  expect(quiet[0]!.startMs).toBeGreaterThan(1200);
  expect(quiet[0]!.startMs).toBeLessThan(1400);
});

test("a single word is detected at the level of a quiet and of a loud caller, in noise, and among others", async () => {
  for (const db of [-8, 0, 10]) {
    const { speech } = await hear(concat([silence(500), gain(word, db), silence(900)]));
    expect(speech, `${db} dB`).toHaveLength(1);
  }
  const { speech } = await hear(noisy);
  expect(speech[0]?.startMs).toBeLessThan(350);
});

test("an echo of the agent at -20 dB does not count as speech", async () => {
  for (const seed of [1, 2, 3]) {
    const { speech } = await hear(concat([silence(300), echo(clean, -20, seed), silence(300)]));
    expect(speech).toEqual([]);
  }
});

test("an echo of a known agent does not count as speech, however loud the agent is and late the echo", async () => {
  for (const [db, lateMs] of [
    [-8, 0],
    [0, 150],
    [8, 250],
  ] as const) {
    const said = concat([silence(300), gain(clean.subarray(0, 3 * 48_000), db), silence(700)]);
    const heard = echo(concat([silence(lateMs), said]), -20, 5 + db);
    expect((await hear(heard, { said })).speech, `${db} dB`).toEqual([]);
  }
});

test("a word over the echo of a loud known agent counts as speech at once", async () => {
  const said = gain(clean.subarray(0, 5 * 48_000), 6);
  const heard = echo(said, -20, 6);
  word.forEach((sample, i) => {
    heard[4 * 48_000 + i]! += sample;
  });
  const { speech } = await hear(heard, { said });
  expect(speech).toHaveLength(1);
  expect(Math.abs(speech[0]!.startMs - 4000)).toBeLessThanOrEqual(80);
});

test("with an echo of -120 dB a known agent changes nothing", async () => {
  const said = gain(clean, 8);
  const quiet = concat([silence(500), gain(word, -8), silence(900)]);
  expect((await hear(quiet, { said, echoDb: -120 })).speech).toHaveLength(1);
});

test("a word over the agent's echo counts as speech", async () => {
  const agent = echo(clean, -20, 4);
  const both = agent.slice();
  word.forEach((sample, i) => {
    both[4 * 48_000 + i]! += sample;
  });
  const { speech } = await hear(both);
  expect(speech).toHaveLength(1);
  // The first 50 ms are a consonant 12 dB below the vowel, at the level limit, and the denoiser takes some of it.
  expect(Math.abs(speech[0]!.startMs - 4000)).toBeLessThanOrEqual(40);
});

test("keys and coughs do not count as speech, quiet or loud", async () => {
  const sounds = [0.05, 0.2, 0.7].flatMap((peak, seed) => [
    keys(4000, peak, seed),
    ...[1, 2, 3].flatMap((each) => [cough(peak, 10 * seed + each), silence(300)]),
  ]);
  const { speech, caller } = await hear(concat(sounds));
  expect(speech).toEqual([]);
  expect(caller.stats().heardMs).toBeGreaterThan(15_000);
});

test("frames hold the caller's audio at the requested rate and length, without a gap", async () => {
  const recording = clean.subarray(0, 4 * 48_000);
  for (const { sampleRate, frameMs, format, bytes } of [
    { sampleRate: 16_000, frameMs: 20, format: "s16le", bytes: 640 },
    { sampleRate: 8000, frameMs: 20, format: "mulaw", bytes: 160 },
    { sampleRate: 24_000, frameMs: 100, format: "f32le", bytes: 9600 },
  ] as const) {
    const { frames } = await hear(recording, { denoise: false }, { sampleRate, frameMs, format, backlogMs: 60_000 });
    expect(frames.map(({ startMs }) => startMs)).toEqual(frames.map((_, index) => index * frameMs));
    for (const frame of frames) expect(frame.bytes).toHaveLength(bytes);
    // A reader that passes on the buffer passes on this frame alone.
    for (const frame of frames) expect(frame.bytes.buffer.byteLength).toBe(bytes);
    const samples = concat(frames.map((frame) => frame.samples));
    // All but the hop in the denoiser, the resampler's delay and a partial frame.
    expect(samples.length / sampleRate).toBeGreaterThan(recording.length / 48_000 - 0.02 - frameMs / 1000);
    expect(energyRatioDb(samples, sampleRate, recording)).toBeLessThan(0.5);
  }
});

/** Difference of the samples' energy from the recording's, in decibels. */
function energyRatioDb(samples: Float32Array, rate: number, recording: Float32Array): number {
  const power = (all: Float32Array, each: number) => all.reduce((sum, sample) => sum + sample * sample, 0) / each;
  return Math.abs(10 * Math.log10(power(samples, rate) / power(recording, 48_000)));
}

test("frames are denoised unless that is switched off", async () => {
  const noise = keys(3000, 0.3, 9);
  const peak = (frames: readonly CallerFrame[]) =>
    Math.max(...frames.map(({ samples }) => samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0)));
  expect(peak((await hear(noise, {}, {})).frames)).toBeLessThan(0.01);
  expect(peak((await hear(noise, { denoise: false }, {})).frames)).toBeGreaterThan(0.1);
});

test("a handler that throws costs no audio and no event", async () => {
  const samples = concat([silence(300), word, silence(900), word]);
  const expected = await hear(samples, {}, {});
  const microphone = new VirtualMicrophone(samples);
  const caller = new Caller({ audio: microphone, model }, microphone.clock);
  let events = 0;
  for (const kind of ["speech", "silence"] as const)
    caller.on(kind, () => {
      events++;
      throw new Error("an application's mistake");
    });
  let frames = 0;
  for await (const _ of caller.frames()) frames++;
  expect(await caller.closed).toBeNull();
  expect(frames).toBe(expected.frames.length);
  expect(events).toBe(4);
});

test("a word is detected although the process was too busy to denoise in time before it", async () => {
  const microphone = new VirtualMicrophone(concat([silence(1000), word, silence(500)]));
  let readings = 0;
  const busyClock = () => {
    readings = Math.min(150, readings + 1);
    return microseconds(microphone.clock() + readings * 30_000);
  };
  const caller = new Caller({ audio: microphone, model }, busyClock);
  const speech: CallerChange[] = [];
  caller.on("speech", (change) => speech.push(change));
  expect(await caller.closed).toBeNull();
  expect(caller.stats().bleedMs).toBe(0);
  expect(speech.map(({ startMs }) => Math.round((startMs - 1000) / 100))).toEqual([0]);
});

test("a word is detected although the process is too busy to denoise at all, and keys are not", async () => {
  const hear = async (samples: Float32Array) => {
    const microphone = new VirtualMicrophone(concat([silence(3000), samples, silence(900)]));
    let readings = 0;
    const busyClock = () => microseconds(microphone.clock() + readings++ * 30_000);
    const caller = new Caller({ audio: microphone, model }, busyClock);
    const changes: string[] = [];
    caller.on("speech", ({ startMs }) => changes.push(`speech ${Math.round((startMs - 3000) / 100)}`));
    caller.on("silence", () => changes.push("silence"));
    expect(await caller.closed).toBeNull();
    expect(caller.stats().bleedMs).toBeGreaterThan(1000);
    return changes;
  };
  for (const db of [-8, 0, 10])
    expect(await hear(gain(word, db))).toEqual([expect.stringMatching(/^speech [01]$/), "silence"]);
  expect(await hear(keys(2000, 0.2, 1))).toEqual([]);
  expect(await hear(echo(clean.subarray(0, 96_000), -20, 2))).toEqual([]);
});

test("frames that are asked for ahead come one for each call, in order, and the calls end with the caller", async () => {
  const audio = openAudio({ sampleRate: 48_000, format: "f32le", name: "caller" });
  const caller = new Caller({ audio });
  const frames = caller.frames();
  const calls = Array.from({ length: 5 }, () => frames.next());
  audio.push!.write(clean.subarray(0, 0.07 * 48_000));
  audio.push!.end();
  const results = await Promise.all(calls);
  expect(results.map(({ value }) => value?.startMs)).toEqual([0, 20, 40, undefined, undefined]);
  expect(results.map(({ done }) => done)).toEqual([false, false, false, true, true]);
  expect(await caller.closed).toBeNull();
});

test("a caller can be closed while its audio stands still, and what fails because of that is no reason", async () => {
  const stream = new PassThrough();
  let fail = (_: Error) => {};
  const failing = {
    name: "failing",
    channels: 1,
    read: () =>
      new Promise<never>((_, reject) => {
        fail = reject;
      }),
    close: async () => fail(new Error("closed")),
  } as const;
  const silent = {
    name: "silent",
    channels: 1,
    read: () => new Promise<never>(() => {}),
    close: async () => {},
  } as const;
  for (const audio of [openAudio({ stream }), failing, silent]) {
    const caller = new Caller({ audio });
    const frames = caller.frames();
    const frame = frames.next();
    await caller.close();
    expect(await caller.closed).toBeNull();
    expect(await frame).toEqual({ done: true, value: undefined });
  }
});

test("a caller that gets no connection, or whose audio can't be read, ends with the reason", async () => {
  const away = new Caller({ url: "http://127.0.0.1:9", broadcast: "caller", timeoutMs: 100 });
  expect(await away.closed).toBeInstanceOf(TransportError);
  const reason = new Error("no microphone");
  const read = () => Promise.reject(reason);
  const broken = new Caller({ audio: { name: "broken", channels: 1, read, close: async () => {} } });
  expect(await broken.closed).toBe(reason);
});

test("a caller who ends in the middle of a word falls silent before the end", async () => {
  const { speech, silence: quiet, caller } = await hear(concat([silence(300), word.subarray(0, 9600)]));
  expect(speech).toHaveLength(1);
  expect(quiet).toHaveLength(1);
  expect(quiet[0]!.startMs).toBeGreaterThan(speech[0]!.startMs);
  expect(quiet[0]!.startMs).toBeLessThanOrEqual(500);
  expect(caller.speaking).toBe(false);
});

test("a reader that is too slow loses the oldest frames", async () => {
  const microphone = new VirtualMicrophone(clean);
  const caller = new Caller({ audio: microphone }, microphone.clock);
  const reader = caller.frames({ backlogMs: 1000 });
  await caller.closed;
  const frames: CallerFrame[] = [];
  for await (const frame of reader) frames.push(frame);
  expect(frames).toHaveLength(50);
  expect(frames.at(-1)!.startMs).toBeGreaterThan(10_000);
  // A frame longer than that is the whole backlog.
  expect((await hear(clean, {}, { frameMs: 500, backlogMs: 200 })).frames.length).toBeGreaterThan(10);
});

test("without a model the level alone decides", async () => {
  const hum = Float32Array.from({ length: 14_400 }, (_, i) => 0.1 * Math.sin(i / 20));
  const samples = concat([silence(500), hum, silence(500)]);
  const microphone = new VirtualMicrophone(samples);
  const caller = new Caller({ audio: microphone, minSilenceMs: 200 }, microphone.clock);
  const changes: CallerChange[] = [];
  caller.on("speech", (change) => changes.push(change));
  caller.on("silence", (change) => changes.push(change));
  await caller.closed;
  expect(changes.map(({ startMs }) => startMs)).toEqual([500, 800]);
});

test("an invalid option is refused by name", () => {
  const audio = new VirtualMicrophone(clean);
  expect(() => new Caller({ audio, threshold: 2 })).toThrow(/threshold/);
  expect(() => new Caller({ audio, minSpeechMs: Number.NaN })).toThrow(/minSpeechMs/);
  expect(() => new Caller({ audio, echoDb: 3 })).toThrow(/echoDb/);
  const agent = {} as unknown as VirtualAgent;
  expect(() => new Caller({ audio, agent })).toThrow("Caller.agent must be a Publisher, but is an object.");
});

test("a caller closes its file when it ends, is closed, or can't begin", async () => {
  const folder = await realpath(await mkdtemp(join(tmpdir(), "unsay-caller-")));
  const file = join(folder, "speech.wav");
  await cp(`${root}examples/audio/clean-speech.wav`, file);
  const open = () => openSource({ file });
  const ended = new Caller({ audio: await open() });
  expect(descriptorsOf(file)).toBe(1);
  expect(await ended.closed).toBeNull();
  expect(descriptorsOf(file)).toBe(0);
  const closed = new Caller({ audio: await open(), model });
  await closed.close();
  expect(descriptorsOf(file)).toBe(0);
  const failed = new Caller({ audio: await open(), model: join(folder, "none.onnx") });
  expect(await failed.closed).toMatchObject({ code: expect.any(String) });
  expect(descriptorsOf(file)).toBe(0);
  await rm(folder, { recursive: true });
});
