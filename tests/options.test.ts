import { getEventListeners } from "node:events";
import { expect, test } from "vitest";
import {
  type AudioSource,
  loadModel,
  openSource,
  openVideo,
  Publisher,
  type PublisherOptions,
  type SourceOptions,
} from "../publisher/index.js";
import { type OpenAudioOptions, openAudio } from "../publisher/source/open-audio.js";
import { Relay, type RelayOptions } from "../relay/index.js";
import {
  type ConnectOptions,
  connect,
  type GivenCertificateOptions,
  loadCertificate,
  loadOrCreateCertificate,
  type OwnCertificateOptions,
} from "../transport/index.js";
import {
  Controller,
  type ControllerOptions,
  Listener,
  type ListenerOptions,
  WavSink,
  type WavSinkOptions,
} from "../watch/index.js";

/** For each option of a class, values that are wrong in type or in range. */
type Wrong<T> = { readonly [Option in keyof Required<T>]: readonly [unknown, ...unknown[]] };
type Every<T> = T extends unknown ? keyof T : never;

const url = "http://127.0.0.1:1";
const CONNECT: Wrong<Omit<ConnectOptions, "unanswered">> = {
  backends: ["quic", [], ["tcp"], [1]],
  headStartMs: ["1", -1, Number.NaN],
  certificateHashes: ["ab", [], ["ab"], [new Uint8Array(32)]],
  ca: [1, "", null],
  insecure: ["yes", 1],
  protocols: ["moq", [1]],
  timeoutMs: ["1", 0, -1, Number.POSITIVE_INFINITY, Number.NaN],
  signal: [{}, true],
  native: ["x", 1],
};
/** The options of a session are the same for all classes. */
const connections = Object.entries(CONNECT).flatMap(([option, values]) => values.map((value) => ({ [option]: value })));
const CLIENT = {
  url: ["", "relay", "ftp://x", new URL("ftp://x"), 7, null, undefined],
  broadcast: ["", "/", 7, "x/".repeat(40), null],
  connect: ["quic", 7, ...connections, { proxy: 1 }],
  logger: ["x", {}, { info() {} }],
} as const;
const BACKOFF = ["x", { initialMs: -1 }, { maxMs: "1" }, { most: 1 }] as const;
const rate = ["48000", 0, 3999, 384_001, 44_100.5, Number.NaN] as const;
const flag = ["true", 1, null] as const;

const LISTENER: Wrong<ListenerOptions> = {
  signal: [{}, true],
  ...CLIENT,
  backoff: BACKOFF,
  broadcast: [...CLIENT.broadcast, undefined],
  jitterMs: ["80", -1, 10_001, Number.NaN],
  adaptive: flag,
  pullIntervalMs: ["10", 0, 101],
  channels: ["1", 0, 3],
  sink: ["file.wav", {}, { write: 1 }],
  timeoutMs: ["1", 0, 2_147_483_648],
  report: ["datagram", 1],
};

const CONTROLLER: Wrong<ControllerOptions> = {
  signal: [{}, true],
  ...CLIENT,
  backoff: BACKOFF,
  broadcast: [...CLIENT.broadcast, undefined],
  id: ["", "a b", 7, "x".repeat(65)],
  timeoutMs: ["1", 0, 2_147_483_648],
};

const PUBLISHER: Wrong<PublisherOptions> = {
  comfortNoiseDb: ["x", 100, true],
  signal: [7, {}],
  ...CLIENT,
  source: ["speech.wav", {}, 7],
  video: ["clip.ivf", {}],
  audio: flag,
  mode: ["fast", 1],
  aheadMs: ["1000", 99, 30_001],
  model: ["", 7, {}],
  denoise: [
    7,
    { strength: 2 },
    { strength: "1" },
    { attenuationLimitDb: -1 },
    { gainDb: 25 },
    { bypass: 1 },
    { pitch: 1 },
  ],
  models: [7, { "": "model.onnx" }, { a: "" }, { a: 7 }],
  sources: ["x", {}],
  codec: ["mp3", 1],
  lowBitrateBps: [true, "12000", 1],
  channels: ["1", 0, 3],
  frameMs: ["20", 7],
  groupFrames: ["1", 0, 26, 1.5],
  bitrateBps: ["64000", 1, 1e9],
  opus: [7, { dtx: 1 }, { fec: "x" }, { packetLossPercent: 101 }, { complexity: 11 }, { application: "x" }, { x: 1 }],
  rewindBy: ["rewind", 1],
  control: flag,
  resumeWindowMs: ["1", -1, 600_001],
};

