import fc from "fast-check";
import { expect, test } from "vitest";
import { SpeechDetector, type SpeechDetectorOptions, type VoiceHop } from "./speech-detector.js";

const options: SpeechDetectorOptions = { threshold: 0.6, level: { minDb: -36 }, minSpeechMs: 60, minSilenceMs: 200 };
const voice: VoiceHop = { voiceActivity: 0.9, levelDb: -32, inputDb: -32 };
const noise: VoiceHop = { voiceActivity: 0.1, levelDb: -20, inputDb: -20 };

/** Feeds hops, written as `v` for voice and `.` for none, and returns the changes: kind, start and hop. */
function changes(hops: string, given: Partial<SpeechDetectorOptions> = {}): string[] {
  const detector = new SpeechDetector({ ...options, ...given });
  return [...hops].flatMap((hop, index) => {
    const change = detector.take(hop === "v" ? voice : noise);
    return change ? [`${change.kind} from ${change.startMs} at ${index * 10}`] : [];
  });
}

test("speech is reported after minSpeechMs of voice, with its start", () => {
  expect(changes(`...${"v".repeat(20)}`)).toEqual(["speech from 30 at 80"]);
});

test("voice shorter than minSpeechMs does not count as speech, however often it comes", () => {
  expect(changes(`${"v".repeat(5)}${".".repeat(8)}`.repeat(20))).toEqual([]);
});

test("voice 6 dB above the minimum level counts twice", () => {
  const hopsUntilSpeech = (levelDb: number) => {
    const detector = new SpeechDetector(options);
    for (let hop = 1; ; hop++) if (detector.take({ ...voice, levelDb })) return [hop, detector.voicedMs];
  };
  expect(hopsUntilSpeech(-30)).toEqual([3, 30]);
  expect(hopsUntilSpeech(-30.1)).toEqual([6, 60]);
});

test("a gap as short as a stop consonant does not break a word", () => {
  expect(changes("vvv.......vvv")).toEqual(["speech from 0 at 120"]);
});

test("silence is reported after minSilenceMs without voice, with its start", () => {
  expect(changes(`${"v".repeat(10)}${".".repeat(30)}`)).toEqual(["speech from 0 at 50", "silence from 100 at 290"]);
  expect(changes(`${"v".repeat(10)}${".".repeat(19)}v`)).toEqual(["speech from 0 at 50"]);
});

test("a quiet voice does not start speech, but does not end it either", () => {
  const detector = new SpeechDetector(options);
  const quiet: VoiceHop = { ...voice, levelDb: -40 };
  for (let hop = 0; hop < 100; hop++) expect(detector.take(quiet)).toBeUndefined();
  for (let hop = 0; hop < 6; hop++) detector.take(voice);
  for (let hop = 0; hop < 100; hop++) expect(detector.take(quiet)).toBeUndefined();
  expect(detector.speaking).toBe(true);
});

/** Feeds levels of a process that is too busy for a probability, each for some hops; returns the changes. */
function blindChanges(
  levels: readonly (readonly [db: number, hops: number])[],
  detector = new SpeechDetector(options),
) {
  return levels
    .flatMap(([db, hops]) => Array.from({ length: hops }, () => db))
    .flatMap((inputDb) => detector.take({ voiceActivity: undefined, levelDb: inputDb, inputDb })?.kind ?? []);
}

test("without a probability twice the length of clear voice counts as speech", () => {
  const around = (db: number, hops: number) =>
    blindChanges([
      [-60, 30],
      [db, hops],
      [-60, 30],
    ]);
  expect(around(-30, 12)).toEqual(["speech", "silence"]);
  expect(around(-30, 11)).toEqual([]);
  expect(around(-30.1, 50)).toEqual([]);
});

test("without a probability a noise without pauses does not count as speech, but a voice 10 dB above it does", () => {
  expect(blindChanges([[-10, 300]])).toEqual([]);
  // A noise that begins is one only once it has lasted.
  const detector = new SpeechDetector(options);
  expect(
    blindChanges(
      [
        [-60, 100],
        [-25, 300],
      ],
      detector,
    ),
  ).toEqual(["speech", "silence"]);
  expect(
    blindChanges(
      [
        [-16, 20],
        [-25, 80],
      ],
      detector,
    ),
  ).toEqual([]);
  expect(
    blindChanges(
      [
        [-15, 20],
        [-25, 80],
      ],
      detector,
    ),
  ).toEqual(["speech", "silence"]);
});

test("speech goes on while the process becomes too busy for a probability, and back", () => {
  const detector = new SpeechDetector(options);
  const changes: string[] = [];
  for (let hop = 0; hop < 400; hop++) {
    const inputDb = hop % 20 < 15 ? -28 : -60;
    const voiceActivity = hop >= 100 && hop < 300 ? undefined : inputDb === -28 ? 0.9 : 0.1;
    changes.push(...(detector.take({ voiceActivity, levelDb: inputDb, inputDb })?.kind ?? []));
  }
  expect(changes.join("")).toBe("speech");
});

test("speech and silence alternate, begin in order, and speech holds minSpeechMs of voice", () => {
  const settings = fc.record({
    minSpeechMs: fc.integer({ min: 0, max: 200 }),
    minSilenceMs: fc.integer({ min: 0, max: 300 }),
  });
  let changes = 0;
  fc.assert(
    fc.property(fc.array(fc.boolean(), { maxLength: 400 }), settings, (hops, given) => {
      const detector = new SpeechDetector({ ...options, ...given });
      let isSpeaking = false;
      let last = 0;
      hops.forEach((isVoice, index) => {
        const change = detector.take(isVoice ? voice : noise);
        if (change === undefined) return;
        expect(change.kind).toBe(isSpeaking ? "silence" : "speech");
        isSpeaking = !isSpeaking;
        expect(change.startMs).toBeGreaterThanOrEqual(last);
        expect(change.startMs).toBeLessThanOrEqual(index * 10);
        last = change.startMs;
        const voiced = hops.slice(change.startMs / 10, index + 1).filter(Boolean).length;
        const [least, most] = isSpeaking ? [given.minSpeechMs, Number.POSITIVE_INFINITY] : [0, 0];
        expect(voiced * 10).toBeGreaterThanOrEqual(least);
        expect(voiced * 10).toBeLessThanOrEqual(most);
        changes++;
      });
    }),
    { seed: 14 },
  );
  expect(changes).toBeGreaterThan(30);
});
