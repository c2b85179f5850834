/** Effect of a link on each packet of one direction; missing settings have none. */
export interface LinkSettings {
  /** Delay of every packet, in milliseconds. */
  readonly delayMs: number;
  /** Maximum extra delay of each packet, evenly distributed; the order stays. */
  readonly jitterMs: number;
  /** Share of packets lost, 0 to 1. */
  readonly loss: number;
  /** Bottleneck in kilobits per second; 0 is none. */
  readonly rateKbps: number;
}

/** A link without any effect. */
export const CLEAN_LINK: LinkSettings = { delayMs: 0, jitterMs: 0, loss: 0, rateKbps: 0 };

/** An IPv4 and a UDP header. */
const HEADER_BYTES = 28;
/** Queue of the bottleneck in bytes: that of a home router. */
const QUEUE_BYTES = 64_000;

/** Decides when each packet of one direction arrives, or that it is lost, without sockets or timers. */
export class LinkModel {
  readonly #random: () => number;
  #settings: LinkSettings = CLEAN_LINK;
  #cutUntil = Number.NEGATIVE_INFINITY;
  #freeAt = Number.NEGATIVE_INFINITY;
  #lastAt = Number.NEGATIVE_INFINITY;

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  /** Changes the settings; packets in flight keep their times. */
  set(settings: LinkSettings): void {
    this.#settings = settings;
  }

  get settings(): LinkSettings {
    return this.#settings;
  }

  /** Loses every packet until then. */
  cut(until: number): void {
    this.#cutUntil = until;
  }

  /** Arrival of a packet of `bytes` payload sent at `now`, in milliseconds; undefined when it is lost. */
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
