import { once } from "node:events";
import { type AddressInfo, createServer, connect as dial } from "node:net";
import { expect, test } from "vitest";
import { WebSocket } from "ws";
import { Caller, RealtimeDoor } from "../agent/index.js";
import { loadModel, openAudio } from "../publisher/index.js";
import { readSamples, silence } from "./support/caller-sounds.js";
import { unsay } from "./support/command-line.js";
import { Ear, warmUp } from "./support/ear.js";
import type { RealtimeEvent } from "./support/realtime-server.js";
import { pcmSine } from "./support/signal.js";
import { Stage, until, urlOf } from "./support/stage.js";

/** An agent's side of the door. */
class TestAgent {
  readonly received: RealtimeEvent[] = [];
  /** Resolves with the reason why the door closed it. */
  readonly closed: Promise<string>;
  readonly #socket: WebSocket;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    this.closed = once(socket, "close").then(([, reason]) => String(reason));
    socket.on("message", (data) => this.received.push(JSON.parse(String(data)) as RealtimeEvent));
  }

  static async connect(url: string): Promise<TestAgent> {
    const socket = new WebSocket(url);
    const agent = new TestAgent(socket);
    await once(socket, "open");
    return agent;
  }

  all(type: string): readonly RealtimeEvent[] {
    return this.received.filter((event) => event.type === type);
  }

  send(event: RealtimeEvent | string): void {
    this.#socket.send(typeof event === "string" ? event : JSON.stringify(event));
  }

  answer(response: string, item: string, ms: number): void {
    const place = { response_id: response, item_id: item, output_index: 0, content_index: 0 };
    this.send({ type: "response.created", response: { id: response } });
    const words = Array.from({ length: ms / 200 }, (_, i) => ({
      text: `w${i}`,
      startMs: i * 200,
      durationMs: 200,
    }));
    const delta = words.map(({ text }) => text).join(" ");
    this.send({ type: "response.output_audio_transcript.delta", ...place, delta, words });
    this.send({ type: "response.output_audio.delta", ...place, delta: Buffer.from(pcmSine(ms)).toString("base64") });
    this.send({ type: "response.output_audio.done", ...place });
    this.send({ type: "response.done", response: { id: response } });
  }

  close(): void {
    this.#socket.terminate();
  }
}

test("connections that never become an agent do not hold the door open", async () => {
  await using stage = new Stage();
  const door = new RealtimeDoor({ publisher: stage.publish(await stage.relay(), { broadcast: "agent" }) });
  await door.listen();
  const { hostname, port } = new URL(door.url);
  const sockets = ["", "GET / HT", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"].map((text) => {
    const socket = dial(Number(port), hostname).resume();
    socket.on("error", () => {}).write(text);
    return socket;
  });
  const gone = Promise.all(sockets.map((socket) => once(socket, "close")));
  await Promise.all(sockets.map((socket) => once(socket, "connect")));
  const agent = await TestAgent.connect(door.url);
  await door.close();
  await Promise.all([gone, agent.closed]);
  expect(sockets.map(({ destroyed }) => destroyed)).toEqual([true, true, true]);
});

test("a connection that does not become an agent in time is closed, however far it got, and an agent stays", async () => {
  await using stage = new Stage();
  const publisher = stage.publish(await stage.relay(), { broadcast: "agent" });
  const door = stage.use(new RealtimeDoor({ publisher }, 1000));
  await door.listen();
  const { hostname, port } = new URL(door.url);
  const agent = stage.use(await TestAgent.connect(door.url));
  const sockets = [
    "",
    "GET / HT",
    "GET / HTTP/1.1\r\nName: ",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n12",
  ].map((text) => {
    const socket = dial(Number(port), hostname).resume();
    socket.on("error", () => {}).write(text);
    return socket;
  });
  // One that goes on sending is no better: its header never ends.
  const chatter = setInterval(() => sockets[2]!.write("T"), 20);
  stage.defer(() => clearInterval(chatter));
  await Promise.all(sockets.map((socket) => once(socket, "close")));
  agent.send("This is no event.");
  await until("the agent is answered", () => agent.all("error").length > 0);
});

test("a door whose port was taken opens once it is free, and admits no more than 64 connections", async () => {
  await using stage = new Stage();
  const relay = await stage.relay();
  const publisher = stage.publish(relay);
  const other = createServer().listen(0, "127.0.0.1");
  await once(other, "listening");
  const { port } = other.address() as AddressInfo;
  const door = stage.use(new RealtimeDoor({ publisher, port }));
  await expect(door.listen()).rejects.toMatchObject({ code: "PORT_IN_USE" });
  other.close();
  await once(other, "close");
  await door.listen();
  const agent = await TestAgent.connect(door.url);
  const idle = Array.from({ length: 63 }, () => dial(port, "127.0.0.1").on("error", () => {}));
  await Promise.all(idle.map((socket) => once(socket, "connect")));
  const further = dial(port, "127.0.0.1").on("error", () => {});
  await once(further, "close");
  for (const socket of idle) socket.destroy();
  agent.send("This is no event.");
  await until("the agent is answered", () => agent.all("error").length > 0);
});

test("a door opens once, and one that is closed while it opens holds no port", async () => {
  await using stage = new Stage();
  const publisher = stage.publish("http://127.0.0.1:9", { broadcast: "agent" });
  const door = stage.use(new RealtimeDoor({ publisher }));
  const opening = door.listen();
  await expect(door.listen()).rejects.toMatchObject({ code: "ALREADY_LISTENING" });
  await opening;
  await expect(door.listen()).rejects.toMatchObject({ code: "ALREADY_LISTENING" });
  const port = Number(new URL(door.url).port);
  await door.close();
  await expect(door.listen()).rejects.toMatchObject({ code: "CLOSED" });
  const other = new RealtimeDoor({ publisher, port });
  const late = other.listen();
  await Promise.all([other.close(), expect(late).rejects.toMatchObject({ code: "CLOSED" })]);
  const next = stage.use(new RealtimeDoor({ publisher, port }));
  await next.listen();
});

