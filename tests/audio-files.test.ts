import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFile, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, delimiter, join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { openSource, type SourceOptions } from "../publisher/index.js";
import { openAudio, UnsayError } from "../src/index.js";
import { findFfmpeg } from "./support/ffmpeg.js";
import { readAll } from "./support/signal.js";
import { chunk, store, type WaveFile, waveFile } from "./support/wave-file.js";

const folder = mkdtempSync(join(tmpdir(), "unsay-files-"));
const noTools = join(folder, "empty");
mkdirSync(noTools);
const path = process.env.PATH ?? "";
afterAll(() => rmSync(folder, { recursive: true }));
// What happens where ffmpeg is not installed; the tests that need it set PATH themselves.
beforeEach(() => {
  process.env.PATH = noTools;
});
afterEach(() => {
  process.env.PATH = path;
});

const HZ = 1000;
const SECONDS = 0.1;

function tone(rate = 48_000, amplitude = 0.5): Float32Array {
  return Float32Array.from({ length: rate * SECONDS }, (_, i) => amplitude * Math.sin((2 * Math.PI * HZ * i) / rate));
}

const silence = (rate = 48_000): Float32Array => new Float32Array(rate * SECONDS);
/** Channels of which one has the tone. */
const only = (index: number, count: number): Float32Array[] =>
  Array.from({ length: count }, (_, i) => (i === index ? tone() : silence()));
const mono = [tone()];

interface Heard {
  /** Samples per channel. */
  readonly frames: number;
  /** Of the tone, relative to what was stored, per channel. */
  readonly decibels: readonly number[];
  /** Whatever is not the tone, in the same measure, in the loudest channel. */
  readonly noise: number;
  readonly warnings: readonly string[];
}

async function hear(options: SourceOptions): Promise<Heard> {
  const source = await openSource(options);
  const samples = await readAll(source);
  const { channels, warnings = [] } = source;
  const frames = samples.length / channels;
  const levels: number[] = [];
  let noise = Number.NEGATIVE_INFINITY;
  for (let channel = 0; channel < channels; channel++) {
    // Whole periods away from the edges.
    const own = Array.from({ length: 2400 }, (_, i) => samples[(i + 1500) * channels + channel] ?? 0);
    const turn = (i: number): number => (2 * Math.PI * HZ * (i + 1500)) / 48_000;
    const sine = own.reduce((sum, value, i) => sum + value * Math.sin(turn(i)), 0) / 1200;
    const cosine = own.reduce((sum, value, i) => sum + value * Math.cos(turn(i)), 0) / 1200;
    const rest = own.map((value, i) => value - sine * Math.sin(turn(i)) - cosine * Math.cos(turn(i)));
    levels.push(decibels(Math.hypot(sine, cosine) / 0.5));
    noise = Math.max(noise, decibels(Math.sqrt(rest.reduce((sum, value) => sum + 2 * value * value, 0) / 2400) / 0.5));
  }
  await source.close();
  return { frames, decibels: levels, noise, warnings };
}

function decibels(ratio: number): number {
  return 20 * Math.log10(ratio + 1e-12);
}

async function* cut(bytes: Uint8Array, size = 999): AsyncGenerator<Uint8Array, void, undefined> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

const write = (name: string, bytes: Uint8Array): string => {
  const file = join(folder, name.replaceAll(/\W+/g, "-"));
  writeFileSync(file, bytes);
  return file;
};

const whole = waveFile({ channels: mono });
const junk = (bytes: number): Buffer => Buffer.alloc(bytes, 0x7f);
const ds64 = (size: bigint): Buffer => {
  const body = Buffer.alloc(28);
  body.writeBigUInt64LE(size, 8);
  return chunk("ds64", body);
};

type Variant = [name: string, bytes: Uint8Array, wanted?: { frames?: number; noise?: number; warning?: RegExp }];
const plays = (name: string, file: Partial<WaveFile>, wanted?: Variant[2]): Variant => [
  name,
  waveFile({ channels: mono, ...file }),
  wanted ?? {},
];
const claims = (size: number, warning?: RegExp): Variant =>
  plays(`a data size of 0x${size.toString(16)}`, { size }, warning && { warning });
