import { fromMilliseconds, fromSeconds, type Microseconds, microseconds, ProtocolError } from "../../base/index.js";
import {
  BULK_HORIZON_UNITS,
  BULK_UNIT_BYTES,
  type BulkAck,
  decodePiece,
  MAX_ACK_RANGES,
  MAX_PAYLOAD_BYTES,
  type PayloadHead,
} from "./piece.js";

/** Node's `Hash` fulfils it. */
export interface PayloadHash {
  update(bytes: Uint8Array): unknown;
  digest(encoding: "hex"): string;
}

/** Options for {@link BulkReceiver}. */
export interface BulkReceiverOptions {
  /** The announced payload. */
  readonly head: PayloadHead;
  readonly now: Microseconds;
  /** A fresh SHA-256. */
  readonly hash: PayloadHash;
  /** Maximum size of a payload, in bytes. Default 64 MiB. */
  readonly maxBytes?: number;
  /** Longest silence. Default 10 s. */
  readonly idleTimeout?: Microseconds;
}

const IDLE_TIMEOUT = fromSeconds(10);
/** Acknowledgements at 40 Hz take a hundredth of a full link and refresh a window several times per round trip. */
const ACK_INTERVAL = fromMilliseconds(25);

/**
 * Assembles a payload from pieces in any order, repeated or not, and acknowledges pieces and their delays. Holds the
 * declared length at most.
 */
export class BulkReceiver {
  readonly #head: PayloadHead;
  readonly #hash: PayloadHash;
  readonly #idleTimeout: Microseconds;
  readonly #payload: Uint8Array;
  readonly #units: number;
  readonly #has: Uint8Array;
  #next = 0;
  #highest = 0;
  #lastAt: Microseconds;
  #sentAt = 0;
  #delay = Number.POSITIVE_INFINITY;
  #ackAt: Microseconds | undefined;
  #digest: string | undefined;

  /** @throws ProtocolError `BULK_TOO_LARGE` when the announced size exceeds the limit. */
  constructor({ head, now, hash, maxBytes = MAX_PAYLOAD_BYTES, idleTimeout = IDLE_TIMEOUT }: BulkReceiverOptions) {
    if (head.bytes > maxBytes)
      throw new ProtocolError(
        "BULK_TOO_LARGE",
        `The payload may have ${maxBytes} bytes at most, but declares ${head.bytes}.`,
      );
    this.#head = head;
    this.#hash = hash;
    this.#idleTimeout = idleTimeout;
    this.#lastAt = now;
    this.#units = Math.ceil(head.bytes / BULK_UNIT_BYTES);
    // The system zeroes it lazily: bytes that did not arrive take no memory.
    this.#payload = new Uint8Array(head.bytes);
    this.#has = new Uint8Array(this.#units);
  }

  /** Whether every byte has arrived. */
  get whole(): boolean {
    return this.#next === this.#units;
  }

  /** Bytes that arrived without a gap. */
  get receivedBytes(): number {
    return Math.min(this.#next * BULK_UNIT_BYTES, this.#head.bytes);
  }

  /**
   * Takes an encoded piece.
   *
   * @throws ProtocolError `BULK_PIECE` on one that no sender makes.
   */
  receive(encoded: Uint8Array, now: Microseconds): void {
    const { firstUnit, sentAt, bytes } = decodePiece(encoded);
    const start = firstUnit * BULK_UNIT_BYTES;
    const end = start + bytes.length;
    if (end > this.#head.bytes || (end < this.#head.bytes && bytes.length % BULK_UNIT_BYTES !== 0))
      throw new ProtocolError("BULK_PIECE", `A piece of a payload ends at ${end} of ${this.#head.bytes} bytes.`);
    if (firstUnit >= this.#next + BULK_HORIZON_UNITS) return;
    this.#lastAt = now;
    this.#sentAt = sentAt;
    this.#delay = Math.min(this.#delay, now - sentAt);
    const units = Math.ceil(bytes.length / BULK_UNIT_BYTES);
    for (let unit = firstUnit; unit < firstUnit + units; unit++) {
      if (this.#has[unit] === 1) continue;
      this.#has[unit] = 1;
      const from = (unit - firstUnit) * BULK_UNIT_BYTES;
      this.#payload.set(bytes.subarray(from, from + BULK_UNIT_BYTES), unit * BULK_UNIT_BYTES);
    }
    this.#highest = Math.max(this.#highest, firstUnit + units);
    this.#advance();
    this.#ackAt = this.whole ? now : (this.#ackAt ?? microseconds(now + ACK_INTERVAL));
  }

  /** The acknowledgement, if it is due. */
  takeAck(now: Microseconds): BulkAck | undefined {
    if (this.#ackAt === undefined || now < this.#ackAt) return undefined;
    const ack = {
      next: this.#next,
      ranges: this.#ranges(),
      sentAt: this.#sentAt,
      held: now - this.#lastAt,
      delay: this.#delay,
    };
    this.#ackAt = undefined;
    this.#delay = Number.POSITIVE_INFINITY;
    return ack;
  }

  /**
   * The payload.
   *
   * @throws ProtocolError `BULK_TRUNCATED` before it is whole, `BULK_DIGEST` when it is another one.
   */
  payload(): Uint8Array {
    if (!this.whole) throw new ProtocolError("BULK_TRUNCATED", "The payload is not whole yet.");
    this.#digest ??= this.#hash.digest("hex");
    if (this.#digest !== this.#head.sha256)
      throw new ProtocolError("BULK_DIGEST", "The payload is not the one that was announced: its SHA-256 differs.");
    return this.#payload;
  }

  /** @throws ProtocolError `BULK_IDLE` when no piece has arrived for too long. */
  checkIdle(now: Microseconds): void {
    if (!this.whole && now - this.#lastAt >= this.#idleTimeout)
      throw new ProtocolError("BULK_IDLE", `Nothing of the payload came for ${this.#idleTimeout / 1e6} s.`);
  }

  #advance(): void {
    const from = this.#next;
    while (this.#next < this.#units && this.#has[this.#next] === 1) this.#next++;
    // Hashed as it grows: hashing it all at the end would block the event loop.
    if (this.#next > from) this.#hash.update(this.#payload.subarray(from * BULK_UNIT_BYTES, this.receivedBytes));
  }

  #ranges(): (readonly [number, number])[] {
    const ranges: (readonly [number, number])[] = [];
    for (let unit = this.#next; unit < this.#highest && ranges.length < MAX_ACK_RANGES; unit++) {
      if (this.#has[unit] !== 1) continue;
      const from = unit;
      while (unit < this.#highest && this.#has[unit] === 1) unit++;
      ranges.push([from, unit]);
    }
    return ranges;
  }
}
