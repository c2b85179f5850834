import { EventEmitter } from "node:events";
import { z } from "zod";
import {
  attachLogger,
  BROADCAST_NAME_RULE,
  background,
  type Clock,
  fromMilliseconds,
  guardHandlers,
  InputError,
  isBroadcastName,
  type Logger,
  type Microseconds,
  microseconds,
  monotonicClock,
  StateError,
  validate,
} from "../../base/index.js";
import {
  type AudioSource,
  Denoiser,
  levelDb,
  loadModel,
  Model,
  OverloadGuard,
  SILENCE_DB,
} from "../../publisher/index.js";
import { type ConnectOptions, validateClient } from "../../transport/index.js";
import { Listener } from "../../watch/index.js";
import { partSchemas } from "../options.js";
import { type CallerBlock, type CallerInput, cutHops, HeardInput, SourceInput } from "./caller-input.js";
import { EchoGate, type HeardAgent } from "./echo-gate.js";
import { type CallerFrame, type FrameOptions, FrameReader, frameOptionsSchema } from "./frame-reader.js";
import { HOP_MS, type SpeechChange, SpeechDetector } from "./speech-detector.js";

/** How to detect a caller's speech. */
export interface CallerListening {
  /** The denoiser's model: a path, or one that is loaded. Without one the level alone decides. */
  readonly model?: string | Model;
  /** Whether frames are denoised; voices are found in the denoised audio either way. Default true. */
  readonly denoise?: boolean;
  /** Minimum voice probability of speech, 0 to 1. Default 0.6. */
  readonly threshold?: number;
  /** Minimum level of speech, in dBFS. Lower it for microphones without gain control. Default -36. */
  readonly minLevelDb?: number;
  /**
   * The agent that the caller hears: its `Publisher`. Its echo in the caller's audio is a voice, too; while it is
   * audible, speech must be louder than that echo. Without an agent, `minLevelDb` alone keeps an echo out.
   */
  readonly agent?: HeardAgent;
  /**
   * Level of the agent's echo in the caller's audio, relative to the agent, in decibels, -120 to 0. Default -20; -120
   * for a caller without echo, such as one with headphones.
   */
  readonly echoDb?: number;
  /**
   * Voice that counts as speech, in milliseconds; voice 6 dB above the level that it must reach counts twice. Default
   * 50.
   */
  readonly minSpeechMs?: number;
  /** Time without voice that ends speech, in milliseconds. Default 500. */
  readonly minSilenceMs?: number;
  /** Logs in pino's format. Default: no log. */
  readonly logger?: Logger;
}

/** A caller whose audio is a broadcast: a page's microphone, or any publisher. */
export interface BroadcastCallerOptions extends CallerListening {
  /** The relay. */
  readonly url: string | URL;
  /** Name of the caller's broadcast. */
  readonly broadcast: string;
  /** Delay from arrival to audio, in milliseconds; it adapts from there. Default 20. */
  readonly jitterMs?: number;
  /** How long to wait for the broadcast, in milliseconds. Default 24 hours: a caller may come late. */
  readonly timeoutMs?: number;
  /** Options of the connection. */
  readonly connect?: Omit<ConnectOptions, "signal">;
}

/** A caller whose audio comes from the application. */
export interface AudioCallerOptions extends CallerListening {
  /** From `openAudio`; the caller reads it as fast as it delivers. */
  readonly audio: AudioSource | { source(channels: 1 | 2): AudioSource };
}

/** Options of {@link Caller}. */
export type CallerOptions = BroadcastCallerOptions | AudioCallerOptions;

/** A start of a caller's speech or silence. */
export interface CallerChange {
  /** Its start, in milliseconds of the caller's audio. */
  readonly startMs: number;
  /** Its start, in milliseconds of `performance.now()`. */
  readonly startedAt: number;
  /** Voice so far in the speech that began, or in the one that the silence ends, in milliseconds. */
  readonly voicedMs: number;
}

/** Events of a {@link Caller}. */
export interface CallerEvents {
  /** The caller began to speak, {@link CallerListening.minSpeechMs} ago. */
  speech: [CallerChange];
  /** The caller stopped speaking, {@link CallerListening.minSilenceMs} ago. */
  silence: [CallerChange];
  /** A fault from which it recovers by itself. */
  problem: [Error];
}

/** Numbers of a {@link Caller}. */
export interface CallerStats {
  readonly speaking: boolean;
  /** Milliseconds of the caller's audio received. */
  readonly heardMs: number;
  /** Voice probability of the last hop, 1 without a model; undefined when the machine can't keep up. */
  readonly voiceActivity: number | undefined;
  /** Level of the last hop, denoised, in dBFS. */
  readonly levelDb: number;
  /** Milliseconds of audio not denoised because the machine could not keep up. */
  readonly bleedMs: number;
  /** Milliseconds of audio dropped because the machine could not keep up. */
  readonly droppedMs: number;
}

