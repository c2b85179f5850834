import { RealtimeAgent, RealtimeSession } from "@openai/agents-realtime";
import { afterAll, beforeAll, expect, test } from "vitest";
import { RealtimeTransport } from "../agent/realtime/openai.js";
import type { Publisher } from "../publisher/index.js";
import type { Listener } from "../watch/index.js";
import { Ear, exactMs, holesIn, quiet, warmUp } from "./support/ear.js";
import { RealtimeServer } from "./support/realtime-server.js";
import { pcmSine } from "./support/signal.js";
import { PATIENT, Stage, until } from "./support/stage.js";

const stage = new Stage();
let publisher: Publisher;
const ear = new Ear();
let listener: Listener;

beforeAll(async () => {
  const relay = await stage.relay();
  publisher = stage.publish(relay, { broadcast: "bot" }, PATIENT);
  listener = stage.listen(relay, { broadcast: "bot", sink: ear });
  await warmUp(publisher, ear);
});
afterAll(() => stage.close());

async function converse(interruptResponse: boolean): Promise<{ server: RealtimeServer; session: RealtimeSession }> {
  const server = stage.use(await RealtimeServer.listen());
  const transport = new RealtimeTransport({ publisher, url: server.url });
  const agent = new RealtimeAgent({ name: "test", instructions: "Talk." });
  const session = new RealtimeSession(agent, {
    transport,
    tracingDisabled: true,
    config: { audio: { input: { turnDetection: { type: "semantic_vad", interruptResponse } } } },
  });
  session.on("error", () => {});
  stage.defer(() => session.close());
  await session.connect({ apiKey: "none" });
  await until("the session is set up", () => server.all("session.update").length > 0);
  return { server, session };
}

const answer = {
  response: "r1",
  item: "i1",
  audio: pcmSine(3000),
  deltaBytes: 4800,
  transcript: "One two three four five.",
};

test("an interrupted item is cancelled first, then truncated once, where the listener's speaker fell silent", async () => {
  const { server } = await converse(false);
  const { audibleMs: before } = ear;
  const intact = holesIn(ear, listener);
  server.send({ type: "response.created", response: { id: "r1", status: "in_progress", output: [] } });
  for (let at = 0; at < answer.audio.length; at += 4800) server.delta(answer, answer.audio.subarray(at, at + 4800));
  await until("a second was heard", () => ear.audibleMs - before > 1000);
  server.speechStarted();
  server.speechStarted();
  await until("the item is truncated", () => server.all("conversation.item.truncate").length > 0);
  // Audio of the cancelled response that was on its way.
  for (let part = 0; part < 10; part++) server.delta(answer, pcmSine(100));
  server.done("r1", "cancelled");
  await quiet(ear, ear.silentMs + 300);
  const heard = ear.audibleMs - before;
  const types = server.received.map(({ type }) => type).filter((type) => /cancel|truncate/.test(type));
  expect(types).toEqual(["response.cancel", "conversation.item.truncate"]);
  const [truncate] = server.all("conversation.item.truncate");
  expect(truncate).toMatchObject({ item_id: "i1", content_index: 0 });
  expect(Math.abs(Number(truncate!.audio_end_ms) - heard)).toBeLessThanOrEqual(exactMs(intact, holesIn(ear, listener)));
  expect(Number.isInteger(truncate!.audio_end_ms)).toBe(true);
});

test("a server that interrupts by itself gets no cancel, and parts behind the audible one are truncated at 0", async () => {
  const { server } = await converse(true);
  const { audibleMs: before } = ear;
  const intact = holesIn(ear, listener);
  server.answer({ ...answer, response: "r2", item: "i2", audio: pcmSine(1200), more: true });
  server.answer({ ...answer, response: "r2", item: "i2", contentIndex: 1, audio: pcmSine(800) });
  await until("half a second was heard", () => ear.audibleMs - before > 500);
  server.speechStarted();
  await until("both parts are truncated", () => server.all("conversation.item.truncate").length === 2);
  await quiet(ear, ear.silentMs + 100);
  const heard = ear.audibleMs - before;
  expect(server.all("response.cancel")).toEqual([]);
  const [first, second] = server.all("conversation.item.truncate");
  expect(first).toMatchObject({ item_id: "i2", content_index: 0 });
  expect(Math.abs(Number(first!.audio_end_ms) - heard)).toBeLessThanOrEqual(exactMs(intact, holesIn(ear, listener)));
  expect(second).toMatchObject({ item_id: "i2", content_index: 1, audio_end_ms: 0 });
});

test("an interrupt after the end truncates nothing, and the next answer is heard completely", async () => {
  const { server, session } = await converse(false);
  const before = ear.audibleMs;
  server.answer({ ...answer, response: "r3", item: "i3", audio: pcmSine(500) });
  await until("the answer was heard", () => ear.audibleMs - before >= 500);
  await until("its end is known", () => publisher.stats().queued === 0);
  await quiet(ear, 400);
  server.speechStarted();
  session.interrupt();
  server.answer({ ...answer, response: "r4", item: "i4", audio: pcmSine(400) });
  await until("the next answer was heard", () => ear.audibleMs - before >= 900);
  await quiet(ear, 100);
  expect(server.received.filter(({ type }) => /cancel|truncate/.test(type))).toEqual([]);
});
