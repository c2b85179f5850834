import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { type Link, LinkModel } from "../../tests/support/impairment.js";

/** Bytes of a segment behind the headers of IPv4 and TCP with timestamps. */
const SEGMENT_BYTES = 1448;

/**
 * A TCP connection over a path with delay and loss, as kind as TCP can be: it knows no slow start, all that was lost in
 * a flight comes with its next round trip, and a segment behind which nothing follows is probed after two (RFC 8985).
 */
class Direction {
  readonly #model: LinkModel;
  readonly #rttMs: number;
  readonly #to: Socket;
  readonly #waiting: { readonly at: number; readonly bytes: Buffer }[] = [];
  #timer: NodeJS.Timeout | undefined;
  #lastAt = 0;

  constructor(link: Link, seed: number, to: Socket) {
    this.#model = new LinkModel(link, seed);
    this.#rttMs = 2 * (link.delayMs ?? 0);
    this.#to = to;
  }

  pass(bytes: Buffer): void {
    const now = performance.now();
    const isAlone = bytes.length <= SEGMENT_BYTES && this.#waiting.length === 0;
    for (let from = 0; from < bytes.length; from += SEGMENT_BYTES) {
      const segment = bytes.subarray(from, from + SEGMENT_BYTES);
      this.#lastAt = Math.max(this.#lastAt, this.#arrival(now, segment.length, isAlone));
      this.#waiting.push({ at: this.#lastAt, bytes: segment });
    }
    this.#arm();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#to.destroy();
  }

  #arrival(now: number, bytes: number, isAlone: boolean): number {
    const at = this.#model.offer(now, bytes);
    if (typeof at === "number") return at;
    return this.#arrival(now + (isAlone ? 2 : 1) * this.#rttMs, bytes, isAlone);
  }

  #arm(): void {
    const [first] = this.#waiting;
    if (first === undefined || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => this.#release(), Math.max(0, first.at - performance.now()));
  }

  #release(): void {
    this.#timer = undefined;
    const now = performance.now() + 0.5;
    while (this.#waiting[0] !== undefined && this.#waiting[0].at <= now) this.#to.write(this.#waiting.shift()!.bytes);
    this.#arm();
  }
}

/** A path to a port of this machine for TCP. */
export interface TcpLink {
  readonly port: number;
  close(): void;
}

/** Opens a path to `port`; every connection gets the link in both directions. */
export async function tcpLink(port: number, link: Link, seed: number): Promise<TcpLink> {
  const directions: Direction[] = [];
  const server = createServer((near) => {
    const far = connect(port, "127.0.0.1");
    for (const socket of [near, far]) socket.setNoDelay(true).on("error", () => {});
    const up = new Direction(link, seed, far);
    const down = new Direction(link, seed + 1, near);
    directions.push(up, down);
    near.on("data", (bytes) => up.pass(bytes)).on("close", () => up.close());
    far.on("data", (bytes) => down.pass(bytes)).on("close", () => down.close());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    close() {
      for (const direction of directions) direction.close();
      server.close();
    },
  };
}
