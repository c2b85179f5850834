import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { type Impairment, impair, type Link } from "../../tests/support/impairment.js";
import type { Weather } from "./history.js";

const CLEAR: Link = {};
/** Attempts to find a number that is free as a TCP port too. */
const PORT_TRIES = 20;

/**
 * The way from one client to one server: a UDP and a TCP proxy on one port number, so that a client may choose its
 * carrier. Weather changes UDP alone; a cut changes what it names.
 */
export class Path {
  readonly #udp: Impairment;
  readonly #tcp: Server;
  readonly #pairs = new Set<Socket>();
  #weather: Link = CLEAR;
  #tcpOpen = true;

  private constructor(udp: Impairment, tcp: Server, target: number) {
    this.#udp = udp;
    this.#tcp = tcp;
    tcp.on("connection", (client) => this.#forward(client, target));
  }

  /** Opens a path to a port of this machine; the seed decides which packets are lost. */
  static async open(target: number, seed: number): Promise<Path> {
    for (let attempt = 0; ; attempt++) {
      const udp = await impair({ target: { host: "127.0.0.1", port: target }, seed });
      const tcp = createServer({ allowHalfOpen: true });
      try {
        tcp.listen(udp.port, "127.0.0.1");
        await once(tcp, "listening");
        return new Path(udp, tcp, target);
      } catch (error) {
        await udp.close();
        if (attempt >= PORT_TRIES) throw error;
      }
    }
  }

  /** Address for a client. */
  get url(): string {
    return `http://127.0.0.1:${this.#udp.port}`;
  }

  /** Sets the weather in both directions; undefined clears it. */
  weather(weather: Weather | undefined): void {
    this.#weather = weather ?? CLEAR;
    this.#apply(false);
  }

  /** Cuts the path: everything without an answer, UDP without an answer, or TCP connections reset and UDP silent. */
  cut(how: "blackhole" | "udp" | "reset"): void {
    this.#apply(true);
    if (how === "udp") return;
    this.#tcpOpen = false;
    for (const socket of this.#pairs) {
      if (how === "reset") socket.resetAndDestroy();
      else socket.pause();
    }
  }

  /** Mends what {@link cut} did. */
  mend(): void {
    this.#tcpOpen = true;
    for (const socket of this.#pairs) socket.resume();
    this.#apply(false);
  }

  /** Closes the path and what goes through it. */
  async close(): Promise<void> {
    this.#tcp.close();
    for (const socket of this.#pairs) socket.destroy();
    await this.#udp.close();
  }

  #apply(blackhole: boolean): void {
    this.#udp.setUp({ ...this.#weather, blackhole });
    this.#udp.setDown({ ...this.#weather, blackhole });
  }

  #forward(client: Socket, target: number): void {
    const server = connect(target, "127.0.0.1");
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#pairs.add(from);
      from.setNoDelay(true);
      from.on("data", (bytes) => {
        if (!to.write(bytes)) from.pause();
      });
      to.on("drain", () => this.#tcpOpen && from.resume());
      from.on("end", () => to.end());
      from.on("error", () => to.destroy());
      from.on("close", () => {
        this.#pairs.delete(from);
        to.destroy();
      });
      if (!this.#tcpOpen) from.pause();
    }
  }
}
