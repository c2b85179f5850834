import { guard } from "../../base/index.js";
import type { NativeSendStream } from "./native.js";

/** Delay between a stream's end and the check; it adapts to how often the check comes too early. */
const DELAY_MS = { least: 100, most: 800, later: 2, sooner: 0.98 };
/** For streams that ended since the last one, so that none waits for the next stream. */
const LOOK_MS = 250;
/** Far above what sessions allow at once; beyond this the oldest is no longer followed. */
const MAX_FOLLOWED = 1024;

/** A stream that has ended and that the peer may not have completely yet. @internal */
export interface FinishedStream {
  /** Undefined once it was reset. */
  readonly finished: NativeSendStream | undefined;
  /** Its priority. */
  readonly priority: number;
  /** Called once none of it is in flight any more. */
  settle(): void;
}

interface Followed {
  readonly stream: FinishedStream;
  askAt: number;
}

/**
 * The finished streams of a session, oldest first, held until the peer has acknowledged all of them or stopped them.
 *
 * The binding does not report either, but it refuses to change the priority of a stream that QUIC has forgotten, which
 * it does with the last acknowledgement. So each stream is checked once, some time after its end, and the oldest one
 * again while it is still in flight. Those behind it wait, so that a long or full path costs hardly more calls.
 *
 * @internal
 */
export class FinishedStreams {
  #followed: Followed[] = [];
  #asked: Followed | undefined;
  #delayMs = DELAY_MS.least;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  // Created once: a relay checks thousands of streams a second.
  readonly #onRefused = (): void => {
    this.#delayMs = Math.max(DELAY_MS.least, this.#delayMs * DELAY_MS.sooner);
    this.#drop();
  };
  readonly #onAccepted = (): void => this.#askForStop();
  readonly #onStopped = (): void => {
    const native = this.#asked?.stream.finished;
    if (native) giveUp(native);
    this.#drop();
  };
  readonly #onUnderWay = (): void => {
    const asked = this.#asked;
    this.#asked = undefined;
    this.#delayMs = Math.min(DELAY_MS.most, this.#delayMs * DELAY_MS.later);
    if (asked) asked.askAt = performance.now() + this.#delayMs;
  };

  /** Follows a stream whose end the binding has taken. */
  add(stream: FinishedStream): void {
    if (this.#closed) return;
    const followed = this.#followed;
    followed.push({ stream, askAt: performance.now() + this.#delayMs });
    if (followed.length > MAX_FOLLOWED) {
      const oldest = followed.shift()!.stream.finished;
      if (oldest) giveUpIfStopped(oldest);
    }
    this.#ask();
    this.#look();
  }

  /** Drops all streams, and those that end later. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#followed = [];
  }

  #look(): void {
    if (this.#timer !== undefined) return;
    const look = guard("transport.finished", () => {
      this.#timer = undefined;
      this.#ask();
      if (this.#followed.length > 0) this.#look();
    });
    this.#timer = setTimeout(look, LOOK_MS);
    this.#timer.unref();
  }

  #ask(): void {
    if (this.#asked !== undefined) return;
    let oldest = this.#followed[0];
    while (oldest !== undefined && oldest.stream.finished === undefined) {
      this.#followed.shift();
      oldest = this.#followed[0];
    }
    const native = oldest?.stream.finished;
    if (oldest === undefined || native === undefined || oldest.askAt > performance.now()) return;
    this.#asked = oldest;
    native.setPriority(oldest.stream.priority).then(this.#onAccepted, this.#onRefused);
  }

  // For a stream that the peer stopped, the binding's finish resolves and sends nothing, even the second time.
  #askForStop(): void {
    const native = this.#asked?.stream.finished;
    if (native === undefined) this.#drop();
    else native.finish().then(this.#onStopped, this.#onUnderWay);
  }

  #drop(): void {
    const asked = this.#asked;
    this.#asked = undefined;
    if (asked === undefined) return;
    asked.stream.settle();
    if (this.#followed[0] === asked) this.#followed.shift();
    this.#ask();
  }
}

/** Ends a stream that the peer has stopped: until then QUIC counts it against the peer's limit. @internal */
export function giveUp(native: NativeSendStream): void {
  native.reset(0).catch(ignore);
}

function giveUpIfStopped(native: NativeSendStream): void {
  native.finish().then(() => giveUp(native), ignore);
}

function ignore(): void {}
