import { framesIn } from "../audio/samples.js";

/** When a stretch of frames landed, each against its own timestamp; all numbers are frames at 48 kHz. */
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
/** What the delay is judged by: 2 s. */
const RECENT = 8;
/** What jitter is judged by: 10 s. */
const WHOLE = 40;

/**
 * How late frames of a live broadcast landed against their timestamps, over the last ten seconds. A live publisher
 * sends at the pace of the clock, so what differs is the path's delay.
 */
export class ArrivalStats {
  #buckets: Bucket[] = [];
  #since: number | undefined;
  /** What {@link recent} returned last, until the next frame or bucket: it is asked for far more often. */
  #told: { readonly index: number; readonly recent: Recent | undefined } | undefined;

  /** Notes a frame that landed at clock position `at`, so much after its timestamp. `missed`: its turn had passed. */
  note(at: number, late: number, missed = false): void {
    const index = Math.floor(at / BUCKET_FRAMES);
    this.#since ??= index;
    this.#told = undefined;
    const bucket = this.#buckets.at(-1);
    if (bucket?.index !== index) this.#buckets.push({ index, earliest: late, latest: late, missed: missed ? 1 : 0 });
    else {
      if (missed) bucket.missed++;
      bucket.earliest = Math.min(bucket.earliest, late);
      bucket.latest = Math.max(bucket.latest, late);
    }
    while (this.#buckets[0] && this.#buckets[0].index <= index - WHOLE) this.#buckets.shift();
  }

  /** How late the frames usually land and the latest of them did, in the last 2 s; undefined without evidence of that long. */
  recent(at: number): Recent | undefined {
    const index = Math.floor(at / BUCKET_FRAMES);
    if (this.#told?.index !== index) this.#told = { index, recent: this.#summarize(index) };
    return this.#told.recent;
  }

  /** How late the latest landed that landed no later than `limit`; undefined when nothing did. */
  latest(limit = Number.POSITIVE_INFINITY): number | undefined {
    const latest = this.#buckets.filter((bucket) => bucket.latest <= limit).map((bucket) => bucket.latest);
    return latest.length === 0 ? undefined : Math.max(...latest);
  }

  /** How many landed after their turn in the last ten seconds. */
  get missed(): number {
    return this.#buckets.reduce((total, { missed }) => total + missed, 0);
  }

  /** Whether there is evidence of ten seconds. */
  whole(at: number): boolean {
    return this.#since !== undefined && this.#since <= Math.floor(at / BUCKET_FRAMES) - WHOLE;
  }

  /** Forgets everything. */
  clear(): void {
    this.#buckets = [];
    this.#since = undefined;
    this.#told = undefined;
  }

  #summarize(index: number): Recent | undefined {
    if (this.#since === undefined || this.#since > index - RECENT) return undefined;
    const recent = this.#buckets.filter((bucket) => bucket.index > index - RECENT);
    if (recent.length < RECENT / 2) return undefined;
    // The median, because a process that stood still sees its clock late and so what lands early.
    const earliest = recent.map((bucket) => bucket.earliest).sort((left, right) => left - right);
    return {
      usual: earliest[Math.floor(earliest.length / 2)]!,
      latest: Math.max(...recent.map((bucket) => bucket.latest)),
    };
  }
}
