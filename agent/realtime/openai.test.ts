import { RealtimeAgent, RealtimeSession } from "@openai/agents-realtime";
import { expect, test } from "vitest";
import { openAudio, Publisher, type Speech } from "../../publisher/index.js";
import { RealtimeServer } from "../../tests/support/realtime-server.js";
import { until } from "../../tests/support/stage.js";
import { VirtualStage } from "../../tests/support/virtual-stage.js";
import { Caller } from "../caller/caller.js";
import { RealtimeTransport } from "./openai.js";

/** A transport at a real server, whose publisher and listener run on a virtual clock. */
async function connect(caller?: Caller) {
  const stage = new VirtualStage({ aheadMs: 600 });
  const speeches: Speech[] = [];
  const server = await RealtimeServer.listen();
  const transport = new RealtimeTransport({
    url: server.url,
    ...(caller && { caller }),
    publisher: {
      say: (source, options = {}) => {
        const speech = stage.renderer.say(source, options);
        speeches.push(speech);
        return speech;
      },
    },
  });
  transport.on("error", () => {});
  const open = async (config: object = {}) => {
    // Another update, about tracing, comes before.
    const updated = new Promise<void>((resolve) => {
      transport.on("session.updated", ({ session }) => session.audio && resolve());
    });
    await transport.connect({ apiKey: "none", initialSessionConfig: config });
    await updated;
  };
  const close = () => {
    transport.close();
    server.close();
  };
  return { stage, speeches, server, transport, open, close };
}

test("the model hears its caller in the session's format, and once, also after another connection", async () => {
  const microphone = openAudio({ sampleRate: 48_000, format: "f32le", name: "caller" });
  const caller = new Caller({ audio: microphone });
  const { server, transport, open, close } = await connect(caller);
  const heard = () => server.all("input_audio_buffer.append").map(({ audio }) => Buffer.from(String(audio), "base64"));
  const config = { audio: { input: { format: "g711_ulaw" } } };
  for (const count of [1, 2]) {
    await open(config);
    const before = heard().length;
    microphone.push!.write(new Float32Array(48_000).fill(0.5));
    await until("the caller was heard", () => caller.stats().heardMs === count * 1000);
    transport.sendEvent({ type: "input_audio_buffer.commit" });
    await until("all of it arrived", () => server.all("input_audio_buffer.commit").length === count);
    const frames = heard().slice(before);
    // A resampler keeps its last milliseconds.
    expect(frames.length).toBeGreaterThanOrEqual(24);
    expect(frames.length).toBeLessThanOrEqual(25);
    for (const bytes of frames) expect(bytes).toHaveLength(320);
    transport.close();
  }
  await caller.close();
  close();
});

test("the model hears its caller in the format of the last update sent, before the server has answered one", async () => {
  const microphone = openAudio({ sampleRate: 48_000, format: "f32le", name: "caller" });
  const caller = new Caller({ audio: microphone });
  const { server, transport, close } = await connect(caller);
  server.answersUpdates = false;
  const sizes = () =>
    server.all("input_audio_buffer.append").map(({ audio }) => Buffer.from(String(audio), "base64").length);
  const speak = async (size: number) => {
    const before = sizes().length;
    microphone.push!.write(new Float32Array(24_000).fill(0.5));
    await until("the caller was heard", () => sizes().length >= before + 10);
    transport.sendEvent({ type: "input_audio_buffer.commit" });
    const commits = server.all("input_audio_buffer.commit").length;
    await until("all of it arrived", () => server.all("input_audio_buffer.commit").length > commits);
    expect(new Set(sizes().slice(before))).toEqual(new Set([size]));
  };
  await transport.connect({ apiKey: "none", initialSessionConfig: { audio: { input: { format: "g711_ulaw" } } } });
  await speak(320);
  transport.updateSessionConfig({ audio: { input: { format: { type: "audio/pcm", rate: 24_000 } } } });
  await speak(1920);
  await caller.close();
  close();
});

