import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { WebSocket } from "ws";
import { guard } from "../../base/index.js";

/** Bytes that may wait for a peer before what it sends counts. QMux waits for a socket with more than 64 KB. */
const WAITING_BYTES = 32 * 1024;
/** Bytes that a peer may send on top of those it takes while ours wait for it. */
const CREDIT_BYTES = 64 * 1024;
/** How often a paused socket is looked at. */
const LOOK_MS = 20;

/**
 * Decides whether to read on from a peer: QMux answers pings and grants credit, and keeps those answers for as long as
 * the peer does not take them. A peer may therefore send only a little more than it takes while data waits for it.
 */
export class ReadBalance {
  #sent = 0;
  #taken = 0;

  /**
   * Counts bytes of the peer.
   * @param waiting Our bytes that wait for it.
   * @param taken Our bytes that it has taken since the beginning.
   */
  received(bytes: number, waiting: number, taken: number): void {
    if (waiting <= WAITING_BYTES) this.#reset(taken);
    this.#sent += bytes;
  }

  /** Whether to read on; see {@link received}. */
  mayRead(waiting: number, taken: number): boolean {
    if (waiting <= WAITING_BYTES) this.#reset(taken);
    return this.#sent <= CREDIT_BYTES + (taken - this.#taken);
  }

  #reset(taken: number): void {
    this.#sent = 0;
    this.#taken = taken;
  }
}

/** Pauses a WebSocket while its peer sends without reading; see {@link ReadBalance}. */
export function balanceReading(webSocket: WebSocket, socket: Duplex): void {
  const balance = new ReadBalance();
  const taken = (): number => ((socket as Socket).bytesWritten ?? 0) - socket.writableLength;
  let timer: NodeJS.Timeout | undefined;
  const look = guard("transport.balance", () => {
    if (!balance.mayRead(webSocket.bufferedAmount, taken())) return;
    clearInterval(timer);
    timer = undefined;
    webSocket.resume();
  });
  webSocket.on("message", (data: Buffer | ArrayBuffer) => {
    balance.received(data.byteLength, webSocket.bufferedAmount, taken());
    if (timer !== undefined || balance.mayRead(webSocket.bufferedAmount, taken())) return;
    webSocket.pause();
    timer = setInterval(look, LOOK_MS);
    timer.unref();
  });
  webSocket.once("close", () => clearInterval(timer));
}
