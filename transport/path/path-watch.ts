import { fromMilliseconds, type Microseconds } from "../../base/index.js";

/** Interval of {@link PathWatch.tick}. */
export const TICK_MS = 100;
/** A tick this late was delayed with the whole process, and data that arrived meanwhile is still unread. */
const STOPPED: Microseconds = fromMilliseconds(700);
/**
 * How long a path may be silent before the peer is asked for a sign of life: twice the longest silence of the last
 * seconds, so that a stream of audio is missed at once and a quiet path is not asked all the time. The upper bound
 * keeps listeners from asking our relays, which answer their reports once a second.
 */
const QUIET = { least: fromMilliseconds(400), most: fromMilliseconds(1250) };
const WINDOW: Microseconds = fromMilliseconds(2500);
/** How long an answer may take: four times the recent round trip, for a packet that was lost and retransmitted. */
const PATIENCE = { least: fromMilliseconds(800), first: fromMilliseconds(800), most: fromMilliseconds(3000) };

/** A request may have failed at this end, so a silent path is asked again. */
const ASK_AGAIN: Microseconds = fromMilliseconds(9000);

/** What to do about a path: nothing, ask the peer for a sign of life, or look for another path. */
export type PathState = "alive" | "ask" | "silent";

/**
 * Decides from the traffic on a path whether it is dead, long before the carrier does (QUIC takes 30 s, TCP minutes). A
 * silent path may come back: any traffic makes it alive again.
 */
export class PathWatch {
  #heardAt: Microseconds;
  #tickedAt: Microseconds;
  #askedAt: Microseconds | undefined;
  #windowAt: Microseconds;
  /** The longest silence of this window and of the one before. */
  #longest = 0;
  #longestBefore = 0;
  #answerTime: number | undefined;

  constructor(now: Microseconds) {
    this.#heardAt = now;
    this.#tickedAt = now;
    this.#windowAt = now;
  }

  /** Data arrived. */
  heard(now: Microseconds): void {
    this.#longest = Math.max(this.#longest, now - this.#heardAt);
    this.#heardAt = now;
  }

  /** The peer answered a request for a sign of life. */
  answered(now: Microseconds): void {
    if (this.#askedAt !== undefined) {
      const took = now - this.#askedAt;
      this.#answerTime = Math.max(took, (this.#answerTime ?? took) * 0.75);
      this.#askedAt = undefined;
    }
    this.heard(now);
  }

  /** What to do now; `ask` comes once for each request, and {@link answered} follows it. */
  tick(now: Microseconds): PathState {
    const late = now - this.#tickedAt >= STOPPED;
    this.#tickedAt = now;
    if (late) {
      // This process stalled, not the path.
      this.#heardAt = now;
      this.#askedAt = this.#askedAt === undefined ? undefined : now;
    }
    if (now - this.#windowAt >= WINDOW) {
      this.#windowAt = now;
      this.#longestBefore = this.#longest;
      this.#longest = 0;
    }
    if (now - this.#heardAt < this.#quiet) return "alive";
    const asked = this.#askedAt;
    if (asked === undefined || asked < this.#heardAt || now - asked >= ASK_AGAIN) {
      this.#askedAt = now;
      return "ask";
    }
    return now - asked >= this.#patience ? "silent" : "alive";
  }

  get #quiet(): number {
    const usual = 2 * Math.max(this.#longest, this.#longestBefore);
    return Math.min(Math.max(usual, QUIET.least), QUIET.most);
  }

  get #patience(): number {
    if (this.#answerTime === undefined) return PATIENCE.first;
    return Math.min(Math.max(4 * this.#answerTime, PATIENCE.least), PATIENCE.most);
  }
}
