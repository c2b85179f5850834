import { spawn } from "node:child_process";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { whyUnusable } from "../../base/bytes/bounded-file.js";
import { MediaError } from "../../base/index.js";
import { ByteReader } from "./byte-reader.js";
import { openWav } from "./wav.js";
import type { WavFormat } from "./wav-format.js";

/** A file that ffmpeg decodes. */
export interface FfmpegStream {
  readonly format: WavFormat;
  readonly warnings: readonly string[];
  readonly samples: AsyncGenerator<Float32Array, void, undefined>;
  /** Ends ffmpeg; idempotent. */
  close(): void;
}

/** Characters kept of ffmpeg's error output: its end. */
const MAX_COMPLAINT = 500;

/**
 * Decodes any format that `ffmpeg` supports; undefined where it is not installed. ffmpeg neither mixes nor resamples:
 * it writes all channels and their layout as a WAV file of floats, which then takes the path of every WAV file.
 *
 * @param source path of a file, or the bytes of a pipe for ffmpeg's standard input.
 * @param name used in messages.
 * @throws MediaError `UNSUPPORTED_FILE` when ffmpeg can't decode it either.
 */
export async function openWithFfmpeg(
  source: string | AsyncIterable<Uint8Array>,
  name: string,
): Promise<FfmpegStream | undefined> {
  const from = typeof source === "string" ? `file:${source}` : "pipe:0";
  // Where a file with more than two channels names no layout, ffmpeg's guess differs from ours.
  const input = ["-v", "error", "-guess_layout_max", "2", "-i", from];
  const output = ["-map", "0:a:0", "-map_metadata", "-1", "-c:a", "pcm_f32le", "-f", "wav", "pipe:1"];
  const child = spawn("ffmpeg", [...input, ...output], { stdio: ["pipe", "pipe", "pipe"] });
  const failure = await new Promise<Error | undefined>((resolve) => {
    child.once("spawn", () => resolve(undefined));
    child.once("error", resolve);
  });
  if (failure !== undefined) {
    if ("code" in failure && failure.code === "ENOENT") return undefined;
    throw new MediaError(
      "UNSUPPORTED_FILE",
      `ffmpeg, which the file ${name} needs, can't start: ${whyUnusable(failure)}.`,
    );
  }
  let complaint = "";
  child.stderr.on("data", (chunk: Buffer) => {
    complaint = (complaint + chunk.toString("utf8")).slice(-MAX_COMPLAINT);
  });
  const exit = new Promise<number | null>((resolve) => child.once("close", resolve));
  const reason = (code: number | null): string =>
    reasonOf(complaint, from) ?? (code === null ? "it was ended" : `exit code ${code}`);
  // ffmpeg may stop reading before the end and close its input.
  if (typeof source === "string") child.stdin.destroy();
  else pipeline(Readable.from(source), child.stdin).catch(() => {});
  const close = (): void => void child.kill("SIGKILL");
  try {
    const reader = new ByteReader(child.stdout);
    if ((await reader.peek(1)).length === 0) {
      throw new MediaError("UNSUPPORTED_FILE", `ffmpeg can't decode the file ${name}: ${reason(await exit)}.`);
    }
    const wav = await openWav(reader, { name });
    if (wav.kind === "foreign") throw new MediaError("UNSUPPORTED_FILE", `ffmpeg can't decode the file ${name}.`);
    const { format, samples: decoded, warnings } = wav;
    const damages: string[] = [];
    async function* samples(): AsyncGenerator<Float32Array, void, undefined> {
      try {
        yield* decoded;
        const code = await exit;
        if (code !== 0) damages.push(`ffmpeg decoded the file ${name} up to where it is damaged: ${reason(code)}.`);
      } finally {
        close();
      }
    }
    return {
      format,
      samples: samples(),
      close,
      get warnings() {
        return [...warnings, ...damages];
      },
    };
  } catch (error) {
    close();
    throw error;
  }
}

/** The last thing that ffmpeg complained about, without the file's name and the hints for those who run it by hand. */
function reasonOf(complaint: string, from: string): string | undefined {
  const lines = complaint.split("\n").map((line) => line.trim());
  if (lines.some((line) => line.startsWith("Stream map '0:a:0' matches no streams"))) return "it holds no audio";
  const last = lines.findLast((line) => line !== "")?.replace(/\.+$/, "");
  return last?.startsWith(`${from}: `) ? last.slice(from.length + 2) : last;
}
