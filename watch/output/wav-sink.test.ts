import { execFileSync } from "node:child_process";
import {
  closeSync,
  constants,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { WavSink } from "./wav-sink.js";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "unsay-wav-sink-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Samples that show their position: sample `n` of the recording is `n` modulo 30,000, as 16-bit PCM. */
function ramp(start: number, frames: number): Float32Array[] {
  return [Float32Array.from({ length: frames }, (_, index) => ((start + index) % 30_000) / 32_767)];
}

/** The samples of a WAV file, whose two sizes must both be those of the file or of a shorter one. */
function samplesOf(file: Buffer): number[] {
  expect(file.subarray(0, 4).toString("latin1")).toBe("RIFF");
  expect(file.subarray(36, 40).toString("latin1")).toBe("data");
  const dataBytes = file.readUInt32LE(40);
  expect(file.readUInt32LE(4)).toBe(dataBytes + 36);
  expect(file.length).toBeGreaterThanOrEqual(44 + dataBytes);
  return Array.from({ length: dataBytes / 2 }, (_, index) => file.readInt16LE(44 + index * 2));
}

test("a recording is a valid file whenever another process reads it or this one is killed", async () => {
  const path = join(folder, "heard.wav");
  const sink = new WavSink({ path });
  expect(samplesOf(readFileSync(path))).toEqual([]);
  let frames = 0;
  let seen = 0;
  for (let turn = 0; turn < 200; turn++) {
    sink.write(ramp(frames, 480));
    frames += 480;
    // As often as the event loop turns while blocks are being written.
    await new Promise((resolve) => setImmediate(resolve));
    const samples = samplesOf(readFileSync(path));
    expect(samples.every((sample, index) => sample === index % 30_000)).toBe(true);
    expect(samples.length).toBeGreaterThanOrEqual(seen);
    seen = samples.length;
  }
  await sink.close();
  const file = readFileSync(path);
  expect(file).toHaveLength(44 + frames * 2);
  expect(samplesOf(file)).toHaveLength(frames);
});

test("audio beyond the largest file continues in the next one without a gap", async () => {
  const path = join(folder, "heard.wav");
  // A stale longer recording of that name leaves nothing behind.
  writeFileSync(join(folder, "heard-2.wav"), Buffer.alloc(1_000_000));
  const sink = new WavSink({ path }, 44 + 20_001);
  for (let frame = 0; frame < 25_000; frame += 1000) sink.write(ramp(frame, 1000));
  await sink.close();
  expect(readdirSync(folder).sort()).toEqual(["heard-2.wav", "heard-3.wav", "heard.wav"]);
  const parts = ["heard.wav", "heard-2.wav", "heard-3.wav"].map((name) => readFileSync(join(folder, name)));
  expect(parts.map(({ length }) => length)).toEqual([20_044, 20_044, 10_044]);
  expect(parts.flatMap(samplesOf)).toEqual(Array.from({ length: 25_000 }, (_, index) => index));
});

test("a sink reports a full disk when it is full, and a file that cannot be opened at once", async () => {
  expect(() => new WavSink({ path: "/dev/full" })).toThrow(
    expect.objectContaining({ code: "FILE_UNWRITABLE", message: expect.stringContaining("no space left on device") }),
  );
  expect(() => new WavSink({ path: folder })).toThrow("cannot be written: it is a directory.");

  // A file that takes only 20,000 bytes: a folder is in the way of the next file.
  const path = join(folder, "heard.wav");
  mkdirSync(join(folder, "heard-2.wav"));
  const sink = new WavSink({ path }, 44 + 20_000);
  for (let frame = 0; frame < 15_000; frame += 1000) sink.write(ramp(frame, 1000));
  expect(await sink.failed).toMatchObject({ code: "FILE_UNWRITABLE" });
  await expect(sink.close()).rejects.toMatchObject({ code: "FILE_UNWRITABLE" });
  expect(samplesOf(readFileSync(path))).toHaveLength(10_000);
});

function pipe(): string {
  const path = join(folder, "pipe");
  execFileSync("mkfifo", [path]);
  return path;
}

test("a recording that is removed or replaced fails, at once and at its end, and one that is only moved goes on", async () => {
  const unwritable = (path: string) => ({
    code: "FILE_UNWRITABLE",
    message: `The file ${path} takes no more: it was removed or replaced.`,
  });
  const [removed, replaced, late, moved] = ["removed", "replaced", "late", "moved"].map((name) => {
    const path = join(folder, name, "heard.wav");
    mkdirSync(join(folder, name));
    return { path, sink: new WavSink({ path }) };
  });
  rmSync(join(folder, "removed"), { recursive: true });
  writeFileSync(join(folder, "other"), "another program's");
  renameSync(join(folder, "other"), replaced!.path);
  renameSync(moved!.path, join(folder, "elsewhere.wav"));
  for (const { sink } of [removed!, replaced!, late!, moved!]) sink.write(ramp(0, 4800));
  for (const { path, sink } of [removed!, replaced!]) {
    expect(await sink.failed).toMatchObject(unwritable(path));
    await expect(sink.close()).rejects.toMatchObject(unwritable(path));
  }
  expect(readFileSync(replaced!.path, "utf8")).toBe("another program's");
  await expect.poll(() => readFileSync(late!.path)).toHaveLength(44 + 9600);
  rmSync(late!.path);
  await expect(late!.sink.close()).rejects.toMatchObject(unwritable(late!.path));
  await moved!.sink.close();
  expect(samplesOf(readFileSync(join(folder, "elsewhere.wav")))).toHaveLength(4800);
});

test("of two recordings into one file the later one is whole, and the other one fails", async () => {
  const path = join(folder, "shared.wav");
  const first = new WavSink({ path });
  first.write(ramp(0, 9600));
  await expect.poll(() => readFileSync(path)).toHaveLength(44 + 19_200);
  const second = new WavSink({ path });
  second.write(ramp(0, 4800));
  first.write(ramp(9600, 4800));
  const lost = {
    code: "FILE_UNWRITABLE",
    message: `The file ${path} takes no more: another program has shortened it.`,
  };
  expect(await first.failed).toMatchObject(lost);
  await expect(first.close()).rejects.toMatchObject(lost);
  second.write(ramp(4800, 4800));
  await second.close();
  expect(readFileSync(path)).toHaveLength(44 + 19_200);
  expect(samplesOf(readFileSync(path)).every((sample, index) => sample === index)).toBe(true);
});

test("a pipe's reader may come late, and gets the audio from its first sample on", async () => {
  const sink = new WavSink({ path: pipe() });
  for (let frame = 0; frame < 20_000; frame += 1000) sink.write(ramp(frame, 1000));
  expect(sink.isUnread).toBe(true);
  const reading = readFile(sink.path);
  await expect.poll(() => sink.isUnread).toBe(false);
  await sink.close();
  const file = await reading;
  expect(file.readUInt32LE(40)).toBe(0xffff_ffff - 44);
  expect(file).toHaveLength(44 + 40_000);
  expect(file.readInt16LE(44 + 2 * 19_999)).toBe(19_999);
});

test("a pipe that nothing reads makes its recording fail, and one whose reader leaves ends it", async () => {
  const unread = new WavSink({ path: pipe() });
  unread.write(ramp(0, 10_000));
  await expect(unread.close()).rejects.toMatchObject({
    code: "FILE_UNWRITABLE",
    message: `Nothing reads the pipe ${unread.path}: nothing was written.`,
  });

  const reader = openSync(unread.path, constants.O_RDONLY | constants.O_NONBLOCK);
  const sink = new WavSink({ path: unread.path });
  expect(sink.isUnread).toBe(false);
  sink.write(ramp(0, 5000));
  closeSync(reader);
  sink.write(ramp(5000, 5000));
  expect(await sink.failed).toMatchObject({ code: "PIPE_CLOSED" });
  await expect(sink.close()).rejects.toMatchObject({ code: "PIPE_CLOSED" });
});
