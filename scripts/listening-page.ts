/**
 * Makes docs/listen.html: the example recording before and after denoising, to listen to and as spectrograms, and the
 * recordings that train/make_listening.py wrote.
 *
 *     npx tsx scripts/listening-page.ts
 *
 * Needs ffmpeg with libmp3lame and libwebp.
 */
import "../base/polyfills.js";
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { type Method, methods, processClip } from "../bench/denoise/methods.js";
import { score } from "../bench/denoise/score.js";
import { plainScript } from "../bench/support/scripts.js";
import { openSource, realFft, Stft } from "../publisher/index.js";

plainScript("listening-page.ts", "Makes docs/listen.html and its recordings; needs ffmpeg.").parse();

const root = join(import.meta.dirname, "..");
const folder = join(root, "docs/listen");
/** Most that all files of the page may hold together. */
const MAX_BYTES = 900_000;
/** Samples by which every method runs late. */
const HOP = 480;

/** Of a spectrogram, in pixels; the height is in bins of 50 Hz, up to 8 kHz. */
const WIDTH = 900;
const HEIGHT = 160;
/** Levels of a bin shown black and white. */
const QUIETEST_DB = -60;
const LOUDEST_DB = 30;
const COLOURS = [
  [0, 0, 4],
  [81, 18, 124],
  [183, 55, 121],
  [252, 137, 97],
  [252, 253, 191],
];

const scoresSchema = z.object({ pesq: z.number(), stoi: z.number(), sisdr8: z.number(), ovrl: z.number() });
/** What train/make_listening.py writes about each recording; `shown` names the versions that have a file. */
const takesSchema = z.array(
  z.object({
    name: z.string(),
    title: z.string(),
    credit: z.string(),
    shown: z.array(z.string()),
    scores: z.record(z.string(), scoresSchema),
  }),
);
type Take = z.infer<typeof takesSchema>[number];

interface Clip {
  readonly file: string;
  readonly title: string;
  readonly samples: Float32Array;
  readonly scores: string;
}

async function read(name: string): Promise<Float32Array> {
  const source = await openSource({ file: join(root, "examples/audio", name) });
  const chunks: number[] = [];
  for (let chunk = await source.read(); chunk !== undefined; chunk = await source.read()) chunks.push(...chunk);
  return Float32Array.from(chunks);
}

/** The recording through a method, with its delay of one hop taken off. */
async function through(method: Method, samples: Float32Array): Promise<Float32Array> {
  const padded = new Float32Array(samples.length + 2 * HOP);
  padded.set(samples);
  const { output } = await processClip(method, padded);
  return output.slice(HOP, HOP + samples.length);
}

function ffmpeg(input: readonly string[], data: Float32Array | Uint8Array, output: readonly string[]): void {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  execFileSync("ffmpeg", ["-v", "error", "-y", ...input, "-i", "pipe:0", ...output], { input: bytes });
}

async function write({ file, samples }: Clip): Promise<void> {
  const exact = ["-map_metadata", "-1", "-fflags", "+bitexact", "-flags:a", "+bitexact"];
  const sound = ["-f", "f32le", "-ar", "48000", "-ac", "1"];
  ffmpeg(sound, samples, [...exact, "-c:a", "libmp3lame", "-b:a", "64k", join(folder, `${file}.mp3`)]);
  const pixels = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", `${WIDTH}x${HEIGHT}`];
  ffmpeg(pixels, await spectrogram(samples), ["-frames:v", "1", "-quality", "60", join(folder, `${file}.webp`)]);
}

/** One picture, RGB: a column for each stretch of time, a row for each bin of 50 Hz, the louder the brighter. */
async function spectrogram(samples: Float32Array): Promise<Uint8Array> {
  const stft = new Stft(await realFft(2 * HOP));
  const windows = Math.floor(samples.length / HOP);
  const power = new Float64Array(WIDTH * HEIGHT);
  const counts = new Float64Array(WIDTH);
  for (let window = 0; window < windows; window++) {
    stft.analyse(samples.subarray(window * HOP, (window + 1) * HOP));
    const column = Math.floor((window * WIDTH) / windows);
    counts[column]!++;
    for (let bin = 1; bin <= HEIGHT; bin++) {
      power[(HEIGHT - bin) * WIDTH + column]! += stft.spectrum[2 * bin]! ** 2 + stft.spectrum[2 * bin + 1]! ** 2;
    }
  }
  const pixels = new Uint8Array(WIDTH * HEIGHT * 3);
  for (let i = 0; i < power.length; i++) {
    const level = 10 * Math.log10(power[i]! / counts[i % WIDTH]! + 1e-12);
    pixels.set(colour(Math.min(1, Math.max(0, (level - QUIETEST_DB) / (LOUDEST_DB - QUIETEST_DB)))), 3 * i);
  }
  return pixels;
}

/** From black over violet and red to pale yellow, ever brighter. */
function colour(share: number): number[] {
  const at = share * (COLOURS.length - 1);
  const below = COLOURS[Math.floor(at)]!;
  const above = COLOURS[Math.min(COLOURS.length - 1, Math.floor(at) + 1)]!;
  return below.map((value, i) => value + (above[i]! - value) * (at % 1));
}

/** The denoiser with the best score in a column. */
function winner(scores: Take["scores"], column: keyof z.infer<typeof scoresSchema>): string {
  const denoisers = Object.keys(scores).filter((name) => name !== "before");
  return denoisers.reduce((best, name) => (scores[name]![column] > scores[best]![column] ? name : best));
}

