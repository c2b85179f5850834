import type { BidirectionalStream, Datagrams, ReceiveStream, SendStream, Session } from "../session.js";
import { priorityOf } from "./send-order.js";
import { StreamError } from "./stream-error.js";

/** Options of {@link toWebTransport}. */
export interface WebTransportAdapterOptions {
  /** Gets every incoming datagram first; returns true to consume it, so that the adapter's reader does not get it. */
  readonly tap?: (datagram: Uint8Array) => boolean;
}

/** A W3C `WebTransport` with the negotiated application protocol. */
export type WebTransportWithProtocol = WebTransport & { readonly protocol: string };

/**
 * Presents a session as a W3C `WebTransport`, for libraries that need one.
 *
 * The adapter reads the session's datagrams and accepts its streams; `session.datagrams.send` stays usable beside it.
 */
export function toWebTransport(session: Session, options: WebTransportAdapterOptions = {}): WebTransportWithProtocol {
  return new Adapter(session, options.tap) as unknown as WebTransportWithProtocol;
}

/** Datagrams that wait for a slow reader; the oldest is dropped first. */
const MAX_WAITING_DATAGRAMS = 1024;

class Adapter {
  readonly ready = Promise.resolve();
  readonly closed: Promise<WebTransportCloseInfo>;
  readonly draining: Promise<void>;
  readonly protocol: string;
  readonly reliability: string;
  readonly congestionControl = "default";
  readonly incomingBidirectionalStreams: ReadableStream<WebTransportBidirectionalStream>;
  readonly incomingUnidirectionalStreams: ReadableStream<ReadableStream<Uint8Array>>;
  readonly datagrams: AdapterDatagrams;
  #session: Session;

  constructor(session: Session, tap: ((datagram: Uint8Array) => boolean) | undefined) {
    this.#session = session;
    this.protocol = session.protocol;
    this.reliability = session.datagrams ? "supports-unreliable" : "reliable-only";
    this.draining = session.closed.then(() => undefined);
    this.closed = session.closed.then((info) => {
      if (info.lost) throw new SessionError(info.reason);
      return { closeCode: info.closeCode, reason: info.reason };
    });
    // Many users never look at `closed`.
    this.closed.catch(() => undefined);
    this.datagrams = new AdapterDatagrams(session.datagrams, tap);
    this.incomingBidirectionalStreams = incoming(async () => {
      const stream = await session.acceptBidirectional();
      return stream && wrapBidirectional(stream);
    });
    this.incomingUnidirectionalStreams = incoming(async () => {
      const stream = await session.acceptUnidirectional();
      return stream && wrapReceive(stream);
    });
  }

