import { framesIn } from "./samples.js";
import { Streak } from "./streak.js";

/** Properties of the publisher that matter to a playhead. */
export interface PublisherTraits {
  /** Whether it marks intended pauses. */
  readonly marksPauses: boolean;
  /** How far ahead of the playhead it sends at most, in milliseconds; undefined where unknown. */
  readonly aheadMs?: number | undefined;
  /** Whether there is audio that the playhead may wait for. Default true. */
  readonly sendsAudio?: boolean;
}

/** A frame further ahead than this belongs to another timeline. */
export const REACH_FRAMES = framesIn(30_000);
/** A playhead that stalled for longer, or is further behind, jumps to the broadcast's position. */
const JUMP_FRAMES = { still: framesIn(1000), behind: framesIn(3000) };
/**
 * A rewind this soon after a stall this long, and to this far behind, came with its backlog. Of shorter stalls an
 * interrupt right after them cannot be distinguished, and the playhead is less far behind others.
 */
const STALL_REWIND = { least: framesIn(2000), within: framesIn(500), behind: framesIn(500) };
/** Groups in a row that land further ahead than the publisher sends, over this many frames: the playhead is behind. */
const AHEAD = { times: 3, span: framesIn(100) };
/** Audio begins as soon as it may: where it is further ahead than this, the playhead is behind others. */
const IDLE_FRAMES = framesIn(250);
/** Somewhat more than the longest packet. */
const PACKET_FRAMES = framesIn(130);

/** Recognises that a playhead is not where the broadcast is; all numbers are frames at 48 kHz. */
export class BroadcastLag {
  readonly #ahead = new Streak(AHEAD);
  #marksPauses = false;
  #isLost = false;
  #maximumLead = REACH_FRAMES - JUMP_FRAMES.behind;
  #isSentAhead = false;
  #heard = 0;
  /** Whether the playhead was set once, by audio that others may have heard. */
  #isNew = false;
  /** When the last stall ended that is long enough for a rewind in it. */
  #stallEnd = Number.NEGATIVE_INFINITY;

  setPublisher({ aheadMs, marksPauses }: PublisherTraits): void {
    this.#marksPauses = marksPauses;
    this.#isSentAhead = aheadMs !== undefined;
    this.#maximumLead = aheadMs === undefined ? REACH_FRAMES - JUMP_FRAMES.behind : framesIn(aheadMs);
  }

  /** Nothing was pulled for a while that ended `now`. Returns whether that was long enough to jump over. */
  stalled(frames: number, now: number): boolean {
    if (frames < JUMP_FRAMES.still) return false;
    if (frames >= STALL_REWIND.least) this.#stallEnd = now;
    return true;
  }

  /** Whether a rewind to `behind` the playhead came with the backlog of a stall, over which the playhead has jumped. */
  wasRewoundMeanwhile(behind: number, now: number): boolean {
    return now - this.#stallEnd < STALL_REWIND.within && behind > STALL_REWIND.behind;
  }

  /**
   * A group landed `lead` before its turn. Returns whether groups have landed further ahead than the publisher sends for
   * long enough. `live`: the publisher sends at the clock's pace, and the playhead aims at this delay.
   */
  landed(lead: number, now: number, live: number | undefined): boolean {
    if (lead > (live ?? this.#maximumLead) + JUMP_FRAMES.behind) return this.#ahead.note(now);
    this.#ahead.break();
    return false;
  }

  /**
   * Whether a playhead that is to wait for `delay` is behind others, with audio there this far beyond its first frame. A
   * relay's first group for a listener that joins in mid-speech is the one that others hear now, and what they have ahead
   * follows at once.
   */
  isJoining(ahead: number, delay: number): boolean {
    return this.#isNew && ahead >= 2 * delay;
  }

  /**
   * Whether an utterance may begin only this much later although its first frame is there. A listener that heard one
   * packet joined in a pause: its playhead was set by the end of an utterance that others had heard.
   */
  isBehind(early: number): boolean {
    return early > (this.#isNew && !this.hasBegun ? 0 : IDLE_FRAMES);
  }

  /** Whether more than one packet was heard since the playhead was set. */
  get hasBegun(): boolean {
    return this.#heard >= PACKET_FRAMES;
  }

  /**
   * Whether the playhead jumped and has heard no audio since, as in a page that was frozen and has to connect again. A wait
   * for audio that comes late then keeps nothing. Media time without marked pauses may stand still.
   */
  get isLost(): boolean {
    return this.#isLost && this.#marksPauses;
  }

  /** Audio was heard up to this far beyond where the playhead was set. */
  heard(frames: number): void {
    this.#isLost = false;
    this.#heard = frames;
  }

  /** The playhead was set by a frame, for the first time or again. `begins`: the frame begins a timeline. */
  anchored({ again, begins }: { readonly again: boolean; readonly begins: boolean }): void {
    this.#ahead.break();
    this.#isLost = false;
    this.#heard = 0;
    this.#isNew = this.#isSentAhead && !again && !begins;
  }

  /** The playhead jumped. */
  jumped(): void {
    this.#ahead.break();
    this.#isLost = true;
    this.#isNew = false;
  }
}