const short = /claims \d+ bytes of audio and holds 9600, which are played/;

const VARIANTS: readonly Variant[] = [
  plays("16 bits", {}),
  plays("8 bits", { store: store.u8 }, { noise: -35 }),
  plays("24 bits", { store: store.s24 }),
  plays("32 bits", { store: store.s32 }),
  plays("floats of 32 bits", { store: store.f32, code: 3 }),
  plays("floats of 64 bits", { store: store.f64, code: 3 }),
  plays("A-law", { store: store.alaw, code: 6 }, { noise: -30 }),
  plays("mu-law", { store: store.mulaw, code: 7 }, { noise: -30 }),
  plays("12 bits in 16", { bits: 12 }),
  plays("20 bits in 24", { bits: 20, store: store.s24 }),
  plays("20 bits in 32", { bits: 20, store: store.s32 }),
  plays("24 bits in the upper end of 32", { bits: 24, store: store.s24high }),
  plays("24 bits in the lower end of 32, as ALSA has them", { bits: 24, store: store.s24low }),
  plays("24 bits claimed of 32", { bits: 24, store: store.s32 }),
  plays("extensible 16 bits", { extensible: { mask: 4 } }),
  plays("extensible 16 bits without a mask", { extensible: {} }),
  plays("extensible 24 bits", { extensible: {}, store: store.s24 }),
  plays("extensible 24 bits in the lower end of 32", { extensible: { validBits: 24 }, store: store.s24low }),
  plays("a second fmt chunk", { between: chunk("fmt ", Buffer.alloc(16)) }),
  ["an ID3 tag before it", Buffer.concat([Buffer.from("ID3\x03\0\0\0\0\x01\x48", "latin1"), junk(200), whole])],
  plays("extensible 24 bits in 32", { extensible: { validBits: 24 }, store: store.s24high }),
  plays("extensible with 0 valid bits", { extensible: { validBits: 0 } }),
  plays("extensible floats", { extensible: {}, store: store.f32, code: 3 }),
  plays("extensible floats of 64 bits", { extensible: {}, store: store.f64, code: 3 }),
  plays("extensible A-law", { extensible: {}, store: store.alaw, code: 6 }, { noise: -30 }),
  plays("extensible mu-law", { extensible: {}, store: store.mulaw, code: 7 }, { noise: -30 }),
  plays("a block alignment of 0", { blockAlign: 0 }, { warning: /a block alignment of 0; it is read with one of 2/ }),
  plays("a block alignment of 3", { blockAlign: 3 }, { warning: /a block alignment of 3/ }),
  plays("a fmt chunk of 18 bytes", { formatBytes: 18 }),
  plays("a fmt chunk of 14 bytes", { formatBytes: 14 }),
  plays("a fmt chunk of 2000 bytes", { formatBytes: 2000 }),
  claims(0),
  claims(0x7ffff000, short),
  claims(0x7fffffff, short),
  claims(0x80000000, short),
  claims(0xfffffffe, short),
  claims(0xffffffff),
  claims(9602, short),
  claims(20_000, short),
  ["a file cut off in its audio", whole.subarray(0, 44 + 8000), { frames: 4000, warning: /claims 9600 .* holds 8000/ }],
  [
    "a file cut off within a sample",
    whole.subarray(0, 44 + 8001),
    { frames: 4000, warning: /claims 9600 .* holds 8001/ },
  ],
  [
    "a sample too few at the end",
    waveFile({ channels: mono, size: 9599 }),
    { frames: 4799, warning: /1 bytes are left/ },
  ],
  plays("a LIST chunk behind the audio", { behind: chunk("LIST", junk(300)) }),
  plays("an unknown chunk behind the audio", { behind: chunk("what", junk(300)) }),
  plays("a LIST chunk before the audio", { between: chunk("LIST", junk(26)) }),
  plays("an odd chunk", { between: chunk("LIST", junk(27)) }),
  plays("an odd chunk without padding", { between: chunk("LIST", junk(27), { pad: false }) }),
  plays("an odd chunk without padding before fmt", { first: chunk("bext", junk(603), { pad: false }) }),
  plays("an ID3 chunk of 5 MB", { first: chunk("ID3 ", junk(5_000_001)) }),
  plays("a bext chunk before fmt", { first: chunk("bext", junk(602)) }),
  plays("RF64", { head: "RF64", first: ds64(9600n), size: 0xffffffff }),
  plays("RF64 with something behind the audio", {
    head: "RF64",
    first: ds64(9600n),
    size: 0xffffffff,
    behind: chunk("LIST", junk(300)),
  }),
  plays("RF64 that was never finished", { head: "RF64", first: ds64(0n), size: 0xffffffff }),
  plays("RF64 of a size too large", { head: "RF64", first: ds64(1n << 40n), size: 0xffffffff }, { warning: short }),
  plays("BW64", { head: "BW64", first: ds64(9600n), size: 0xffffffff }),
  ...[500, 8000, 11_025, 11_127, 22_254, 37_800, 44_056, 44_100, 96_000, 192_000, 384_000, 768_000].map((rate) =>
    plays(
      `${rate} Hz`,
      { rate, channels: [rate > 2500 ? tone(rate) : silence(rate)] },
      { frames: Math.round((Math.floor(rate * SECONDS) * 48_000) / rate), ...(rate < 2500 && { noise: 0 }) },
    ),
  ),
];

