import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { openAudio, Publisher, Relay } from "../src/index.js";
import { UnsayProcess, unsay } from "./support/command-line.js";
import { compiledPath } from "./support/compile.js";
import { waveFile } from "./support/wave-file.js";

const folder = mkdtempSync(join(tmpdir(), "unsay-pipes-"));
const relay = new Relay({ port: 0 });
let publisher: Publisher;
let url = "";

beforeAll(async () => {
  const { port } = await relay.listen();
  url = `http://127.0.0.1:${port}`;
  publisher = new Publisher({ url });
  publisher.say(openAudio({ file: "examples/audio/noisy-speech.wav", loop: true }));
});
afterAll(async () => {
  await publisher.close();
  await relay.close();
  rmSync(folder, { recursive: true });
});

/** Seconds of audio that a WAV file says it has, and really has. */
function secondsOf(path: string): number {
  const file = readFileSync(path);
  const bytes = file.readUInt32LE(40);
  expect(file.readUInt32LE(4)).toBe(bytes + 36);
  expect(file.length).toBeGreaterThanOrEqual(44 + bytes);
  return bytes / 96_000;
}

/**
 * The level of a recorded tone and the share of its samples that are too loud for it: a few may be, at the edge of a hole
 * that a busy machine left.
 */
function toneOf(path: string): { readonly level: number; readonly clipped: number } {
  const bytes = readFileSync(path).subarray(44);
  const samples = Array.from({ length: bytes.length >> 1 }, (_, at) => Math.abs(bytes.readInt16LE(2 * at)) / 32_768);
  const loud = samples.filter((sample) => sample > 0.01).sort((one, other) => one - other);
  const clipped = loud.filter((sample) => sample > 0.75).length / loud.length;
  return { level: loud[Math.floor(0.95 * loud.length)] ?? 0, clipped };
}

test("a recording is complete after a hangup and after the process was killed", async () => {
  const signals = ["SIGHUP", "SIGKILL"] as const;
  await Promise.all(
    signals.map(async (signal) => {
      const path = join(folder, `${signal}.wav`);
      const watcher = new UnsayProcess(["watch", url, "--wav", path, "--json"]);
      await watcher.says(/"playedMs":[1-9]\d\d/);
      watcher.child.kill(signal);
      expect(await watcher.exited()).toBe(signal === "SIGHUP" ? 0 : null);
      expect(secondsOf(path)).toBeGreaterThan(0.5);
    }),
  );
});

test("a reader that leaves ends a command quietly, and a full disk ends it with a sentence", async () => {
  const path = join(folder, "head.wav");
  const watcher = new UnsayProcess(["watch", url, "--wav", path, "--json"]);
  const raw = new UnsayProcess(["watch", url, "--stdout"]);
  const full = openSync("/dev/full", "w");
  const argv = [compiledPath("src/cli.ts"), "watch", url, "--stdout"];
  const stuck = spawn(process.execPath, argv, { stdio: ["ignore", full, "pipe"] });
  const ended = once(stuck, "exit");
  let error = "";
  stuck.stderr?.on("data", (data) => {
    error += data;
  });
  await Promise.all([watcher.says(/"state"/), raw.says(/\0/)]);
  watcher.child.stdout.destroy();
  raw.child.stdout.destroy();
  expect([await watcher.exited(), await raw.exited()]).toEqual([0, 0]);
  // Where joining takes more than a second and a half, a command says what it waits for.
  const errors = [watcher, raw].map((each) =>
    each.error.replace(/^unsay: There is no demo\S* at \S+ yet; waiting .*\n/, ""),
  );
  expect(errors).toEqual(["", ""]);
  expect(secondsOf(path)).toBeGreaterThan(0);
  expect((await ended)[0]).toBe(1);
  closeSync(full);
  expect(error).toMatch(/Standard output cannot be written: .*no space left on device.* \(OUTPUT_FAILED\)\n$/);
});

test("a load run that is interrupted prints its measurements so far", async () => {
  const loaded = new Relay({ port: 0 });
  onTestFinished(() => loaded.close());
  const { port } = await loaded.listen();
  const bench = new UnsayProcess([
    "bench",
    "relay",
    "--url",
    `http://127.0.0.1:${port}`,
    "--watchers",
    "2",
    "--seconds",
    "600",
  ]);
  // It counts after a second, which is 50 objects.
  await expect.poll(() => loaded.stats().counters.objectsIn).toBeGreaterThan(75);
  bench.child.kill("SIGTERM");
  expect(await bench.exited()).toBe(0);
  expect(bench.out).toMatch(/2 joined, 0 failed.*stopped early/s);
});

test("a WAV file arrives through standard input, /dev/stdin and a process substitution alike", async () => {
  const path = join(folder, "said.wav");
  // As a recorder writes it into a pipe: 2 GiB, of which four seconds come.
  const tone = Float32Array.from({ length: 4 * 44_100 }, (_, i) => 0.5 * Math.sin((2 * Math.PI * 440 * i) / 44_100));
  writeFileSync(path, waveFile({ channels: [tone], rate: 44_100, size: 0x80000000 }));
  const unsayPublish = `${process.execPath} ${compiledPath("src/cli.ts")} publish --url ${url} --bypass`;
  const ways = [
    `cat ${path} | ${unsayPublish} -`,
    `${unsayPublish} /dev/stdin < ${path}`,
    // Node gives a child a socket, which can't be opened by a path.
    `${unsayPublish} /dev/stdin`,
    `${unsayPublish} <(cat ${path})`,
  ];
  await Promise.all(
    ways.map(async (way, index) => {
      const broadcast = `way-${index}`;
      const heard = join(folder, `${broadcast}.wav`);
      const over = new AbortController();
      // It waits for its publisher.
      const listener = ["watch", url, "--broadcast", broadcast, "--wav", heard, "--timeout-ms", "120000"];
      const listening = unsay(listener, { signal: over.signal });
      // The publisher of the tests above has a session, too.
      await expect.poll(() => relay.stats().sessions).toBeGreaterThan(ways.length);
      const child = spawn("/bin/bash", ["-c", `${way} --broadcast ${broadcast}`], {
        stdio: ["pipe", "pipe", "pipe"],
      });
      child.stdin.on("error", () => {}).end(readFileSync(path));
      const ended = once(child, "exit");
      let error = "";
      child.stderr.on("data", (data) => {
        error += data;
      });
      expect((await ended)[0], way + error).toBe(0);
      over.abort();
      await listening;
      // A file shows at once how much it holds; a pipe may go on.
      expect(error, way).toMatch(index === 1 ? /^unsay: .*claims 2147483648 bytes of audio and holds 352800/ : /^$/);
      const { level, clipped } = toneOf(heard);
      expect(level, way).toBeGreaterThan(0.4);
      expect(level, way).toBeLessThan(0.6);
      expect(clipped, way).toBeLessThan(0.005);
    }),
  );
});