const DAY_MS = 86_400_000;
const listening = {
  model: z
    .custom<string | Model>((value) => value instanceof Model || (typeof value === "string" && value !== ""), {
      error: "be the path of a model or a loaded one",
    })
    .optional(),
  denoise: z.boolean().default(true),
  threshold: z.number().min(0).max(1).default(0.6),
  minLevelDb: z.number().min(-120).max(0).default(-36),
  agent: z
    .custom<HeardAgent>((value) => typeof (value as HeardAgent | undefined)?.playedLevelDb === "function", {
      error: "be a Publisher",
    })
    .optional(),
  echoDb: z.number().min(-120).max(0).default(-20),
  minSpeechMs: z.number().min(0).max(10_000).default(50),
  minSilenceMs: z.number().min(0).max(60_000).default(500),
  logger: partSchemas.logger.optional(),
} as const;
/** `validateClient` checks the options that every client of a relay has. */
const broadcastSchema = z.strictObject({
  ...listening,
  url: z.custom<BroadcastCallerOptions["url"]>((value) => value !== undefined, { error: "be an http or https URL" }),
  broadcast: z.string().refine(isBroadcastName, BROADCAST_NAME_RULE),
  connect: z.custom<BroadcastCallerOptions["connect"]>().optional(),
  jitterMs: z.number().min(0).max(10_000).default(20),
  timeoutMs: z.number().min(1).max(2_147_483_647).default(DAY_MS),
});
const audioSchema = z.strictObject({
  ...listening,
  audio: z.custom<AudioCallerOptions["audio"]>(
    (value) => ["read", "source"].some((name) => typeof (value as Record<string, unknown>)?.[name] === "function"),
    { error: "come from openAudio, or be an AudioSource" },
  ),
});
/** Half a hop: audio that is due waits half as long as at a listener's pace. */
const PULL_MS = 5;
/** Samples of a hop at 48 kHz. */
const HOP = 480;

interface Denoised {
  /** The samples for recognisers. */
  readonly samples: Float32Array;
  readonly clean: Float32Array;
  /** As received. */
  readonly dry: Float32Array;
  readonly voiceActivity: number | undefined;
}

/** How late a busy process may detect speech before the level decides. Audio waits for up to two seconds. */
const SLACK = fromMilliseconds(1000);

/**
 * A person who talks to an agent: receives and denoises their audio, detects their speech, and delivers frames for a
 * recogniser.
 */
