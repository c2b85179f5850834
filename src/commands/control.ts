import { z } from "zod";
import { readBounded, whyUnusable } from "../../base/bytes/bounded-file.js";
import { fromSeconds, InputError, type Microseconds, StateError, toSeconds } from "../../base/index.js";
import { MAX_PAYLOAD_BYTES } from "../../flow/bulk/index.js";
import { type ControlEvent, controlMessage, MIN_BAND } from "../../flow/control/index.js";
import { ByteReader, modelPayload, openWav, type WavStream } from "../../publisher/index.js";
import { Controller, type ControllerOperation } from "../../watch/index.js";
import { aborted, command, refuseIgnored } from "../command.js";
import { flag, flagName, number, type Resolved, type Settings } from "../config.js";
import { connectionSettings, connectOptions, relayUrl } from "./connection.js";

/** The end of media time that an operation can name, 35 years, in seconds. */
const LAST_SECOND = 1_125_899_906;
/** Limits of a WAV file for write-audio. */
const MAX_CHANNELS = 2;
const RATES = { min: 8000, max: 192_000 };

const time = number({ min: 0, max: LAST_SECOND }).optional();

const settings = {
  ...connectionSettings,
  operation: {
    schema: z.enum(
      ["set", "interrupt", "resume", "model", "noise-profile", "write-audio", "swap-source", "loop-band"],
      { error: "it must be set, interrupt, resume, model, noise-profile, write-audio, swap-source or loop-band" },
    ),
    value: "<name>",
    help: "set, interrupt, resume, model, noise-profile, write-audio, swap-source or loop-band",
  },
  what: {
    schema: z.string().min(1).optional(),
    value: "<file or name>",
    help: "the ONNX file (with its JSON) of model, the WAV file of noise-profile and write-audio, the name of swap-source",
  },
  strength: { schema: number({ min: 0, max: 1 }).optional(), value: "<0..1>", help: "set: how much noise to remove" },
  attenuationLimitDb: {
    schema: number({ min: 0, max: 100 }).optional(),
    value: "<dB>",
    help: "set: maximum attenuation; 100 means no limit",
  },
  gainDb: { schema: number({ min: -60, max: 24 }).optional(), value: "<dB>", help: "set: level of the result" },
  bypass: { schema: z.enum(["on", "off"]).optional(), value: "<on|off>", help: "set: send the audio undenoised" },
  name: {
    schema: z.string().min(1).max(256).optional(),
    value: "<name>",
    help: "model: the name of one that the publisher has, instead of a file",
  },
  at: { schema: time, value: "<seconds>", help: "write-audio: where, in media time" },
  mode: {
    schema: z.enum(["replace", "sum"]).default("replace"),
    value: "<how>",
    help: "write-audio: replace the audio there, or add to it",
  },
  start: { schema: time, value: "<seconds>", help: "loop-band: start, in media time" },
  end: { schema: time, value: "<seconds>", help: "loop-band: end, in media time" },
  clear: { schema: flag.default(false), help: "noise-profile, loop-band: end it" },
  id: {
    schema: z.string().optional(),
    value: "<id>",
    help: "id of this controller, where the token names one; default: random",
  },
  timeoutMs: {
    schema: number({ min: 1, max: 86_400_000 }).default(10_000),
    value: "<ms>",
    help: "give up after this long without an answer of the publisher",
  },
  json: { schema: flag.default(false), help: "print the outcome as one line of JSON" },
} satisfies Settings;

/** After this long without progress a sentence names what it waits for. */
const WAITING_MS = 1800;

type Config = Resolved<typeof settings>;

/** Settings for some operations alone. */
const TAKEN_BY = {
  what: ["model", "noise-profile", "write-audio", "swap-source"],
  strength: ["set"],
  attenuationLimitDb: ["set"],
  gainDb: ["set"],
  bypass: ["set"],
  name: ["model"],
  at: ["write-audio"],
  start: ["loop-band"],
  end: ["loop-band"],
  clear: ["noise-profile", "loop-band"],
} satisfies { readonly [K in keyof Config]?: readonly Config["operation"][] };
/** Pairs of settings of which an operation takes one. */
const EXCLUSIVE = [
  ["what", "name"],
  ["what", "clear"],
  ["start", "clear"],
  ["end", "clear"],
] as const;

/** `unsay control`: sends one operation to a publisher and prints its end. */
export const control = command({
  positional: ["url", "operation", "what"],
  examples: [
    "unsay control http://localhost:4443 set --strength 0.5",
    "unsay control http://localhost:4443 interrupt --json",
    "unsay control http://localhost:4443 model other.onnx",
    "unsay control http://localhost:4443 write-audio chime.wav --at 12.5 --mode sum",
  ],
  settings,
  async run(config, { flags, signal, print, notice }) {
    refuseIgnored(config.operation, { config, flags }, TAKEN_BY);
    refuseBoth(config);
    const { operation, payload } = await prepare(config);
    const controller = new Controller({
      url: relayUrl(config),
      broadcast: config.broadcast,
      timeoutMs: config.timeoutMs,
      connect: await connectOptions(config),
      ...(config.id !== undefined && { id: config.id }),
    });
    const waiting = setTimeout(() => {
      const { connected, problem } = controller.stats();
      const what = connected
        ? `no publisher of ${config.broadcast} that takes control answers`
        : "there is no connection";
      const why = connected || problem === undefined ? "" : ` ${problem.message}`;
      notice(`So far ${what}; trying for ${config.timeoutMs / 1e3} s.${why}`);
    }, WAITING_MS);
    try {
      const event = await Promise.race([controller.send(operation, payload), stopped(signal)]);
      if (config.json) print(JSON.stringify(controlMessage(event)));
      else if (event.outcome === "failed")
        throw new StateError("CONTROL_FAILED", `The publisher did not do it: ${event.reason ?? "it gave no reason."}`);
      else print(`${config.operation}: ${event.outcome}`);
      return event.outcome === "failed" ? 1 : 0;
    } finally {
      clearTimeout(waiting);
      await controller.close();
    }
  },
});

