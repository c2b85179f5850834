// Pages compile against these types without those of Node, which bring it along.
/// <reference lib="esnext.disposable" preserve="true" />
import {
  background,
  Ending,
  fields,
  Inbox,
  isBroadcast,
  isObject,
  isRelayUrl,
  isSignal,
  isString,
  isUrl,
  MediaError,
  validate,
} from "../../base/index.js";
import { REPORT_RECORDS } from "../../flow/report/index.js";
import type { BrowserConnection, BrowserConnectOptions } from "../../transport/browser.js";
import { type BrowserSession, browserSessions } from "../../transport/browser-sessions.js";
import { nameTaken } from "../send/name-claim.js";
import { CaptureClock } from "./capture-clock.js";
import { Microphone } from "./microphone.js";
import { openPacketEncoder, type PacketEncoder } from "./packet-encoder.js";
import { TalkTrack } from "./talk-track.js";

/** Options for {@link Talker}. */
export interface TalkerOptions {
  /** The relay; with an `http:` URL its self-signed certificate is pinned from `/certificate.sha256`. */
  readonly url: string | URL;
  /** Name of the broadcast. */
  readonly broadcast: string;
  /** Id of the microphone, from `enumerateDevices`. Default: the system's. */
  readonly device?: string;
  /** Whether it starts muted. Default false. */
  readonly muted?: boolean;
  /**
   * URL of the audio worklet's script, for pages whose content security policy forbids `blob:` scripts. Default: a blob of
   * the script that this library carries.
   */
  readonly workletUrl?: string | URL;
  /** Closes the talker; `closed` then resolves with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Options of the connection. */
  readonly connect?: BrowserConnectOptions;
}

/**
 * State of a talker: it waits for the microphone, then for the relay; then no listener takes the audio (`ready`), or at
 * least one does (`talking`). It is `displaced` while another publisher has the broadcast's name.
 */
export type TalkerState = "asking" | "connecting" | "ready" | "talking" | "displaced" | "closed";

/** Current numbers of a {@link Talker}. */
export interface TalkerStats {
  readonly state: TalkerState;
  /** Level of the last 20 ms in decibels below full scale; -Infinity for silence. */
  readonly levelDb: number;
  /** Codec of the broadcast; undefined before the microphone is on. */
  readonly codec: "opus" | "pcm-s16" | undefined;
  /** Transport of the session; undefined without one. */
  readonly backend: BrowserConnection["backend"] | undefined;
  /** Audio captured since the start, in milliseconds. */
  readonly capturedMs: number;
  /** Id of the microphone; undefined before it is on. */
  readonly device: string | undefined;
}

const RULES = fields<TalkerOptions>(
  { url: isRelayUrl, broadcast: isBroadcast },
  {
    device: isString((value) => value !== "", "not be empty"),
    muted: (value) => (typeof value === "boolean" ? undefined : "be true or false"),
    workletUrl: isUrl,
    signal: isSignal,
    connect: isObject,
  },
);
/** Blocks of 20 ms between two `level` events. */
const LEVEL_BLOCKS = 5;

/**
 * Publishes the microphone as a live broadcast, and reconnects by itself.
 *
 * Events, each a `CustomEvent`: `state` ({@link TalkerState}), `level` (decibels below full scale, ten times a second),
 * `device` (id of the microphone that is on now), `problem` (`Error`: a fault from which it recovers by itself; once for
 * each reason while the relay is out of reach), and `retry` (`Error`: the same fault at another attempt).
 */
export class Talker extends EventTarget implements AsyncDisposable {
  /** Resolves once the microphone is on; rejects where it does not start, with a sentence for the person on the page. */
  readonly started: Promise<void>;
  /** Resolves when it has ended: with null after {@link close}, else with the error that ended it. Never rejects. */
  readonly closed: Promise<Error | null>;
  readonly #ending = new Ending(() => this.#finish());
  readonly #options: TalkerOptions;
  readonly #stop = new AbortController();
  readonly #clock = new CaptureClock();
  /** Microphones in the order in which they take over. */
  readonly #microphones = new Inbox<Microphone>();
  #microphone: Microphone | undefined;
  /** The last change of the microphone: the next one waits for it, so that the latest choice stands. */
  #change: Promise<void> = Promise.resolve();
  #encoder: PacketEncoder | undefined;
  #track: TalkTrack | undefined;
  #muted: boolean;
  #state: TalkerState = "asking";
  #levelDb = Number.NEGATIVE_INFINITY;
  #backend: BrowserConnection["backend"] | undefined;
  #blocks = 0;

