import { TransportError } from "../../base/index.js";
import type {
  Backend,
  BidirectionalStream,
  CloseInfo,
  Datagrams,
  OpenOptions,
  ReceiveStream,
  SendStream,
  Session,
} from "../session.js";
import { StreamOpenLimiter } from "../tcp/stream-open-limiter.js";
import { StreamError } from "./stream-error.js";

/** Data that {@link WebTransportSession} cannot get from a W3C `WebTransport`. @internal */
export interface WebTransportSessionOptions {
  readonly backend: Backend;
  readonly protocol: string;
  readonly url: URL;
  readonly remoteAddress: string | undefined;
  /** Whether to use datagrams. */
  readonly datagrams: boolean;
}

/** Presents a ready W3C `WebTransport` of a library as a session. @internal */
export class WebTransportSession implements Session {
  readonly backend: Backend;
  readonly protocol: string;
  readonly url: URL;
  readonly remoteAddress: string | undefined;
  readonly datagrams: WebTransportDatagrams | undefined;
  readonly closed: Promise<CloseInfo>;
  #transport: WebTransport;
  #bidirectional: ReadableStreamDefaultReader<WebTransportBidirectionalStream>;
  #unidirectional: ReadableStreamDefaultReader<ReadableStream<Uint8Array>>;
  #opens = new StreamOpenLimiter();
  #ended = false;
  #settleClosed!: (info: CloseInfo) => void;

  constructor(transport: WebTransport, options: WebTransportSessionOptions) {
    this.#transport = transport;
    this.backend = options.backend;
    this.protocol = options.protocol;
    this.url = options.url;
    this.remoteAddress = options.remoteAddress;
    this.datagrams = options.datagrams ? new WebTransportDatagrams(transport.datagrams) : undefined;
    this.#bidirectional = transport.incomingBidirectionalStreams.getReader();
    this.#unidirectional = transport.incomingUnidirectionalStreams.getReader();
    this.closed = new Promise((resolve) => {
      this.#settleClosed = resolve;
    });
    transport.closed.then(
      (info) => this.#end({ closeCode: info?.closeCode ?? 0, reason: info?.reason ?? "" }),
      (cause: unknown) => this.#end({ closeCode: 0, reason: text(cause), lost: true }),
    );
  }

