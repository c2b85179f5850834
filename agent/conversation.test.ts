import { once } from "node:events";
import { expect, onTestFinished, test } from "vitest";
import { openAudio, Publisher, type SpeechSource } from "../publisher/index.js";
import { VirtualStage } from "../tests/support/virtual-stage.js";
import { Caller } from "./caller/caller.js";
import { type BargeInOptions, Conversation } from "./conversation.js";

/** A conversation whose publisher and listener run on a virtual clock, and whose caller says what the test writes. */
async function converse(bargeIn: BargeInOptions) {
  const stage = new VirtualStage({ aheadMs: 600 });
  const audio = openAudio({ sampleRate: 48_000, format: "f32le", name: "caller" });
  const caller = new Caller({ audio, minSilenceMs: 200 });
  const publisher = new Publisher({ url: "http://127.0.0.1:9", broadcast: "agent" });
  publisher.say = (source: SpeechSource, options = {}) => stage.renderer.say(source, options);
  const conversation = new Conversation({ caller, publisher, bargeIn });
  const events: string[] = [];
  for (const kind of ["bargein", "resumed", "interrupted"] as const) conversation.on(kind, () => events.push(kind));
  onTestFinished(async () => {
    conversation.close();
    await caller.close();
    await publisher.close();
  });
  const say = (ms: number) => conversation.say(openAudio({ samples: new Float32Array(48 * ms).fill(0.1) }));
  /** The caller speaks, and falls silent at once if `voiceMs` of voice and a silence are written together. */
  const write = async (voiceMs: number, silenceMs: number) => {
    const changed = once(caller, silenceMs > 0 ? "silence" : "speech");
    audio.push!.write(new Float32Array(48 * (voiceMs + silenceMs)).fill(0.3, 0, 48 * voiceMs));
    await changed;
  };
  return { stage, conversation, events, say, write };
}

test("a false alarm resumes no speech that the application has interrupted or paused itself", async () => {
  const { stage, conversation, events, say, write } = await converse({ action: "pause", falseAlarmMs: 60_000 });
  const speech = say(3000);
  const next = say(500);
  await stage.runTo(500);
  await write(400, 300);
  // Its end is not reported yet.
  const done = speech.interrupt();
  conversation.dismiss();
  await stage.runTo(4000);
  expect(await done).toMatchObject({ outcome: "interrupted" });
  expect(speech.resumedAs).toBeUndefined();
  expect(await next.done).toMatchObject({ outcome: "finished", heardMs: 500 });
  expect(events).toEqual(["bargein", "resumed"]);

  const own = say(3000);
  await stage.runTo(4500);
  own.pause();
  await stage.runTo(5000);
  await write(400, 300);
  conversation.dismiss();
  await stage.runTo(6000);
  expect(own.phase).toBe("paused");
  expect(events).toEqual(["bargein", "resumed", "bargein"]);
});

test("a caller who speaks over a speech that the application has paused barges in", async () => {
  const { stage, events, say, write } = await converse({ action: "interrupt" });
  const speech = say(3000);
  await stage.runTo(500);
  speech.pause();
  await stage.runTo(1000);
  await write(400, 300);
  await stage.runTo(2000);
  expect(await speech.done).toMatchObject({ outcome: "interrupted" });
  expect(events).toEqual(["bargein", "interrupted"]);
});

test.each([
  ["interrupt", ["bargein", "interrupted"], "interrupted"],
  ["pause", ["bargein", "resumed"], "finished"],
] as const)(
  "speech whose end comes with its start counts with all its voice: %s",
  async (action, expected, outcome) => {
    const bargeIn = { action, minDurationMs: 200, isFalseAlarm: () => true };
    const { stage, events, say, write } = await converse(bargeIn);
    const speech = say(2000);
    await stage.runTo(500);
    await write(150, 300);
    expect(events).toEqual([]);
    await write(250, 300);
    await stage.runTo(6000);
    expect(await speech.done).toMatchObject({ outcome });
    expect(events).toEqual(expected);
  },
);

test("an agent continues where no answer comes whether it was a false alarm", async () => {
  let asked = 0;
  const isFalseAlarm = () => {
    asked++;
    return new Promise<boolean>(() => {});
  };
  const { stage, conversation, events, say, write } = await converse({
    action: "pause",
    falseAlarmMs: 50,
    isFalseAlarm,
  });
  const speech = say(2000);
  await stage.runTo(500);
  const resumed = once(conversation, "resumed");
  await write(400, 300);
  await resumed;
  expect(conversation.held).toBe(false);
  await stage.runTo(6000);
  expect(await speech.done).toMatchObject({ outcome: "finished", heardMs: 2000 });
  expect(events).toEqual(["bargein", "resumed"]);
  expect(asked).toBe(1);
});

test.each([
  ["before its end is reported", 0],
  ["later", 1500],
])("a speech that the application resumes after an interrupt, %s, is interrupted again", async (_, laterMs) => {
  const { stage, conversation, events, say, write } = await converse({ action: "interrupt" });
  const speech = say(3000);
  await stage.runTo(500);
  await write(400, 300);
  await stage.runTo(500 + laterMs);
  const again = speech.resume()!;
  expect(conversation.speeches).toEqual([again]);
  // Longer than the first one's end takes to be reported, or not.
  if (laterMs > 0) await stage.runTo(stage.now + 1500);
  await write(400, 300);
  await stage.runTo(stage.now + 2000);
  expect(await again.done).toMatchObject({ outcome: "interrupted" });
  expect(again.resumedAs).toBeUndefined();
  expect(conversation.speeches).toEqual([]);
  expect(events.filter((kind) => kind === "bargein")).toHaveLength(2);
});
