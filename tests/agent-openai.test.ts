import { RealtimeAgent, RealtimeSession } from "@openai/agents-realtime";
import { afterAll, beforeAll, expect, test } from "vitest";
import { RealtimeTransport } from "../agent/realtime/openai.js";
import type { Publisher } from "../publisher/index.js";
import { Ear, quiet, spoken, warmUp } from "./support/ear.js";
import { RealtimeServer } from "./support/realtime-server.js";
import { PATIENT, Stage, until } from "./support/stage.js";

/** How exact a heard position is, in milliseconds. */
const WITHIN_MS = 25;
const stage = new Stage();
let publisher: Publisher;
const ear = new Ear();

beforeAll(async () => {
  const relay = await stage.relay();
  publisher = stage.publish(relay, { broadcast: "bot", codec: "pcm" }, PATIENT);
  stage.listen(relay, { broadcast: "bot", sink: ear });
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

function pcm(ms: number): Uint8Array {
  return new Uint8Array(spoken(ms).buffer);
}

const answer = {
  response: "r1",
  item: "i1",
  audio: pcm(3000),
  deltaBytes: 4800,
  transcript: "One two three four five.",
};

test("an interrupted item is cancelled first, then truncated once, where the listener's speaker fell silent", async () => {
  const { server } = await converse(false);
  const before = ear.audibleMs;
  server.send({ type: "response.created", response: { id: "r1", status: "in_progress", output: [] } });
  for (let at = 0; at < answer.audio.length; at += 4800) server.delta(answer, answer.audio.subarray(at, at + 4800));
  await until("a second was heard", () => ear.audibleMs - before > 1000);
  server.speechStarted();
  server.speechStarted();
  await until("the item is truncated", () => server.all("conversation.item.truncate").length > 0);
  // Audio of the cancelled response that was on its way.
  for (let part = 0; part < 10; part++) server.delta(answer, pcm(100));
  server.done("r1", "cancelled");
  await quiet(ear, ear.silentMs + 300);
  const types = server.received.map(({ type }) => type).filter((type) => /cancel|truncate/.test(type));
  expect(types).toEqual(["response.cancel", "conversation.item.truncate"]);
  const [truncate] = server.all("conversation.item.truncate");
  expect(truncate).toMatchObject({ item_id: "i1", content_index: 0 });
  expect(Math.abs(Number(truncate!.audio_end_ms) - ear.reachedMs)).toBeLessThanOrEqual(WITHIN_MS);
  expect(Number.isInteger(truncate!.audio_end_ms)).toBe(true);
});

test("a server that interrupts by itself gets no cancel, and parts behind the audible one are truncated at 0", async () => {
  const { server } = await converse(true);
  const before = ear.audibleMs;
  server.answer({ ...answer, response: "r2", item: "i2", audio: pcm(1200), more: true });
  server.answer({ ...answer, response: "r2", item: "i2", contentIndex: 1, audio: pcm(800) });
  await until("half a second was heard", () => ear.audibleMs - before > 500);
  server.speechStarted();
  await until("both parts are truncated", () => server.all("conversation.item.truncate").length === 2);
  await quiet(ear, ear.silentMs + 100);
  expect(server.all("response.cancel")).toEqual([]);
  const [first, second] = server.all("conversation.item.truncate");
  expect(first).toMatchObject({ item_id: "i2", content_index: 0 });
  expect(Math.abs(Number(first!.audio_end_ms) - ear.reachedMs)).toBeLessThanOrEqual(WITHIN_MS);
  expect(second).toMatchObject({ item_id: "i2", content_index: 1, audio_end_ms: 0 });
});

test("an interrupt after the end truncates nothing, and the next answer is heard completely", async () => {
  const { server, session } = await converse(false);
  const before = ear.audibleMs;
  server.answer({ ...answer, response: "r3", item: "i3", audio: pcm(500) });
  await until("the answer was heard", () => ear.audibleMs - before >= 500);
  await until("its end is known", () => publisher.stats().queued === 0);
  await quiet(ear, 400);
  server.speechStarted();
  session.interrupt();
  server.answer({ ...answer, response: "r4", item: "i4", audio: pcm(400) });
  await until("the next answer was heard", () => ear.audibleMs - before >= 900);
  await quiet(ear, 100);
  expect(server.received.filter(({ type }) => /cancel|truncate/.test(type))).toEqual([]);
});