export class Caller extends EventEmitter<CallerEvents> {
  /** Resolves when it has ended: with null after `close` or at the end of the audio, else with the reason. */
  readonly closed: Promise<Error | null>;
  readonly #options: z.output<typeof audioSchema> | z.output<typeof broadcastSchema>;
  readonly #clock: Clock;
  readonly #input: CallerInput;
  readonly #listener: Listener | undefined;
  readonly #detector: SpeechDetector;
  readonly #readers = new Set<FrameReader>();
  readonly #guard: OverloadGuard;
  #last: Pick<CallerStats, "heardMs" | "voiceActivity" | "levelDb"> = {
    heardMs: 0,
    voiceActivity: undefined,
    levelDb: SILENCE_DB,
  };
  /** The clock at the start of the last hop, in milliseconds. */
  #lastAt = 0;
  #isClosed = false;
  /** Whether `close` was called: what fails because of it is no reason. */
  #isHungUp = false;

  /**
   * Starts at once.
   *
   * @throws InputError `INVALID_OPTION`, `INVALID_URL`.
   */
  constructor(options: CallerOptions, clock: Clock = monotonicClock) {
    super();
    guardHandlers(this);
    this.#options = validateCaller(options);
    this.#clock = clock;
    const { agent } = this.#options;
    this.#detector = new SpeechDetector({ ...this.#options, level: new EchoGate({ agent, ...this.#options }) });
    this.#guard = new OverloadGuard({ clock: monotonicClock, budget: fromMilliseconds(HOP_MS), slack: () => SLACK });
    if ("audio" in this.#options) this.#input = new SourceInput(sourceOf(this.#options.audio), clock);
    else {
      const sink = new HeardInput(clock);
      this.#input = sink;
      this.#listener = this.#listen(this.#options, sink);
    }
    this.closed = this.#run().catch((error: Error) => (this.#isHungUp ? null : error));
  }

  get speaking(): boolean {
    return this.#detector.speaking;
  }

  /** Voice in the current speech, in milliseconds; 0 while the caller is silent. */
  get voicedMs(): number {
    return this.#detector.voicedMs;
  }

  /**
   * The caller's audio from now on, in frames. A reader that is too slow loses the oldest; it delays no other reader.
   *
   * @throws InputError `INVALID_OPTION`; StateError `CLOSED`.
   */
  frames(options: FrameOptions = {}): AsyncIterableIterator<CallerFrame, undefined> {
    if (this.#isClosed) throw new StateError("CLOSED", "The caller was used after close().");
    const reader = new FrameReader(validate("Caller.frames", frameOptionsSchema, options), this.#last.heardMs);
    this.#readers.add(reader);
    return reader;
  }

  stats(): CallerStats {
    const { bleedMs } = this.#guard;
    return { ...this.#last, speaking: this.speaking, bleedMs, droppedMs: this.#input.droppedMs };
  }

  /** Stops listening; idempotent. */
  async close(): Promise<void> {
    this.#isHungUp = true;
    this.#isClosed = true;
    await this.#listener?.close();
    await this.#input.close();
    await this.closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #listen(options: z.output<typeof broadcastSchema>, sink: HeardInput): Listener {
    const { url, broadcast, connect, jitterMs, timeoutMs, logger } = options;
    const listener = new Listener({
      url,
      broadcast,
      sink,
      jitterMs,
      timeoutMs,
      pullIntervalMs: PULL_MS,
      ...(connect && { connect }),
      ...(logger && { logger }),
    });
    listener.on("problem", (error) => this.emit("problem", error));
    background(
      "agent.caller",
      listener.closed.finally(() => sink.close()).catch(() => {}),
    );
    return listener;
  }

  async #run(): Promise<Error | null> {
    const { model: given, logger } = this.#options;
    const detachLogger = logger ? attachLogger(logger) : () => {};
    let model: Model | undefined;
    let denoiser: Denoiser | undefined;
    try {
      model = typeof given === "string" ? await loadModel(given) : given;
      denoiser = model && (await Denoiser.create(model));
      let before: CallerBlock | undefined;
      for await (const hop of cutHops(this.#input.blocks(), HOP)) {
        if (this.#isClosed) break;
        if (denoiser === undefined) this.#take(plain(hop.samples), hop.at);
        else {
          const denoised = await this.#denoise(hop.samples, denoiser);
          // The denoiser returns the hop before, so its first answer is none.
          if (before !== undefined) this.#take(denoised, before.at);
          before = hop;
        }
      }
      return (await this.#listener?.closed) ?? null;
    } finally {
      this.#isClosed = true;
      this.#say(this.#detector.finish());
      detachLogger();
      for (const reader of this.#readers) reader.end();
      denoiser?.close();
      if (typeof given === "string") await model?.close();
      // It may have failed before the first block: a file or a listener would stay open.
      await this.#listener?.close();
      await this.#input.close();
    }
  }

  async #denoise(hop: Float32Array, denoiser: Denoiser): Promise<Denoised> {
    const infer = this.#guard.admit();
    const before = this.#clock();
    const { wet, dry, voiceActivity } = await denoiser.process(hop, { infer });
    if (infer) this.#guard.record(microseconds(this.#clock() - before));
    const clean = wet.slice();
    const samples = this.#options.denoise ? clean : dry.slice();
    return { samples, clean, dry, voiceActivity: infer ? voiceActivity : undefined };
  }

  #take({ samples, clean, dry, voiceActivity }: Denoised, at: Microseconds): void {
    const loudness = levelDb(clean);
    this.#last = { heardMs: this.#last.heardMs + HOP_MS, voiceActivity, levelDb: loudness };
    this.#lastAt = at / 1e3;
    const change = this.#detector.take({ voiceActivity, levelDb: loudness, inputDb: levelDb(dry) });
    for (const reader of this.#readers) {
      if (reader.ended) this.#readers.delete(reader);
      else reader.push(samples);
    }
    this.#say(change);
  }

  #say(change: SpeechChange | undefined): void {
    if (change === undefined) return;
    const { kind, startMs, voicedMs } = change;
    this.emit(kind, { startMs, startedAt: this.#lastAt - (this.#last.heardMs - startMs), voicedMs });
  }
}

function validateCaller(options: CallerOptions): z.output<typeof audioSchema> | z.output<typeof broadcastSchema> {
  if (typeof options === "object" && options !== null && "audio" in options)
    return validate("Caller", audioSchema, options);
  const validated = validate("Caller", broadcastSchema, options);
  validateClient("Caller", options);
  return validated;
}

function plain(samples: Float32Array): Denoised {
  return { samples, clean: samples, dry: samples, voiceActivity: 1 };
}

function sourceOf(audio: AudioCallerOptions["audio"]): AudioSource {
  const source = "source" in audio ? audio.source(1) : audio;
  if (source.channels !== 1)
    throw new InputError("INVALID_OPTION", `The audio ${source.name} of a caller has one channel, not two.`);
  return source;
}
