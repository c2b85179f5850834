import { fileURLToPath } from "node:url";
import { Caller, type HeardAgent } from "../../agent/index.js";
import { loadModel, type Model } from "../../publisher/index.js";
import { cough, echo, gain, keys, readSamples, silence } from "../../tests/support/caller-sounds.js";
import { concat } from "../../tests/support/signal.js";
import { VirtualAgent, VirtualMicrophone } from "../../tests/support/virtual-microphone.js";
import { type BenchContext, percentileRows, type Row, row, seededRandom } from "../harness.js";
import { readReply, readUtterances } from "./words.js";

/** Name of the condition and of its rows. */
export const FALSE_TRIGGERS = "echo, keys, coughs";
const MODEL = fileURLToPath(new URL("../../models/unsay-denoise.onnx", import.meta.url));
const MINUTES = { full: 10, quick: 1 };
const WORDS = { full: 200, quick: 20 };
const PER_MS = 48;
const SECOND = 1000 * PER_MS;
/** Services synthesize speech at -28 to -16 dBFS; the recordings are at -24. */
const AGENT_DB = { from: -4, over: 12 };
/** A caller at a microphone with gain control. */
const CALLER_DB = { from: -6, over: 12 };
const ECHO_DB = -20;
/** An office's air conditioning, in dBFS. */
const OFFICE_DB = -58;
/** How much later than the playhead an echo arrives, in milliseconds: encoder, link, jitter buffer. */
const LATE = { from: 40, over: 200 };
/** A word in this time belongs to what the caller said; anything before is a false trigger. */
const FOUND_MS = 600;
/** The caller is silent for this long before a word, in milliseconds. */
const BEFORE_MS = 2500;

type Random = () => number;

/** The sound at a microphone, and the agent's speech meanwhile. */
interface Scene {
  readonly heard: Float32Array;
  readonly agent: Float32Array;
}

/**
 * Ten minutes of a caller who says nothing in an office while the agent speaks, and words of a caller in the same
 * office, both through {@link Caller} on a virtual clock.
 */
export async function falseTriggerRows({ quick, seed, progress }: BenchContext): Promise<Row[]> {
  const random = seededRandom(seed);
  const model = await loadModel(MODEL);
  const minutes = quick ? MINUTES.quick : MINUTES.full;
  const words = quick ? WORDS.quick : WORDS.full;
  const bar = progress(FALSE_TRIGGERS, minutes + words);
  const reply = await readReply();
  const voices = [reply.samples, await readSamples("examples/audio/clean-speech.wav")];
  let [triggers, blind] = [0, 0];
  for (let minute = 0; minute < minutes; minute++) {
    const scene = office(voices, 60 * SECOND, random);
    triggers += (await hear(scene, model)).length;
    blind += (await hear(scene, model, false)).length;
    bar.advance(1);
  }
  const utterances = await readUtterances(reply);
  const found: number[] = [];
  let early = 0;
  for (let turn = 0; turn < words; turn++) {
    const at = BEFORE_MS + Math.floor(500 * random());
    const scene = office(voices, (at + FOUND_MS) * PER_MS, random);
    const word = gain(utterances[turn % utterances.length]!, CALLER_DB.from + CALLER_DB.over * random());
    mix(scene.heard, word, at * PER_MS);
    const [first] = await hear(scene, model);
    if (first !== undefined && first < at) early++;
    else if (first !== undefined) found.push(first - at);
    bar.advance(1);
  }
  bar.stop();
  await model.close();
  return [
    row(FALSE_TRIGGERS, `false triggers in ${minutes} min`, triggers, { atMost: quick ? 0 : 1 }),
    row(FALSE_TRIGGERS, "the same, level of the agent unknown", blind),
    row(FALSE_TRIGGERS, "words with a false trigger before", early),
    row(FALSE_TRIGGERS, "% of words found", (found.length / Math.max(1, words - early)) * 100),
    ...percentileRows(FALSE_TRIGGERS, "ms word to detection, without the way up", found).slice(0, 2),
  ];
}

// Keys in stretches of 2 to 5 seconds, a cough every 10, and the agent without a pause, each at a level of its own.
function office(voices: readonly Float32Array[], length: number, random: Random): Scene {
  const agent = new Float32Array(length);
  const heard = new Float32Array(length).map(() => 10 ** (OFFICE_DB / 20) * gauss(random));
  for (let at = 0; at < length; ) {
    const voice = voices[Math.floor(random() * voices.length)]!;
    const from = Math.floor((random() * voice.length) / 2);
    mix(agent, gain(voice.subarray(from), AGENT_DB.from + AGENT_DB.over * random()), at);
    at += voice.length - from;
  }
  const lateMs = LATE.from + LATE.over * random();
  mix(heard, echo(concat([silence(lateMs), agent]), ECHO_DB, seedOf(random)), 0);
  for (let at = 0; at < length; at += (4 + 4 * random()) * SECOND)
    mix(heard, keys(2000 + 3000 * random(), peak(random), seedOf(random)), Math.floor(at));
  for (let at = 10 * random() * SECOND; at < length; at += (5 + 10 * random()) * SECOND)
    mix(heard, cough(peak(random), seedOf(random)), Math.floor(at));
  return { heard, agent };
}

/** Times at which speech was reported, in milliseconds. */
async function hear({ heard, agent }: Scene, model: Model, isKnown = true): Promise<readonly number[]> {
  const microphone = new VirtualMicrophone(heard);
  const known: { readonly agent?: HeardAgent } = isKnown ? { agent: new VirtualAgent(agent, microphone) } : {};
  const caller = new Caller({ audio: microphone, model, ...known }, microphone.clock);
  const times: number[] = [];
  caller.on("speech", () => times.push(microphone.at / PER_MS));
  const error = await caller.closed;
  if (error !== null) throw error;
  return times;
}

function mix(into: Float32Array, samples: Float32Array, at: number): void {
  const length = Math.min(samples.length, into.length - at);
  for (let i = 0; i < length; i++) into[at + i]! += samples[i]!;
}

function peak(random: Random): number {
  return 10 ** (-(3 + 23 * random()) / 20);
}

function seedOf(random: Random): number {
  return Math.floor(2 ** 31 * random());
}

function gauss(random: Random): number {
  return Math.sqrt(-2 * Math.log(random() + 1e-12)) * Math.cos(2 * Math.PI * random());
}
