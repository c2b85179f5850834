import { once } from "node:events";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { RealtimeAgent, RealtimeSession } from "@openai/agents/realtime";
import { TwilioRealtimeTransportLayer } from "@openai/agents-extensions";
import { expect, test, vi } from "vitest";
import { type WebSocket, WebSocketServer } from "ws";
import { encodeMulaw } from "../agent/caller/g711.js";
import { Caller, MediaStreamsCall } from "../agent/index.js";
import { loadModel, openAudio } from "../publisher/index.js";
import { createCertificate } from "../transport/index.js";
import { unsay } from "./support/command-line.js";
import { Ear, warmUp } from "./support/ear.js";
import { RealtimeServer } from "./support/realtime-server.js";
import { Stage, sleep, speech, until, urlOf } from "./support/stage.js";

interface TwilioMessage {
  readonly event: string;
  readonly sequenceNumber?: string;
  readonly streamSid?: string;
  readonly mark?: { readonly name: string };
  readonly media?: { readonly payload: string; readonly timestamp: string; readonly chunk: string };
  readonly start?: { readonly customParameters: Record<string, string> };
}

/** A bot's WebSocket server that takes one call and remembers what it is sent. */
class BotServer {
  readonly received: TwilioMessage[] = [];
  readonly #server: WebSocketServer;
  readonly call: Promise<WebSocket>;

  static async listen(): Promise<BotServer> {
    const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
    await once(server, "listening");
    return new BotServer(server);
  }

