import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeAll, expect, test } from "vitest";
import { MediaStreamsCall, RealtimeDoor } from "../../agent/index.js";
import { Publisher } from "../../publisher/index.js";
import { Relay } from "../../relay/index.js";
import { Listener } from "../../watch/index.js";

const RECORDING = { file: "examples/audio/clean-speech.wav", ms: 10_520 };
const closers: (() => unknown)[] = [];
let python: string;

beforeAll(() => {
  python = execFileSync("scripts/pipecat.sh", { encoding: "utf8" }).trim();
}, 600_000);
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function openRelay(): Promise<number> {
  const relay = new Relay({ port: 0 });
  const { port } = await relay.listen();
  closers.push(() => relay.close());
  return port;
}

function listen(port: number, broadcast: string, backend: "quic" | "qmux"): Listener {
  const listener = new Listener({
    url: `http://127.0.0.1:${port}`,
    broadcast,
    timeoutMs: 60_000,
    connect: { backends: [backend] },
  });
  closers.push(() => listener.close());
  return listener;
}

function run(...argv: readonly string[]): ChildProcess {
  const child = spawn(python, argv, { stdio: ["pipe", "pipe", "ignore"] });
  closers.push(() => child.kill("SIGKILL"));
  return child;
}

test.each(["quic", "qmux"] as const)(
  "a listener over %s hears at least 98 percent of two answers of Pipecat's own MoQ transport",
  async (backend) => {
    const port = await openRelay();
    const bot = run("tests/stock/moq_bot.py", `https://127.0.0.1:${port}/`, RECORDING.file);
    const listener = listen(port, "pipecat/response", backend);
    await once(bot.stdout!, "data");
    await expect.poll(() => listener.stats().state).toBe("ready");
    for (const answer of [1, 2]) {
      const before = listener.stats().playedMs;
      bot.stdin!.write("\n");
      await sleep(RECORDING.ms + 2500);
      expect(listener.stats().playedMs - before, `answer ${answer}`).toBeGreaterThan(0.98 * RECORDING.ms);
    }
  },
);

test("a Pipecat bot at the door falls silent and learns a part of its text", async () => {
  const port = await openRelay();
  const publisher = new Publisher({ url: `http://127.0.0.1:${port}`, broadcast: "agent" });
  const door = new RealtimeDoor({ publisher });
  await door.listen();
  closers.push(
    () => publisher.close(),
    () => door.close(),
  );
  const listener = listen(port, "agent", "quic");
  const bot = run("examples/pipecat_bot.py", new URL(door.url).port);
  const [line] = await once(bot.stdout!, "data");
  const [, ms, text] = /^Heard (\d+) ms: "(.*)"/.exec(String(line))!;
  expect(Number(ms)).toBeGreaterThan(1000);
  expect(Number(ms)).toBeLessThanOrEqual(listener.stats().playedMs);
  expect("Congratulations. You have successfully installed and executed the Asterisk").toContain(text);
  expect(text).not.toBe("");
  await once(bot, "exit");
});

test("an unmodified Pipecat bot for telephone calls falls silent at its interruption", async () => {
  const port = await openRelay();
  const publisher = new Publisher({ url: `http://127.0.0.1:${port}`, broadcast: "bot" });
  closers.push(() => publisher.close());
  const listener = listen(port, "bot", "quic");
  const at = 20_000 + Math.floor(Math.random() * 20_000);
  const bot = run("tests/stock/twilio_bot.py", String(at), RECORDING.file, "3");
  await once(bot.stdout!, "data");
  const call = new MediaStreamsCall({ bot: `ws://127.0.0.1:${at}/ws`, publisher });
  closers.push(() => call.close());
  await expect.poll(() => call.stats().clears).toBe(1);
  await expect.poll(() => listener.stats().discontinuities).toBe(1);
  // The rewind is followed by one frame of silence.
  await sleep(500);
  const { playedMs } = listener.stats();
  expect(playedMs).toBeGreaterThan(0);
  expect(playedMs).toBeLessThan(call.stats().botMs);
  await sleep(1000);
  expect(listener.stats().playedMs).toBe(playedMs);
  expect(call.stats().invalid).toBe(0);
});
