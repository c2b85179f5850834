import { Group, Time, type Track } from "@kixelated/moq";
import type { Microseconds } from "../../base/index.js";
import { guard } from "../../base/index.js";

/** One frame in its container, ready for the uplink. */
export interface WireFrame {
  readonly sequence: number;
  readonly timestamp: Microseconds;
  readonly body: Uint8Array;
  /** The same in the lower rendition, where a listener subscribes to it. */
  readonly low: Uint8Array | undefined;
  /** Sent as a datagram too: the first group of an epoch, which has one frame. */
  readonly twice: boolean;
  /** The first of its group. */
  readonly opensGroup: boolean;
  /** The last of its group. */
  readonly endsGroup: boolean;
}

/** Bytes of a frame that always fit into a datagram beside the headers. */
const DATAGRAM_BYTES = 1100;
/** Delay before a datagram is repeated: it and the group's stream may share a lost packet. */
const AGAIN_MS = 10;

/** Writes frames to the groups of one track: each at once, so that a group of several adds no delay. */
export class GroupWriter {
  readonly #track: Track.Producer;
  #open: { readonly group: Group.Producer; readonly start: Microseconds } | undefined;

  constructor(track: Track.Producer) {
    this.#track = track;
  }

  /** Whether that group is in progress. */
  isIn(sequence: number): boolean {
    return this.#open?.group.sequence === sequence;
  }

  /** Writes a frame; ends any other group that is still open. */
  write({ sequence, timestamp: at, twice, endsGroup }: WireFrame, payload: Uint8Array): void {
    const timestamp = Time.Timestamp.fromMicros(at);
    if (!this.isIn(sequence)) {
      this.#end();
      const group = new Group.Producer(sequence);
      this.#open = { group, start: at };
      group.writeFrame({ payload, timestamp });
      this.#track.writeGroup(group);
    } else this.#open?.group.writeFrame({ payload, timestamp });
    if (endsGroup) this.#end();
    if (!twice || payload.length > DATAGRAM_BYTES) return;
    const datagram = { sequence, timestamp, payload };
    this.#track.writeDatagram(datagram);
    const again = guard("publisher.again", () => {
      if (this.#track.closed.peek() === undefined) this.#track.writeDatagram(datagram);
    });
    setTimeout(again, AGAIN_MS).unref();
  }

  /** Aborts the group in progress if all of it lies at or after `to`; an earlier one may continue. */
  rewind(to: Microseconds): void {
    if (this.#open === undefined || this.#open.start < to) return;
    this.#open.group.close(new Error("The group was taken back."));
    this.#open = undefined;
  }

  /** Ends the track. */
  close(): void {
    this.#end();
    this.#track.close();
  }

  #end(): void {
    this.#open?.group.close();
    this.#open = undefined;
  }
}
