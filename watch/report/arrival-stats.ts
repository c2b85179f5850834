import { framesIn } from "../audio/samples.js";

/** Landing times in one interval, each relative to the frame's timestamp; all numbers are frames at 48 kHz. */
interface Bucket {
  readonly index: number;
  earliest: number;
  latest: number;
  missed: number;
}

interface Recent {
  readonly usual: number;
  readonly latest: number;
}

const BUCKET_FRAMES = framesIn(250);
/** Buckets that determine the delay: 2 s. */
const RECENT = 8;
/** Buckets that determine the jitter: 10 s. */
const WHOLE = 40;
/** With the margin of a packet, a live listener's delay leaves 250 ms for copies. */
const COPIED = framesIn(230);

/**
 * How late frames of a live broadcast landed relative to their timestamps, over the last ten seconds. A live publisher
 * sends at the pace of the clock, so the difference is the path's delay.
 */
export class ArrivalStats {
  #buckets: Bucket[] = [];
  #since: number | undefined;
  /** Last result of {@link recent}, valid until the next frame or bucket: callers ask for it far more often. */
  #last: { readonly index: number; readonly recent: Recent | undefined } | undefined;

  /**
   * Records a frame that landed at clock position `at`, this long after its timestamp. `missed`: it was past its time.
   * `copy`: it had landed before. Where the relay sends copies of everything, they show before a loss how late the copy
   * of a lost frame will be.
   */
  note(at: number, lateness: number, { missed = false, copy = false } = {}): void {
    const usual = copy ? this.recent(at)?.usual : Number.POSITIVE_INFINITY;
    if (usual === undefined) return;
    this.#note(at, Math.min(lateness, usual + COPIED), missed && !copy);
  }

  #note(at: number, late: number, missed: boolean): void {
    const index = Math.floor(at / BUCKET_FRAMES);
    this.#since ??= index;
    this.#last = undefined;
    const bucket = this.#buckets.at(-1);
    if (bucket?.index !== index) this.#buckets.push({ index, earliest: late, latest: late, missed: missed ? 1 : 0 });
    else {
      if (missed) bucket.missed++;
      bucket.earliest = Math.min(bucket.earliest, late);
      bucket.latest = Math.max(bucket.latest, late);
    }
    while (this.#buckets[0] && this.#buckets[0].index <= index - WHOLE) this.#buckets.shift();
  }

  /** How late frames usually land and how late the latest did, in the last 2 s; undefined with less evidence. */
  recent(at: number): Recent | undefined {
    const index = Math.floor(at / BUCKET_FRAMES);
    if (this.#last?.index !== index) this.#last = { index, recent: this.#summarize(index) };
    return this.#last.recent;
  }

  /** Lateness of the latest frame within `limit`; undefined without any. */
  latest(limit = Number.POSITIVE_INFINITY): number | undefined {
    const latest = this.#buckets.filter((bucket) => bucket.latest <= limit).map((bucket) => bucket.latest);
    return latest.length === 0 ? undefined : Math.max(...latest);
  }

  /** Frames past their time in the last ten seconds. */
  get missed(): number {
    return this.#buckets.reduce((total, { missed }) => total + missed, 0);
  }

  /** Whether there are ten seconds of evidence. */
  whole(at: number): boolean {
    return this.#since !== undefined && this.#since <= Math.floor(at / BUCKET_FRAMES) - WHOLE;
  }

  clear(): void {
    this.#buckets = [];
    this.#since = undefined;
    this.#last = undefined;
  }

  #summarize(index: number): Recent | undefined {
    if (this.#since === undefined || this.#since > index - RECENT) return undefined;
    const recent = this.#buckets.filter((bucket) => bucket.index > index - RECENT);
    if (recent.length < RECENT / 2) return undefined;
    // The median, because a process that stalled reads its clock late and so sees early arrivals.
    const earliest = recent.map((bucket) => bucket.earliest).sort((left, right) => left - right);
    return {
      usual: earliest[Math.floor(earliest.length / 2)]!,
      latest: Math.max(...recent.map((bucket) => bucket.latest)),
    };
  }
}
