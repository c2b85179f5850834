import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Listener, openAudio, Publisher, Relay, WavSink } from "../src/index.js";
import { UnsayProcess } from "./support/command-line.js";
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

test.concurrent("a recording is complete after a hangup and after the process was killed", async () => {
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

test.concurrent("a terminal that is closed ends a command in order, without a crash", async ({ expect }) => {
  const [path, outcome] = [join(folder, "closed.wav"), join(folder, "outcome")];
  writeFileSync(outcome, "");
  const run = `${process.execPath} ${compiledPath("src/cli.ts")} watch ${url} --wav ${path}`;
  const terminal = spawn("script", ["-qec", `trap "" HUP; ${run}; echo $? > ${outcome}`, "/dev/null"]);
  let shown = "";
  terminal.stdout.on("data", (data) => {
    shown += data;
  });
  // A line of the meter every 100 ms; its time is that of the broadcast, which a busy machine joins late.
  await expect.poll(() => shown.split("▶").length).toBeGreaterThan(12);
  terminal.kill("SIGKILL");
  // What a shell says of a process that ended by SIGHUP; after a crash it is 134 or 139.
  await expect.poll(() => readFileSync(outcome, "utf8")).toBe("129\n");
  expect(secondsOf(path)).toBeGreaterThan(0.5);
});

test.concurrent("a reader that leaves ends a command quietly, and a full disk ends it with a sentence", async () => {
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
  expect(error).toMatch(/Standard output cannot be written: no space left on device\. \(OUTPUT_FAILED\)\n$/);
});

test.concurrent("Ctrl-C ends a command whose input nothing is written into or whose output is not read", async ({
  expect,
}) => {
  const [silent, unread] = [join(folder, "silent.ivf"), join(folder, "unread.wav")];
  execFileSync("mkfifo", [silent, unread]);
  const waiting = new UnsayProcess(["publish", "--video", silent, "--url", url, "--broadcast", "silent"]);
  const recording = new UnsayProcess(["watch", url, "--wav", unread, "--json"]);
  const raw = new UnsayProcess(["watch", url, "--stdout"]);
  raw.child.stdout.removeAllListeners("data").pause();
  await expect.poll(() => waiting.error).toMatch(/silent\.ivf has delivered nothing so far/);
  // The pipes hold less than two seconds of audio.
  await recording.says(/"playedMs":[3-9]\d\d\d/);
  expect(await Promise.all([waiting, recording, raw].map((each) => each.interrupt()))).toEqual([0, 0, 0]);
  expect(recording.error).toMatch(/Nothing reads the pipe \S+unread\.wav: nothing was written\.\n$/);
});

test.concurrent("a recording into a pipe ends with its reader, and fails without one", async ({ expect }) => {
  const [left, never] = [join(folder, "left.wav"), join(folder, "never.wav")];
  execFileSync("mkfifo", [left, never]);
  const heard = new UnsayProcess(["watch", url, "--wav", left, "--seconds", "600"]);
  const unheard = new UnsayProcess(["watch", url, "--wav", never, "--seconds", "2"]);
  const reader = spawn("head", ["-c", "10000", left], { stdio: "ignore" });
  expect((await once(reader, "exit"))[0]).toBe(0);
  expect(await heard.exited()).toBe(0);
  expect(await unheard.exited()).toBe(1);
  expect(unheard.error).toMatch(/Nothing reads the pipe \S+never\.wav: nothing was written\. \(FILE_UNWRITABLE\)\n$/);
});

test.concurrent("a load run that is interrupted prints its measurements so far", async ({ expect, onTestFinished }) => {
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

/** Seconds of a tone as a recorder writes them into a pipe: with a header of 2 GiB. */
function recorded(seconds: number): Uint8Array {
  const tone = Float32Array.from({ length: seconds * 44_100 }, (_, i) => 0.5 * Math.sin((2 * Math.PI * i) / 100));
  return waveFile({ channels: [tone], rate: 44_100, size: 0x80000000 });
}

test.concurrent("a WAV file arrives through standard input, /dev/stdin and a process substitution alike", async ({
  expect,
  onTestFinished,
}) => {
  const [path, long] = [join(folder, "said.wav"), join(folder, "long.wav")];
  const bytes = recorded(3);
  writeFileSync(path, bytes);
  writeFileSync(long, Buffer.concat([bytes, ...Array.from({ length: 19 }, () => bytes.subarray(44))]));
  const head = 20_000;
  const publish = `${process.execPath} ${compiledPath("src/cli.ts")} publish --url ${url} --bypass`;
  // However long its listener takes to come, it misses nothing: the rest of the tone waits for it.
  const piped = (go: string) =>
    `{ head -c ${head} ${path}; while [ -e ${path} -a ! -e ${go} ]; do sleep 0.05; done; tail -c +${head + 1} ${path}; }`;
  const ways: readonly ((go: string) => string)[] = [
    // By itself, standard input is live: what came late would be left out.
    (go) => `${piped(go)} | ${publish} - --mode ahead`,
    // Node gives a child a socket, which can't be opened by a path.
    () => `exec ${publish} /dev/stdin`,
    (go) => `exec ${publish} <(${piped(go)})`,
    // A file can't wait for its listener: it is longer than any listener takes.
    () => `exec ${publish} /dev/stdin < ${long}`,
  ];
  await Promise.all(
    ways.map(async (make, index) => {
      const isFile = index === ways.length - 1;
      const broadcast = `way-${index}`;
      const [heard, go] = [join(folder, `${broadcast}.wav`), join(folder, `${broadcast}.go`)];
      const way = make(go);
      const sink = new WavSink({ path: heard });
      const listener = new Listener({ url, broadcast, sink, timeoutMs: 120_000 });
      const child = spawn("/bin/bash", ["-c", `${way} --broadcast ${broadcast}`], {
        stdio: ["pipe", "pipe", "pipe"],
      });
      onTestFinished(() => void child.kill("SIGKILL"));
      child.stdin.on("error", () => {}).write(bytes.subarray(0, head));
      const ended = once(child, "exit");
      let error = "";
      child.stderr.on("data", (data) => {
        error += data;
      });
      await expect.poll(() => listener.stats().state, { message: way }).toMatch(/^(?:ready|playing)$/);
      writeFileSync(go, "");
      child.stdin.end(bytes.subarray(head));
      await expect.poll(() => listener.stats().playedMs, { message: way }).toBeGreaterThan(500);
      if (isFile) child.kill("SIGINT");
      expect((await ended)[0], way + error).toBe(0);
      await listener.close();
      // A file shows at once how much it holds; a pipe may go on.
      expect(error, way).toMatch(isFile ? /^unsay: .*claims 2147483648 bytes of audio and holds 5292000/ : /^$/);
      const { level, clipped } = toneOf(heard);
      expect(level, way).toBeGreaterThan(0.4);
      expect(level, way).toBeLessThan(0.6);
      expect(clipped, way).toBeLessThan(0.005);
    }),
  );
});

test.concurrent("a directory as standard input is refused as one", async ({ expect }) => {
  const command = `exec ${process.execPath} ${compiledPath("src/cli.ts")} publish - --url ${url} < ${folder}`;
  const child = spawn("/bin/bash", ["-c", command], { stdio: ["ignore", "ignore", "pipe"] });
  let error = "";
  child.stderr.on("data", (data) => {
    error += data;
  });
  expect((await once(child, "close"))[0]).toBe(2);
  expect(error).toBe("unsay: Standard input can't be read: it is a directory. (FILE_UNREADABLE)\n");
});
