import type { Microseconds } from "../../base/index.js";
import type { Frame } from "../../container/index.js";

/**
 * The stretch of a video that may still be needed: frames sent and still to be played, which may be sent again, and
 * frames to send next.
 */
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

  push(frame: Frame): void {
    this.#frames.push(frame);
    this.#bytes += frame.payload.byteLength;
  }

  /** Takes the next frame; it can still be rewound to. */
  take(): Frame | undefined {
    const frame = this.next;
    if (frame !== undefined) this.#next++;
    return frame;
  }

  /**
   * Rewinds to `time` and returns the frames that must be decoded to show its picture: from the last keyframe at or
   * before it on. When that one is gone, it is the next keyframe alone. The following frames are next.
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

  /** Skips frames that can't be decoded: up to the next keyframe, or to the end. */
  skip(): void {
    while (this.next !== undefined && !this.next.keyframe) this.#next++;
  }

  /** Drops frames that are not needed to show `time` or later. */
  trim(time: Microseconds): void {
    const key = this.#frames.findLastIndex((frame) => frame.keyframe && frame.timestamp <= time);
    if (key > 0) this.#drop(key);
  }

  /** Drops all taken frames, when there is no room: rewinding to them becomes impossible. */
  dropTaken(): void {
    this.#drop(this.#next);
  }

  #drop(count: number): void {
    for (const { payload } of this.#frames.splice(0, count)) this.#bytes -= payload.byteLength;
    this.#next = Math.max(0, this.#next - count);
  }
}