  /**
   * Starts at once; best called from a click.
   *
   * @throws InputError `INVALID_OPTION` on invalid options.
   */
  constructor(options: TalkerOptions) {
    super();
    validate("Talker", RULES, options);
    this.#options = options;
    this.#muted = options.muted ?? false;
    this.closed = this.#ending.closed;
    this.started = this.use(options.device);
    background("publisher.talker", this.#live());
    this.#ending.endWith(options.signal);
  }

  /** Current numbers. */
  stats(): TalkerStats {
    return {
      state: this.#state,
      levelDb: this.#levelDb,
      codec: this.#encoder?.codec,
      backend: this.#backend,
      capturedMs: this.#blocks * 20,
      device: this.#microphone?.device,
    };
  }

  /** Whether listeners get silence in place of the microphone. */
  get muted(): boolean {
    return this.#muted;
  }

  set muted(muted: boolean) {
    this.#muted = muted;
    if (this.#microphone) this.#microphone.muted = muted;
  }

  /**
   * Changes to another microphone, or the system's default; the broadcast goes on.
   *
   * @throws TransportError and MediaError as `Microphone.open`; the microphone before it then stays on.
   */
  use(device?: string): Promise<void> {
    this.#change = this.#change.catch(() => {}).then(() => this.#switch(device));
    return this.#change;
  }

  async #switch(device: string | undefined): Promise<void> {
    if (this.#stop.signal.aborted) return;
    const { workletUrl } = this.#options;
    const microphone = await Microphone.open({ ...(device && { device }), ...(workletUrl && { workletUrl }) });
    const before = this.#microphone;
    if (this.#stop.signal.aborted) return microphone.close();
    microphone.muted = this.#muted;
    this.#microphone = microphone;
    this.#microphones.push(microphone);
    this.#emit("device", microphone.device);
    await before?.close();
  }

  /** Switches the microphone off and ends the broadcast; idempotent. */
  async close(): Promise<void> {
    await this.#ending.end(null);
  }

  /** The same as {@link close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #finish(): Promise<void> {
    this.#track?.close();
    this.#stop.abort();
    this.#encoder?.close();
    this.#microphones.end();
    await this.#microphone?.close();
    this.#levelDb = Number.NEGATIVE_INFINITY;
    this.#become("closed");
  }

  async #live(): Promise<void> {
    try {
      await this.started;
      const encoder = await openPacketEncoder();
      if (this.#stop.signal.aborted) return;
      this.#encoder = encoder;
      const track = new TalkTrack(this.#options.broadcast, encoder);
      this.#track = track;
      this.#become("connecting");
      await Promise.all([this.#read(encoder), this.#send(encoder, track), this.#connect(track)]);
    } catch (error) {
      await this.#ending.end(error as Error);
    }
  }

  async #read(encoder: PacketEncoder): Promise<void> {
    for await (const microphone of this.#microphones) {
      for await (const { samples, ...times } of microphone.blocks) {
        this.#measure(samples);
        encoder.write(samples, this.#clock.take(samples.length, times));
      }
      if (this.#stop.signal.aborted) return;
      if (microphone === this.#microphone) await this.#replace(microphone);
    }
  }

  /** The device went away: one that was chosen meanwhile takes over, or the system's default. */
  async #replace(gone: Microphone): Promise<void> {
    await gone.close();
    await this.#change.catch(() => {});
    if (gone === this.#microphone) await this.use();
    if (this.#stop.signal.aborted) return;
    this.#emit("problem", new MediaError("MICROPHONE_GONE", "The microphone was unplugged; another one took over."));
  }

  async #send(encoder: PacketEncoder, track: TalkTrack): Promise<void> {
    for await (const packet of encoder.packets) {
      track.send(packet);
      if (this.#backend) this.#becomeAs(track);
    }
  }

  async #connect(track: TalkTrack): Promise<void> {
    const { url, connect } = this.#options;
    const { signal } = this.#stop;
    for await (const event of browserSessions(new URL(url), { ...connect, records: REPORT_RECORDS, signal })) {
      if (event.kind === "problem") this.#emit(event.isRepeated ? "retry" : "problem", event.error);
      else await this.#serve(event, track);
    }
  }

  async #serve(session: BrowserSession, track: TalkTrack): Promise<void> {
    this.#backend = session.backend;
    await track.serve(session);
    this.#backend = undefined;
    if (!this.#stop.signal.aborted) this.#become("connecting");
  }

  #measure(samples: Float32Array): void {
    let energy = 0;
    for (const sample of samples) energy += sample * sample;
    this.#levelDb = 10 * Math.log10(energy / samples.length);
    if (++this.#blocks % LEVEL_BLOCKS === 0) this.#emit("level", this.#levelDb);
  }

  #becomeAs({ displaced, used }: TalkTrack): void {
    const wasDisplaced = this.#state === "displaced";
    this.#become(displaced ? "displaced" : used ? "talking" : "ready");
    if (displaced && !wasDisplaced) this.#emit("problem", nameTaken(this.#options.broadcast));
  }

  #become(state: TalkerState): void {
    if (state === this.#state) return;
    this.#state = state;
    this.#emit("state", state);
  }

  #emit(name: string, detail: unknown): void {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