describe("a WAV file plays with its length and its level", () => {
  test.each(VARIANTS)("%s", async (name, bytes, { frames = 4800, noise = -60, warning } = {}) => {
    const fromFile = await hear({ file: write(name, bytes) });
    expect(fromFile.frames).toBe(frames);
    // Of a rate that is too low for a tone there is silence.
    expect(fromFile.decibels[0]).toSatisfy((level) => (noise < 0 ? Math.abs(level) < 0.1 : level < -90));
    expect(fromFile.noise).toBeLessThan(noise);
    expect(fromFile.warnings).toEqual(warning ? [expect.stringMatching(warning)] : []);
    const fromStream = await hear({ pcm: cut(bytes) });
    expect({ ...fromStream, warnings: [] }).toEqual({ ...fromFile, warnings: [] });
  });
});

const refused = async (options: SourceOptions): Promise<string> => {
  try {
    const source = await openSource(options);
    await readAll(source).finally(() => source.close());
  } catch (error) {
    if (error instanceof UnsayError) return `${error.code}: ${error.message}`;
    throw error;
  }
  return "played";
};

/** Frames of MPEG audio with the same header. */
const frames = (header: readonly number[], bytes: number): Buffer =>
  Buffer.concat([0, 1, 2].map(() => Buffer.concat([Buffer.from(header)], bytes)));

test("samples that begin like a frame of MPEG audio are samples", async () => {
  for (const start of [
    [0xff, 0xfb, 0x90, 0],
    [0xff, 0xf1, 0x50, 0x80, 0x20, 0x1f],
  ]) {
    const bytes = Buffer.concat([Buffer.from(start), junk(4000)]);
    expect(await hear({ pcm: cut(bytes) })).toMatchObject({ frames: bytes.length / 2, warnings: [] });
    expect(await hear({ pcm: cut(Buffer.from(start)) })).toMatchObject({ frames: start.length / 2, warnings: [] });
  }
});

const noFfmpeg = "ffmpeg, which reads other formats, is not installed";

