import { randomBytes } from "node:crypto";
import { EventEmitter } from "node:events";
import { validateHeaderName, validateHeaderValue } from "node:http";
import { type RawData, WebSocket } from "ws";
import { z } from "zod";
import {
  attachLogger,
  background,
  guard,
  guardHandlers,
  type Logger,
  monotonicClock,
  ProtocolError,
  StateError,
  TransportError,
  validate,
} from "../../base/index.js";
import type { Publisher } from "../../publisher/index.js";
import { authorities, whyUnreachable } from "../../transport/index.js";
import { tooMuch } from "../backlog.js";
import type { Caller } from "../caller/caller.js";
import { partSchemas } from "../options.js";
import { Problems } from "../problems.js";
import { decodeBotMessage, MAX_MESSAGE_BYTES } from "./bot-message.js";
import { CallPlayback } from "./call-playback.js";
import { MediaRate } from "./media-rate.js";
import { type CallIds, DTMF_DIGITS, TelephoneMessages } from "./telephone-messages.js";

/** Options of {@link MediaStreamsCall}. */
export interface MediaStreamsCallOptions {
  /** The bot's WebSocket, `ws:` or `wss:`. */
  readonly bot: string | URL;
  /** Says the bot's audio. The call does not close it. */
  readonly publisher: Publisher;
  /** The person who calls; without one the bot gets no audio. The call does not close it. */
  readonly caller?: Caller;
  /** When to return a mark: when the first listener has heard the audio before it, or when all have. Default `all`. */
  readonly marks?: "first" | "all";
  /** Sent to the bot as `start.customParameters`. */
  readonly customParameters?: Readonly<Record<string, string>>;
  /** Headers of the request, such as `Authorization`. */
  readonly headers?: Readonly<Record<string, string>>;
  /**
   * Certificate authorities to trust for a `wss:` bot instead of the system's, as PEM. Default: those of
   * `SSL_CERT_FILE` and `NODE_EXTRA_CA_CERTS` where set, else the system's.
   */
  readonly ca?: string;
  /** How long to wait for the bot to accept, in milliseconds. Default 10,000. */
  readonly timeoutMs?: number;
  readonly logger?: Logger;
}

/** Events of a {@link MediaStreamsCall}. */
export interface MediaStreamsCallEvents {
  /** The bot has accepted. */
  started: [CallIds];
  /** A fault or oddity of the bot; the call continues. Each kind is reported once. */
  problem: [Error];
}

/** Numbers of a {@link MediaStreamsCall}. */
export interface MediaStreamsCallStats {
  /** Messages of the bot, and the unusable ones among them. */
  readonly messages: number;
  readonly invalid: number;
  /** Milliseconds of the bot's audio, and how much of it was heard or cleared. */
  readonly botMs: number;
  readonly heardMs: number;
  /** Milliseconds of the bot's audio dropped because too much waited. */
  readonly droppedMs: number;
  /** Milliseconds of audio sent to the bot, and not read by it in time. */
  readonly callerMs: number;
  readonly unreadMs: number;
  readonly pendingMarks: number;
  readonly clears: number;
}

const optionsSchema = z.strictObject({
  ...partSchemas,
  caller: partSchemas.caller.optional(),
  logger: partSchemas.logger.optional(),
  bot: z
    .union([z.string(), z.instanceof(URL)])
    .refine((url) => URL.canParse(String(url)) && /^wss?:$/.test(new URL(url).protocol), "be a URL with ws: or wss:")
    .refine((url) => !String(url).includes("#"), "have no fragment"),
  marks: z.enum(["first", "all"]).default("all"),
  customParameters: z.record(z.string(), z.string()).default({}),
  headers: z.record(z.string(), z.string()).refine(areHeaders, "hold names and values of HTTP headers").default({}),
  ca: z.string().min(1).optional(),
  timeoutMs: z.number().min(1).max(600_000).default(10_000),
});

function areHeaders(headers: Readonly<Record<string, string>>): boolean {
  try {
    for (const [name, value] of Object.entries(headers)) {
      validateHeaderName(name);
      validateHeaderValue(name, value);
    }
    return true;
  } catch {
    return false;
  }
}

