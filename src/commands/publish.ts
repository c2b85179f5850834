import { fstatSync } from "node:fs";
import { z } from "zod";
import { InputError } from "../../base/index.js";
import { type AudioSource, loadModel, openSource, openVideo, Publisher, type Speech } from "../../publisher/index.js";
import { aborted, command, untilStopped } from "../command.js";
import { flag, number, type Resolved, type Settings } from "../config.js";
import { onOneLine } from "../fail.js";
import { shippedModel } from "../package.js";
import {
  connectionSettings,
  connectOptions,
  neverConnected,
  problemWatch,
  relayUrl,
  reportUnanswered,
  retrySetting,
} from "./connection.js";

/** How long an input may deliver nothing until a sentence says so: a pipe perhaps has no writer. */
const SILENT_MS = 2000;
const SILENT_CHECK_MS = 250;

const settings = {
  source: {
    schema: z.string({ error: "it must be an audio file, or - for standard input" }).min(1).optional(),
    value: "<file>",
    help: "WAV file or pipe, any that ffmpeg reads when it is installed, or - for standard input: WAV or raw PCM",
  },
  video: {
    schema: z.string({ error: "it must be an IVF file" }).min(1).optional(),
    value: "<file>",
    help: "IVF file with VP8, VP9 or AV1 to show beside the audio, or alone",
  },
  ...connectionSettings,
  ...retrySetting,
  loop: { schema: flag.default(false), help: "start again at the end of each file, for ever" },
  rate: {
    schema: number({ min: 4_000, max: 384_000, integer: true }).default(48_000),
    value: "<hertz>",
    help: "sample rate of raw PCM on standard input",
  },
  channels: {
    schema: number({ min: 1, max: 32, integer: true }).default(1),
    value: "<number>",
    help: "channels of raw PCM on standard input",
  },
  format: {
    schema: z.enum(["s16le", "f32le"]).default("s16le"),
    value: "<name>",
    help: "samples of raw PCM on standard input: s16le or f32le",
  },
  mode: {
    schema: z.enum(["auto", "live", "ahead"]).default("auto"),
    value: "<name>",
    help: "live: sent as captured; ahead: sent before it is due; auto: live for standard input, ahead for files",
  },
  aheadMs: {
    schema: number({ min: 100, max: 30_000 }).optional(),
    value: "<ms>",
    help: "how far to send ahead of the listeners; default: as little as the link needs",
  },
  model: { schema: z.string().default(shippedModel), value: "<file>", help: "denoising model (ONNX with its JSON)" },
  bypass: { schema: flag.default(false), help: "send the audio undenoised" },
  strength: { schema: number({ min: 0, max: 1 }).default(1), value: "<0..1>", help: "how much of the noise to remove" },
  attenuationLimitDb: {
    schema: number({ min: 0, max: 100 }).default(100),
    value: "<dB>",
    help: "maximum attenuation; 100 means no limit",
  },
  gainDb: { schema: number({ min: -60, max: 24 }).default(0), value: "<dB>", help: "level of the result" },
  bitrateBps: {
    schema: number({ min: 6_000, max: 510_000, integer: true }).default(32_000),
    value: "<bit/s>",
    help: "bitrate of the Opus stream",
  },
  frameMs: {
    schema: z
      .preprocess(
        (value) => (typeof value === "string" ? Number(value) : value),
        z.union([z.literal(20), z.literal(10), z.literal(5)]),
      )
      .default(20),
    value: "<ms>",
    help: "length of a frame: 20, 10 or 5",
  },
  groupFrames: {
    schema: number({ min: 1, max: 25, integer: true }).default(1),
    value: "<n>",
    help: "frames in a group; more than 1 where most listeners have no datagrams: streams then cost a relay less",
  },
  comfortNoiseDb: {
    schema: number({ min: -90, max: -40 }).optional(),
    value: "<-90..-40>",
    help: "keep a steady floor of noise at this level (dBFS) under denoised audio; default: none",
  },
  dtx: { schema: flag.default(false), help: "send next to nothing in pauses of speech" },
  fec: { schema: flag.default(false), help: "every packet also carries a coarse copy of the one before" },
  expectedLossPercent: {
    schema: number({ min: 0, max: 100, integer: true }).default(10),
    value: "<0..100>",
    help: "packet loss to expect, for --fec",
  },
  application: {
    schema: z.enum(["voice", "audio", "lowdelay"]).default("audio"),
    value: "<name>",
    help: "Opus mode: voice, audio, or lowdelay with 2.5 ms of look-ahead instead of 6.5",
  },
  rewindBy: {
    schema: z.enum(["group", "track"]).default("group"),
    value: "<how>",
    help: "rewind by a group that goes back in time, or by a fresh track for players that refuse those",
  },
  control: {
    schema: flag.default(false),
    help: "accept operations from clients that the relay lets publish under <broadcast>.control/",
  },
} satisfies Settings;

