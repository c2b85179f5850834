import { once } from "node:events";
import { initializeLogger, tts, voice } from "@livekit/agents";
import { AudioFrame } from "@livekit/rtc-node";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Caller } from "../agent/index.js";
import { AudioInput, AudioOutput, TranscriptOutput } from "../agent/livekit/index.js";
import type { Publisher } from "../publisher/index.js";
import { openAudio, openSource } from "../publisher/index.js";
import { Ear, quiet, spoken, warmUp } from "./support/ear.js";
import { PATIENT, Stage, sleep, until } from "./support/stage.js";

const RATE = 24_000;
/** How exact a heard position is, in milliseconds. */
const WITHIN_MS = 25;
const stage = new Stage();
let publisher: Publisher;
const ear = new Ear();

beforeAll(async () => {
  initializeLogger({ pretty: false, level: "silent" });
  const relay = await stage.relay();
  publisher = stage.publish(relay, { broadcast: "bot", codec: "pcm" }, PATIENT);
  stage.listen(relay, { broadcast: "bot", sink: ear });
  await warmUp(publisher, ear);
});
afterAll(() => stage.close());

interface TimedWord {
  readonly text: string;
  readonly startTime: number;
  readonly endTime: number;
}

function frame(ms: number, fromMs = 0, words: readonly TimedWord[] = []): AudioFrame {
  const samples = spoken(ms, fromMs);
  const timed = words.map((word) => voice.createTimedString(word));
  return new AudioFrame(samples, RATE, 1, samples.length, timed.length > 0 ? { "lk.timed_transcripts": timed } : {});
}

/** Ten words of 300 ms each, other ones in each reply. */
function wordsOf(reply: number): string[] {
  return Array.from({ length: 10 }, (_, i) => `word${reply}${i}`);
}

/**
 * An agent whose text-to-speech is scripted: its frames come at once, whatever the text. With timings, its transcript
 * is made from them, and comes after them.
 */
class ScriptedAgent extends voice.Agent {
  readonly isTimed: boolean;
  #replies = 0;

  constructor(isTimed: boolean) {
    super({ instructions: "Talk." });
    this.isTimed = isTimed;
  }

  override async llmNode() {
    const words = wordsOf(this.#replies);
    return new ReadableStream<string>({
      start(controller) {
        controller.enqueue(words.join(" "));
        controller.close();
      },
    }) as never;
  }

  override async transcriptionNode(text: unknown) {
    const { isTimed } = this;
    return new ReadableStream<string>({
      async start(controller) {
        for await (const each of text as AsyncIterable<string | { text: string }>) {
          if (isTimed) await sleep(1);
          controller.enqueue(typeof each === "string" ? each : each.text);
        }
        controller.close();
      },
    }) as never;
  }

  override async ttsNode(text: unknown) {
    const { isTimed } = this;
    const frames = wordsOf(this.#replies++).map((word, i) =>
      frame(300, i * 300, isTimed ? [{ text: `${word} `, startTime: i * 0.3, endTime: (i + 1) * 0.3 }] : []),
    );
    return new ReadableStream<AudioFrame>({
      async start(controller) {
        for await (const _ of text as AsyncIterable<string>);
        for (const each of frames) controller.enqueue(each);
        controller.close();
      },
    }) as never;
  }
}

/** Stands for the service behind {@link ScriptedAgent.ttsNode}; it is never asked. */
class NoService extends tts.TTS {
  label = "none";

  constructor(alignedTranscript: boolean) {
    super(RATE, 1, { streaming: true, alignedTranscript });
  }

  synthesize(): tts.ChunkedStream {
    throw new Error("The service was asked.");
  }