test("without ffmpeg a file that only ffmpeg can read is refused with the name of its format", async () => {
  const cases: readonly [name: string, bytes: Uint8Array, reason: string][] = [
    ["adpcm", waveFile({ channels: mono, code: 2, bits: 4 }), "holds Microsoft ADPCM (format code 2) instead of PCM"],
    ["mp3", waveFile({ channels: mono, code: 0x55, bits: 0 }), "holds MP3 (format code 85) instead of PCM"],
    ["extensible mp3", waveFile({ channels: mono, code: 0x55, extensible: {} }), "holds MP3"],
    [
      "subformat",
      waveFile({ channels: mono, extensible: { tail: "21070000d3118644c8c1ca000000" } }),
      "has a SubFormat that",
    ],
    ["short extensible", waveFile({ channels: mono, code: 0xfffe }), "has a SubFormat that"],
    ["64 bits", waveFile({ channels: mono, bits: 64 }), "has format code 1 with 64 bits a sample"],
    ["half floats", waveFile({ channels: mono, code: 3 }), "has format code 3 with 16 bits a sample"],
    [
      "audio first",
      waveFile({ channels: mono, first: chunk("data", junk(8)) }),
      'has its "data" chunk before its "fmt "',
    ],
    ["avi", Buffer.from("RIFF....AVI LIST"), 'has the form type "AVI " instead of "WAVE"'],
    ["flac", Buffer.from("fLaC and some more"), "is not a WAV file but FLAC"],
    ["aiff", Buffer.from("FORM....AIFFCOMM"), "is not a WAV file but AIFF"],
    ["w64", Buffer.from("riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb", "latin1"), "is not a WAV file but Wave64"],
    ["big endian", Buffer.from("RIFX....WAVEfmt "), "is not a WAV file but RIFX"],
    ["tagged", Buffer.from("ID3\x04\0\0\0\0\0\x02..and frames of audio", "latin1"), "is not a WAV file but MP3"],
    ["wavpack", Buffer.from("wvpk and some more"), "is not a WAV file but WavPack"],
    // Synthesisers send these without any header.
    ["bare mp3", frames([0xff, 0xfb, 0x90, 0], 417), "is not a WAV file but MP3"],
    ["bare mp3 of 24 kHz", frames([0xff, 0xf3, 0x84, 0xc4], 192), "is not a WAV file but MP3"],
    ["bare aac", frames([0xff, 0xf1, 0x50, 0x80, 0x20, 0x1f, 0xfc], 256), "is not a WAV file but AAC"],
  ];
  for (const [name, bytes, reason] of cases) {
    for (const options of [{ file: write(name, bytes) }, { pcm: cut(bytes) }]) {
      const answer = await refused(options);
      expect(answer, name).toContain(reason);
      expect(answer, name).toContain(noFfmpeg);
      expect(answer, name).toMatch(/^UNSUPPORTED_FILE: The audio file [^\n]*\.$/);
    }
  }
});

test("a file without audio is refused, and a stream of one causes a warning; a LIST chunk does not count as audio", async () => {
  for (const behind of [undefined, chunk("LIST", junk(4000)), chunk("id3 ", junk(4001))]) {
    const bytes = waveFile({ channels: [new Float32Array(0)], ...(behind && { behind }) });
    for (const loop of [false, true]) {
      const file = write("none", bytes);
      expect(await refused({ file, loop })).toBe(`NO_AUDIO: The audio file ${basename(file)} holds no audio.`);
      const opened = openAudio({ file, loop }).source(1);
      await expect(readAll(opened)).rejects.toMatchObject({ code: "NO_AUDIO" });
      expect(await opened.read()).toBeUndefined();
    }
    expect(await hear({ pcm: cut(bytes) })).toMatchObject({
      frames: 0,
      warnings: ["The audio of stdin ended before its first sample."],
    });
  }
});

test("a stream without a byte plays nothing and causes a warning", async () => {
  for (const loop of [false, true]) {
    const heard = await hear({ pcm: cut(new Uint8Array(0)), loop });
    expect(heard).toMatchObject({ frames: 0, warnings: [expect.stringMatching(/^The audio of .+ ended before/)] });
  }
});

test("a damaged header is refused in a sentence with the field", async () => {
  for (const [bytes, reason] of [
    [Buffer.alloc(0), "is empty"],
    [whole.subarray(0, 10), "ends before its 12-byte RIFF header"],
    [whole.subarray(0, 30), 'ends inside its "fmt " chunk'],
    [whole.subarray(0, 36), 'has no "data" chunk'],
    [waveFile({ channels: mono, rate: 99 }), "sample rate of 99 Hz (100 to 768000 allowed)"],
    [waveFile({ channels: mono, rate: 768_001 }), "sample rate of 768001 Hz"],
    [waveFile({ channels: [] }), "channel count of 0 (1 to 64 allowed)"],
    [waveFile({ channels: mono, formatBytes: 8 }), '"fmt " chunk of 8 bytes (14 at least)'],
  ] as const) {
    expect(await refused({ file: write("damaged", bytes) })).toMatch(`WAV_INVALID: `);
    expect(await refused({ file: write("damaged", bytes) })).toContain(reason);
  }
});