test("an agent that sends pings and reads no answer loses its connection", async () => {
  await using stage = new Stage();
  const door = stage.use(new RealtimeDoor({ publisher: stage.publish("http://127.0.0.1:9", { broadcast: "agent" }) }));
  await door.listen();
  const { hostname, port } = new URL(door.url);
  const socket = dial(Number(port), hostname).on("error", () => {});
  stage.defer(() => socket.destroy());
  const upgrade = [
    "GET / HTTP/1.1",
    "Host: a",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
  ];
  socket.write(`${[...upgrade, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="].join("\r\n")}\r\n\r\n`);
  await once(socket, "readable");
  const gone = new Promise((resolve) => socket.once("close", resolve));
  // A thousand pings of 125 bytes, masked with zeros; all their answers are far more than the sockets of both sides hold.
  const pings = Buffer.concat(Array.from({ length: 1000 }, () => Buffer.from([0x89, 0xfd, ...new Uint8Array(129)])));
  for (let part = 0; part < 240 && !socket.destroyed; part++)
    if (!socket.write(pings)) await Promise.race([new Promise((resolve) => socket.once("drain", resolve)), gone]);
  socket.resume();
  await gone;
});

test("an agent at the door gets the start, stop and cut of its voice, to the word, and the caller's audio", async () => {
  await using stage = new Stage();
  const relay = await stage.relay();
  const model = stage.use(await loadModel("models/unsay-denoise.onnx"));
  const word = (await readSamples("examples/audio/clean-speech.wav")).slice(9600, 9600 + 16_320);
  const ear = new Ear();
  const publisher = stage.publish(relay, { broadcast: "agent" });
  stage.listen(relay, { broadcast: "agent", sink: ear });
  const audio = openAudio({ sampleRate: 48_000, format: "f32le", name: "caller" });
  const caller = stage.use(new Caller({ audio, model, minSilenceMs: 200 }));
  const door = stage.use(new RealtimeDoor({ publisher, caller }));
  const problems: string[] = [];
  door.on("problem", ({ message }) => problems.push(message));
  await door.listen();
  await warmUp(publisher, ear);
  const agent = stage.use(await TestAgent.connect(door.url));

  const before = ear.audibleMs;
  agent.answer("r1", "i1", 400);
  await until("it has stopped", () => agent.all("output_audio_buffer.stopped").length === 1);
  expect(agent.received.map(({ type }) => type)).toEqual([
    "output_audio_buffer.started",
    "output_audio_buffer.stopped",
  ]);

  agent.send("junk");
  agent.send("junk");
  agent.answer("r2", "i2", 10_000);
  await until("half a second was heard", () => ear.audibleMs - before > 900);
  audio.push!.write(word);
  audio.push!.write(silence(600));
  await until("the item is truncated", () => agent.all("conversation.item.truncate").length === 1);
  await until("the caller is silent", () => agent.all("input_audio_buffer.speech_stopped").length === 1);
  expect(agent.all("output_audio_buffer.cleared")).toMatchObject([{ response_id: "r2" }]);
  const [cut] = agent.all("conversation.item.truncate");
  expect(cut).toMatchObject({ item_id: "i2", content_index: 0, exact: true });
  const count = Math.floor((Number(cut!.audio_end_ms) + 1) / 200);
  expect(cut!.heardText).toBe(Array.from({ length: count }, (_, i) => `w${i}`).join(" "));
  expect(Number(cut!.audio_end_ms)).toBeLessThan(9990);
  expect(agent.all("input_audio_buffer.speech_started")).toHaveLength(1);
  await until("all that the caller said has come", () => agent.all("input_audio_buffer.append").length > 40);
  const appended = agent.all("input_audio_buffer.append").map((event) => Buffer.from(String(event.audio), "base64"));
  for (const bytes of appended) expect(bytes).toHaveLength(960);
  expect(problems).toEqual(["An event of the agent is not a JSON object."]);
  expect(agent.all("error")).toMatchObject([{ error: { code: "AGENT_EVENT", message: problems[0] } }]);

  // The newest agent takes the place of the one before; a page of a browser is turned away.
  const replaced = agent.closed;
  const newest = stage.use(await TestAgent.connect(door.url));
  expect(await replaced).toBe("Another agent has taken the place of this one.");
  newest.answer("r3", "i3", 200);
  await until("the newest is heard", () => newest.all("output_audio_buffer.stopped").length === 1);
  const page = new WebSocket(door.url, { origin: "https://evil.example" });
  const [refused] = await once(page, "error");
  expect(String(refused)).toContain("401");
});

test("unsay agent opens the door at its port and prints its URL", async () => {
  await using stage = new Stage();
  const relay = await stage.relay();
  const ended = new AbortController();
  const run = unsay(["agent", "--port", "0", "--url", urlOf(relay), "--broadcast", "agent"], { signal: ended.signal });
  setTimeout(() => ended.abort(), 500);
  const { exitCode, out, error } = await run;
  expect(error).toBe("");
  expect(out).toMatch(/an agent may connect to ws:\/\/127\.0\.0\.1:\d+; it is heard as agent/);
  expect(exitCode).toBe(0);
});
