/** What a link does to each packet of one direction; everything left out does nothing. */
export interface LinkSettings {
  /** Time that every packet takes, in milliseconds. */
  readonly delayMs: number;
  /** Each packet takes up to this much longer, evenly distributed, without changing the order. */
  readonly jitterMs: number;
  /** Share of the packets that are lost, 0 to 1. */
  readonly loss: number;
  /** Bottleneck in kilobits per second; 0 is none. */
  readonly rateKbps: number;
}

/** A link that does nothing. */
export const CLEAN_LINK: LinkSettings = { delayMs: 0, jitterMs: 0, loss: 0, rateKbps: 0 };

/** An IPv4 and a UDP header. */
const HEADER_BYTES = 28;
/** Bytes that wait in front of the bottleneck: what a home router holds. */
const QUEUE_BYTES = 64_000;

/** Decides when each packet of one direction arrives, or that it never does, without sockets or timers. */
export class LinkModel {
  readonly #random: () => number;
  #settings: LinkSettings = CLEAN_LINK;
  #cutUntil = Number.NEGATIVE_INFINITY;
  #freeAt = Number.NEGATIVE_INFINITY;
  #lastAt = Number.NEGATIVE_INFINITY;

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  /** Changes what the link does; packets under way keep their times. */
  set(settings: LinkSettings): void {
    this.#settings = settings;
  }

  /** Loses every packet until then. */
  cut(until: number): void {
    this.#cutUntil = until;
  }

  /** When a packet of `bytes` payload that comes at `now` arrives, in milliseconds; undefined when it is lost. */
  offer(now: number, bytes: number): number | undefined {
    const { delayMs, jitterMs, loss, rateKbps } = this.#settings;
    const [lossDraw, jitterDraw] = [this.#random(), this.#random()];
    if (now < this.#cutUntil || lossDraw < loss) return undefined;
    let at = now;
    if (rateKbps > 0) {
      const size = bytes + HEADER_BYTES;
      const waiting = (Math.max(0, this.#freeAt - now) * rateKbps) / 8;
      if (waiting + size > QUEUE_BYTES) return undefined;
      at = Math.max(this.#freeAt, now) + (size * 8) / rateKbps;
      this.#freeAt = at;
    }
    this.#lastAt = Math.max(this.#lastAt, at + delayMs + jitterDraw * jitterMs);
    return this.#lastAt;
  }
}
