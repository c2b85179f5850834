import { fileURLToPath } from "node:url";
import { beforeAll, expect, test } from "vitest";
import { type AudioSource, openSource, type PublisherOptions } from "../publisher/index.js";
import { eventually, Stage } from "./support/stage.js";

const MODEL = fileURLToPath(new URL("../models/unsay-denoise.onnx", import.meta.url));
const SPEECH = fileURLToPath(new URL("../examples/audio/clean-speech.wav", import.meta.url));
const RATE = 48_000;

let speech: Float32Array;
let spokenRoom: Float32Array;

beforeAll(async () => {
  const source = await openSource({ file: SPEECH });
  const parts: number[] = [];
  for (let part = await source.read(); part; part = await source.read()) parts.push(...part);
  speech = Float32Array.from(parts);
  spokenRoom = room();
});

/** A quiet room, seeded, with a voice for a second and a half of every three; in stereo on the right. */
function room({ spoken = true, channels = 1 }: { spoken?: boolean; channels?: 1 | 2 } = {}) {
  const seconds = 60;
  let state = 1;
  return new Float32Array(seconds * RATE * channels).map((_, index) => {
    state = (state * 48_271) % 2_147_483_647;
    const noise = 0.001 * (state / 2_147_483_647 - 0.5);
    const at = Math.floor(index / channels);
    const speaks = spoken && index % channels === channels - 1 && at % (3 * RATE) >= 1.5 * RATE;
    return speaks ? noise + speech[at % speech.length]! : noise;
  });
}

function openRoom(samples: Float32Array, channels: 1 | 2 = 1): Promise<AudioSource> {
  return openSource({ samples, inputChannels: channels, channels });
}

/** A listener's audio and its voice activity at one time. */
interface Moment {
  readonly discontinuities: number;
  readonly playheadUs: number;
  readonly levelDb: number;
  readonly voice: number | undefined;
}

/** The voice activity while loud audio was audible. */
function whileLoud(moments: readonly Moment[]): number[] {
  return moments.filter(({ levelDb }) => levelDb > -30).flatMap(({ voice }) => voice ?? []);
}

/** The voice activity in the middle of a pause: a word has its stops too. */
function inPauses(moments: readonly Moment[]): number[] {
  return moments.flatMap(({ playheadUs, voice }, index) => {
    const around = moments.slice(Math.max(0, index - 40), index + 40);
    const near = around.filter((other) => Math.abs(other.playheadUs - playheadUs) < 300_000);
    // A voice is reported a little before it is loud, so what follows has to be known.
    const isFollowed = around.some((other) => other.playheadUs >= playheadUs + 300_000);
    return isFollowed && near.every(({ levelDb }) => levelDb < -45) ? (voice ?? []) : [];
  });
}

const share = (steps: readonly number[]): number => steps.filter((voice) => voice >= 0.5).length / steps.length;

/** A relay, a silent publisher, and a listener whose voice activity is recorded all the time. */
async function setUp(stage: Stage, options: Partial<PublisherOptions>) {
  const relay = await stage.relay();
  const publisher = stage.publish(relay, { model: MODEL, ...options });
  const listener = stage.listen(relay);
  const moments: Moment[] = [];
  const timer = setInterval(() => {
    const { playing, playheadUs, discontinuities, levelDb, voice } = listener.stats();
    if (playing && playheadUs !== undefined) moments.push({ discontinuities, playheadUs, levelDb, voice });
  }, 10);
  stage.defer(() => clearInterval(timer));
  await eventually(() => expect(listener.stats().state).toBe("ready"));
  return { publisher, listener, moments };
}

for (const [name, options] of [
  ["sent ahead", { aheadMs: 2000 }],
  ["live", { mode: "live" }],
  ["in stereo, as PCM", { aheadMs: 1000, channels: 2, codec: "pcm" }],
] as const) {
  test(`a listener reports a voice while one is audible, and none in pauses: ${name}`, async () => {
    await using stage = new Stage();
    const { publisher, listener, moments } = await setUp(stage, options);
    const channels = "channels" in options ? options.channels : 1;
    publisher.say(await openRoom(room({ channels }), channels));
    // Where the machine is too slow for the model, the voice is unknown.
    await eventually(() => expect(whileLoud(moments).length).toBeGreaterThan(60));
    await eventually(() => expect(inPauses(moments).length).toBeGreaterThan(40));
    expect(share(whileLoud(moments))).toBeGreaterThan(0.75);
    expect(share(inPauses(moments))).toBeLessThan(0.05);
    expect(listener.stats().malformed).toBe(0);
    // Many frames in few groups, so that no relay takes it for the sound.
    const { groups, voice } = publisher.stats();
    expect(voice.groups).toBeLessThan(groups / 10);
    expect(voice.frames).toBeGreaterThan(voice.groups);
  });
}

for (const rewindBy of ["group", "track"] as const) {
  test(`a rewind of a voice also removes its voice activity ahead of the listener, by ${rewindBy}`, async () => {
    await using stage = new Stage();
    const { publisher, listener, moments } = await setUp(stage, { aheadMs: 3000, rewindBy });
    publisher.say(await openRoom(spokenRoom));
    await eventually(() => expect(whileLoud(moments).length).toBeGreaterThan(30));
    await eventually(() => expect(listener.stats().bufferMs).toBeGreaterThan(2000));

    // Rendered again from the playhead on, the same audio has the same voice activity.
    const before = listener.stats().discontinuities;
    publisher.set({ strength: 0.9 });
    const turned = () => moments.filter(({ discontinuities }) => discontinuities > before);
    await eventually(() => expect(whileLoud(turned()).length).toBeGreaterThan(80));
    expect(share(whileLoud(turned()))).toBeGreaterThan(0.75);

    // The lead held at least a second of speech.
    await eventually(() => expect(listener.stats().bufferMs).toBeGreaterThan(2000));
    const { discontinuities } = listener.stats();
    const { to, rewound } = await publisher.interrupt();
    expect(rewound).toBe(true);
    publisher.say(await openRoom(room({ spoken: false })));
    const after = () =>
      moments
        .filter((moment) => moment.discontinuities > discontinuities && moment.playheadUs > to + 120_000)
        .flatMap(({ voice }) => voice ?? []);
    await eventually(() => expect(after().length).toBeGreaterThan(60));
    expect(share(after())).toBe(0);
    expect(listener.stats().staleMs).toBe(0);
  });
}

test("a listener reports no voice once the model is swapped for one without voice activity", async () => {
  const other = fileURLToPath(new URL("../publisher/denoise/fixtures/other.onnx", import.meta.url));
  await using stage = new Stage();
  const { publisher, listener, moments } = await setUp(stage, { aheadMs: 1000, models: { other } });
  publisher.say(await openRoom(spokenRoom));
  await eventually(() => expect(whileLoud(moments).length).toBeGreaterThan(10));
  const event = await publisher.control({ op: "model", requestId: "swap", name: "other" });
  expect(event.outcome).toBe("applied");
  await eventually(() => expect(moments.slice(-20).every(({ voice }) => voice === undefined)).toBe(true));
  expect(listener.stats().playing).toBe(true);
});