  async openUnidirectional(options?: OpenOptions): Promise<SendStream> {
    this.#check();
    const stream = await this.#opens.open(
      () => this.#transport.createUnidirectionalStream(sendOptions(options)),
      (late) => void late.abort(resetReason(0)).catch(ignore),
    );
    return new WebTransportSendStream(stream);
  }

  async openBidirectional(options?: OpenOptions): Promise<BidirectionalStream> {
    this.#check();
    const stream = await this.#opens.open(
      () => this.#transport.createBidirectionalStream(sendOptions(options)),
      (late) => {
        void late.writable.abort(resetReason(0)).catch(ignore);
        void late.readable.cancel(resetReason(0)).catch(ignore);
      },
    );
    return fromBidirectional(stream);
  }

  async acceptUnidirectional(): Promise<ReceiveStream | undefined> {
    const stream = await next(this.#unidirectional);
    return stream && new WebTransportReceiveStream(stream);
  }

  async acceptBidirectional(): Promise<BidirectionalStream | undefined> {
    const stream = await next(this.#bidirectional);
    return stream && fromBidirectional(stream);
  }

  close(info: Partial<CloseInfo> = {}): void {
    if (this.#ended) return;
    const { closeCode = 0, reason = "" } = info;
    try {
      this.#transport.close({ closeCode, reason });
    } catch {
      // It is closing already.
    }
    this.#end({ closeCode, reason });
  }

  #check(): void {
    if (this.#ended) throw new TransportError("SESSION_CLOSED", "The session has ended.");
  }

  #end(info: CloseInfo): void {
    this.#ended = true;
    this.datagrams?.end();
    this.#settleClosed(info);
  }
}

/** Datagrams that wait for a slow reader; the oldest is dropped first. */
const MAX_WAITING_DATAGRAMS = 1024;

class WebTransportDatagrams implements Datagrams {
  #duplex: WebTransportDatagramDuplexStream;
  #writer: WritableStreamDefaultWriter<Uint8Array>;
  #waiting: Uint8Array[] = [];
  #wake: (() => void)[] = [];
  #ended = false;

  constructor(duplex: WebTransportDatagramDuplexStream) {
    this.#duplex = duplex;
    // Newer implementations have `createWritable` in place of `writable`.
    const { createWritable } = duplex as { createWritable?: () => WritableStream<Uint8Array> };
    this.#writer = (createWritable ? createWritable.call(duplex) : duplex.writable).getWriter();
    this.#writer.closed.catch(ignore);
    this.#writer.ready.catch(ignore);
    void this.#pump(duplex.readable.getReader());
  }

  get maxSize(): number {
    return this.#duplex.maxDatagramSize;
  }

  send(data: Uint8Array): boolean {
    if (this.#ended || data.byteLength > this.#duplex.maxDatagramSize) return false;
    this.#writer.write(data).catch(ignore);
    return true;
  }

  async receive(): Promise<Uint8Array | undefined> {
    while (this.#waiting.length === 0 && !this.#ended) {
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
    return this.#waiting.shift();
  }

  /** Ends the wait of a receiver, and refuses further sends. */
  end(): void {
    this.#ended = true;
    for (const wake of this.#wake.splice(0)) wake();
  }

  /** Reads on, even without a receiver: not every library bounds its queue. */
  async #pump(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
    for (let data = await next(reader); data && !this.#ended; data = await next(reader)) {
      if (this.#waiting.length >= MAX_WAITING_DATAGRAMS) this.#waiting.shift();
      this.#waiting.push(data);
      this.#wake.shift()?.();
    }
    this.end();
  }
}

class WebTransportSendStream implements SendStream {
  readonly stopped: Promise<number | undefined>;
  #stream: WritableStream<Uint8Array> & { sendOrder?: number };
  #writer: WritableStreamDefaultWriter<Uint8Array>;
  #ended = false;

  constructor(stream: WritableStream<Uint8Array>) {
    this.#stream = stream;
    this.#writer = stream.getWriter();
    this.#writer.ready.catch(ignore);
    this.stopped = this.#writer.closed.then(
      () => undefined,
      (cause: unknown) => (this.#ended ? undefined : streamCode(cause)),
    );
  }

  write(data: Uint8Array): Promise<void> {
    if (this.#ended) return Promise.resolve();
    const written = this.#writer.write(data).catch((cause: unknown) => {
      const code = streamCode(cause);
      throw code === undefined
        ? new TransportError("SESSION_CLOSED", `The stream cannot be written: ${text(cause)}.`, { cause })
        : new StreamError("STREAM_STOPPED", code, { cause });
    });
    // A rejection that no caller awaits must not crash the process; a caller that awaits still gets it.
    written.catch(ignore);
    return written;
  }

  async finish(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    await this.#writer.close().catch(ignore);
  }

  reset(code: number): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#writer.abort(resetReason(code)).catch(ignore);
  }

  setPriority(priority: number): void {
    if (!this.#ended) this.#stream.sendOrder = priority;
  }
}

class WebTransportReceiveStream implements ReceiveStream {
  #reader: ReadableStreamDefaultReader<Uint8Array>;
  #stopped = false;

  constructor(stream: ReadableStream<Uint8Array>) {
    this.#reader = stream.getReader();
    this.#reader.closed.catch(ignore);
  }

  async read(): Promise<Uint8Array | undefined> {
    try {
      const { value } = await this.#reader.read();
      return this.#stopped ? undefined : value;
    } catch (cause) {
      if (this.#stopped) return undefined;
      const code = streamCode(cause);
      throw code === undefined
        ? new TransportError("SESSION_CLOSED", `The stream cannot be read: ${text(cause)}.`, { cause })
        : new StreamError("STREAM_RESET", code, { cause });
    }
  }

  stop(code: number): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#reader.cancel(resetReason(code)).catch(ignore);
  }
}

function fromBidirectional(stream: WebTransportBidirectionalStream): BidirectionalStream {
  return {
    send: new WebTransportSendStream(stream.writable),
    receive: new WebTransportReceiveStream(stream.readable),
  };
}

async function next<T>(reader: ReadableStreamDefaultReader<T>): Promise<T | undefined> {
  try {
    return (await reader.read()).value;
  } catch {
    return undefined;
  }
}

function sendOptions(
  options: OpenOptions | undefined,
): WebTransportSendStreamOptions & { waitUntilAvailable: boolean } {
  return { sendOrder: options?.priority ?? 0, waitUntilAvailable: true };
}

/** Like a `WebTransportError` of a stream: libraries read the code from one field or the other. */
function resetReason(code: number): Error {
  return Object.assign(new Error(`code ${code}`), { source: "stream", streamErrorCode: code, code });
}

function streamCode(cause: unknown): number | undefined {
  const { streamErrorCode, message } = (cause ?? {}) as { streamErrorCode?: unknown; message?: unknown };
  if (typeof streamErrorCode === "number") return streamErrorCode;
  // `@fails-components/webtransport` has the code only in its message.
  const code = /^(?:Resetstream|StopSending) with code:(\d+)$/.exec(String(message))?.[1];
  return code === undefined ? undefined : Number(code);
}

function text(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

function ignore(): void {}
