import type { Refusal } from "./refusal.js";

/** Which carrier a session runs on. */
export type Backend = "quic" | "qmux" | "http2";

/** Why and how a session ended, as in W3C `WebTransportCloseInfo`. */
export interface CloseInfo {
  /** Application code, 0 for an orderly close. */
  readonly closeCode: number;
  /** One sentence, empty when the peer gave none. */
  readonly reason: string;
  /** True when the connection broke or timed out instead of being closed by either end. */
  readonly lost?: boolean;
}

/** Options for a stream we open. */
export interface OpenOptions {
  /** Higher goes first, strictly; any i32. Default 0. */
  readonly priority?: number;
}

/** The writing half of a stream. After `finish` every further call but `reset` is ignored, after `reset` all are. */
export interface SendStream {
  /**
   * Queues bytes and resolves once the transport took them; awaiting it is the backpressure.
   * Rejects with a `TransportError` when the peer stopped the stream (`STREAM_STOPPED`) or the session ended.
   */
  write(data: Uint8Array): Promise<void>;
  /** Ends the stream after everything written. */
  finish(): Promise<void>;
  /** Abandons the stream, also after its end: what the peer has not received yet is dropped, where the backend can. */
  reset(code: number): void;
  /** Changes the stream's place in the sending order; higher goes first. */
  setPriority(priority: number): void;
  /**
   * Resolves when the peer stopped the stream (with its code), or with undefined when it ended any other way.
   * The quic backend learns of a stop at the next write.
   */
  readonly stopped: Promise<number | undefined>;
  /**
   * Whether nothing of it is on its way any more, so that a reset would change nothing: the peer has acknowledged all of
   * it, does not want it, or it was reset. The quic backend learns of it some time later, the others never.
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
  /** Asks the peer to stop sending; every further read, also one that waits, gives undefined. */
  stop(code: number): void;
}

/** Both halves of a bidirectional stream. */
export interface BidirectionalStream {
  readonly send: SendStream;
  readonly receive: ReceiveStream;
}

/** Unreliable, unordered messages of at most `maxSize` bytes. */
export interface Datagrams {
  /** Largest payload the path takes now. */
  readonly maxSize: number;
  /** Hands one datagram to the transport; false when it was too large or the session has ended. Never throws, never waits. */
  send(data: Uint8Array): boolean;
  /** The next datagram, or undefined once the session has ended. The incoming queue is bounded and drops its oldest. */
  receive(): Promise<Uint8Array | undefined>;
}

/**
 * One connection to a peer, whatever carries it. The shape is W3C WebTransport's, flattened so that a hot path costs
 * one native call per write; {@link toWebTransport} gives the W3C objects to libraries that want them.
 */
export interface Session {
  /** Which carrier this is. */
  readonly backend: Backend;
  /** The negotiated application protocol such as `moq-lite-05`, or "" when none was. */
  readonly protocol: string;
  /** The URL that was dialled or asked for, with path and query. */
  readonly url: URL;
  /** The peer's address where the backend knows it. */
  readonly remoteAddress: string | undefined;
  /** Datagrams, or undefined where the backend or the peer has none. */
  readonly datagrams: Datagrams | undefined;
  /** Resolves once, when the session has ended for whatever reason; never rejects. */
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
  /** URL with path and query as the client asked. */
  readonly url: URL;
  readonly remoteAddress: string | undefined;
  /**
   * The `Origin` header: which web page a browser asks for. Undefined for other clients, and over QUIC, whose binding does
   * not show it.
   */
  readonly origin: string | undefined;
  /** Takes the session. */
  accept(): Promise<Session>;
  /**
   * Refuses it. The client learns the code and the sentence over every carrier: QUIC and HTTP/2 carry no body beside a
   * status, and a browser shows a page no status of a WebSocket, so there the session is taken and closed at once.
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
   * Replaces the certificate, where the backend has one of its own. The quic backend has to start over for that: its
   * sessions end and their clients connect again.
   */
  setCertificate?(certificate: { readonly cert: string; readonly key: string }): Promise<void>;
  /** Stops listening, ends open sessions, resolves when the port is free; idempotent, also with an `accept()` pending. */
  close(): Promise<void>;
}