test("the model hears silence while its session is muted, in the session's format, and the caller after that", async () => {
  const microphone = openAudio({ sampleRate: 48_000, format: "f32le", name: "caller" });
  const caller = new Caller({ audio: microphone });
  const { server, transport, close } = await connect(caller);
  const session = new RealtimeSession(new RealtimeAgent({ name: "test" }), { transport, tracingDisabled: true });
  await session.connect({ apiKey: "none" });
  const hear = async () => {
    const [before, commits] = ["append", "commit"].map((end) => server.all(`input_audio_buffer.${end}`).length);
    const { heardMs } = caller.stats();
    microphone.push!.write(new Float32Array(24_000).fill(0.5));
    await until("the caller was heard", () => caller.stats().heardMs === heardMs + 500);
    // What an application sends by itself, too.
    session.sendAudio(new Uint8Array(100).fill(0x55).buffer, { commit: true });
    await until("all of it arrived", () => server.all("input_audio_buffer.commit").length > commits!);
    const appended = server.all("input_audio_buffer.append").slice(before);
    return Buffer.concat(appended.map(({ audio }) => Buffer.from(String(audio), "base64")));
  };
  for (const [format, silence] of [
    ["pcm16", 0],
    ["g711_ulaw", 0xff],
    ["g711_alaw", 0xd5],
  ] as const) {
    transport.updateSessionConfig({ audio: { input: { format } } });
    session.mute(true);
    expect(session.muted).toBe(true);
    const muted = await hear();
    expect([muted.length > 3500, new Set(muted)], format).toEqual([true, new Set([silence])]);
    session.mute(false);
    expect(session.muted).toBe(false);
    const heard = await hear();
    expect(heard.filter((byte) => byte !== silence).length, format).toBeGreaterThan(heard.length / 2);
    expect(heard.subarray(-100)).toEqual(Buffer.alloc(100, 0x55));
  }
  await caller.close();
  close();
});

test("a response is said in the format that it names", async () => {
  const { stage, speeches, server, open, close } = await connect();
  await open();
  server.send({
    type: "response.created",
    response: { id: "r", output: [], audio: { output: { format: { type: "audio/pcmu" } } } },
  });
  const answer = { response: "r", item: "i", audio: new Uint8Array(2400), deltaBytes: 800 };
  for (let part = 0; part < 3; part++) server.delta(answer, answer.audio.subarray(0, 800));
  server.send({
    type: "response.output_audio.done",
    response_id: "r",
    item_id: "i",
    output_index: 0,
    content_index: 0,
  });
  server.done("r", "completed");
  await until("it came", () => speeches.length === 1);
  for (let now = 500; speeches[0]!.phase !== "done"; now += 500) await stage.runTo(now);
  expect((await speeches[0]!.done).heardMs).toBe(300);
  close();
});

test("what a closed session has said can still be interrupted, and the next one hears nothing of it", async () => {
  const { stage, speeches, server, transport, open, close } = await connect();
  await open();
  server.send({ type: "response.created", response: { id: "r", output: [] } });
  const answer = { response: "r", item: "i", audio: new Uint8Array(96_000), deltaBytes: 96_000 };
  server.delta(answer, answer.audio);
  await until("it came", () => speeches.length === 1);
  await stage.runTo(500);
  transport.close();
  await open();
  transport.interrupt();
  const [result] = await Promise.all([speeches[0]!.done, stage.runTo(2500)]);
  expect(result).toMatchObject({ outcome: "interrupted" });
  expect(result.heardMs).toBeLessThan(700);
  transport.sendEvent({ type: "input_audio_buffer.commit" });
  await until("nothing is under way", () => server.all("input_audio_buffer.commit").length === 1);
  expect(server.received.filter(({ type }) => /cancel|truncate/.test(type))).toEqual([]);
  close();
});

test("two responses whose audio comes by turns are said as two items, each truncated where it was heard", async () => {
  const { stage, speeches, server, transport, open, close } = await connect();
  await open();
  for (const id of ["r", "aside"]) server.send({ type: "response.created", response: { id, output: [] } });
  for (let turn = 0; turn < 20; turn++)
    for (const response of ["r", "aside"]) {
      const answer = { response, item: response, audio: new Uint8Array(4800), deltaBytes: 4800 };
      server.delta(answer, answer.audio);
    }
  const over = new Promise((resolve) => transport.on("turn_done", resolve));
  server.done("r", "completed");
  await over;
  await stage.runTo(1000);
  transport.interrupt();
  const [cut] = await Promise.all([speeches[0]!.done, stage.runTo(3000)]);
  await until("both are truncated", () => server.all("conversation.item.truncate").length === 2);
  expect(speeches).toHaveLength(2);
  expect(cut.heardMs).toBeGreaterThan(500);
  expect(server.all("conversation.item.truncate").map(({ item_id: id, audio_end_ms: ms }) => [id, ms])).toEqual([
    ["r", Math.floor(cut.heardMs)],
    ["aside", 0],
  ]);
  close();
});

