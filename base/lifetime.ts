import { MediaError, StateError } from "./error.js";
import { guard } from "./guard.js";
import { sleep } from "./time.js";

/** Calls `end` with the reason of a signal when it aborts, unless `closed` settles first. */
export function endWith(
  signal: AbortSignal | undefined,
  closed: Promise<unknown>,
  end: (reason: Error) => unknown,
): void {
  if (!signal) return;
  const abort = guard("base.abort", () => {
    const { reason } = signal;
    return end(reason instanceof Error ? reason : new StateError("ABORTED", String(reason)));
  });
  signal.addEventListener("abort", abort, { once: true });
  void closed.then(() => signal.removeEventListener("abort", abort));
  if (signal.aborted) abort();
}

/** The one end of a part: the first reason counts, and every caller waits for the same clean-up. */
export class Ending {
  /** Resolves after the clean-up with the reason, or with the error of the clean-up. Never rejects. */
  readonly closed: Promise<Error | null>;
  readonly #finish: () => Promise<void>;
  #settle!: (reason: Error | null) => void;
  #start!: (work: Promise<void>) => void;
  #isEnding = false;
  readonly #ended: Promise<void>;

  /** `finish` cleans up; it runs once. */
  constructor(finish: () => Promise<void>) {
    this.#finish = finish;
    this.closed = new Promise((resolve) => {
      this.#settle = resolve;
    });
    this.#ended = new Promise((resolve) => {
      this.#start = resolve;
    });
  }

  /** Ends it, with null for a wanted end; idempotent. Rejects when the clean-up fails. */
  end(reason: Error | null): Promise<void> {
    if (!this.#isEnding) {
      this.#isEnding = true;
      this.#start(this.#run(reason));
    }
    return this.#ended;
  }

  /** Ends it with the reason of a signal. */
  endWith(signal: AbortSignal | undefined): void {
    endWith(signal, this.closed, (reason) => this.end(reason));
  }

  async #run(reason: Error | null): Promise<void> {
    try {
      await this.#finish();
      this.#settle(reason);
    } catch (cause) {
      this.#settle(reason ?? (cause instanceof Error ? cause : new Error(String(cause))));
      throw cause;
    }
  }
}

/**
 * Makes an audio context.
 *
 * @throws MediaError `NO_WEB_AUDIO` where the browser has none, as with iOS in Lockdown Mode, or makes none.
 */
export function openAudioContext(options: AudioContextOptions): AudioContext {
  if (typeof AudioContext === "undefined") throw new MediaError("NO_WEB_AUDIO", "This browser has no Web Audio.");
  try {
    return new AudioContext(options);
  } catch (cause) {
    throw noAudio(cause);
  }
}

/** The browser starts no audio; `cause` is in its own words. */
export function noAudio(cause: unknown): MediaError {
  const { message = "" } = cause as Partial<Error>;
  const why = message === "" ? "" : `: ${message.replace(/\.$/, "")}`;
  return new MediaError("NO_WEB_AUDIO", `This browser starts no audio${why}.`, { cause });
}

/**
 * Loads the script of an audio worklet.
 *
 * @throws MediaError `NO_WORKLET` where the browser has none, the page may not load it, or nothing is there.
 */
export async function loadWorklet(
  { audioWorklet }: { readonly audioWorklet: { addModule(url: string | URL): Promise<void> } | undefined },
  url: string | URL,
): Promise<void> {
  if (audioWorklet === undefined) throw new MediaError("NO_WORKLET", "This browser has no AudioWorklet.");
  try {
    await audioWorklet.addModule(url);
  } catch (cause) {
    const why = "its content security policy must permit that, or name a copy that it serves as `worklet`";
    throw new MediaError("NO_WORKLET", `This page can't load the audio worklet ${url}: ${why}.`, { cause });
  }
}

/**
 * Makes a node of a worklet whose script was loaded.
 *
 * @throws MediaError `NO_WORKLET` where that script is another one.
 */
export function openWorklet<Node>(name: string, url: string | URL, open: (name: string) => Node): Node {
  try {
    return open(name);
  } catch (cause) {
    const what = `The script ${url} has no audio worklet named ${name}`;
    throw new MediaError("NO_WORKLET", `${what}: it is another file, or of another version.`, { cause });
  }
}

/** A processor that renders answers within a few milliseconds; that of a suspended context never does. */
const PROCESSOR_MS = 500;

/**
 * Ends the processor of an audio worklet, which answers `null` to `{ type: "close" }` when it returns false. Chromium
 * never frees an audio context that closes before, or whose processor ended while it was connected to a source.
 */
export async function endProcessor(node: {
  readonly port: MessagePort;
  readonly context: { readonly state: string };
}): Promise<void> {
  const { port, context } = node;
  await new Promise<void>((resolve) => {
    port.onmessage = ({ data }) => data === null && resolve();
    port.postMessage({ type: "close" });
    void sleep(context.state === "running" ? PROCESSOR_MS : 0).then(resolve);
  });
  port.onmessage = null;
  port.close();
}