const RELAY: Wrong<RelayOptions> = {
  host: ["", 7],
  port: ["4443", -1, 65_536, 1.5, Number.NaN],
  certificate: ["pem", {}, { cert: 1, key: 2 }],
  repeat: ["yes", 1],
  handler: ["x", {}],
  auth: [
    "keys",
    { keys: "" },
    { keys: 7 },
    { public: 7 },
    { public: { put: "x" } },
    { public: { get: [7] } },
    { x: 1 },
  ],
  allowedHosts: ["a.example", [7], [""], [" "]],
  allowedOrigins: ["https://a.example", [7], ["a.example"], ["https://a.example/"]],
  upstream: [
    "https://a.example",
    {},
    { url: 7 },
    { url: "x" },
    { url, backends: ["tcp"] },
    { url, insecure: 1 },
    { url, certificateHashes: [new Uint8Array(32)] },
  ],
  opsPort: ["9", -1, 65_536],
  limits: [7, { sessions: 0 }, { sessions: "1" }, { sessions: 1.5 }, { sesions: 1 }],
  logger: ["x", {}, { info() {} }],
  signal: [{}, true],
};

const AUDIO: Wrong<Record<Every<OpenAudioOptions>, unknown>> = {
  file: ["", 7, null],
  stream: ["x", {}, 7],
  samples: [[0, 0], "x", new Float64Array(2)],
  sampleRate: rate,
  format: ["mp3", 1],
  channels: ["1", 0, 33],
  loop: flag,
  name: [7, null],
};
/** What else `openAudio` needs for an option to be looked at. */
const AUDIO_BASE: Record<string, object> = {
  loop: { samples: new Float32Array(2) },
  name: { sampleRate: 8000 },
  format: { sampleRate: 8000 },
  channels: { sampleRate: 8000 },
};

const SOURCE: Wrong<Record<Every<SourceOptions>, unknown>> = {
  file: ["", 7, null],
  pcm: ["x", {}, 7],
  samples: [[0, 0], "x", new Float64Array(2)],
  rate,
  format: ["mp3", "mulaw", 1],
  inputChannels: ["1", 0, 33],
  channels: ["1", 0, 3],
  loop: flag,
  name: [7, null],
};
const SOURCE_BASE: Record<string, object> = Object.fromEntries(
  ["rate", "format", "inputChannels", "channels", "loop", "name"].map((option) => [option, { pcm: silence() }]),
);

async function* silence(): AsyncGenerator<Uint8Array> {
  yield new Uint8Array(960);
}

interface Case {
  readonly name: string;
  readonly wrong: Readonly<Record<string, readonly unknown[]>>;
  readonly make: (options: never) => unknown;
  /** What is right besides, for each option. */
  readonly right: (option: string) => object;
}

const CASES: readonly Case[] = [
  { name: "Listener", wrong: LISTENER, make: (o) => new Listener(o), right: () => ({ url, broadcast: "demo" }) },
  { name: "Controller", wrong: CONTROLLER, make: (o) => new Controller(o), right: () => ({ url, broadcast: "demo" }) },
  { name: "Publisher", wrong: PUBLISHER, make: (o) => new Publisher(o), right: () => ({ url }) },
  { name: "Relay", wrong: RELAY, make: (o) => new Relay(o), right: () => ({}) },
  {
    name: "loadOrCreateCertificate",
    wrong: { directory: ["", 7, undefined], hosts: ["x", [7], [""]], now: [7] } satisfies Wrong<OwnCertificateOptions>,
    make: (o) => loadOrCreateCertificate(o),
    right: () => ({ directory: "/nowhere" }),
  },
  {
    name: "loadCertificate",
    wrong: { cert: ["", 7, undefined], key: ["", 7, undefined] } satisfies Wrong<GivenCertificateOptions>,
    make: (o) => loadCertificate(o),
    right: () => ({ cert: "cert.pem", key: "key.pem" }),
  },
  { name: "openAudio", wrong: AUDIO, make: (o) => openAudio(o), right: (option) => AUDIO_BASE[option] ?? {} },
  { name: "openSource", wrong: SOURCE, make: (o) => openSource(o), right: (option) => SOURCE_BASE[option] ?? {} },
  {
    name: "openVideo",
    wrong: { file: ["", 7, undefined], loop: flag } satisfies Wrong<Parameters<typeof openVideo>[0]>,
    make: (o) => openVideo(o),
    right: () => ({ file: "clip.ivf" }),
  },
  {
    name: "WavSink",
    wrong: { path: ["", 7, undefined, null], channels: ["1", 0, 3] } satisfies Wrong<WavSinkOptions>,
    make: (o) => new WavSink(o),
    right: () => ({ path: "/nowhere/heard.wav" }),
  },
  { name: "connect", wrong: CONNECT, make: (o) => connect(url, o), right: () => ({}) },
];

/** The error that a call throws or rejects with. */
async function errorOf(call: () => unknown): Promise<unknown> {
  try {
    const made = await call();
    (made as { close?: () => unknown } | undefined)?.close?.();
    return undefined;
  } catch (error) {
    return error;
  }
}