  async createBidirectionalStream(options?: WebTransportSendStreamOptions): Promise<WebTransportBidirectionalStream> {
    return wrapBidirectional(await this.#session.openBidirectional({ priority: priorityOf(options?.sendOrder) }));
  }

  async createUnidirectionalStream(options?: WebTransportSendStreamOptions): Promise<WritableStream<Uint8Array>> {
    return wrapSend(await this.#session.openUnidirectional({ priority: priorityOf(options?.sendOrder) }));
  }

  close(info: WebTransportCloseInfo = {}): void {
    this.#session.close(info);
  }
}

class AdapterDatagrams {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  readonly incomingHighWaterMark = MAX_WAITING_DATAGRAMS;
  readonly incomingMaxAge = null;
  readonly outgoingHighWaterMark = 1;
  readonly outgoingMaxAge = null;
  #datagrams: Datagrams | undefined;

  constructor(datagrams: Datagrams | undefined, tap: ((datagram: Uint8Array) => boolean) | undefined) {
    this.#datagrams = datagrams;
    const waiting: Uint8Array[] = [];
    let wake: (() => void) | undefined;
    let ended = datagrams === undefined;
    // Read on, even without a reader here: the tap must get every datagram.
    const pump = async (): Promise<void> => {
      for (let data = await datagrams?.receive(); data; data = await datagrams?.receive()) {
        if (tap?.(data)) continue;
        if (waiting.length >= MAX_WAITING_DATAGRAMS) waiting.shift();
        waiting.push(data);
        wake?.();
      }
      ended = true;
      wake?.();
    };
    void pump();
    this.readable = new ReadableStream<Uint8Array>(
      {
        async pull(controller) {
          while (waiting.length === 0 && !ended) {
            await new Promise<void>((resolve) => {
              wake = resolve;
            });
          }
          const data = waiting.shift();
          if (data) controller.enqueue(data);
          else controller.close();
        },
        cancel() {
          waiting.length = 0;
        },
      },
      { highWaterMark: 0 },
    );
    this.writable = writableStream({
      write(data) {
        datagrams?.send(data);
      },
    });
  }

  get maxDatagramSize(): number {
    return this.#datagrams?.maxSize ?? 0;
  }
}

/** Like the `WebTransportError` of a session, which Node lacks. */
class SessionError extends Error {
  readonly source = "session";
  readonly streamErrorCode = null;
  override readonly name = "WebTransportError";
}

/** Like the `WebTransportError` of a stream, which Node lacks. */
class StreamFailure extends Error {
  readonly source = "stream";
  readonly streamErrorCode: number | null;
  override readonly name = "WebTransportError";

  constructor(cause: StreamError) {
    super(cause.message, { cause });
    this.streamErrorCode = cause.streamCode ?? null;
  }
}

function incoming<T>(next: () => Promise<T | undefined>): ReadableStream<T> {
  return new ReadableStream<T>(
    {
      async pull(controller) {
        const stream = await next();
        if (stream) controller.enqueue(stream);
        else controller.close();
      },
    },
    { highWaterMark: 0 },
  );
}

function wrapBidirectional(stream: BidirectionalStream): WebTransportBidirectionalStream {
  return { readable: wrapReceive(stream.receive), writable: wrapSend(stream.send) } as WebTransportBidirectionalStream;
}

function wrapReceive(stream: ReceiveStream): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const data = await stream.read().catch(rethrow);
        if (data) controller.enqueue(data);
        else controller.close();
      },
      cancel(reason: unknown) {
        stream.stop(errorCode(reason));
      },
    },
    { highWaterMark: 0 },
  );
}

function wrapSend(stream: SendStream): WritableStream<Uint8Array> {
  const sending = writableStream({
    start(controller) {
      // At once, not behind a write that waits for the peer's flow control, as the sink's own abort would be.
      controller.signal.addEventListener("abort", () => stream.reset(errorCode(controller.signal.reason)));
      void stream.stopped.then((code) => {
        if (code !== undefined) controller.error(new StreamFailure(new StreamError("STREAM_STOPPED", code)));
      });
    },
    write: (data) => stream.write(data).catch(rethrow),
    close: () => stream.finish(),
  });
  let order = 0;
  return Object.defineProperty(sending, "sendOrder", {
    get: () => order,
    set(value: number) {
      order = value;
      stream.setPriority(priorityOf(value));
    },
  });
}

/**
 * A stream whose writers reject writes after its end with a TypeError, as the standard requires. Node's own fail an
 * internal assertion there, and libraries print it: `@moq/net` ends a track's stream when the subscriber leaves, and
 * writes the end of the track afterwards (https://github.com/nodejs/node/issues/57272).
 */
function writableStream(sink: UnderlyingSink<Uint8Array>): WritableStream<Uint8Array> {
  let ended = false;
  const stream = new WritableStream<Uint8Array>({
    ...sink,
    close() {
      ended = true;
      return sink.close?.();
    },
  });
  const getWriter = stream.getWriter.bind(stream);
  stream.getWriter = () => {
    const writer = getWriter();
    const write = writer.write.bind(writer);
    writer.write = (data) => (ended ? Promise.reject(new TypeError("The stream was closed.")) : write(data));
    return writer;
  };
  return stream;
}

function rethrow(cause: unknown): never {
  throw cause instanceof StreamError ? new StreamFailure(cause) : cause;
}

function errorCode(reason: unknown): number {
  const code = (reason as { streamErrorCode?: unknown } | null | undefined)?.streamErrorCode;
  return typeof code === "number" ? code >>> 0 : 0;
}