test("an item of a closed session is not truncated in the next one", async () => {
  const { stage, speeches, server, transport, open, close } = await connect();
  await open();
  server.send({ type: "response.created", response: { id: "r", output: [] } });
  const answer = { response: "r", item: "i", audio: new Uint8Array(96_000), deltaBytes: 96_000 };
  server.delta(answer, answer.audio);
  await until("it came", () => speeches.length === 1);
  await stage.runTo(500);
  transport.interrupt();
  transport.close();
  await open();
  await Promise.all([speeches[0]!.done, stage.runTo(2500)]);
  transport.sendEvent({ type: "input_audio_buffer.commit" });
  await until("nothing is under way", () => server.all("input_audio_buffer.commit").length === 1);
  expect(server.all("conversation.item.truncate")).toEqual([]);
  close();
});

test("after an interrupt before its first audio no response is heard, also where one beside it was complete before", async () => {
  const { speeches, server, transport, open, close } = await connect();
  await open();
  for (const id of ["r", "aside"]) server.send({ type: "response.created", response: { id, output: [] } });
  const over = new Promise((resolve) => transport.on("turn_done", resolve));
  server.done("aside", "completed");
  await over;
  transport.interrupt();
  const answer = { response: "r", item: "i", audio: new Uint8Array(4800), deltaBytes: 4800 };
  const came = new Promise((resolve) => transport.on("response.output_audio.delta", resolve));
  server.delta(answer, answer.audio);
  await came;
  expect(speeches).toEqual([]);
  close();
});

test("what the publisher refuses is reported once by each connection, and the session goes on", async () => {
  const { stage, speeches, server, transport, open, close } = await connect();
  const errors: { message: string }[] = [];
  transport.on("error", ({ error }) => errors.push(error as Error));
  const begin = (response: string, rate: number) => {
    const format = { type: "audio/pcm", rate };
    server.send({ type: "response.created", response: { id: response, output: [], audio: { output: { format } } } });
    const answer = { response, item: response, audio: new Uint8Array(9600), deltaBytes: 4800 };
    for (const at of [0, 4800]) server.delta(answer, answer.audio.subarray(at, at + 4800));
  };
  await open();
  begin("odd", 22_050.5);
  begin("even", 24_000);
  await until("it is said", () => speeches.length === 1);
  expect(errors).toMatchObject([{ code: "INVALID_OPTION", message: expect.stringContaining("sampleRate") }]);
  transport.close();
  await open();
  begin("r", 24_000);
  const place = { response_id: "r", item_id: "r", output_index: 0, content_index: 0 };
  for (const length of [1_000_000, 1, 1])
    server.send({ type: "response.output_audio_transcript.delta", ...place, delta: "a".repeat(length) });
  server.done("r", "completed");
  await until("it came", () => speeches.length === 2);
  for (let now = 500; speeches[1]!.phase !== "done"; now += 500) await stage.runTo(now);
  expect((await speeches[1]!.done).heardMs).toBe(200);
  expect(errors.slice(1)).toMatchObject([
    { code: "INVALID_OPTION", message: expect.stringContaining("1000000 characters") },
  ]);
  close();
});

test("a session whose publisher has ended goes on without a voice, and says why once", async () => {
  const publisher = new Publisher({ url: "http://127.0.0.1:1", broadcast: "agent" });
  const server = await RealtimeServer.listen();
  const transport = new RealtimeTransport({ url: server.url, publisher });
  const errors: unknown[] = [];
  transport.on("error", ({ error }) => errors.push(error));
  await transport.connect({ apiKey: "none" });
  await publisher.close();
  server.send({ type: "response.created", response: { id: "r", output: [] } });
  const answer = { response: "r", item: "i", audio: new Uint8Array(9600), deltaBytes: 4800 };
  for (const at of [0, 4800]) server.delta(answer, answer.audio.subarray(at, at + 4800));
  const over = new Promise((resolve) => transport.on("turn_done", resolve));
  server.done("r", "completed");
  await over;
  expect(errors).toMatchObject([{ code: "CLOSED" }]);
  expect(transport.status).toBe("connected");
  transport.close();
  server.close();
});