// ITU-R BS.775-3, table 2, with a stereo recording's mono as its mean.
const DB3 = -3.01;
const DB6 = -6.02;
const NONE = -100;
const LAYOUTS: readonly [name: string, count: number, mask: number | undefined, mono: number[], stereo: number[][]][] =
  [
    ["mono", 1, undefined, [0], [[0, 0]]],
    [
      "stereo",
      2,
      undefined,
      [DB6, DB6],
      [
        [0, NONE],
        [NONE, 0],
      ],
    ],
    [
      "back left and right",
      2,
      0x30,
      [DB6, DB6],
      [
        [0, NONE],
        [NONE, 0],
      ],
    ],
    [
      "centre and low frequencies",
      2,
      0xc,
      [0, NONE],
      [
        [DB3, DB3],
        [NONE, NONE],
      ],
    ],
    [
      "2.1",
      3,
      0xb,
      [DB6, DB6, NONE],
      [
        [0, NONE],
        [NONE, 0],
        [NONE, NONE],
      ],
    ],
    [
      "3.0",
      3,
      undefined,
      [DB3, DB3, 0],
      [
        [0, NONE],
        [NONE, 0],
        [DB3, DB3],
      ],
    ],
    [
      "quadraphonic",
      4,
      undefined,
      [DB3, DB3, DB6, DB6],
      [
        [0, NONE],
        [NONE, 0],
        [DB3, NONE],
        [NONE, DB3],
      ],
    ],
    [
      "4.0",
      4,
      0x107,
      [DB3, DB3, 0, DB3],
      [
        [0, NONE],
        [NONE, 0],
        [DB3, DB3],
        [DB6, DB6],
      ],
    ],
    [
      "5.1",
      6,
      undefined,
      [DB3, DB3, 0, NONE, DB6, DB6],
      [
        [0, NONE],
        [NONE, 0],
        [DB3, DB3],
        [NONE, NONE],
        [DB3, NONE],
        [NONE, DB3],
      ],
    ],
    [
      "5.1 with sides",
      6,
      0x60f,
      [DB3, DB3, 0, NONE, DB6, DB6],
      [
        [0, NONE],
        [NONE, 0],
        [DB3, DB3],
        [NONE, NONE],
        [DB3, NONE],
        [NONE, DB3],
      ],
    ],
    [
      "7.1",
      8,
      0x63f,
      [DB3, DB3, 0, NONE, DB6, DB6, DB6, DB6],
      [
        [0, NONE],
        [NONE, 0],
        [DB3, DB3],
        [NONE, NONE],
        [DB3, NONE],
        [NONE, DB3],
        [DB3, NONE],
        [NONE, DB3],
      ],
    ],
  ];

const expectLevels = (heard: Heard, wanted: readonly number[], what: string): void => {
  const levels = heard.decibels.map((level) => (level < -90 ? NONE : level));
  expect(levels, what).toEqual(wanted.map((level) => (level === NONE ? NONE : expect.closeTo(level, 1))));
};

test.each(LAYOUTS)("%s is mixed down by BS.775", async (name, count, mask, mono, stereo) => {
  for (let channel = 0; channel < count; channel++) {
    const channels = only(channel, count);
    const file = write(name, waveFile({ channels, ...(mask !== undefined && { extensible: { mask } }) }));
    const what = `channel ${channel} of ${name}`;
    expectLevels(await hear({ file }), [mono[channel]!], what);
    expectLevels(await hear({ file, channels: 2 }), stereo[channel]!, what);
  }
  if (mask !== undefined) return;
  // Raw PCM and samples in memory are mixed as a WAV file without a mask.
  const channels = only(count - 1, count);
  const samples = Float32Array.from({ length: 4800 * count }, (_, i) => channels[i % count]![Math.floor(i / count)]!);
  const floats = new Uint8Array(samples.buffer);
  expectLevels(await hear({ pcm: cut(floats), format: "f32le", inputChannels: count }), [mono.at(-1)!], "raw PCM");
  expectLevels(await hear({ samples, inputChannels: count, channels: 2 }), stereo.at(-1)!, "samples");
});

