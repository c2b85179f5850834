import {
  endProcessor,
  guard,
  Inbox,
  loadWorklet,
  MediaError,
  openAudioContext,
  openWorklet,
  StateError,
  TransportError,
  timePassed,
} from "../../base/index.js";
import { Resampler, SAMPLE_RATE } from "../source/resample.js";
import { CAPTURE, type CapturedBlock } from "./capture.js";
import type { BlockTimes } from "./capture-clock.js";
import { WORKLET_SCRIPT } from "./worklet-script.js";

/** A block of 20 ms at 48 kHz. */
export interface MicrophoneBlock extends BlockTimes {
  readonly samples: Float32Array<ArrayBuffer>;
}

/** Options of {@link Microphone.open}. */
export interface MicrophoneOptions {
  /** Id of the device; without it the system's default. */
  readonly device?: string;
  /** The worklet's script; without it a blob of the one that this library carries. */
  readonly workletUrl?: string | URL;
}

/** Samples in a block of 20 ms. */
const BLOCK = SAMPLE_RATE / 50;
/** Blocks that wait for a reader: one second. */
const MAX_BLOCKS = 50;

/** Sentences for the names of `getUserMedia`'s errors. */
const REFUSALS: Readonly<Record<string, readonly [code: string, message: string]>> = {
  NotAllowedError: [
    "MICROPHONE_DENIED",
    "This page may not use the microphone. Allow it in the browser's address bar and in the system's settings, then try again.",
  ],
  NotFoundError: ["NO_MICROPHONE", "There is no microphone. Plug one in, then try again."],
  OverconstrainedError: ["MICROPHONE_GONE", "The chosen microphone is not there any more. Choose another one."],
  NotReadableError: ["MICROPHONE_BUSY", "The microphone does not start: another program may be using it."],
  AbortError: ["MICROPHONE_BUSY", "The microphone does not start: another program may be using it."],
};

/** No setting of the browser helps where the site forbids it. */
const FORBIDDEN =
  'This page may not use the microphone. A page that embeds it must allow that: <iframe allow="microphone">.';

/** A microphone that is on: one channel at 48 kHz, without the echo of what the page plays. */
export class Microphone {
  /** The audio until {@link close} or until the device goes away, in blocks of 20 ms. */
  readonly blocks = new Inbox<MicrophoneBlock>({ most: MAX_BLOCKS });
  readonly #context: AudioContext;
  readonly #track: MediaStreamTrack;
  readonly #source: MediaStreamAudioSourceNode;
  readonly #node: AudioWorkletNode;
  #isClosed = false;
  readonly #resampler: Resampler;
  /** Samples that make no block yet. */
  #rest = new Float32Array(0);

  /**
   * Asks for permission, if need be, and switches the microphone on.
   *
   * @throws TransportError `INSECURE_PAGE`; MediaError `MICROPHONE_DENIED`, `NO_MICROPHONE`, `MICROPHONE_GONE`,
   * `MICROPHONE_BUSY`, `MICROPHONE_FAILED`, `NO_WEB_AUDIO`, `NO_WORKLET`, each with a sentence for the person in front of
   * the page.
   */
  static async open({ device, workletUrl }: MicrophoneOptions): Promise<Microphone> {
    if (!globalThis.isSecureContext)
      throw new TransportError("INSECURE_PAGE", "Browsers allow the microphone only on https pages and on localhost.");
    if (isForbidden()) throw new MediaError("MICROPHONE_DENIED", FORBIDDEN);
    // As in the web view of some apps.
    if (!hasMicrophones()) throw new MediaError("NO_MICROPHONE", "This browser gives no page a microphone.");
    const stream = await capture(device);
    const [track] = stream.getAudioTracks();
    let context: AudioContext | undefined;
    try {
      context = contextOf(stream);
      const url = workletUrl ?? scriptUrl();
      await loadWorklet(context, url);
      return new Microphone(context, stream, track!, url);
    } catch (cause) {
      track?.stop();
      await context?.close();
      throw cause;
    }
  }

