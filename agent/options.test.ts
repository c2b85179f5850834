import { afterAll, beforeAll, expect, test } from "vitest";
import { loadModel, type Model, openAudio, Publisher } from "../publisher/index.js";
import { Caller } from "./caller/caller.js";
import { Conversation } from "./conversation.js";
import { AudioInput, AudioOutput } from "./livekit/index.js";
import { RealtimeTransport } from "./realtime/openai.js";
import { RealtimeDoor } from "./realtime/realtime-door.js";
import { decodeAgentEvent } from "./realtime/realtime-event.js";
import { decodeBotMessage } from "./twilio/bot-message.js";
import { MediaStreamsCall } from "./twilio/media-streams-call.js";

const url = "http://127.0.0.1:1";
const audio = openAudio({ sampleRate: 48_000, format: "f32le" });
let publisher: Publisher;
let caller: Caller;
let model: Model;

beforeAll(async () => {
  publisher = new Publisher({ url, broadcast: "agent" });
  caller = new Caller({ audio });
  model = await loadModel("models/unsay-denoise.onnx");
});
afterAll(async () => {
  await caller.close();
  await publisher.close();
  await model.close();
});

const LOGGER = ["x", {}, { info() {} }] as const;
const LISTENING = {
  model: ["", 7, {}],
  denoise: ["true", 1],
  threshold: ["0.5", -0.1, 1.1, Number.NaN],
  minLevelDb: ["-30", 1, -121, Number.NaN],
  agent: [7, {}, "agent"],
  echoDb: ["-20", 1, -121, Number.NaN],
  minSpeechMs: ["60", -1, 10_001, Number.NaN],
  minSilenceMs: ["60", -1, 60_001, Number.NaN],
  logger: LOGGER,
} as const;
const PARTS = { publisher: [undefined, null, 7, {}, "x"], caller: ["x", {}, 7], logger: LOGGER } as const;

interface Case {
  readonly name: string;
  /** For each option, values that are wrong in type or in range. */
  readonly wrong: Readonly<Record<string, readonly unknown[]>>;
  readonly make: (options: never) => unknown;
  readonly right: () => object;
}

const CASES: readonly Case[] = [
  {
    name: "Caller",
    wrong: { ...LISTENING, audio: [undefined, null, 7, {}] },
    make: (options) => new Caller(options),
    right: () => ({ audio: openAudio({ samples: new Float32Array(2) }) }),
  },
  {
    name: "Caller",
    wrong: {
      ...LISTENING,
      url: ["", "relay", "ftp://x", new URL("ftp://x"), 7, null, undefined],
      broadcast: ["", "/", 7, null, undefined],
      connect: ["quic", 7, { proxy: 1 }],
      jitterMs: ["20", -1, 10_001, Number.NaN],
      timeoutMs: ["20", 0, -1, Number.NaN, Number.POSITIVE_INFINITY],
    },
    make: (options) => new Caller(options),
    right: () => ({ url, broadcast: "caller" }),
  },
  {
    name: "Caller.frames",
    wrong: {
      sampleRate: ["16000", 7999, 48_001, 16_000.5, Number.NaN],
      frameMs: ["20", 0, -20, 1001, Number.NaN],
      format: ["mp3", 1],
      backlogMs: ["1", 99, -1, Number.NaN],
    },
    make: (options) => caller.frames(options),
    right: () => ({}),
  },
  {
    name: "Conversation",
    wrong: {
      publisher: PARTS.publisher,
      caller: [...PARTS.caller, undefined, null],
      bargeIn: [
        7,
        "pause",
        null,
        { action: "stop" },
        { minDurationMs: -1 },
        { minDurationMs: Number.NaN },
        { falseAlarmMs: "2" },
        { falseAlarmMs: 60_001 },
        { isFalseAlarm: true },
        { fade: 5 },
      ],
    },
    make: (options) => new Conversation(options),
    right: () => ({ caller, publisher }),
  },
  {
    name: "RealtimeDoor",
    wrong: { ...PARTS, host: ["", 7, null], port: ["1", -1, 65_536, 1.5, Number.NaN] },
    make: (options) => new RealtimeDoor(options),
    right: () => ({ publisher }),
  },
  {
    name: "MediaStreamsCall",
    wrong: {
      ...PARTS,
      bot: [undefined, null, 7, "", "bot", "http://a.example", "ws://a.example#x"],
      marks: ["none", 1],
      customParameters: [7, "a=b", { a: 1 }],
      headers: [7, "a: b", { a: 1 }, { "a b": "x" }, { a: "x\ny" }],
      timeoutMs: ["1", 0, -1, 600_001, Number.NaN],
    },
    make: (options) => new MediaStreamsCall(options),
    right: () => ({ bot: "ws://127.0.0.1:1", publisher }),
  },
  {
    name: "AudioOutput",
    wrong: { publisher: PARTS.publisher },
    make: ({ publisher: given, ...options }: { readonly publisher: Publisher }) => new AudioOutput(given, options),
    right: () => ({ publisher }),
  },
  {
    name: "AudioInput",
    wrong: { caller: [undefined, null, ...PARTS.caller] },
    make: ({ caller: given, ...options }: { readonly caller: Caller }) => new AudioInput(given, options),
    right: () => ({ caller }),
  },
  {
    name: "RealtimeTransport",
    wrong: { publisher: PARTS.publisher, caller: PARTS.caller },
    make: (options) => new RealtimeTransport(options),
    right: () => ({ publisher }),
  },
];