const digitSchema = z.strictObject({
  digit: z.string().refine((digit) => digit.length === 1 && DTMF_DIGITS.includes(digit), `be one of ${DTMF_DIGITS}`),
});
const TICK_MS = 20;
const FRAME_MS = 20;
/** A larger message ends the call; one between this and {@link MAX_MESSAGE_BYTES} is dropped. */
const MAX_PAYLOAD = 8 * MAX_MESSAGE_BYTES;
/** Backlog of a bot that does not read: beyond this the caller's audio is dropped. */
const MAX_UNREAD_BYTES = 256 * 1024;
/** A bot that leaves this much unread gets no more: answers to its marks and pings would pile up. */
const MAX_BACKLOG_BYTES = 8 * 1024 * 1024;
/** How long a bot may take to answer the end of the call. */
const CLOSE_MS = 1000;

/**
 * The telephone side of a Twilio Media Stream: dials the bot, sends it the caller's voice, says its audio, takes back
 * what it clears, and returns its marks when the audio before them was heard.
 */
export class MediaStreamsCall extends EventEmitter<MediaStreamsCallEvents> {
  readonly ids: CallIds = {
    streamSid: `MZ${randomBytes(16).toString("hex")}`,
    callSid: `CA${randomBytes(16).toString("hex")}`,
    accountSid: `AC${randomBytes(16).toString("hex")}`,
  };
  /** Resolves when the call is over: with null when either side ended it in order, else with the reason. */
  readonly closed: Promise<Error | null>;
  readonly #options: z.output<typeof optionsSchema>;
  readonly #caller: Caller | undefined;
  readonly #logger: Logger | undefined;
  readonly #socket: WebSocket;
  readonly #messages = new TelephoneMessages(this.ids);
  readonly #playback: CallPlayback;
  readonly #rate = new MediaRate();
  readonly #problems = new Problems();
  readonly #counters = { messages: 0, invalid: 0, droppedMs: 0, callerMs: 0, unreadMs: 0, clears: 0 };
  #frames: ReturnType<Caller["frames"]> | undefined;
  #failure: Error | undefined;
  #isHungUp = false;
  #isOpen = false;

