import { concatenate, type Microseconds } from "../../base/index.js";
import {
  encodeDatagram,
  encodeGroupHeader,
  FRAME_COST,
  type FrameForm,
  MAX_DATAGRAM_BYTES,
  type WireFrame,
} from "../wire/group.js";

/** Memory of a group beside its frames, in bytes, including cache and classifier; rounded up. */
export const GROUP_COST = 1024;

// More distinct subscribe ids than this share no bytes; watchers of one player nearly always use the same one.
const MAX_SHARED = 32;

// Kinds of shared bytes, by subscribe id, or by first frame for the parts after an opening. Numbers as keys, since
// every watcher of every object creates one.
const SHARED = { datagram: 0, opening: { timed: 1, plain: 2 }, following: { timed: 3, plain: 4 } } as const;
const SHARED_KINDS = 8;
const MAX_SHARED_NUMBER = Number.MAX_SAFE_INTEGER / SHARED_KINDS - 1;

/** One group as the relay holds it: shared by the cache and by every watcher that still sends it. */
export class CachedGroup {
  readonly sequence: number;
  /** When its first byte arrived. */
  readonly arrivedAt: Microseconds;
  /** Media time of its first frame, once there is one. */
  timestamp: Microseconds | undefined;
  /** Media time of its newest frame. */
  reached: Microseconds | undefined;
  /** Latest media time of its frames, which need not be in order. */
  latest: Microseconds | undefined;
  /** Whether the publisher sent it on a stream. */
  viaStream = false;
  /** Whether it goes before all others: it starts an epoch or revealed a rewind. */
  urgent = false;
  /** Whether the publisher sent it as a datagram. */
  viaDatagram = false;
  #frames: WireFrame[] = [];
  #bytes = 0;
  #ended = false;
  #abortCode: number | undefined;
  #stale = false;
  // Created with the first entry: most groups of a track without watchers have none.
  #shared: Map<number, Uint8Array> | undefined;

  constructor(sequence: number, arrivedAt: Microseconds) {
    this.sequence = sequence;
    this.arrivedAt = arrivedAt;
  }

  /** Its frames so far. */
  get frames(): readonly WireFrame[] {
    return this.#frames;
  }

  /** Payload bytes so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Its memory in bytes: this is bounded, since frames need not have any payload. */
  get cost(): number {
    return GROUP_COST + this.#frames.length * FRAME_COST + this.#bytes;
  }

  /** No more frames will come. */
  get ended(): boolean {
    return this.#ended;
  }

  /** The code with which it was given up, or undefined while it is good. */
  get abortCode(): number | undefined {
    return this.#abortCode;
  }

  /** Whether a rewind made all of it stale. */
  get stale(): boolean {
    return this.#stale;
  }

  /** Adds a frame. */
  push(frame: WireFrame): void {
    this.#frames.push(frame);
    this.#bytes += frame.size;
    this.#shared = undefined;
  }

  /** Marks it complete. */
  end(): void {
    this.#ended = true;
  }

  /** Marks it given up. */
  abort(code: number): void {
    this.#ended = true;
    this.#abortCode ??= code;
  }

  /** Marks it stale as a whole. */
  discard(code: number): void {
    this.#stale = true;
    this.abort(code);
  }

  /** Drops everything behind its first frames, which a rewind made stale. */
  truncate(frames: number): void {
    this.#ended = true;
    for (const frame of this.#frames.splice(frames)) this.#bytes -= frame.size;
    this.#shared = undefined;
  }

  /** Group header and all frames so far, for one subscribe id: the first write on a watcher's stream. */
  opening(form: FrameForm, subscribe: number): Uint8Array {
    const known = this.#known(SHARED.opening[form], subscribe);
    if (known !== undefined) return known;
    const frames = this.#frames.map((frame) => frame.bytes(form));
    const bytes = concatenate([encodeGroupHeader(subscribe, this.sequence), ...frames]);
    return this.#share(SHARED.opening[form], subscribe, bytes);
  }

  /** The frames from an index on, in stream format. */
  following(form: FrameForm, from: number): Uint8Array {
    if (from === this.#frames.length - 1) return this.#frames[from]!.bytes(form);
    const known = this.#known(SHARED.following[form], from);
    if (known !== undefined) return known;
    const bytes = concatenate(this.#frames.slice(from).map((frame) => frame.bytes(form)));
    return this.#share(SHARED.following[form], from, bytes);
  }

  /** Its only frame as a datagram body; undefined when it has more than one or does not fit. */
  datagram(subscribe: number, maxBytes: number): Uint8Array | undefined {
    if (this.#frames.length !== 1) return undefined;
    const body =
      this.#known(SHARED.datagram, subscribe) ??
      this.#share(SHARED.datagram, subscribe, encodeDatagram(subscribe, this.sequence, this.#frames[0]!));
    return body.length <= Math.min(maxBytes, MAX_DATAGRAM_BYTES) ? body : undefined;
  }

  #known(kind: number, number: number): Uint8Array | undefined {
    return this.#shared?.get(number * SHARED_KINDS + kind);
  }

  #share(kind: number, number: number, bytes: Uint8Array): Uint8Array {
    this.#shared ??= new Map();
    if (this.#shared.size < MAX_SHARED && number < MAX_SHARED_NUMBER)
      this.#shared.set(number * SHARED_KINDS + kind, bytes);
    return bytes;
  }
}
