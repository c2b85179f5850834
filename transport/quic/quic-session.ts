import { guard, TransportError } from "../../base/index.js";
import type {
  BidirectionalStream,
  CloseInfo,
  Datagrams,
  OpenOptions,
  ReceiveStream,
  SendStream,
  Session,
} from "../session.js";
import { isKeepalive, KEEPALIVE, KEEPALIVE_MS } from "../tcp/keepalive.js";
import { StreamOpenLimiter } from "../tcp/stream-open-limiter.js";
import type { NativeSession } from "./native.js";
import { QuicReceiveStream, QuicSendStream, SessionStreams } from "./quic-stream.js";

/** How long the largest datagram size is cached. */
const MAX_SIZE_MS = 1000;
/** How long the binding may take to report the end of a session that was closed here. */
const CLOSING_MS = 500;

/** A session of the native binding. */
export class QuicSession implements Session, Datagrams {
  readonly backend = "quic";
  readonly remoteAddress = undefined;
  readonly closed: Promise<CloseInfo>;
  readonly protocol: string;
  readonly url: URL;
  #native: NativeSession | undefined;
  #keepalive: NodeJS.Timeout;
  #opens = new StreamOpenLimiter();
  #streams = new SessionStreams();
  #maxSize = 0;
  #maxSizeAt = Number.NEGATIVE_INFINITY;
  /** The reason with which this side closed it. */
  #closedWith: CloseInfo | undefined;
  #settleClosed!: (info: CloseInfo) => void;

  constructor(native: NativeSession, url: URL, protocol: string) {
    this.#native = native;
    this.url = url;
    this.protocol = protocol;
    this.closed = new Promise((resolve) => {
      this.#settleClosed = resolve;
    });
    this.#keepalive = setInterval(
      guard("transport.keepalive", () => this.send(KEEPALIVE)),
      KEEPALIVE_MS,
    );
    this.#keepalive.unref();
    native.closed().then(
      ({ closeCode, reason }) => this.#end(closeInfo(closeCode, reason)),
      (cause: unknown) => this.#end({ closeCode: 0, reason: text(cause), lost: true }),
    );
  }

  get datagrams(): Datagrams {
    return this;
  }

  get maxSize(): number {
    // A native call for each datagram would double its cost, and the path's limit changes rarely.
    const now = performance.now();
    if (now - this.#maxSizeAt > MAX_SIZE_MS) {
      this.#maxSizeAt = now;
      this.#maxSize = this.#askMaxSize();
    }
    return this.#native ? this.#maxSize : 0;
  }

  send(data: Uint8Array): boolean {
    try {
      if (!this.#native) return false;
      this.#native.sendDatagram(data);
      return true;
    } catch {
      return false;
    }
  }

  async receive(): Promise<Uint8Array | undefined> {
    // The binding's own incoming queue is bounded and drops its oldest.
    for (;;) {
      const data = await this.#native?.recvDatagram().catch(ignore);
      if (!data) return undefined;
      if (!isKeepalive(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    }
  }

  async openUnidirectional(options?: OpenOptions): Promise<SendStream> {
    const native = await this.#open(
      (session) => session.openUni(),
      (late) => void late.reset(0).catch(ignore),
    );
    return new QuicSendStream(native, this.#streams, options?.priority ?? 0);
  }

  async openBidirectional(options?: OpenOptions): Promise<BidirectionalStream> {
    const native = await this.#open(
      (session) => session.openBi(),
      (late) => {
        void late.takeSend().reset(0).catch(ignore);
        void late.takeRecv().stop(0).catch(ignore);
      },
    );
    return {
      send: new QuicSendStream(native.takeSend(), this.#streams, options?.priority ?? 0),
      receive: new QuicReceiveStream(native.takeRecv(), this.#streams),
    };
  }

  async acceptUnidirectional(): Promise<ReceiveStream | undefined> {
    const native = await this.#native?.acceptUni().catch(ignore);
    return native ? new QuicReceiveStream(native, this.#streams) : undefined;
  }

  async acceptBidirectional(): Promise<BidirectionalStream | undefined> {
    const native = await this.#native?.acceptBi().catch(ignore);
    if (!native) return undefined;
    return {
      send: new QuicSendStream(native.takeSend(), this.#streams, 0),
      receive: new QuicReceiveStream(native.takeRecv(), this.#streams),
    };
  }

  close(info: Partial<CloseInfo> = {}): void {
    const native = this.#native;
    if (!native) return;
    const closedWith = { closeCode: info.closeCode ?? 0, reason: info.reason ?? "" };
    this.#closedWith = closedWith;
    native.close(closedWith.closeCode, closedWith.reason);
    this.#release();
    // The peer may have closed it first, with a reason that is not read yet: the binding reports that one.
    const end = guard("transport.close", () => this.#end(closedWith));
    setTimeout(end, CLOSING_MS).unref();
  }

  #askMaxSize(): number {
    try {
      return this.#native?.maxDatagramSize() ?? 0;
    } catch {
      return 0;
    }
  }

  #end(info: CloseInfo): void {
    this.#release();
    this.#settleClosed(info.lost ? (this.#closedWith ?? info) : info);
  }

  #release(): void {
    clearInterval(this.#keepalive);
    // The UDP socket lives as long as any object of the binding refers to it.
    this.#native = undefined;
    this.#streams.close();
  }

  #open<T>(start: (session: NativeSession) => Promise<T>, discard: (late: T) => void): Promise<T> {
    const session = this.#native;
    if (!session) return Promise.reject(new TransportError("SESSION_CLOSED", "The session has ended."));
    return this.#opens.open(() => start(session), discard);
  }
}

function closeInfo(closeCode: number, reason: string): CloseInfo {
  // The binding reports a broken connection as code 0 with its own message as the reason.
  return reason.startsWith("connection error") || reason.startsWith("session error")
    ? { closeCode, reason, lost: true }
    : { closeCode, reason };
}

/** Message of an error. */
export function text(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

/** Drops an error that another source reports. */
export function ignore(): undefined {}