test("a mix beyond full scale is turned down, not clipped, and the level comes back", async () => {
  const loud = Float32Array.from(
    { length: 48_000 },
    (_, i) => (i < 4800 ? 1 : 0.05) * Math.sin((2 * Math.PI * i) / 48),
  );
  const samples = new Float32Array(48_000 * 6).map((_, i) => loud[Math.floor(i / 6)]!);
  const source = await openSource({ samples, inputChannels: 6 });
  const mixed = await readAll(source);
  expect(Math.max(...mixed)).toBeGreaterThan(0.99);
  expect(Math.max(...mixed.map(Math.abs))).toBeLessThanOrEqual(1.0001);
  const sum = 1 + 2 * Math.SQRT1_2 + 1;
  expect(Math.max(...mixed.slice(43_200)) / (0.05 * sum)).toBeCloseTo(1, 2);
});

test("a loop plays the available audio over and over, from files and from pipes", async () => {
  const cutOff = waveFile({ channels: mono, size: 0x7ffff000 });
  for (const options of [{ file: write("loop", cutOff) }, { pcm: cut(cutOff) }]) {
    const source = await openSource({ ...options, loop: true });
    let frames = 0;
    while (frames < 20_000) frames += (await source.read())!.length;
    await source.close();
    expect(await source.read()).toBeUndefined();
  }
});

const openFiles = (): number => readdirSync("/proc/self/fd").length;

test("a named pipe is read like a file, even with a late writer, and closing ends a pending read", async () => {
  const pipe = join(folder, "pipe");
  execFileSync("/usr/bin/mkfifo", [pipe]);
  const before = openFiles();
  for (const [bytes, frames] of [
    [whole, 4800],
    [waveFile({ channels: mono, size: 0x80000000 }), 4800],
  ] as const) {
    const source = await openSource({ file: pipe });
    const samples = readAll(source);
    const { promise, resolve } = Promise.withResolvers<void>();
    writeFile(pipe, bytes, () => resolve());
    await promise;
    expect(await samples).toHaveLength(frames);
    await source.close();
  }
  const waiting = await openSource({ file: pipe });
  const read = waiting.read();
  await waiting.close();
  expect(await read).toBeUndefined();
  await expect.poll(openFiles).toBeLessThanOrEqual(before);
});

test("a refused file stays closed", async () => {
  await refused({ file: write("first", whole) });
  const before = openFiles();
  for (let index = 0; index < 50; index++) {
    await refused({ file: write("rate", waveFile({ channels: mono, rate: 50 })) });
    await refused({ file: write("code", waveFile({ channels: mono, code: 2 })) });
    await refused({ file: write("text", Buffer.from("these are just words")) });
  }
  await expect.poll(openFiles).toBeLessThanOrEqual(before);
});