function refuseBoth(config: Config): void {
  for (const [one, other] of EXCLUSIVE) {
    const isClear = other === "clear" && !config.clear;
    if (config[one] === undefined || config[other] === undefined || isClear) continue;
    const both = `${flagName(one)} or ${flagName(other)}, not both`;
    throw new InputError("INVALID_OPTION", `${config.operation} takes ${both}.`);
  }
}

async function stopped(signal: AbortSignal): Promise<ControlEvent> {
  await aborted(signal);
  throw new StateError("INTERRUPTED", "It was stopped before the publisher answered.");
}

interface Prepared {
  readonly operation: ControllerOperation;
  readonly payload?: Uint8Array;
}

async function prepare(config: Config): Promise<Prepared> {
  switch (config.operation) {
    case "set": {
      const { strength, attenuationLimitDb, gainDb, bypass } = config;
      const knobs = {
        ...(strength !== undefined && { strength }),
        ...(attenuationLimitDb !== undefined && { attenuationLimitDb }),
        ...(gainDb !== undefined && { gainDb }),
        ...(bypass !== undefined && { bypass: bypass === "on" }),
      };
      if (Object.keys(knobs).length === 0)
        throw new InputError(
          "INVALID_OPTION",
          "set needs a --strength, --attenuation-limit-db, --gain-db or --bypass.",
        );
      return { operation: { op: "set", knobs } };
    }
    case "interrupt":
    case "resume":
      return { operation: { op: config.operation } };
    case "model": {
      if (config.name !== undefined) return { operation: { op: "model", name: config.name } };
      const file = required(config, "an ONNX file, or a --name");
      const onnx = await read(file);
      const sidecar = await read(`${file.replace(/\.onnx$/, "")}.json`);
      return { operation: { op: "model" }, payload: modelPayload(sidecar, onnx) };
    }
    case "noise-profile":
      if (config.clear) return { operation: { op: "noise_profile", action: "clear" } };
      return {
        operation: { op: "noise_profile", action: "set" },
        payload: (await readWav(required(config, "a WAV file, or --clear"))).bytes,
      };
    case "write-audio":
      return writeAudio(required(config, "a WAV file"), config);
    case "swap-source":
      return { operation: { op: "swap_source", source: required(config, "the name of a source") } };
    case "loop-band":
      return { operation: { op: "loop_band", band: config.clear ? null : bandOf(config) } };
  }
}

function bandOf({ start, end }: Config): { start: Microseconds; end: Microseconds } {
  if (start === undefined || end === undefined)
    throw new InputError("INVALID_OPTION", "loop-band needs a --start and an --end, or --clear.");
  const band = { start: fromSeconds(start), end: fromSeconds(end) };
  if (band.end - band.start < MIN_BAND)
    throw new InputError("INVALID_OPTION", `--end must be at least ${toSeconds(MIN_BAND)} s after --start.`);
  return band;
}

async function writeAudio(file: string, { at, mode }: Config): Promise<Prepared> {
  if (at === undefined) throw new InputError("INVALID_OPTION", "write-audio needs an --at.");
  const { format, samples } = await readWav(file);
  const { channels, sampleRate } = format;
  if (channels > MAX_CHANNELS) throw unfit(file, `has ${channels} channels; write-audio takes 1 or ${MAX_CHANNELS}`);
  if (sampleRate < RATES.min || sampleRate > RATES.max)
    throw unfit(file, `has a sample rate of ${sampleRate} Hz; write-audio takes ${RATES.min} to ${RATES.max}`);
  const decoded: Buffer[] = [];
  // Copied: the next part may be read into the same memory.
  for await (const part of samples) decoded.push(Buffer.from(part.slice().buffer));
  const payload = new Uint8Array(Buffer.concat(decoded));
  if (payload.length === 0) throw new InputError("NO_AUDIO", `The WAV file ${file} holds no audio.`);
  if (payload.length > MAX_PAYLOAD_BYTES)
    throw unfit(file, `holds more audio than the ${MAX_PAYLOAD_BYTES} bytes of an operation, as 32-bit floats`);
  const operation: ControllerOperation = {
    op: "write_audio",
    at: fromSeconds(at),
    mode,
    format: "f32",
    sampleRateHz: sampleRate,
    channels,
  };
  return { operation, payload };
}

/** The bytes of a file, which must be a WAV file: a publisher takes any other bytes for raw samples. */
async function readWav(file: string): Promise<WavStream & { readonly bytes: Uint8Array }> {
  const bytes = await read(file);
  const wav = await openWav(new ByteReader(whole(bytes)), { name: file, size: bytes.length });
  if (wav.kind === "foreign") throw unfit(file, wav.reason);
  return { ...wav, bytes };
}

function unfit(file: string, why: string): InputError {
  return new InputError("UNSUPPORTED_FILE", `The WAV file ${file} ${why}.`);
}

function required({ operation, what }: Config, name: string): string {
  if (what === undefined) throw new InputError("INVALID_OPTION", `${operation} needs ${name}.`);
  return what;
}

async function read(path: string): Promise<Uint8Array> {
  try {
    const bytes = await readBounded(path, MAX_PAYLOAD_BYTES);
    if (bytes.length === 0) throw new Error("it is empty");
    return new Uint8Array(bytes);
  } catch (cause) {
    throw new InputError("FILE_UNREADABLE", `The file ${path} can't be read: ${whyUnusable(cause)}.`, { cause });
  }
}

async function* whole(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  yield bytes;
}
