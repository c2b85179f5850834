import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Caller, Conversation } from "../agent/index.js";
import { loadModel, type Model, openAudio, type Publisher } from "../publisher/index.js";
import { AgentDemo } from "../src/demo/agent/agent-demo.js";
import { createLogger } from "../src/log.js";
import { readInterrupt, readStats } from "../src/page/replies.js";
import { readSamples, silence } from "./support/caller-sounds.js";
import { unsay } from "./support/command-line.js";
import { Ear, warmUp } from "./support/ear.js";
import { concat } from "./support/signal.js";
import { Stage, tone, until } from "./support/stage.js";
import { waveFile } from "./support/wave-file.js";

const DEMO = ["agent", "--demo", "--port", "0", "--headless", "--caller"];
const stage = new Stage();
const ear = new Ear();
let publisher: Publisher;
let model: Model;
let word: Float32Array;

beforeAll(async () => {
  const relay = await stage.relay();
  model = stage.use(await loadModel("models/unsay-denoise.onnx"));
  word = (await readSamples("examples/audio/clean-speech.wav")).slice(9600, 9600 + 16_320);
  publisher = stage.publish(relay, { broadcast: "agent" });
  stage.listen(relay, { broadcast: "agent", sink: ear });
  await warmUp(publisher, ear);
});
afterAll(() => stage.close());

/** A caller who says what the test writes. */
function openCaller() {
  const audio = openAudio({ sampleRate: 48_000, format: "f32le", name: "caller" });
  const caller = stage.use(new Caller({ audio, model, minSilenceMs: 200 }));
  return { caller, speak: (samples: Float32Array) => audio.push!.write(samples) };
}

test("a caller's word interrupts the agent, and the immediate reply is heard completely", async () => {
  const { caller, speak } = openCaller();
  using conversation = new Conversation({ caller, publisher });
  const before = ear.audibleMs;
  const speech = conversation.say(await tone({ ms: 4000 }), { text: "A long story" });
  await until("half a second was heard", () => ear.audibleMs - before > 500);
  // The tone of the stage, as loud as the listener's playhead has it.
  expect(publisher.playedLevelDb()).toBeGreaterThan(-20);
  const interrupted = once(conversation, "interrupted");
  const reply = once(conversation, "bargein").then(async () => conversation.say(await tone({ ms: 600 })));
  speak(word);
  const { done } = await reply;
  // The caller is still speaking, and falls silent.
  speak(silence(600));
  const [[result]] = await interrupted;
  expect(result).toMatchObject({ outcome: "interrupted" });
  expect(await speech.done).toBe(result);
  expect(await done).toMatchObject({ outcome: "finished", heardMs: 600 });
  await until("the reply was heard", () => ear.audibleMs - before >= result.heardMs + 560);
  expect(ear.audibleMs - before).toBeLessThan(result.heardMs + 700);
  expect(conversation.held).toBe(false);
  expect(conversation.speeches).toEqual([]);
});

test("a pause for a false alarm loses no audio of the agent, and a pause for a real one takes it back", async () => {
  const { caller, speak } = openCaller();
  const answers = [true, false];
  const isFalseAlarm = async () => answers.shift()!;
  using conversation = new Conversation({ caller, publisher, bargeIn: { action: "pause", isFalseAlarm } });
  const before = ear.audibleMs;
  const speech = conversation.say(await tone({ ms: 1500 }));
  await until("half a second was heard", () => ear.audibleMs - before > 500);
  const resumed = once(conversation, "resumed");
  speak(word);
  await until("the agent is paused", () => conversation.held);
  speak(silence(600));
  await resumed;
  expect(await speech.done).toMatchObject({ outcome: "finished", heardMs: 1500 });
  await until("all of it was heard", () => ear.audibleMs - before >= 1460);

  const other = conversation.say(await tone({ ms: 3000 }));
  await until("it is heard", () => other.heardMs > 200);
  speak(word);
  await until("the agent is paused again", () => conversation.held);
  speak(silence(600));
  expect(await other.done).toMatchObject({ outcome: "interrupted" });
  expect(conversation.held).toBe(false);
});

test("a barge-in is decided by its handler, and one that throws changes nothing", async () => {
  const { caller, speak } = openCaller();
  using conversation = new Conversation({ caller, publisher, bargeIn: { action: "pause", falseAlarmMs: 60_000 } });
  let bargeIns = 0;
  const interrupt = async (decide: () => void) => {
    const speech = conversation.say(await tone({ ms: 3000 }));
    await until("it is heard", () => speech.heardMs > 200);
    conversation.once("bargein", decide);
    const before = bargeIns;
    speak(word);
    await until("the caller is noticed", () => bargeIns > before);
    speak(silence(600));
    return speech;
  };
  conversation.on("bargein", () => bargeIns++);
  const dismissed = await interrupt(() => conversation.dismiss());
  expect(await dismissed.done).toMatchObject({ outcome: "finished", heardMs: 3000 });
  const confirmed = await interrupt(() => conversation.confirm());
  expect(await confirmed.done).toMatchObject({ outcome: "interrupted" });
  const mistaken = await interrupt(() => {
    throw new Error("an application's mistake");
  });
  await until("the caller is silent", () => !caller.speaking);
  expect(conversation.held).toBe(true);
  await conversation.interrupt();
  expect(await mistaken.done).toMatchObject({ outcome: "interrupted" });
  expect(bargeIns).toBe(3);
});

test("invalid options are refused by name", () => {
  const { caller } = openCaller();
  expect(() => new Conversation({ caller, publisher, bargeIn: { minDurationMs: -1 } })).toThrow(
    "Conversation.bargeIn.minDurationMs must be at least 0, but is -1.",
  );
});

test("unsay agent --demo with a recorded caller ends with a verdict, and its agent stops and continues by hand", async () => {
  const folder = mkdtempSync(join(tmpdir(), "unsay-agent-"));
  stage.defer(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "caller.wav");
  writeFileSync(file, waveFile({ channels: [concat([word, silence(600)])] }));
  const { exitCode, out, error } = await unsay([...DEMO, file, "--json"]);
  expect({ exitCode, error }).toEqual({ exitCode: 0, error: "" });
  const verdict = JSON.parse(out);
  expect(verdict).toMatchObject({ interrupted: true, exact: true, staleMs: 0, answered: true, ok: true });
  expect("Congratulations. You have successfully installed and executed").toContain(verdict.heardText);
  for (const [argv, sentence] of [
    [["agent", "--headless"], "--headless goes with --demo."],
    [DEMO.slice(0, -1), "--headless goes with --caller."],
    [["agent"], "--url must be a URL"],
  ] as const)
    expect((await unsay(argv)).error).toContain(sentence);

  const demo = stage.use(await AgentDemo.start({ port: 0, logger: createLogger("silent", () => {}) }));
  const spoken = () => readStats(demo.pageStats())!.spoken!;
  await until("it speaks", () => spoken().pieces.length > 0);
  const { heard } = readInterrupt(await demo.control({ op: "interrupt" }))!;
  expect(spoken()).toMatchObject({ isInterrupted: true, heard });
  await demo.control({ op: "resume" });
  await until("it speaks again", () => spoken().pieces.length > 0);
  expect(spoken().isInterrupted).toBe(false);
  await expect(demo.control({ op: "cut", ms: 5 })).rejects.toThrow("The agent has nothing to cut.");
});
