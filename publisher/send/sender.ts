import { type Clock, fromMilliseconds, type Logger, type Microseconds, microseconds } from "../../base/index.js";
import { encodeLegacyFrame } from "../../container/index.js";
import type { Renderer } from "../speech/renderer.js";
import type { AudioTrack, TrackRewind } from "../tracks/audio-track.js";
import { toPosition, toTime } from "../tracks/position.js";
import type { VoiceTrack } from "../tracks/voice-track.js";
import type { Wake } from "../wake.js";
import type { Deadlines } from "./deadlines.js";
import type { Listeners } from "./listeners.js";
import type { EncodedFrame, OutgoingFrame, SendQueue } from "./send-queue.js";
import type { Uplink } from "./uplink.js";

/** Options of {@link Sender}. */
export interface SenderOptions {
  readonly mode: "live" | "ahead";
  readonly frameMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly wake: Wake;
  readonly audioTrack: AudioTrack;
  readonly voice: VoiceTrack;
  readonly renderer: Renderer;
  readonly sendQueue: SendQueue;
  readonly uplink: Pick<Uplink, "wanted" | "lowWanted" | "startTrack" | "rewind" | "send">;
  readonly listeners: Listeners;
  readonly deadlines: Deadlines;
}

/** Groups sent in a row before other work runs. */
const SEND_BATCH = 4;
/** Frames encoded and not yet sent: a rewind wastes their encoding. */
const MAX_ENCODED = 32;
/** Write times kept. */
const MAX_WRITE_TIMES = 1024;

/** Encodes the audio that is due and sends it; passes every rewind to the parts that hold stale audio. */
export class Sender {
  readonly #options: SenderOptions;
  /** The window was full when the next frame was due. */
  #isBlocked = false;
  #isBehind = false;
  readonly #writeTimes: Microseconds[] = [];

  constructor(options: SenderOptions) {
    this.#options = options;
  }

  /** Whether more was due than one call sends. */
  get isBehind(): boolean {
    return this.#isBehind;
  }

  /** Clock times of the last 1024 group writes. */
  get writeTimes(): readonly Microseconds[] {
    return this.#writeTimes;
  }

  /** Applies rewinds, then encodes and sends what is due: the first group leaves before the last is encoded. */
  pump(): void {
    const { audioTrack, sendQueue, uplink, deadlines, mode, clock } = this.#options;
    this.#rewind();
    const now = clock();
    const passed = deadlines.passed(now);
    const { cursor } = audioTrack;
    let written = 0;
    this.#isBehind = false;
    for (let sent = 0; ; sent++) {
      written += this.#encode(now);
      if (!uplink.wanted) {
        sendQueue.expire(mode === "live" ? deadlines.fresh(now) : passed);
        break;
      }
      this.#isBehind = sent === SEND_BATCH;
      if (this.#isBehind) break;
      const frame = sendQueue.take(now, passed);
      if (frame === undefined) break;
      this.#send(frame, now);
    }
    this.#account(written, cursor, now);
  }

  /** Makes everything from `position` on stale and sends one frame of silence there. */
  silence(position: number): void {
    const { audioTrack, uplink, clock } = this.#options;
    const frame = audioTrack.silence(position, { low: uplink.lowWanted });
    this.#rewind();
    if (frame !== undefined) this.#queue(frame, clock());
    this.pump();
  }

  /** Sends nothing from before `position` any more: no listener may get it late. */
  leaveOut(position: number): void {
    const { audioTrack, sendQueue } = this.#options;
    audioTrack.skip(position);
    sendQueue.keepFrom(audioTrack.lastSequence + 1);
  }

  #rewind(): void {
    for (const rewind of this.#options.audioTrack.takeRewinds()) this.#apply(rewind);
  }

  #apply({ to, lastSequence, track }: TrackRewind): void {
    const { sendQueue, uplink, listeners, voice, wake, logger, clock } = this.#options;
    sendQueue.rewind(to);
    uplink.rewind(to);
    listeners.rewound(clock());
    listeners.lead.rewind(to, track === undefined ? lastSequence : undefined);
    voice.rewind(to);
    if (track !== undefined) {
      sendQueue.forget();
      uplink.startTrack(track);
    }
    wake.ring();
    logger.debug({ to }, "Rewound.");
  }