  /**
   * Dials at once.
   *
   * @throws InputError `INVALID_OPTION`; TransportError `CA_UNUSABLE`.
   */
  constructor(options: MediaStreamsCallOptions) {
    super();
    guardHandlers(this);
    this.#options = validate("MediaStreamsCall", optionsSchema, options);
    this.#caller = this.#options.caller;
    this.#logger = this.#options.logger;
    this.#playback = new CallPlayback(options.publisher, this.#options.marks);
    const { bot, headers, timeoutMs } = this.#options;
    const ca = new URL(bot).protocol === "wss:" ? authorities(this.#options.ca) : undefined;
    const trusted = ca === undefined ? {} : { ca };
    this.#socket = new WebSocket(bot, { headers, handshakeTimeout: timeoutMs, maxPayload: MAX_PAYLOAD, ...trusted });
    this.closed = this.#run();
  }

  /**
   * Presses a key.
   *
   * @throws InputError `INVALID_OPTION` for anything but 0 to 9, A to D, * and #; StateError `CLOSED`.
   */
  dtmf(digit: string): void {
    validate("MediaStreamsCall.dtmf", digitSchema, { digit });
    if (this.#socket.readyState !== WebSocket.OPEN)
      throw new StateError("CLOSED", "The call was used while it was not open.");
    this.#socket.send(this.#messages.dtmf(digit));
  }

  stats(): MediaStreamsCallStats {
    const { writtenMs, heardMs, pendingMarks } = this.#playback;
    return { ...this.#counters, botMs: writtenMs, heardMs, pendingMarks };
  }

  /** Hangs up; audio that the bot has sent is still heard. Idempotent. */
  async close(): Promise<void> {
    const socket = this.#socket;
    this.#isHungUp = true;
    if (socket.readyState === WebSocket.OPEN) socket.send(this.#messages.stop());
    if (socket.readyState === WebSocket.CONNECTING) socket.terminate();
    else socket.close(1000);
    const timer = setTimeout(() => socket.terminate(), CLOSE_MS);
    await this.closed;
    clearTimeout(timer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #run(): Promise<Error | null> {
    const socket = this.#socket;
    const over = Promise.withResolvers<Error | null>();
    socket.on("open", () => this.#open());
    socket.on(
      "message",
      guard("agent.call", (data: RawData, isBinary: boolean) => this.#receive(data, isBinary)),
    );
    socket.on("error", (error) => {
      // Hanging up while dialling makes the socket fail; that is not an error.
      if (this.#isHungUp) return;
      const what = this.#isOpen
        ? `The connection to the bot ${this.#host} failed`
        : `The bot ${this.#host} can't be reached`;
      this.#failure ??= new TransportError("BOT_UNREACHABLE", `${what}: ${whyUnreachable(error)}.`, { cause: error });
    });
    socket.on("close", (code) => over.resolve(this.#failure ?? (this.#isHungUp ? null : this.#endOf(code))));
    const detachLogger = this.#logger ? attachLogger(this.#logger) : () => {};
    const timer = setInterval(
      guard("agent.call", () => this.#tick()),
      TICK_MS,
    );
    try {
      return await over.promise;
    } finally {
      clearInterval(timer);
      detachLogger();
      // A caller who says nothing more would keep them.
      void this.#frames?.return?.();
      this.#playback.end();
    }
  }

  get #host(): string {
    return new URL(this.#options.bot).host;
  }

  #endOf(code: number): Error | null {
    // 1005: closed without a code, as bots do that just leave.
    if (code === 1000 || code === 1001 || code === 1005) return null;
    return new TransportError("BOT_LEFT", `The bot ${this.#host} left the call with the code ${code}.`);
  }

  #open(): void {
    this.#isOpen = true;
    this.#socket.send(this.#messages.connected());
    this.#socket.send(this.#messages.start(this.#options.customParameters));
    this.emit("started", this.ids);
    if (this.#caller) background("agent.call", this.#speak(this.#caller));
  }

  async #speak(caller: Caller): Promise<void> {
    const frames = caller.frames({ sampleRate: 8000, frameMs: FRAME_MS, format: "mulaw", backlogMs: 1000 });
    this.#frames = frames;
    const socket = this.#socket;
    let first: number | undefined;
    for await (const { bytes, startMs } of frames) {
      if (socket.readyState !== WebSocket.OPEN) break;
      first ??= startMs;
      if (socket.bufferedAmount > MAX_UNREAD_BYTES) this.#counters.unreadMs += FRAME_MS;
      else socket.send(this.#messages.media(bytes, startMs - first));
      this.#counters.callerMs += FRAME_MS;
    }
  }

  #receive(data: RawData, isBinary: boolean): void {
    this.#counters.messages++;
    const bytes = toBuffer(data);
    const message = decodeBotMessage(isBinary ? bytes : bytes.toString("utf8"), this.ids.streamSid);
    if (message.event === "media") this.#play(message.audio);
    else if (message.event === "mark") this.#answer(this.#playback.mark(message.name));
    else if (message.event === "clear") {
      this.#counters.clears++;
      this.#answer(this.#playback.clear());
    } else if (message.event === "invalid") {
      this.#counters.invalid++;
      this.#problem(new ProtocolError("BOT_MESSAGE", message.reason), message.kind);
    }
  }

  #play(audio: Uint8Array): void {
    const now = monotonicClock();
    const ms = audio.length / 8;
    try {
      this.#playback.media(audio, now);
    } catch (error) {
      if (!(error instanceof StateError)) throw error;
      this.#counters.droppedMs += ms;
      const fault = tooMuch("bot", error);
      this.#problem(fault === undefined ? error : new ProtocolError("BOT_TOO_FAST", fault));
    }
    if (this.#rate.take(ms, now))
      this.#problem(
        new ProtocolError(
          "BOT_TOO_FAST",
          "The bot sends audio at more than four times real time: PCM sent as mu-law sounds like noise and does this.",
        ),
      );
  }

  #tick(): void {
    if (this.#socket.bufferedAmount > MAX_BACKLOG_BYTES) this.#abandon();
    const names = this.#playback.tick(monotonicClock());
    this.#answer(names);
    if (this.#playback.isByClock && names.length > 0)
      this.#problem(
        new StateError("NO_LISTENER", "No listener reports what it hears, so marks come back by the clock."),
      );
  }

  #abandon(): void {
    this.#failure ??= new TransportError(
      "BOT_UNREAD",
      `The bot ${this.#host} left more than ${MAX_BACKLOG_BYTES} bytes unread.`,
    );
    this.#socket.terminate();
  }

  #answer(names: readonly string[]): void {
    if (this.#socket.readyState !== WebSocket.OPEN) return;
    for (const name of names) this.#socket.send(this.#messages.mark(name));
  }

  #problem(error: Error, kind = error.message): void {
    if (!this.#problems.isNew(kind)) return;
    this.#logger?.warn({ err: error }, "The call goes on.");
    this.emit("problem", error);
  }
}

function toBuffer(data: RawData): Buffer {
  if (Array.isArray(data)) return Buffer.concat(data);
  return Buffer.isBuffer(data) ? data : Buffer.from(data);
}
