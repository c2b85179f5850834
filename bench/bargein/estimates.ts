import { SpokenAudio } from "../../publisher/speech/words/spoken-audio.js";
import { Words } from "../../publisher/speech/words/words.js";
import { say } from "../../tests/support/virtual-voice.js";
import { type BenchContext, type Row, row } from "../harness.js";
import { countWords, readReply, wordsWithin } from "./words.js";

/** Name of the condition. */
export const ESTIMATES = "estimated texts";
const VOICES = { full: 500, quick: 60 };
const STEP_MS = 250;
/** How far ahead a publisher knows the audio, in milliseconds: of a service that is faster than speech, or just as fast. */
const AHEADS = { "sent ahead": 8000, "just in time": 200 } as const;

/** Words of an estimate less those that were said. */
type Offs = number[];

/** Texts without timings, estimated at every 250 ms: of random voices, and of the shipped recording, both at each lead. */
export async function estimateRows({ quick, seed, progress }: BenchContext): Promise<Row[]> {
  const voices = quick ? VOICES.quick : VOICES.full;
  const bar = progress(ESTIMATES, voices * Object.keys(AHEADS).length);
  const { text } = await readReply();
  const rows: Row[] = [];
  for (const [name, aheadMs] of Object.entries(AHEADS)) {
    const random: Offs = [];
    for (let voice = 0; voice < voices; voice++) {
      random.push(...ofVoice(text, seed * 1_000_000 + voice, aheadMs));
      bar.advance(1);
    }
    rows.push(
      ...rowsOf(`${ESTIMATES}: random voices, ${name}`, random),
      ...rowsOf(`${ESTIMATES}: recording, ${name}`, await ofRecording(aheadMs)),
    );
  }
  bar.stop();
  return rows;
}

function rowsOf(name: string, offs: Offs): Row[] {
  const within = offs.filter((off) => Math.abs(off) <= 1).length;
  return [
    row(name, "texts", offs.length),
    row(name, "% within a word", (within / offs.length) * 100, { atLeast: 90 }),
    row(name, "texts with an unheard word", offs.filter((off) => off > 0).length, { atMost: 0 }),
  ];
}

function ofVoice(text: string, seed: number, aheadMs: number): Offs {
  const { trace, endsMs, lengthMs } = say(text, seed);
  const words = new Words(text, trace);
  return moments(lengthMs).map((ms) => {
    trace.steps = Math.min(lengthMs, ms + aheadMs) / 10;
    const isComplete = ms + aheadMs >= lengthMs;
    return countWords(words.heard({ ms, isWhole: false, isComplete }).text) - endsMs.filter((end) => end <= ms).length;
  });
}

async function ofRecording(aheadMs: number): Promise<Offs> {
  const reply = await readReply();
  const { samples } = reply;
  const audio = new SpokenAudio(1);
  const words = new Words(reply.text, audio);
  return moments(samples.length / 48).map((ms) => {
    audio.write(audio.length, samples.subarray(audio.length, (ms + aheadMs) * 48));
    const isComplete = audio.length === samples.length;
    return countWords(words.heard({ ms, isWhole: false, isComplete }).text) - wordsWithin(reply, ms);
  });
}

function moments(lengthMs: number): number[] {
  return Array.from({ length: Math.floor(lengthMs / STEP_MS) }, (_, index) => index * STEP_MS);
}