test.each(CASES)("every wrong option of $name is refused in one sentence that names it", async (each) => {
  const { name, wrong, make, right } = each;
  for (const [option, values] of Object.entries(wrong)) {
    for (const value of values) {
      const error = await errorOf(() => make({ ...right(option), [option]: value } as never));
      const what = `${name}.${option} = ${JSON.stringify(value) ?? value}`;
      expect(error, what).toMatchObject({ code: "INVALID_OPTION" });
      const { message } = error as Error;
      expect(message, what).toMatch(
        new RegExp(`^${name}\\.${option}(\\.[\\w-]*)* (must .+, but (is|holds) [^\\n]+|has no option "\\w+")\\.$`),
      );
    }
  }
});

test.each(CASES)("$name refuses anything but an object of options, and unknown options", async (each) => {
  const { name, make, right } = each;
  for (const value of [7, "x", null])
    expect(await errorOf(() => make(value as never)), `${name}(${value})`).toMatchObject({
      code: "INVALID_OPTION",
      message: expect.stringMatching(new RegExp(`^${name} must get an object of options, but got .+\\.$`)),
    });
  const base = {
    ...right(""),
    ...(name.startsWith("open") && name !== "openVideo" && { samples: new Float32Array(2) }),
  };
  expect(await errorOf(() => make({ ...base, colour: "red" } as never))).toMatchObject({
    code: "INVALID_OPTION",
    message: `${name} has no option "colour".`,
  });
});

test("a publisher refuses wrong options of say, incomplete sources and wrong knobs in one sentence", async () => {
  await using publisher = new Publisher({ url });
  const audio = () => openAudio({ samples: new Float32Array(2) });
  const source = { name: "mine", channels: 1, read: async () => undefined, close: async () => {} };
  const say = (options: unknown) => publisher.say(audio(), options as never);
  const saySource = (wrong: object) => publisher.say({ ...source, ...wrong } as never);
  const cases: [() => unknown, string][] = [
    [() => say({ after: "x" }), 'Publisher.say.after must be "queue" or "drop", but is "x".'],
    [() => say({ bogus: 1 }), 'Publisher.say has no option "bogus".'],
    [() => say({ text: null }), "Speech.text must be a string, but is null."],
    [() => say({ words: "x" }), 'Speech.words must be an array, but is "x".'],
    [() => say(5), "Publisher.say must be an object, but is 5."],
    [() => say("x"), 'Publisher.say must be an object, but is "x".'],
    [() => say(null), "Publisher.say must be an object, but is null."],
    [() => saySource({ name: undefined }), "AudioSource.name must be a string, but is missing."],
    [() => saySource({ channels: 3 }), "AudioSource.channels must be 1 or 2, but is 3."],
    [() => saySource({ read: 1 }), "AudioSource.read must be a function, but is 1."],
    [() => saySource({ close: undefined }), "AudioSource.close must be a function, but is missing."],
    [() => publisher.say({ read() {} } as never), "AudioSource.name must be a string, but is missing."],
    [() => publisher.set(null as never), "Publisher.set must be an object, but is null."],
    [() => publisher.set(5 as never), "Publisher.set must be an object, but is 5."],
    [() => publisher.set(undefined as never), "Publisher.set must be an object, but is missing."],
  ];
  for (const [call, message] of cases) expect(await errorOf(call)).toMatchObject({ code: "INVALID_OPTION", message });
});

test("a publisher that its constructor refuses for its source leaves nothing running", async () => {
  const { signal } = new AbortController();
  const source = openAudio({ samples: new Float32Array(2) }).source(2);
  expect(() => new Publisher({ url, signal, source })).toThrow("2 channel(s), but the option channels is 1");
  await expect.poll(() => getEventListeners(signal, "abort").length).toBe(0);
});

test("a controller and a publisher refuse an invalid operation with the same sentence", async () => {
  await using publisher = new Publisher({ url });
  await using controller = new Controller({ url, broadcast: "demo" });
  for (const value of [undefined, null, 5, "x"])
    for (const send of [() => controller.send(value as never), () => publisher.control(value)])
      expect(await errorOf(send)).toMatchObject({
        code: "INVALID_OPERATION",
        message: expect.stringMatching(/^The operation must be an object, but is \S+\.$/),
      });
  expect(await errorOf(() => controller.send({} as never))).toMatchObject({
    message: expect.stringMatching(/^operation\.op must be one of [a-z_, ]+, but is missing\.$/),
  });
});

test("an invalid path of a model is refused in one sentence", async () => {
  for (const path of [7, "", undefined])
    expect(await errorOf(() => loadModel(path as never))).toMatchObject({
      code: "INVALID_OPTION",
      message: expect.stringMatching(/^loadModel\.path must .+, but is .+\.$/),
    });
});

test("a source of a public type is an AudioSource", () => {
  const source: AudioSource = openAudio({ samples: new Float32Array(2) }).source(1);
  expect(source.channels).toBe(1);
});