/** `unsay publish`: denoises a file or standard input and publishes it. */
export const publish = command({
  positional: "source",
  examples: [
    "unsay publish speech.wav --url http://localhost:4443 --loop",
    "unsay publish speech.wav --video clip.ivf --url http://localhost:4443",
    "arecord -f S16_LE -r 48000 -c 1 | unsay publish - --url http://localhost:4443",
  ],
  settings,
  options: Object.fromEntries(
    (["strength", "attenuationLimitDb", "gainDb", "bypass"] as const).map((knob) => [`denoise.${knob}`, knob]),
  ),
  async run(config, { signal, logger, print, notice }) {
    if (config.source === undefined && config.video === undefined) {
      throw new InputError(
        "INVALID_OPTION",
        "There is nothing to publish: name an audio file, or a video with --video.",
      );
    }
    const live = config.source === "-";
    const connect = await connectOptions(config);
    const opening = openInputs(config, notice);
    const inputs = await untilStopped(signal, opening);
    if (inputs === undefined) {
      void opening.then(({ close }) => close()).catch(() => {});
      return 0;
    }
    const { video, source, model } = inputs;
    const mode = config.mode === "auto" ? (live ? "live" : "ahead") : config.mode;
    const publisher = new Publisher({
      url: relayUrl(config),
      broadcast: config.broadcast,
      mode,
      ...(config.aheadMs !== undefined && { aheadMs: config.aheadMs }),
      ...(model && { model }),
      ...(video && { video }),
      audio: source !== undefined,
      denoise: {
        strength: config.strength,
        attenuationLimitDb: config.attenuationLimitDb,
        gainDb: config.gainDb,
        bypass: config.bypass,
      },
      ...(config.comfortNoiseDb !== undefined && { comfortNoiseDb: config.comfortNoiseDb }),
      bitrateBps: config.bitrateBps,
      frameMs: config.frameMs,
      groupFrames: config.groupFrames,
      opus: {
        dtx: config.dtx,
        fec: config.fec,
        packetLossPercent: config.fec ? config.expectedLossPercent : 0,
        application: config.application,
      },
      rewindBy: config.rewindBy,
      control: config.control,
      connect,
      logger,
    });
    const problems = problemWatch(config, notice);
    const warnings = new Warnings([source, video], notice);
    publisher.on("problem", problems.take);
    const stopWaiting = reportUnanswered(config, () => publisher.stats().sessions > 0, notice);
    let silent: NodeJS.Timeout | undefined;
    try {
      const speech = source && publisher.say(source);
      const names = [source, video].flatMap((each) => each?.name ?? []).join(" and ");
      warnings.say();
      silent = setInterval(() => {
        if (source === undefined || source.silentMs < SILENT_MS || publisher.stats().sessions === 0) return;
        clearInterval(silent);
        notice(waitingFor(source.name));
      }, SILENT_CHECK_MS);
      print(onOneLine(`publishing ${names} as ${config.broadcast} on ${config.url}`));
      const ends = [publisher.closed, problems.fatal, aborted(signal)];
      if (speech) await Promise.race([spoken(speech), ...ends]);
      await Promise.race([publisher.drained(), ...ends]);
      // A publisher that ended by itself for a reason also ended its queue.
      const reason = publisher.state === "closed" ? await publisher.closed : null;
      if (reason) throw reason;
      if (publisher.stats().sessions === 0 && !signal.aborted) throw neverConnected(problems.last(), config.url);
      return 0;
    } finally {
      clearInterval(silent);
      stopWaiting();
      await publisher.close();
      await inputs.close();
      warnings.say();
    }
  },
});