  stream(): tts.SynthesizeStream {
    throw new Error("The service was asked.");
  }
}

interface Heard {
  readonly started: number[];
  readonly progressed: { offset: number; duration: number }[];
  readonly finished: { playbackPosition: number; interrupted: boolean; synchronizedTranscript?: string }[];
}

function record(output: AudioOutput): Heard {
  const heard: Heard = { started: [], progressed: [], finished: [] };
  output.on(voice.AudioOutput.EVENT_PLAYBACK_STARTED, ({ createdAt }) => heard.started.push(createdAt));
  output.on(voice.AudioOutput.EVENT_PLAYBACK_PROGRESSED, (event) => heard.progressed.push(event));
  output.on(voice.AudioOutput.EVENT_PLAYBACK_FINISHED, (event) => heard.finished.push(event));
  return heard;
}

async function converse(isTimed: boolean): Promise<{ session: voice.AgentSession; output: AudioOutput; heard: Heard }> {
  const output = new AudioOutput(publisher);
  const heard = record(output);
  const session = new voice.AgentSession({ llm: new voice.testing.FakeLLM(), tts: new NoService(isTimed) });
  session.output.audio = output;
  session.output.transcription = new TranscriptOutput(output);
  await session.start({ agent: new ScriptedAgent(isTimed) });
  stage.defer(() => session.close());
  return { session, output, heard };
}

/** Progress that joins to one stretch from 0 on, and its end in milliseconds. */
function joined(progressed: Heard["progressed"]): number {
  let end = 0;
  for (const { offset, duration } of progressed) {
    expect(offset).toBeCloseTo(end, 6);
    expect(duration).toBeGreaterThan(0);
    end = offset + duration;
  }
  return end;
}

/** Interrupts a reply after a second, and checks its position; returns its end and how many words were whole by then. */
async function interruptReply({ session, heard }: Awaited<ReturnType<typeof converse>>) {
  for (const events of [heard.started, heard.progressed, heard.finished]) events.length = 0;
  const before = ear.audibleMs;
  const reply = session.generateReply({ userInput: "Hello", allowInterruptions: true });
  await until("a second was heard", () => ear.audibleMs - before > 1000);
  reply.interrupt();
  await reply.waitForPlayout();
  await quiet(ear, 100);
  expect(heard.started).toHaveLength(1);
  expect(heard.finished).toHaveLength(1);
  const end = heard.finished[0]!;
  expect(end.interrupted).toBe(true);
  expect(Math.abs(end.playbackPosition * 1000 - ear.reachedMs)).toBeLessThanOrEqual(WITHIN_MS);
  expect(joined(heard.progressed)).toBeCloseTo(end.playbackPosition * 1000, 3);
  return { transcript: end.synchronizedTranscript!, wholeWords: Math.floor((end.playbackPosition * 1000) / 300) };
}

test("an AgentSession's replies that are interrupted keep the words that the listener heard, and the next one all of them", async () => {
  const call = await converse(true);
  const { session, heard } = call;
  const first = await interruptReply(call);
  // A word counts once its last sample was heard.
  expect(first.transcript.trim()).toBe(wordsOf(0).slice(0, first.wholeWords).join(" "));
  heard.finished.length = 0;
  await session.generateReply({ userInput: "Go on" }).waitForPlayout();
  expect(heard.finished).toEqual([expect.objectContaining({ playbackPosition: 3, interrupted: false })]);
  const last = await interruptReply(call);
  expect(last.transcript.trim()).toBe(wordsOf(2).slice(0, last.wholeWords).join(" "));
  const said = session.history.items.flatMap((item) =>
    item.type === "message" && item.role === "assistant" ? [item] : [],
  );
  expect(said.map(({ textContent, interrupted }) => [textContent?.trim(), interrupted])).toEqual([
    [first.transcript.trim(), true],
    [wordsOf(1).join(" "), false],
    [last.transcript.trim(), true],
  ]);
});

test("an AgentSession's reply without timings keeps no word that the listener did not hear", async () => {
  const { transcript, wholeWords } = await interruptReply(await converse(false));
  const count = transcript.split(" ").filter(Boolean).length;
  expect(wordsOf(0).slice(0, count).join(" ")).toBe(transcript);
  expect(count).toBeLessThanOrEqual(wholeWords);
});

/** Its transcripts come late: each once its `due` resolves. */
class LateAgent extends voice.Agent {
  readonly #due: Promise<unknown>[];

  constructor(due: Promise<unknown>[]) {
    super({ instructions: "Talk." });
    this.#due = due;
  }

