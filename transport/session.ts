import type { Refusal } from "./refusal.js";

/** Carrier of a session. */
export type Backend = "quic" | "qmux" | "http2";

/** End of a session, as in W3C `WebTransportCloseInfo`. */
export interface CloseInfo {
  /** Application code, 0 for an orderly close. */
  readonly closeCode: number;
  /** One sentence; empty when the peer gave none. */
  readonly reason: string;
  /** True when the connection broke or timed out, rather than being closed by either end. */
  readonly lost?: boolean;
}

/** Options of a stream that we open. */
export interface OpenOptions {
  /** Higher goes first, strictly; any i32. Default 0. */
  readonly priority?: number;
}

/** The writing half of a stream. After `finish` it ignores every call but `reset`, after `reset` all of them. */
export interface SendStream {
  /**
   * Queues bytes and resolves once the transport has taken them: awaiting it is the backpressure. Rejects with a
   * `TransportError` when the peer stopped the stream (`STREAM_STOPPED`) or the session ended.
   */
  write(data: Uint8Array): Promise<void>;
  /** Ends the stream after everything written. */
  finish(): Promise<void>;
  /** Abandons the stream, even after its end: drops data the peer has not received yet, where the backend can. */
  reset(code: number): void;
  /** Changes the stream's priority; higher goes first. */
  setPriority(priority: number): void;
  /**
   * Resolves when the peer stopped the stream (with its code), or with undefined when it ended any other way. The quic
   * backend notices a stop at the next write.
   */
  readonly stopped: Promise<number | undefined>;
  /**
   * Whether none of it is in flight any more, so that a reset would change nothing: the peer has acknowledged all of it
   * or stopped it, or it was reset. The quic backend notices some time later, the others never.
   */
  readonly settled?: boolean;
}

/** The reading half of a stream. */
export interface ReceiveStream {
  /**
   * The next bytes, or undefined at the end of the stream.
   * Rejects with a `TransportError` (`STREAM_RESET`, its `streamCode` set where the backend knows it) on a reset.
   */
  read(): Promise<Uint8Array | undefined>;
  /** Asks the peer to stop sending; every further read, even a pending one, resolves with undefined. */
  stop(code: number): void;
}

/** Both halves of a bidirectional stream. */
export interface BidirectionalStream {
  readonly send: SendStream;
  readonly receive: ReceiveStream;
}

/** Unreliable, unordered messages of at most `maxSize` bytes. */
export interface Datagrams {
  /** Largest payload that the path takes now. */
  readonly maxSize: number;
  /**
   * Passes one datagram to the transport; false when it was too large or the session has ended. Never throws, never
   * waits.
   */
  send(data: Uint8Array): boolean;
  /** The next datagram, or undefined once the session has ended. The incoming queue is bounded and drops its oldest. */
  receive(): Promise<Uint8Array | undefined>;
}

/**
 * One connection to a peer, over any carrier. The shape is W3C WebTransport's, flattened so that a hot path costs one
 * native call per write; {@link toWebTransport} returns the W3C objects for libraries that need them.
 */
export interface Session {
  /** Its carrier. */
  readonly backend: Backend;
  /** The negotiated application protocol such as `moq-lite-05`, or "" without one. */
  readonly protocol: string;
  /** The URL dialled or requested, with path and query. */
  readonly url: URL;
  /** The peer's address, where the backend provides it. */
  readonly remoteAddress: string | undefined;
  /** Datagrams, or undefined where the backend or the peer has none. */
  readonly datagrams: Datagrams | undefined;
  /** Resolves once, when the session has ended for any reason; never rejects. */
  readonly closed: Promise<CloseInfo>;
  /** Opens a one-way stream; waits while the peer's stream limit is reached. Rejects with a `TransportError` once ended. */
  openUnidirectional(options?: OpenOptions): Promise<SendStream>;
  /** Opens a two-way stream; waits while the peer's stream limit is reached. */
  openBidirectional(options?: OpenOptions): Promise<BidirectionalStream>;
  /** The next one-way stream the peer opened, or undefined once the session has ended. */
  acceptUnidirectional(): Promise<ReceiveStream | undefined>;
  /** The next two-way stream the peer opened, or undefined once the session has ended. */
  acceptBidirectional(): Promise<BidirectionalStream | undefined>;
  /** Ends the session; idempotent. */
  close(info?: Partial<CloseInfo>): void;
}

/** A connection attempt that a server may still refuse. */
export interface SessionRequest {
  readonly backend: Backend;
  /** The client's URL, with path and query. */
  readonly url: URL;
  readonly remoteAddress: string | undefined;
  /**
   * The `Origin` header: the web page behind a browser's request. Undefined for other clients, and over QUIC, whose
   * binding does not provide it.
   */
  readonly origin: string | undefined;
  /** Accepts the session. */
  accept(): Promise<Session>;
  /**
   * Refuses it. The client gets the code and the sentence over every carrier. QUIC and HTTP/2 carry no body beside a
   * status, and a browser hides the status of a WebSocket from the page, so there the session is accepted and closed at
   * once.
   */
  reject(refusal: Refusal | number): Promise<void>;
}

/** A listening server of one backend. */
export interface SessionServer {
  readonly backend: Backend;
  /** The address it is bound to. */
  readonly address: { readonly host: string; readonly port: number };
  /** The next request, or undefined once closed. */
  accept(): Promise<SessionRequest | undefined>;
  /**
   * Replaces the certificate, where the backend has one of its own. The quic backend has to restart for that: its
   * sessions end and their clients reconnect.
   */
  setCertificate?(certificate: { readonly cert: string; readonly key: string }): Promise<void>;
  /**
   * Stops listening, ends open sessions, resolves when the port is free; idempotent, even with a pending `accept()`.
   */
  close(): Promise<void>;
}
