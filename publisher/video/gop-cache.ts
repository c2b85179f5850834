import type { Microseconds } from "../../base/index.js";
import type { Frame } from "../../container/index.js";

/** The stretch of a video that may still be needed: sent and still to be played, so that it can be sent again, or next. */
export class GopCache {
  #frames: Frame[] = [];
  #bytes = 0;
  #next = 0;

  /** Payload bytes held. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Time of the last frame held, in the video's own time; undefined when it is empty. */
  get end(): Microseconds | undefined {
    return this.#frames.at(-1)?.timestamp;
  }

  /** The first frame not taken yet. */
  get next(): Frame | undefined {
    return this.#frames[this.#next];
  }

  /** Adds a frame behind the others. */
  push(frame: Frame): void {
    this.#frames.push(frame);
    this.#bytes += frame.payload.byteLength;
  }

  /** Takes the next frame; those behind it can still be rewound to. */
  take(): Frame | undefined {
    const frame = this.next;
    if (frame !== undefined) this.#next++;
    return frame;
  }

  /**
   * Winds to `time` and returns what has to be decoded for the picture shown then: from the last keyframe at or before
   * it on. Where that is gone, it is the next keyframe alone. What follows is next.
   */
  wind(time: Microseconds): readonly Frame[] {
    const shown = Math.max(
      0,
      this.#frames.findLastIndex((frame) => frame.timestamp <= time),
    );
    const key = this.#frames.findLastIndex((frame, index) => index <= shown && frame.keyframe);
    if (key >= 0) {
      this.#next = shown + 1;
      return this.#frames.slice(key, shown + 1);
    }
    this.#next = shown;
    this.skip();
    const first = this.take();
    return first === undefined ? [] : [first];
  }

  /** Passes over what can't be decoded: up to the next keyframe, or to the end of what is held. */
  skip(): void {
    while (this.next !== undefined && !this.next.keyframe) this.#next++;
  }

  /** Drops what is not needed to show `time` or later. */
  trim(time: Microseconds): void {
    const key = this.#frames.findLastIndex((frame) => frame.keyframe && frame.timestamp <= time);
    if (key > 0) this.#drop(key);
  }

  /** Drops all that was taken, when there is no room: it can't be wound back to any more. */
  dropTaken(): void {
    this.#drop(this.#next);
  }

  #drop(count: number): void {
    for (const { payload } of this.#frames.splice(0, count)) this.#bytes -= payload.byteLength;
    this.#next = Math.max(0, this.#next - count);
  }
}
