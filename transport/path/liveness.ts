import { background, type Clock, every, guard, monotonicClock } from "../../base/index.js";
import { StreamError } from "../adapter/stream-error.js";
import type { BidirectionalStream, Datagrams, ReceiveStream, Session } from "../session.js";
import { PathWatch, TICK_MS } from "./path-watch.js";

/** Options of {@link Liveness}. */
export interface LivenessOptions {
  /** Asks the peer for a sign of life; resolves with whether it gave one, rejects when it could not be asked. */
  readonly ask: () => Promise<boolean>;
  readonly clock?: Clock;
}

/** Watches one session's path, and reports when it falls silent and when it comes back. */
export class Liveness {
  readonly #ask: () => Promise<boolean>;
  readonly #clock: Clock;
  readonly #watch: PathWatch;
  readonly #stop: () => void;
  #silent = false;
  #closed = false;
  #waiting: (() => void)[] = [];

  constructor({ ask, clock = monotonicClock }: LivenessOptions) {
    this.#ask = ask;
    this.#clock = clock;
    this.#watch = new PathWatch(clock());
    this.#stop = every(
      TICK_MS,
      guard("transport.liveness", () => this.#tick()),
    );
  }

  /** Data arrived from the peer. */
  heard(): void {
    this.#watch.heard(this.#clock());
    if (this.#silent) this.#become(false);
  }

  /** Resolves with true as soon as the path is silent, with false when the session has ended. */
  async silent(): Promise<boolean> {
    while (!this.#silent && !this.#closed) await this.#change();
    return !this.#closed;
  }

  /** Resolves with true as soon as the path is not silent, with false when the session has ended. */
  async revived(): Promise<boolean> {
    while (this.#silent && !this.#closed) await this.#change();
    return !this.#closed;
  }

  /** Ends it; idempotent. */
  close(): void {
    this.#stop();
    this.#closed = true;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #tick(): void {
    const state = this.#watch.tick(this.#clock());
    if (state === "silent") this.#become(true);
    if (state !== "ask") return;
    this.#ask().then(
      (answered) => {
        if (!answered) return;
        this.#watch.answered(this.#clock());
        this.#become(false);
      },
      () => {},
    );
  }

  #become(silent: boolean): void {
    if (silent === this.#silent || this.#closed) return;
    this.#silent = silent;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}

/** A session with a watched path. */
export interface WatchedSession<S = Session> {
  /** Use it in place of the session: data that arrives through it counts as a sign of life. */
  readonly session: S;
  readonly liveness: Liveness;
}

/** Opens moq-lite's PROBE stream. It asks for nothing: the peer's end, answer or reset is the sign of life. */
export const PROBE = Uint8Array.of(4);

/** Watches the path of a session on which moq-lite is spoken. */
export function watchSession(session: Session): WatchedSession {
  const liveness = new Liveness({
    // Where a SETUP decides the version, it may not be moq-lite: there the carrier's own limit has to suffice.
    ask: async () => session.protocol !== "" && (await probe(session)),
  });
  const heard = (): void => liveness.heard();
  background(
    "transport.liveness",
    session.closed.then(() => liveness.close()),
  );
  const { backend, protocol, url, remoteAddress, closed } = session;
  const datagrams = session.datagrams && watchDatagrams(session.datagrams, heard);
  return {
    liveness,
    session: {
      backend,
      protocol,
      url,
      remoteAddress,
      closed,
      datagrams,
      openUnidirectional: (options) => session.openUnidirectional(options),
      openBidirectional: async (options) => watchBoth(await session.openBidirectional(options), heard),
      acceptUnidirectional: async () => {
        const stream = await session.acceptUnidirectional();
        if (stream) heard();
        return stream && watchStream(stream, heard);
      },
      acceptBidirectional: async () => {
        const stream = await session.acceptBidirectional();
        if (stream) heard();
        return stream && watchBoth(stream, heard);
      },
      close: (info) => {
        liveness.close();
        session.close(info);
      },
    },
  };
}

/**
 * Opens a stream with a request that the peer answers at once, and waits for the answer. Resolves with whether it came:
 * an answer, the stream's end and a reset all count. Rejects when the session takes no stream.
 */
export async function probe(session: Session, request: Uint8Array = PROBE): Promise<boolean> {
  const { send, receive } = await session.openBidirectional();
  try {
    await send.write(request);
    void send.finish();
    await receive.read();
    receive.stop(0);
    return true;
  } catch (error) {
    // A reset is an answer; the end of the session is not.
    return error instanceof StreamError;
  }
}

function watchDatagrams(datagrams: Datagrams, heard: () => void): Datagrams {
  return {
    get maxSize() {
      return datagrams.maxSize;
    },
    send: (data) => datagrams.send(data),
    async receive() {
      const data = await datagrams.receive();
      if (data) heard();
      return data;
    },
  };
}

function watchBoth({ send, receive }: BidirectionalStream, heard: () => void): BidirectionalStream {
  return { send, receive: watchStream(receive, heard) };
}

function watchStream(stream: ReceiveStream, heard: () => void): ReceiveStream {
  return {
    async read() {
      const data = await stream.read();
      if (data) heard();
      return data;
    },
    stop: (code) => stream.stop(code),
  };
}