  override async transcriptionNode(text: unknown) {
    const due = this.#due.shift();
    return new ReadableStream<string>({
      async start(controller) {
        await due;
        for await (const each of text as AsyncIterable<string>) controller.enqueue(each);
        controller.close();
      },
    }) as never;
  }
}

test("an AgentSession's reply whose transcript comes after it was heard gives it to no other reply", async () => {
  const output = new AudioOutput(publisher);
  const { finished } = record(output);
  const captured = Promise.withResolvers<void>();
  const heard = once(output, voice.AudioOutput.EVENT_PLAYBACK_FINISHED);
  const session = new voice.AgentSession({ llm: new voice.testing.FakeLLM(), tts: new NoService(false) });
  session.output.audio = output;
  session.output.transcription = new TranscriptOutput(output);
  await session.start({ agent: new LateAgent([heard, captured.promise]) });
  stage.defer(() => session.close());
  for (const text of ["one", "two"]) {
    let pulls = 0;
    const pull = (controller: ReadableStreamDefaultController<AudioFrame>) => {
      if (pulls++ === 0) return controller.enqueue(frame(600));
      if (text === "two") captured.resolve();
      controller.close();
    };
    const audio = new ReadableStream<AudioFrame>({ pull }, { highWaterMark: 0 });
    await session.say(text, { audio: audio as never }).waitForPlayout();
  }
  expect(finished).toEqual([
    { playbackPosition: 0.6, interrupted: false },
    { playbackPosition: 0.6, interrupted: false, synchronizedTranscript: "two" },
  ]);
});

test("a paused output falls silent and continues with the next sample", async () => {
  const { session, output, heard } = await converse(true);
  expect(output.canPause).toBe(true);
  ear.restart();
  const before = ear.audibleMs;
  const { rewinds } = publisher.stats();
  const reply = session.say("a false alarm");
  await until("half a second was heard", () => ear.audibleMs - before > 500);
  output.pause();
  // More than the pauses between two words, of which there are none here.
  await quiet(ear, 800);
  const pausedMs = ear.reachedMs;
  // How soon is held on a virtual clock, with the units of `AudioOutput`: a busy machine sends the rewind late.
  expect(pausedMs).toBeLessThan(2900);
  expect(publisher.stats().rewinds).toBe(rewinds + 1);
  expect(heard.finished).toEqual([]);
  output.resume();
  await reply.waitForPlayout();
  expect(heard.finished).toEqual([expect.objectContaining({ playbackPosition: 3, interrupted: false })]);
  expect(heard.started).toHaveLength(1);
  expect(joined(heard.progressed)).toBeCloseTo(3000, 3);
  await quiet(ear, 200);
  expect(ear.jumps.filter(({ fromMs }) => fromMs === pausedMs)).toEqual([]);
  expect(Math.abs(ear.reachedMs - 3000)).toBeLessThan(WITHIN_MS);
});

test("each segment has exactly one end, also one that never sounded, and clearing never touches the next", async () => {
  const output = new AudioOutput(publisher);
  const heard = record(output);
  output.clearBuffer();
  output.flush();
  await output.captureFrame(frame(400));
  output.clearBuffer();
  await output.captureFrame(frame(200));
  output.flush();
  output.clearBuffer();
  output.clearBuffer();
  await output.captureFrame(frame(100));
  output.flush();
  await output.waitForPlayout();
  expect(heard.finished.map(({ interrupted }) => interrupted)).toEqual([true, true, false]);
  expect(heard.finished.map(({ playbackPosition }) => playbackPosition)).toEqual([0, 0, 0.1]);
  expect(output.pendingPlayoutSegments).toBe(0);
  // A reply that comes while the user still speaks is held until that is settled.
  output.pause();
  await quiet(ear, 100);
  const before = ear.audibleMs;
  await output.captureFrame(frame(200));
  output.flush();
  await quiet(ear, ear.silentMs + 400);
  expect(ear.audibleMs - before).toBe(0);
  output.resume();
  await output.waitForPlayout();
  expect(heard.finished.at(-1)).toMatchObject({ playbackPosition: 0.2, interrupted: false });
});

test("an AudioInput hands a caller's frames to the session, and none while it is detached", async () => {
  const samples = new Float32Array(480_000).map((_, i) => 0.3 * Math.sin(i / 20));
  const caller = new Caller({ audio: await openSource({ samples }) });
  const input = new AudioInput(caller, { sampleRate: 16_000, frameMs: 50 });
  const reader = input.stream.getReader();
  const first = await reader.read();
  expect(first.value).toMatchObject({ sampleRate: 16_000, channels: 1, samplesPerChannel: 800 });
  await caller.closed;
  let count = 1;
  input.setAttached(false);
  const rest = (async () => {
    for (let next = await reader.read(); !next.done; next = await reader.read()) count++;
  })();
  await sleep(50);
  // Only the frames that the framework's streams had taken before.
  const taken = count;
  await sleep(100);
  expect(count).toBe(taken);
  await input.close();
  await rest;
});

test("an AudioInput that is attached again hands out nothing of what the caller said meanwhile", async () => {
  const audio = openAudio({ sampleRate: 48_000, format: "f32le", name: "caller" });
  const caller = new Caller({ audio });
  const input = new AudioInput(caller, { frameMs: 100 });
  const hear = async (level: number) => {
    const before = caller.stats().heardMs;
    audio.push!.write(new Float32Array(3 * 48_000).fill(level));
    await until("it was heard", () => caller.stats().heardMs >= before + 3000);
  };
  // More than the framework's streams take before anything is read.
  await hear(0.1);
  input.setAttached(false);
  await hear(0.5);
  input.setAttached(true);
  await hear(0.2);
  const levels = new Set<number>();
  const reader = input.stream.getReader();
  while (!levels.has(2)) {
    const { value } = await reader.read();
    levels.add(Math.round((value!.data[1200]! * 10) / 32_768));
  }
  expect([...levels]).toEqual([1, 2]);
  await input.close();
  await caller.close();
});