/** Reports faults of inputs that play all the same, once each. */
class Warnings {
  readonly #inputs: readonly ({ readonly warnings?: readonly string[] } | undefined)[];
  readonly #notice: (sentence: string) => void;
  readonly #said = new Set<string>();

  constructor(
    inputs: readonly ({ readonly warnings?: readonly string[] } | undefined)[],
    notice: (sentence: string) => void,
  ) {
    this.#inputs = inputs;
    this.#notice = notice;
  }

  /** Prints new warnings. */
  say(): void {
    for (const warning of this.#inputs.flatMap((input) => input?.warnings ?? [])) {
      if (!this.#said.has(warning)) this.#notice(warning);
      this.#said.add(warning);
    }
  }
}

/** The opened inputs; when one fails to open, the others are closed again. */
async function openInputs(config: Resolved<typeof settings>, notice: (sentence: string) => void) {
  const opened: { close(): Promise<void> }[] = [];
  const close = async (): Promise<void> => {
    for (const each of opened) await each.close();
  };
  try {
    const waiting = setTimeout(() => notice(waitingFor(config.video)), SILENT_MS);
    const opening = config.video === undefined ? undefined : openVideo({ file: config.video, loop: config.loop });
    const video = await Promise.resolve(opening).finally(() => clearTimeout(waiting));
    if (video) opened.push(video);
    const source = await openAudio(config);
    if (source) opened.push(source);
    const model = source && (await loadModel(config.model));
    if (model) opened.push(model);
    return { video, source, model, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function waitingFor(name: string | undefined): string {
  return `${name} has delivered nothing so far; waiting for it.`;
}

async function openAudio(config: Resolved<typeof settings>): Promise<WatchedSource | undefined> {
  const { source, loop, format, rate, channels } = config;
  if (source === undefined) return undefined;
  if (source === "-") {
    // Node takes a directory for an empty stream.
    if (fstatSync(process.stdin.fd).isDirectory())
      throw new InputError("FILE_UNREADABLE", "Standard input can't be read: it is a directory.");
    const pcm = await openSource({ pcm: process.stdin, format, rate, inputChannels: channels, loop });
    return new WatchedSource(pcm, true);
  }
  return new WatchedSource(await openSource({ file: source, loop }));
}

/** An input, and whether it has delivered anything. */
class WatchedSource implements AudioSource {
  readonly name: string;
  readonly channels: 1 | 2;
  readonly stored: boolean;
  readonly #source: AudioSource;
  readonly #isRequired: boolean;
  #askedAt: number | undefined;
  #hasAudio = false;
  #isOver = false;

  /** `isRequired`: it fails if it ends before any audio came, as when the program at the other end of a pipe failed. */
  constructor(source: AudioSource, isRequired = false) {
    this.name = source.name;
    this.channels = source.channels;
    this.stored = source.stored ?? false;
    this.#source = source;
    this.#isRequired = isRequired;
  }

  /** How long it has been asked for its first audio, in milliseconds. */
  get silentMs(): number {
    return this.#hasAudio || this.#isOver || this.#askedAt === undefined ? 0 : performance.now() - this.#askedAt;
  }

  /** Without audio that is required, the error says all. */
  get warnings(): readonly string[] {
    return this.#isRequired && !this.#hasAudio ? [] : (this.#source.warnings ?? []);
  }

  async read(): Promise<Float32Array | undefined> {
    this.#askedAt ??= performance.now();
    const samples = await this.#source.read();
    this.#hasAudio ||= samples !== undefined;
    const isEmpty = !this.#hasAudio && !this.#isOver;
    this.#isOver ||= samples === undefined;
    if (isEmpty && this.#isRequired) throw new InputError("NO_AUDIO", "Standard input ended before any audio came.");
    return samples;
  }

  async close(): Promise<void> {
    this.#isOver = true;
    await this.#source.close();
  }
}

async function spoken({ done }: Speech): Promise<void> {
  const { error } = await done;
  if (error !== undefined) throw error;
}