  private constructor(server: WebSocketServer) {
    this.#server = server;
    this.call = once(this.#server, "connection").then(([socket]: WebSocket[]) => {
      socket!.on("message", (data) => this.received.push(JSON.parse(String(data)) as TwilioMessage));
      return socket!;
    });
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}/media`;
  }

  marks(): string[] {
    return this.received.flatMap(({ event, mark }) => (event === "mark" ? [mark!.name] : []));
  }

  close(): void {
    for (const client of this.#server.clients) client.terminate();
    this.#server.close();
  }
}

/** A tone as mu-law at 8 kHz. */
function tone(ms: number): Uint8Array {
  return encodeMulaw(Float32Array.from({ length: ms * 8 }, (_, i) => 0.3 * Math.sin(i / 3)));
}

function media(audio: Uint8Array, streamSid: string): string {
  return JSON.stringify({ event: "media", streamSid, media: { payload: Buffer.from(audio).toString("base64") } });
}

test.concurrent("a bot gets its marks back when the audio before them was heard, and all pending ones when it clears", async () => {
  await using stage = new Stage();
  const relay = await stage.relay();
  const publisher = stage.publish(relay, { broadcast: "bot" });
  const ear = new Ear();
  stage.listen(relay, { broadcast: "bot", sink: ear });
  const bot = stage.use(await BotServer.listen());
  const call = stage.use(new MediaStreamsCall({ bot: bot.url, publisher, customParameters: { language: "it" } }));
  const problems: Error[] = [];
  call.on("problem", (error) => problems.push(error));
  const socket = await bot.call;
  await until("the bot has read the start", () => bot.received.length >= 2);
  await warmUp(publisher, ear);
  const before = ear.audibleMs;
  expect(bot.received.map(({ event }) => event).slice(0, 2)).toEqual(["connected", "start"]);
  const { streamSid } = bot.received[1]!;
  expect(bot.received[1]!.start!.customParameters).toEqual({ language: "it" });

  // Clears when nothing plays do no harm; three seconds at once with a mark behind each 100 ms.
  socket.send(JSON.stringify({ event: "clear", streamSid }));
  for (let ms = 100; ms <= 3000; ms += 100) {
    socket.send(media(tone(100), streamSid!));
    socket.send(JSON.stringify({ event: "mark", streamSid, mark: { name: String(ms) } }));
  }
  await until("all marks wait", () => call.stats().pendingMarks === 30 || bot.marks().length > 0);
  let worst = 0;
  await until("a second was heard", () => {
    const answered = Number(bot.marks().at(-1) ?? 0);
    worst = Math.max(worst, answered - (ear.audibleMs - before));
    return ear.audibleMs - before > 1000;
  });
  // No mark comes before its audio was played; 5 ms for the run that is being counted.
  expect(worst).toBeLessThanOrEqual(5);
  expect(bot.marks().length).toBeGreaterThan(4);
  const heardBefore = bot.marks().length;
  socket.send(JSON.stringify({ event: "clear", streamSid }));
  await until("all marks are back", () => bot.marks().length === 30);
  expect(bot.marks()).toEqual(Array.from({ length: 30 }, (_, i) => String(100 * (i + 1))));
  expect(heardBefore).toBeLessThan(20);
  expect(call.stats()).toMatchObject({ pendingMarks: 0, clears: 2, invalid: 0 });

  // The next answer comes at once, is heard to its last sample, and its mark with it.
  socket.send(media(tone(333), streamSid!));
  socket.send(JSON.stringify({ event: "mark", streamSid, mark: { name: "end" } }));
  await until("the last mark is back", () => bot.marks().at(-1) === "end");
  expect(problems).toEqual([]);
  const played = ear.audibleMs - before;
  expect(played).toBeLessThan(2200);
});

test.concurrent("a caller's audio reaches the bot as mu-law every 20 ms, with keys and the end of the call", async () => {
  await using stage = new Stage();
  const relay = await stage.relay();
  stage.publish(relay, { broadcast: "caller", source: await speech() });
  const model = stage.use(await loadModel("models/unsay-denoise.onnx"));
  const caller = stage.use(new Caller({ url: urlOf(relay), broadcast: "caller", model }));
  const spoke = once(caller, "speech");
  const publisher = stage.publish(relay, { broadcast: "bot" });
  const bot = stage.use(await BotServer.listen());
  const call = stage.use(new MediaStreamsCall({ bot: bot.url, publisher, caller }));
  await once(call, "started");
  await spoke;
  await until("a second of media", () => bot.received.filter(({ event }) => event === "media").length >= 50);
  call.dtmf("5");
  expect(() => call.dtmf("55")).toThrow(/digit must be one of/);
  await call.close();
  expect(await call.closed).toBeNull();
  await until("the call is over", () => bot.received.at(-1)?.event === "stop");
  const sent = bot.received.flatMap(({ media: each }) => (each ? [each] : []));
  for (const { payload } of sent) expect(Buffer.from(payload, "base64")).toHaveLength(160);
  expect(sent.map(({ timestamp }) => Number(timestamp))).toEqual(sent.map((_, index) => index * 20));
  expect(bot.received.slice(1).map(({ sequenceNumber }) => Number(sequenceNumber))).toEqual(
    bot.received.slice(1).map((_, index) => index + 1),
  );
  expect(bot.received.some(({ event }) => event === "dtmf")).toBe(true);
});

test.concurrent("a call that is over keeps nothing of a caller who says nothing", async () => {
  await using stage = new Stage();
  const publisher = stage.publish("http://127.0.0.1:9", { broadcast: "bot" });
  const audio = openAudio({ sampleRate: 48_000, format: "f32le", name: "caller" });
  const caller = stage.use(new Caller({ audio }));
  const opened = vi.spyOn(caller, "frames");
  const bot = stage.use(await BotServer.listen());
  const call = stage.use(new MediaStreamsCall({ bot: bot.url, publisher, caller }));
  await bot.call;
  await until("the bot has read the start", () => bot.received.length >= 2);
  await call.close();
  expect(opened.mock.results).toHaveLength(1);
  expect(await opened.mock.results[0]!.value.next()).toEqual({ done: true, value: undefined });
});

test("a bot that sends junk, other streams, files and endless messages harms neither the call nor its valid audio", async () => {
  await using stage = new Stage();
  const relay = await stage.relay();
  const publisher = stage.publish(relay, { broadcast: "bot" });
  const ear = new Ear();
  stage.listen(relay, { broadcast: "bot", sink: ear });
  const bot = stage.use(await BotServer.listen());
  const call = stage.use(new MediaStreamsCall({ bot: bot.url, publisher }));
  const problems: string[] = [];
  call.on("problem", ({ message }) => problems.push(message));
  const socket = await bot.call;
  await until("the bot has read the start", () => bot.received.length >= 2);
  await warmUp(publisher, ear);
  const before = ear.audibleMs;
  const { streamSid } = bot.received[1]!;
  socket.send("{");
  socket.send("{");
  socket.send(Buffer.from([1, 2, 3]));
  // Each names another one, and all are one kind of fault.
  for (const name of ["MZwrong", "MZother", ...Array.from({ length: 40 }, (_, index) => `MZ${"x".repeat(index)}`)])
    socket.send(media(tone(500), name));
  socket.send(media(Buffer.from("RIFFxxxxWAVEfmt "), streamSid!));
  socket.send(JSON.stringify({ event: "mark", streamSid, mark: {} }));
  socket.send("x".repeat(10 * 1024 * 1024));
  socket.send(media(tone(600_000), streamSid!));
  socket.send(JSON.stringify({ event: "mark", streamSid, mark: { name: "late" } }));
  socket.send(JSON.stringify({ event: "clear", streamSid }));
  socket.send(media(tone(200), streamSid!));
  socket.send(JSON.stringify({ event: "mark", streamSid, mark: { name: "right" } }));
  await until("what is right was heard", () => bot.marks().at(-1) === "right");
  expect(bot.marks()).toEqual(["late", "right"]);
  expect(call.stats()).toMatchObject({ invalid: 48 });
  expect(problems).toHaveLength(7);
  expect(problems.at(-1)).toContain("four times real time");
  expect(ear.audibleMs - before).toBeLessThan(700);
  socket.terminate();
  expect(await call.closed).toMatchObject({ code: "BOT_LEFT" });
});

test.concurrent("a bot that reads no answer ends its call once 8 MiB wait for it", async () => {
  await using stage = new Stage();
  const publisher = stage.publish("http://127.0.0.1:9", { broadcast: "bot" });
  const bot = stage.use(await BotServer.listen());
  const call = stage.use(new MediaStreamsCall({ bot: bot.url, publisher }));
  const socket = await bot.call;
  await until("the bot has read the start", () => bot.received.length >= 2);
  socket.pause();
  const gone = once(socket, "close");
  const mark = JSON.stringify({ event: "mark", mark: { name: "x".repeat(1000) } });
  // Far more than the sockets of both sides hold.
  for (let part = 0; part < 40_000; part++) socket.send(mark);
  expect(await call.closed).toMatchObject({ code: "BOT_UNREAD" });
  socket.resume();
  await gone;
});

test.concurrent("a bot that is unreachable, or has no WebSocket URL, causes one clear error", async () => {
  await using stage = new Stage();
  const publisher = stage.publish("http://127.0.0.1:9", { broadcast: "bot" });
  const call = new MediaStreamsCall({ bot: "ws://127.0.0.1:9/media", publisher });
  expect(await call.closed).toMatchObject({
    code: "BOT_UNREACHABLE",
    message: "The bot 127.0.0.1:9 can't be reached: nothing listens on that port.",
  });
  expect(() => new MediaStreamsCall({ bot: "http://127.0.0.1", publisher })).toThrow(
    /bot must be a URL with ws: or wss:/,
  );
  // Hanging up while dialling is not an error.
  const dialling = new MediaStreamsCall({ bot: "ws://127.0.0.1:9/media", publisher });
  await dialling.close();
  expect(await dialling.closed).toBeNull();
});

test.concurrent("a bot behind an own certificate authority is reached with it, and named as untrusted without", async () => {
  await using stage = new Stage();
  const publisher = stage.publish("http://127.0.0.1:9", { broadcast: "bot" });
  const { cert, key } = await createCertificate();
  const https = createServer({ cert, key });
  const bots = new WebSocketServer({ server: https });
  https.listen(0, "127.0.0.1");
  await once(bots, "listening");
  stage.use({ close: () => void https.close() });
  const options = { bot: `wss://127.0.0.1:${(https.address() as AddressInfo).port}`, publisher };
  const untrusted = await new MediaStreamsCall(options).closed;
  expect(untrusted).toMatchObject({ message: expect.stringMatching(/: the server's certificate is not trusted \(/) });
  const call = stage.use(new MediaStreamsCall({ ...options, ca: cert }));
  await once(call, "started");
});

test.concurrent("without a listener a bot gets its marks back by the clock, with one notice", async () => {
  await using stage = new Stage();
  const relay = await stage.relay();
  const publisher = stage.publish(relay, { broadcast: "bot" });
  const bot = stage.use(await BotServer.listen());
  const call = stage.use(new MediaStreamsCall({ bot: bot.url, publisher }));
  const problems: Error[] = [];
  call.on("problem", (error) => problems.push(error));
  const socket = await bot.call;
  await until("the bot has read the start", () => bot.received.length >= 2);
  const { streamSid } = bot.received[1]!;
  const start = performance.now();
  for (let part = 0; part < 10; part++) {
    socket.send(media(tone(100), streamSid!));
    socket.send(JSON.stringify({ event: "mark", streamSid, mark: { name: String(part) } }));
  }
  await until("all marks are back", () => bot.marks().length === 10);
  expect(performance.now() - start).toBeGreaterThan(900);
  expect(problems.map((problem) => (problem as { code?: string }).code)).toEqual(["NO_LISTENER"]);
});

test.concurrent("a stock Twilio bot of the OpenAI SDK truncates at what was heard, and talks on", async () => {
  await using stage = new Stage();
  const relay = await stage.relay();
  const publisher = stage.publish(relay, { broadcast: "bot" });
  const ear = new Ear();
  stage.listen(relay, { broadcast: "bot", sink: ear });
  const realtime = stage.use(await RealtimeServer.listen());
  const bot = stage.use(await BotServer.listen());
  const call = stage.use(new MediaStreamsCall({ bot: bot.url, publisher }));
  const socket = await bot.call;
  const transport = new TwilioRealtimeTransportLayer({ twilioWebSocket: socket, url: realtime.url });
  const agent = new RealtimeAgent({ name: "test", instructions: "Talk." });
  const format = "g711_ulaw";
  const session = new RealtimeSession(agent, {
    transport,
    config: { audio: { input: { format }, output: { format } } },
    tracingDisabled: true,
  });
  stage.defer(() => session.close());
  session.on("error", () => {});
  await session.connect({ apiKey: "none" });
  await until("the bot is ready", () => realtime.received.length > 0);
  await warmUp(publisher, ear);
  const before = ear.audibleMs;

  realtime.answer({ response: "r1", item: "i1", audio: tone(5000), deltaBytes: 800 });
  await until("1.5 s were heard", () => ear.audibleMs - before > 1500);
  realtime.speechStarted();
  await until("the item is truncated", () => realtime.all("conversation.item.truncate").length === 1);
  const heardAtClear = ear.audibleMs - before;
  const [truncate] = realtime.all("conversation.item.truncate");
  expect(truncate).toMatchObject({ item_id: "i1", content_index: 0 });
  // The bot knows what is heard by marks that stand 100 ms apart, and adds 50 ms; reports come ten times a second.
  expect(Math.abs(Number(truncate!.audio_end_ms) - heardAtClear)).toBeLessThan(300);
  expect(call.stats()).toMatchObject({ clears: 1, pendingMarks: 0 });

  realtime.answer({ response: "r2", item: "i2", audio: tone(400), deltaBytes: 800 });
  await until("the second answer was heard", () => call.stats().heardMs === 5400);
  expect(ear.audibleMs - before).toBeLessThan(2800);
  expect(realtime.all("conversation.item.truncate")).toHaveLength(1);
});

test.concurrent("unsay call plays a bot's audio to its end, and exits with its numbers when the bot hangs up", async () => {
  await using stage = new Stage();
  const relay = await stage.relay();
  const ear = new Ear();
  const listener = stage.listen(relay, { broadcast: "bot", sink: ear });
  const bot = stage.use(await BotServer.listen());
  const argv = ["call", bot.url, "--url", urlOf(relay), "--broadcast", "bot", "--listen", "caller"];
  const run = unsay([...argv, "--parameters", "language=it,who=me", "--json"]);
  const socket = await bot.call;
  await until("the bot has read the start", () => bot.received.length >= 2);
  const { streamSid, start } = bot.received[1]!;
  expect(start!.customParameters).toEqual({ language: "it", who: "me" });
  while (ear.audibleMs === 0) {
    socket.send(media(tone(100), streamSid!));
    await sleep(300);
  }
  const before = ear.audibleMs + listener.stats().stalledMs;
  socket.send(media(tone(700), streamSid!));
  socket.close(1000);
  const { exitCode, out, error } = await run;
  expect(error).toBe("");
  expect(exitCode).toBe(0);
  const [first, numbers] = out.trim().split("\n");
  expect(first).toContain(`calling ${bot.url} as ${streamSid}`);
  expect(JSON.parse(numbers!)).toMatchObject({ invalid: 0, pendingMarks: 0 });
  expect(ear.audibleMs + listener.stats().stalledMs - before).toBeGreaterThan(690);
  // Without a connection to the relay no listener can hear the bot.
  const unheard = stage.use(await BotServer.listen());
  const failed = unsay(["call", unheard.url, "--url", "http://127.0.0.1:1"]);
  (await unheard.call).close(1000);
  expect(await failed).toMatchObject({
    exitCode: 1,
    error: expect.stringMatching(/ \((?:CONNECT_FAILED|NOT_CONNECTED)\)\n$/),
  });
  for (const [argv, sentence] of [
    [["call", "http://bot", "--url", urlOf(relay)], /--bot must be a URL such as ws:.*, but is "http:\/\/bot"/],
    [["call", bot.url, "--url", urlOf(relay), "--parameters", "x"], /--parameters must be name=value pairs/],
  ] as const)
    expect(await unsay(argv)).toMatchObject({ exitCode: 2, error: expect.stringMatching(sentence) });
});
