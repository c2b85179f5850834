import { fromMilliseconds, type Microseconds, microseconds } from "../../base/index.js";
import { toPosition } from "../tracks/position.js";
import type { Listeners } from "./listeners.js";

/** Options of {@link Deadlines}. */
export interface DeadlinesOptions {
  readonly mode: "live" | "ahead";
  /** Requested lead over the playhead; undefined for as little as the link needs. */
  readonly aheadMs: number | undefined;
  readonly frameMs: number;
  /** Clock time of media time 0. */
  readonly start: Microseconds;
  readonly listeners: Listeners;
}

/** A live source later than this has stalled: leave a hole rather than run late for good. */
const LIVE_SLACK = fromMilliseconds(200);
/** Without reports, audio up to this late may still be heard: transit and jitter buffer. */
const UNHEARD = fromMilliseconds(1000);

/** Positions on the broadcast's timeline now: the playhead, where a change can apply, how far to send. */
export class Deadlines {
  readonly #options: DeadlinesOptions;
  /** How far the listeners' playhead lagged behind the wall clock in their last report. */
  #behind = 0;

  constructor(options: DeadlinesOptions) {
    this.#options = options;
  }

  /** Time since the start of the broadcast. */
  wall(now: Microseconds): Microseconds {
    return microseconds(now - this.#options.start);
  }

  /**
   * The latest playhead of the reporting listeners, even while it waits for audio: after many rewinds the clock may be
   * far from it. Undefined without reports.
   */
  playhead(now: Microseconds): Microseconds | undefined {
    const { listeners } = this.#options;
    const playhead = listeners.latest(now);
    if (playhead !== undefined && listeners.isCurrent(now)) this.#behind = this.wall(now) - playhead;
    return playhead;
  }

  /** The playhead, or its projection once reports have stopped: sending continues from there. */
  presumed(now: Microseconds): Microseconds {
    return this.playhead(now) ?? microseconds(this.wall(now) - this.#behind);
  }

  /** No listener hears anything before this any more. */
  passed(now: Microseconds): Microseconds {
    return this.#options.listeners.earliest(now) ?? this.unheard(now);
  }

  /** The same without reports. */
  unheard(now: Microseconds): Microseconds {
    return microseconds(this.presumed(now) - UNHEARD);
  }

  /** Older audio would only put the playhead of a late joiner behind for good. */
  fresh(now: Microseconds): Microseconds {
    return microseconds(this.wall(now) - 2 * this.#options.frameMs * 1000);
  }

  /** Rendered audio that ends before this is late. */
  late(now: Microseconds): Microseconds {
    if (this.#options.mode === "live") return microseconds(this.wall(now) - LIVE_SLACK);
    return this.playhead(now) ?? this.unheard(now);
  }

  /** The earliest position, in samples, at which listeners can hear new audio in full. */
  next(now: Microseconds): number {
    const { mode, listeners } = this.#options;
    if (mode === "live") return toPosition(this.wall(now));
    const playhead = this.playhead(now);
    if (playhead === undefined) return toPosition(this.presumed(now));
    // A listener that starts over or is stalled waits for the first frame, however late it is.
    const waiting = listeners.isStartingOver(now) || !listeners.playing;
    const margin = waiting ? 0 : (listeners.transit.ahead ?? listeners.lead.close(now));
    return toPosition(playhead + margin);
  }

  /**
   * Audio sent ahead that waited until it is before this position, in samples, has to move. Without reports, audio up to a
   * second late may still be heard, so it stays: some players stand still at a hole.
   */
  missed(now: Microseconds): number {
    return this.playhead(now) === undefined ? toPosition(this.unheard(now)) : this.next(now);
  }

  /** The earliest position, in samples, at which audio that was sent can change without being heard twice. */
  soonest(now: Microseconds): number {
    const furthest = this.#options.listeners.furthest(now);
    return Math.max(this.next(now), furthest === undefined ? 0 : toPosition(furthest));
  }

  /** Media time that has to be encoded by now. */
  target(now: Microseconds): Microseconds {
    const { mode, aheadMs, frameMs, listeners } = this.#options;
    const wall = this.wall(now);
    if (mode === "live") return microseconds(wall + frameMs * 1000);
    const playhead = this.presumed(now);
    if (aheadMs !== undefined) return microseconds(playhead + aheadMs * 1000);
    return listeners.lead.frontier(playhead, now);
  }

  /** How long rendering, done up to `end`, may pause before a listener hears it. */
  slack(end: Microseconds, now: Microseconds): Microseconds {
    const ahead = this.#options.mode === "ahead" ? end - this.presumed(now) : 0;
    return microseconds(Math.max(LIVE_SLACK, ahead));
  }
}