  private constructor(context: AudioContext, stream: MediaStream, track: MediaStreamTrack, url: string | URL) {
    this.#context = context;
    this.#track = track;
    const mono = { numberOfInputs: 1, numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" } as const;
    this.#node = openWorklet(CAPTURE, url, (name) => new AudioWorkletNode(context, name, mono));
    this.#resampler = new Resampler({ from: context.sampleRate, channels: 1 });
    this.#node.port.onmessage = ({ data }: MessageEvent<CapturedBlock>) => this.#take(data);
    this.#source = context.createMediaStreamSource(stream);
    this.#source.connect(this.#node);
    track.addEventListener("ended", () => this.blocks.end());
    // The device may have gone away while the worklet loaded.
    if (track.readyState === "ended") this.blocks.end();
    context.addEventListener("statechange", this.#resume);
    this.#resume();
  }

  /** The system stops a context whose device for output fails, and the microphone's audio with it. */
  readonly #resume = guard("microphone.resume", async () => {
    if (!this.#isClosed && this.#context.state === "suspended") await this.#context.resume();
  });

  /** Id of the device. */
  get device(): string {
    return this.#track.getSettings().deviceId ?? "";
  }

  /** Whether the device delivers silence. */
  set muted(muted: boolean) {
    this.#track.enabled = !muted;
  }

  /** Switches it off; idempotent. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#track.stop();
    this.blocks.end();
    this.#source.disconnect();
    await endProcessor(this.#node);
    await this.#context.close();
  }

  #take({ samples, wallMs }: CapturedBlock): void {
    timePassed();
    const pageMs = performance.now();
    const ready = this.#resampler.process(samples);
    const all = new Float32Array(this.#rest.length + ready.length);
    all.set(this.#rest);
    all.set(ready, this.#rest.length);
    const whole = all.length - (all.length % BLOCK);
    for (let start = 0; start < whole; start += BLOCK)
      this.blocks.push({ samples: all.slice(start, start + BLOCK), wallMs, pageMs });
    this.#rest = all.slice(whole);
  }
}

/** The microphones that there are. Browsers name them only for a page that has been allowed to use one. */
export async function microphones(): Promise<MediaDeviceInfo[]> {
  const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  return devices.filter(({ kind, deviceId }) => kind === "audioinput" && deviceId !== "");
}

async function capture(device: string | undefined): Promise<MediaStream> {
  try {
    return await navigator.mediaDevices.getUserMedia({
      audio: {
        ...(device !== undefined && { deviceId: { exact: device } }),
        channelCount: 1,
        echoCancellation: true,
        autoGainControl: true,
        noiseSuppression: true,
      },
    });
  } catch (cause) {
    const { name = "", message = String(cause) } = cause as Partial<Error>;
    const [code, sentence] = REFUSALS[name] ?? ["MICROPHONE_FAILED", `The microphone does not start: ${message}`];
    throw new MediaError(code, sentence, { cause });
  }
}

function hasMicrophones(): boolean {
  const { mediaDevices } = navigator as { readonly mediaDevices?: Partial<MediaDevices> };
  return mediaDevices?.getUserMedia !== undefined;
}

/** Whether a policy of the site forbids the microphone, as in a frame without `allow`; only Chromium reports it. */
function isForbidden(): boolean {
  const { featurePolicy } = document as { readonly featurePolicy?: { allowsFeature(name: string): boolean } };
  return featurePolicy?.allowsFeature("microphone") === false;
}

function contextOf(stream: MediaStream): AudioContext {
  const context = openAudioContext({ sampleRate: SAMPLE_RATE, latencyHint: "interactive" });
  try {
    context.createMediaStreamSource(stream);
    return context;
  } catch {
    // Firefox connects a microphone only to a context at the device's own rate.
    void context.close();
    return openAudioContext({ latencyHint: "interactive" });
  }
}

let url: string | undefined;

function scriptUrl(): string {
  if (WORKLET_SCRIPT === "") throw new StateError("NO_WORKLET", "This bundle was made without the audio worklet.");
  url ??= URL.createObjectURL(new Blob([WORKLET_SCRIPT], { type: "text/javascript" }));
  return url;
}