  #encode(now: Microseconds): number {
    const { audioTrack, renderer, sendQueue, uplink, deadlines } = this.#options;
    const target = toPosition(deadlines.target(now));
    // A frame encoded before it can be sent has to be encoded again after a change.
    const room = uplink.wanted ? 1 : MAX_ENCODED;
    let written = 0;
    while (sendQueue.size < room && !this.#waitsForWindow(now)) {
      const frame = audioTrack.encode(target, { ended: renderer.ended, low: uplink.lowWanted });
      if (frame === undefined) break;
      this.#queue(frame, now);
      written++;
    }
    return written;
  }

  #queue(frame: EncodedFrame, now: Microseconds): void {
    const { sendQueue, listeners, deadlines } = this.#options;
    const playhead = deadlines.playhead(now);
    sendQueue.push({ ...frame, producedAt: now });
    if (!frame.opensGroup || playhead === undefined) return;
    if (!listeners.playing || listeners.isStartingOver(now)) return;
    listeners.transit.wrote(frame.sequence, microseconds(frame.timestamp - playhead));
  }

  #send(frame: OutgoingFrame, now: Microseconds): void {
    const { listeners, deadlines, uplink } = this.#options;
    listeners.sent(frame.timestamp, { isRewind: frame.opensEpoch, now });
    if (frame.opensGroup && deadlines.playhead(now) === undefined)
      listeners.transit.wroteBefore(frame.sequence, frame.timestamp, now);
    uplink.send({
      sequence: frame.sequence,
      timestamp: frame.timestamp,
      body: encodeLegacyFrame(frame),
      low: frame.low && encodeLegacyFrame({ ...frame, payload: frame.low }),
      twice: frame.opensEpoch,
      opensGroup: frame.opensGroup,
      endsGroup: frame.endsGroup,
    });
  }

  #account(written: number, cursor: number, now: Microseconds): void {
    const { audioTrack, renderer, uplink, listeners, deadlines, frameMs } = this.#options;
    if (written === 0) {
      if (!uplink.wanted || renderer.idle) listeners.lead.rest();
      return;
    }
    this.#writeTimes.push(now);
    if (this.#writeTimes.length > MAX_WRITE_TIMES) this.#writeTimes.shift();
    const behind = microseconds(deadlines.target(now) - toTime(cursor));
    listeners.lead.wrote(now, fromMilliseconds(written * frameMs), audioTrack.lastSequence, behind);
  }

  // While the window is full the next frame waits, unless it signals a rewind.
  #waitsForWindow(now: Microseconds): boolean {
    const { audioTrack, sendQueue } = this.#options;
    const isFull = !audioTrack.opening && sendQueue.isFull(now);
    const wasBlocked = this.#isBlocked;
    this.#isBlocked = isFull;
    if (wasBlocked && !isFull) this.#reopened(now);
    return isFull;
  }

  // Audio that is too late to be heard in full is dropped from a live broadcast, and delayed in one that is sent ahead.
  #reopened(now: Microseconds): void {
    const { mode, audioTrack, renderer, sendQueue, deadlines, logger } = this.#options;
    if (!audioTrack.opening) {
      const soonest = deadlines.next(now);
      if (mode === "live") sendQueue.skipped(audioTrack.skip(soonest));
      else if (audioTrack.unsent < deadlines.missed(now)) renderer.delay(soonest);
    }
    const skips = sendQueue.takeLog(now);
    if (skips !== undefined) logger.info({ skips }, "Groups were not sent.");
  }
}
