import { fileURLToPath } from "node:url";
import { vi } from "vitest";
import { sleep } from "../../base/index.js";
import {
  type AudioSource,
  openSource,
  Publisher,
  type PublisherAblation,
  type PublisherOptions,
  type Speech,
} from "../../publisher/index.js";
import { Relay, type RelayOptions } from "../../relay/index.js";
import { Listener, type ListenerOptions } from "../../watch/index.js";
import { type Impairment, impair, type Link } from "./impairment.js";
import { sine } from "./signal.js";

export { sleep };

/** On a busy machine, listeners may take longer to report a rewind than the second that a publisher waits. */
export const PATIENT: PublisherAblation = { heardLimitMs: 60_000 };

const SAMPLE_RATE = 48_000;
const speechFile = fileURLToPath(new URL("../../examples/audio/clean-speech.wav", import.meta.url));

/** Waits until a condition holds; `limitMs` bounds a fault, not a busy machine. */
export async function until(what: string, condition: () => boolean, limitMs = 120_000): Promise<void> {
  const end = performance.now() + limitMs;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`Still waiting: ${what}.`);
    await sleep(5);
  }
}

/** Waits until an assertion holds. */
export function eventually(assertion: () => unknown, limitMs = 120_000): Promise<unknown> {
  return vi.waitFor(assertion, { timeout: limitMs, interval: 10 });
}

/** The error that ended a part of a scenario, or what `closed` resolves with. */
export function endOf(part: { readonly closed: Promise<unknown> }): Promise<unknown> {
  return part.closed.catch((error: unknown) => error);
}

/** Samples of each tone: a minute takes a fifth of a second to compute, and nearly every scenario has one. */
const tones = new Map<string, Float32Array>();

/** A sine as a source, to the sample as long as it says. */
export function tone({ hz = 440, ms = 60_000, level = 0.3 } = {}): Promise<AudioSource> {
  const key = [hz, ms, level].join();
  const samples = tones.get(key) ?? sine({ hz, ms, level });
  tones.set(key, samples);
  return openSource({ samples, name: `${hz} Hz` });
}

/** Recorded speech, repeated without end. */
export function speech(): Promise<AudioSource> {
  return openSource({ file: speechFile, loop: true });
}

/** The plain URL of a relay: clients find its certificate there. */
export function urlOf(relay: Relay): string {
  return `http://127.0.0.1:${relay.address.port}`;
}

/** Has a publisher say something. */
export function say(publisher: Publisher, source: AudioSource): Speech {
  return publisher.say(source);
}

/** Media time behind the last sample of older epochs that a listener's speaker played. */
export function heardBefore({ record }: Listener, epoch: number): number {
  const last = record.findLast((run) => run.timestamp !== undefined && run.epoch! < epoch)!;
  return last.timestamp! + (last.frames * 1e6) / SAMPLE_RATE;
}

/** Audio that a relay sends at once: groups more than a second ahead are paced, on a lossy path to real time. */
const RESERVE_MS = 500;

/** Waits until all listeners of a publisher play, hold audio in reserve, and are known to it. */
export async function inReserve(publisher: Publisher, ...listeners: readonly Listener[]): Promise<void> {
  const numbers = () => JSON.stringify([publisher, ...listeners].map((part) => part.stats()));
  const isReady = () =>
    publisher.stats().listeners === listeners.length &&
    listeners.every((listener) => listener.stats().playing && listener.stats().bufferMs > RESERVE_MS);
  await until("every listener plays, holds audio in reserve, and is known", isReady).catch((error: Error) => {
    throw new Error(`${error.message} ${numbers()}`);
  });
}

/**
 * The real parts of a scenario. They close in reverse order when the stage is left:
 * `await using stage = new Stage()` in a test, `afterAll(() => stage.close())` where a file shares one.
 */
export class Stage implements AsyncDisposable {
  readonly #closers: (() => unknown)[] = [];

  /** Has a function called when the stage closes. */
  defer(close: () => unknown): void {
    this.#closers.push(close);
  }

  /** Closes a part with the stage. */
  use<T extends { close(): unknown }>(part: T): T {
    this.defer(() => part.close());
    return part;
  }

  /** A relay that listens, on a free port by default. */
  async relay(options: RelayOptions = {}, ablation: ConstructorParameters<typeof Relay>[1] = {}): Promise<Relay> {
    const relay = this.use(new Relay({ host: "127.0.0.1", port: 0, ...options }, ablation));
    await relay.listen();
    return relay;
  }

  /** A publisher of `demo` at a relay or a URL. */
  publish(at: Relay | string, options: Partial<PublisherOptions> = {}, ablation: PublisherAblation = {}): Publisher {
    return this.use(new Publisher({ url: typeof at === "string" ? at : urlOf(at), ...options }, ablation));
  }

  /** A listener of `demo` at a relay or a URL. */
  listen(at: Relay | string, options: Partial<ListenerOptions> = {}): Listener {
    const url = typeof at === "string" ? at : urlOf(at);
    const listener = this.use(new Listener({ url, broadcast: "demo", ...options }));
    listener.closed.catch(() => {});
    return listener;
  }

  /** A link that loses, delays or reorders packets on the way to a relay. */
  async link(relay: Relay, link: Link, seed = 7): Promise<Impairment> {
    const { port } = relay.address;
    return this.use(await impair({ target: { host: "127.0.0.1", port }, up: link, down: link, seed }));
  }

  /** A listener over QUIC behind such a link. */
  async listenThrough(relay: Relay, link: Link, options: Partial<ListenerOptions> = {}): Promise<Listener> {
    const { port } = await this.link(relay, link);
    return this.listen(`https://127.0.0.1:${port}`, {
      connect: { backends: ["quic"], certificateHashes: [Buffer.from(relay.fingerprint, "hex")] },
      ...options,
    });
  }

  async close(): Promise<void> {
    for (const close of this.#closers.splice(0).reverse()) await close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