describe("with ffmpeg", () => {
  const encoded = join(folder, "encoded");
  let withFfmpeg = "";
  beforeAll(() => {
    withFfmpeg = [findFfmpeg(), path].join(delimiter);
    mkdirSync(encoded);
    const env = { ...process.env, PATH: withFfmpeg };
    const ffmpeg = (...args: string[]): void => {
      execFileSync("ffmpeg", ["-v", "error", ...args], { cwd: encoded, env });
    };
    writeFileSync(join(encoded, "mono.wav"), waveFile({ channels: [tone()] }));
    writeFileSync(join(encoded, "centre.wav"), waveFile({ channels: only(2, 6), extensible: { mask: 0x3f } }));
    const same = ["mono.flac", "mono.aiff", "mono.au", "mono.w64", "mono.caf"];
    ffmpeg("-i", "mono.wav", ...same, "-c:a", "adpcm_ms", "adpcm.wav", "-c:a", "libmp3lame", "mp3.wav", "mono.mp3");
    ffmpeg("-i", "mono.wav", "-write_xing", "0", "-id3v2_version", "0", "bare.mp3");
    ffmpeg("-i", "centre.wav", "centre.flac", "centre.aiff", "centre.w64", "-c:a", "pcm_s16le", "centre.mkv");
  }, 300_000);
  beforeEach(() => {
    process.env.PATH = withFfmpeg;
  });

  test.each(["flac", "aiff", "au", "w64", "caf"])("a %s file has the level of a WAV file", async (kind) => {
    const file = join(encoded, `mono.${kind}`);
    for (const heard of [await hear({ file }), await hear({ file, channels: 2 })]) {
      expect(heard.frames).toBe(4800);
      for (const level of heard.decibels) expect(Math.abs(level)).toBeLessThan(0.05);
      expect(heard).toMatchObject({ warnings: [] });
    }
    expectLevels(await hear({ pcm: cut(readFileSync(file)) }), [0], "from a pipe");
  });

  test("a WAV file whose audio stands before its format has its level", async () => {
    const wave = waveFile({ channels: mono });
    const audioFirst = Buffer.concat([wave.subarray(0, 12), wave.subarray(36), wave.subarray(12, 36)]);
    expectLevels(await hear({ file: write("audio first", audioFirst) }), [0], "audio first");
  });

  test("MP3 without a header, as synthesisers send it, is heard from a pipe at its level", async () => {
    const heard = await hear({ pcm: cut(readFileSync(join(encoded, "bare.mp3"))) });
    expect(Math.abs(heard.frames - 4800)).toBeLessThan(2500);
    expect(Math.abs(heard.decibels[0]!)).toBeLessThan(1);
  });

  test.each(["mono.mp3", "mp3.wav", "adpcm.wav"])("%s, which loses a little, keeps its level", async (name) => {
    const heard = await hear({ file: join(encoded, name) });
    expect(Math.abs(heard.frames - 4800)).toBeLessThan(2500);
    expect(Math.abs(heard.decibels[0]!)).toBeLessThan(1);
  });

  test.each(["flac", "aiff", "w64", "mkv"])("the centre of a 5.1 %s file is heard in stereo and mono", async (kind) => {
    const file = join(encoded, `centre.${kind}`);
    expectLevels(await hear({ file }), [0], kind);
    expectLevels(await hear({ file, channels: 2 }), [DB3, DB3], kind);
  });

  test("a file that ffmpeg cannot read either is refused with its reason, and leaves no process and no open file", async () => {
    const file = write("text", Buffer.from("these are just words"));
    await refused({ file });
    const before = openFiles();
    execFileSync(
      "ffmpeg",
      ["-v", "error", "-f", "lavfi", "-i", "color=s=16x16:d=0.1", "-c:v", "rawvideo", "silent.avi"],
      {
        cwd: encoded,
      },
    );
    expect(await refused({ file: join(encoded, "silent.avi") })).toMatch(/silent\.avi: it holds no audio\.$/);
    for (const options of [{ file }, { file: write("avi", Buffer.from("RIFF....AVI LIST")) }]) {
      expect(await refused(options)).toMatch(/^UNSUPPORTED_FILE: ffmpeg can't decode the file \S+: [^\n]+\.$/);
    }
    const endless = await openSource({ file: join(encoded, "mono.flac"), loop: true });
    for (let index = 0; index < 4; index++) await endless.read();
    await endless.close();
    await expect.poll(openFiles).toBeLessThanOrEqual(before);
  });

  test("a file of which ffmpeg decodes not one sample is refused", async () => {
    const empty = ["-v", "error", "-f", "lavfi", "-i", "anullsrc=r=48000:cl=mono", "-t", "0", "empty.aiff"];
    execFileSync("ffmpeg", empty, { cwd: encoded });
    for (const loop of [false, true])
      expect(await refused({ file: join(encoded, "empty.aiff"), loop })).toBe(
        "NO_AUDIO: The audio file empty.aiff holds no audio.",
      );
  });

  test("a truncated file plays up to its end", async () => {
    const bytes = readFileSync(join(encoded, "mono.aiff"));
    const heard = await hear({ file: write("cut.aiff", bytes.subarray(0, bytes.length - 1000)) });
    expect(heard.frames).toBe(4300);
  });
});
