import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { guard } from "../../base/index.js";

/** Requests of one connection that may be unanswered at once. Browsers send one; a pipeline would run at a stretch. */
const UNANSWERED = 8;
/** How many times longer than a request an answer may take to be read. */
const ANSWER_FACTOR = 6;

/** Limits of connections without a session. */
export interface ConnectionLimits {
  /** At once. */
  readonly connections: number;
  /** At once from one address. */
  readonly connectionsPerAddress: number;
  /** Milliseconds until a connection must have sent a request, including TLS; six times as long to read its answer. */
  readonly handshakeMs: number;
}

/** Connections that were refused, by reason. */
export interface ConnectionCounters {
  limit: number;
  address: number;
  timeout: number;
  pipelined: number;
}

/** A connection without a session. */
interface Waiting {
  readonly socket: Socket;
  deadline: NodeJS.Timeout;
  unanswered: number;
}

/**
 * Connections without a session: bounded in number, by address, in the time until they send a request and read its
 * answer, and in the requests at once. They are keyed by address and port, because a TLS connection has two sockets.
 */
export class WaitingSockets {
  readonly #limits: ConnectionLimits;
  readonly #counters: ConnectionCounters;
  readonly #waiting = new Map<string, Waiting>();
  readonly #perAddress = new Map<string, number>();

  constructor(limits: ConnectionLimits, counters: ConnectionCounters) {
    this.#limits = limits;
    this.#counters = counters;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** Counts a connection; false without room for it. */
  take(socket: Socket): boolean {
    const { remoteAddress: address = "" } = socket;
    const name = nameOf(socket);
    const { connections, connectionsPerAddress, handshakeMs } = this.#limits;
    const ofAddress = this.#perAddress.get(address) ?? 0;
    if (this.#waiting.size >= connections || ofAddress >= connectionsPerAddress) {
      this.#counters[ofAddress >= connectionsPerAddress ? "address" : "limit"]++;
      return false;
    }
    this.#waiting.set(name, { socket, deadline: this.#deadline(socket, handshakeMs), unanswered: 0 });
    this.#perAddress.set(address, ofAddress + 1);
    socket.once("close", () => this.#forget(name, address));
    return true;
  }

  /** It sent a request; false if it has sent too many at once, which ends it. Between two, HTTP's own timeouts apply. */
  asks(socket: Socket, response: ServerResponse): boolean {
    const waiting = this.#waiting.get(nameOf(socket));
    if (waiting === undefined) return !socket.destroyed;
    // The rest of what was read at once.
    if (waiting.socket.destroyed) return false;
    if (waiting.unanswered >= UNANSWERED) {
      this.#counters.pipelined++;
      waiting.socket.destroy();
      return false;
    }
    waiting.unanswered++;
    this.#renew(waiting, ANSWER_FACTOR * this.#limits.handshakeMs);
    response.once("close", () => {
      waiting.unanswered--;
      if (waiting.unanswered === 0) clearTimeout(waiting.deadline);
    });
    return true;
  }

  /** It becomes a session, which is counted elsewhere. */
  left(socket: Socket): void {
    this.#forget(nameOf(socket), socket.remoteAddress ?? "");
  }

  #renew(waiting: Waiting, milliseconds: number): void {
    clearTimeout(waiting.deadline);
    waiting.deadline = this.#deadline(waiting.socket, milliseconds);
  }

  #deadline(socket: Socket, milliseconds: number): NodeJS.Timeout {
    const end = guard("relay.handshake", () => {
      this.#counters.timeout++;
      socket.destroy();
    });
    return setTimeout(end, milliseconds);
  }

  #forget(name: string, address: string): void {
    const waiting = this.#waiting.get(name);
    if (waiting === undefined) return;
    clearTimeout(waiting.deadline);
    this.#waiting.delete(name);
    const ofAddress = (this.#perAddress.get(address) ?? 1) - 1;
    if (ofAddress > 0) this.#perAddress.set(address, ofAddress);
    else this.#perAddress.delete(address);
  }
}

function nameOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