function recorded({ name, title, credit, shown, scores }: Take): string {
  const rows = Object.entries(scores).map(
    ([denoiser, { pesq, stoi, sisdr8, ovrl }]) =>
      `    <tr><td>${denoiser}</td><td>${pesq.toFixed(2)}</td><td>${stoi.toFixed(3)}</td><td>${sisdr8.toFixed(1)} dB</td><td>${ovrl.toFixed(2)}</td></tr>`,
  );
  const players = shown.map(
    (version, i) => `  <figure>
    <figcaption>${version === "before" ? "Before" : `After ${version}`}</figcaption>
    <audio controls preload="none" src="listen/recorded/${name}-${i}.webm"></audio>
  </figure>`,
  );
  return `  <h2>${title}</h2>
  <p>Best in PESQ: ${winner(scores, "pesq")}; in STOI: ${winner(scores, "stoi")}; in SI-SDR: ${winner(scores, "sisdr8")}; in DNSMOS: ${winner(scores, "ovrl")}.</p>
${players.join("\n")}
  <table>
    <tr><th></th><th>PESQ-WB</th><th>STOI</th><th>SI-SDR 0-8 kHz</th><th>DNSMOS OVRL</th></tr>
${rows.join("\n")}
  </table>
  <p>${credit} Cut, levelled and mixed by us; nothing of it was used to train the model.</p>`;
}

function page(clips: readonly Clip[], takes: readonly Take[], seconds: number): string {
  const figures = clips.map(
    ({ file, title, scores }) => `  <figure>
    <figcaption><strong>${title}</strong>${scores === "" ? "" : `: ${scores}`}</figcaption>
    <img src="listen/${file}.webp" width="${WIDTH}" height="${HEIGHT}" alt="Spectrogram: ${title}">
    <audio controls preload="none" src="listen/${file}.mp3"></audio>
  </figure>`,
  );
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>unsay: before and after</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 900px; margin: 2rem auto; padding: 0 1rem; }
  figure { margin: 0 0 2rem; }
  img { display: block; width: 100%; height: auto; }
  audio { width: 100%; margin-top: 0.5rem; }
  table { border-collapse: collapse; }
  td, th { padding: 0.1rem 0.8rem 0.1rem 0; text-align: left; }
</style>
</head>
<body>
  <h1>Before and after</h1>
  <p>${seconds.toFixed(0)} seconds of speech with a fan, a street behind the window and a keyboard, through the streaming stage hop by hop.
  The pictures show ${seconds.toFixed(0)} seconds from left to right and 0 to 8 kHz from bottom to top; the scores compare with the clean
  recording (SI-SDR with RNNoise's high-pass on both, and STOI). RNNoise wins this one. Three recordings in recorded
  noise are below; <a href="../models/MODEL_CARD.md">the model card</a> has the scores over many.</p>
${figures.join("\n")}
  <p>The voice is <a href="http://www.carloflora.com">Carlo Flora</a>, from the Italian Asterisk core sounds, translated
  by Silvia Petrin, &copy; 2012 Carlo Flora, under
  <a href="https://creativecommons.org/licenses/by/3.0/">Creative Commons Attribution 3.0</a>; cut, levelled and mixed with
  computed noise. The clips above are under the same licence. It was not used to train the model. One clip proves nothing: the
  scores over 216 clips are in <a href="denoise.md">denoise.md</a>.</p>
${takes.map(recorded).join("\n")}
  <p>Made by <code>python3 train/make_listening.py</code> and <code>npx tsx scripts/listening-page.ts</code>.</p>
</body>
</html>
`;
}

const clean = await read("clean-speech.wav");
const noisy = await read("noisy-speech.wav");
mkdirSync(folder, { recursive: true });
const clips: Clip[] = [];
const rows = await methods(join(root, "models/unsay-denoise.onnx"));
const shown = [
  ["noisy", "before", "Before"],
  ["RNNoise 0.2", "rnnoise", "After RNNoise 0.2"],
  [rows.at(-1)!.name, "after", `After ${rows.at(-1)!.name}`],
] as const;
for (const [name, file, title] of shown) {
  const method = rows.find((row) => row.name === name)!;
  const samples = name === "noisy" ? noisy : await through(method, noisy);
  const { siSdrDb, stoi } = await score(clean, noisy, samples, method.highPassed);
  clips.push({ file, title, samples, scores: `SI-SDR ${siSdrDb.toFixed(1)} dB, STOI ${stoi.toFixed(3)}` });
}
clips.push({ file: "clean", title: "The speech alone, as recorded", samples: clean, scores: "" });
for (const clip of clips) await write(clip);
const takes = takesSchema.parse(JSON.parse(readFileSync(join(folder, "recorded/recordings.json"), "utf8")));
writeFileSync(join(root, "docs/listen.html"), page(clips, takes, noisy.length / 48_000));
const files = readdirSync(folder, { recursive: true, encoding: "utf8" });
const bytes = files.reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
process.stdout.write(`${clips.map(({ title, scores }) => `${title}: ${scores}\n`).join("")}${bytes} bytes\n`);
if (bytes > MAX_BYTES) throw new Error(`The page holds ${bytes} bytes, more than ${MAX_BYTES}.`);
process.exit();