function errorOf(call: () => unknown): unknown {
  try {
    call();
    return undefined;
  } catch (error) {
    return error;
  }
}

test.each(CASES)("every wrong option of $name is refused in one sentence that names it", (each) => {
  const { name, wrong, make, right } = each;
  for (const [option, values] of Object.entries(wrong))
    for (const value of values) {
      const error = errorOf(() => make({ ...right(), [option]: value } as never));
      const what = `${name}.${option} = ${JSON.stringify(value) ?? value}`;
      expect(error, what).toMatchObject({ code: "INVALID_OPTION" });
      const sentence = `^${name}\\.${option}(\\.[\\w-]*)* (must .+, but (is|holds|got) [^\\n]+|has no option "\\w+")\\.$`;
      expect((error as Error).message, what).toMatch(new RegExp(sentence));
    }
});

test.each(CASES.filter(({ name }) => !/^(Audio|RealtimeTransport)/.test(name)))(
  "$name refuses anything but an object of options, and unknown options",
  ({ name, make, right }) => {
    for (const value of [7, "x", null])
      expect(errorOf(() => make(value as never))).toMatchObject({
        code: "INVALID_OPTION",
        message: expect.stringMatching(
          new RegExp(`^${name} must (get|be) an object( of options)?, but (got|is) .+\\.$`),
        ),
      });
    expect(errorOf(() => make({ ...right(), colour: "red" } as never))).toMatchObject({
      code: "INVALID_OPTION",
      message: `${name} has no option "colour".`,
    });
  },
);

test.each(CASES.filter(({ name }) => name.startsWith("Audio")))(
  "$name refuses unknown options",
  ({ name, make, right }) => {
    expect(errorOf(() => make({ ...right(), bitrate: 1 } as never))).toMatchObject({
      code: "INVALID_OPTION",
      message: `${name} has no option "bitrate".`,
    });
  },
);

test("a caller of a broadcast needs its relay and its name only", async () => {
  await using alone = new Caller({ url, broadcast: "caller" });
  expect(alone.speaking).toBe(false);
  expect(errorOf(() => new Caller({ broadcast: "caller" } as never))).toMatchObject({
    message: "Caller.url must be an http or https URL, but is missing.",
  });
});

test("wrong words, texts and audio of a conversation are refused in one sentence", () => {
  using conversation = new Conversation({ caller, publisher });
  const say = (options: object) => () => conversation.say(openAudio({ samples: new Float32Array(2) }), options);
  for (const [call, sentence] of [
    [() => conversation.say(7 as never), /stream must .+, but is 7\.$/],
    [() => conversation.say(undefined as never), /stream must .+, but is (undefined|missing)\.$/],
    [say({ text: 7 }), /text must be a string, but is 7\.$/],
    [say({ words: "hello" }), /words must be an array, but is "hello"\.$/],
    [say({ words: [{ text: "a", startMs: -1 }] }), /startMs/],
    [say({ words: [{ text: "a", startMs: Number.NaN }] }), /startMs/],
    [say({ words: [{ text: "a", startMs: 5, endMs: 1 }] }), /endMs/],
    [say({ words: [{ text: 7, startMs: 0 }] }), /text/],
    [say({ words: [null] }), /words/],
  ] as const) {
    const error = errorOf(call);
    expect(error, String(sentence)).toMatchObject({ code: "INVALID_OPTION" });
    expect((error as Error).message).toMatch(sentence);
    expect((error as Error).message).not.toContain("\n");
  }
  expect(conversation.speeches).toEqual([]);
});

test("words out of order and empty texts are accepted", () => {
  using conversation = new Conversation({ caller, publisher });
  const words = [
    { text: "two", startMs: 500 },
    { text: "one", startMs: 0 },
  ];
  const audio = openAudio({ sampleRate: 48_000, format: "f32le" });
  expect(conversation.say(audio, { text: "", words }).heardText).toBe("");
});

test("no message of a bot or an agent, of whatever type, throws", () => {
  for (const message of [
    undefined,
    null,
    7,
    Number.NaN,
    [],
    {},
    "",
    "{",
    "[]",
    "7",
    "null",
    '{"event":7}',
    new Uint8Array(3),
  ]) {
    expect(decodeBotMessage(message as never, "MZ")).toMatchObject({ event: "invalid" });
    expect(decodeAgentEvent(message as never)).toMatchObject({ type: "invalid" });
  }
});
