import { microseconds } from "../../base/index.js";
import { Publisher } from "../../publisher/index.js";
import type { Link } from "../../tests/support/impairment.js";
import type { ListenerStats } from "../../watch/index.js";
import { sharedClock } from "../support/clock.js";
import type { Remote } from "../support/remote.js";
import type { FarEndCalls, Outcome } from "./far-end.js";
import type { RelayCalls, RelayDoor } from "./relays.js";
import { monologue } from "./speech.js";
import { type StallWatch, stalledMs } from "./stalls.js";

/** How far ahead of the listener's playhead the publisher sends, in milliseconds. */
export const AHEAD_MS = 8000;
const FRAME_US = 20_000;
/** More than the interval between two reports, so that an interrupt may fall anywhere between them. */
const DITHER_MS = 200;
/** How long after the reply has begun stale sound is still looked for. */
const WATCH_MS = 150;
/** How long the publisher may take to send that far ahead, and a listener to hear the reply. */
const LIMIT_MS = 60_000;
const POLL_MS = 40;
/** Without a rewind there is no hurry: the record has the time. */
const SLOW_POLL_MS = 500;

/** Effect of an interrupt on the audio sent ahead. */
export type Interrupting = "rewind" | "track" | "nothing";

/** Result of one interrupt at one listener. */
export interface Interrupt {
  /** From the call to the last sample of the old speech that the speaker pulled, in milliseconds. */
  readonly silenceMs: number;
  /** From the call to the first sample of the new speech. */
  readonly replyMs: number;
  /** How much of the time to silence, less that of the link, an event loop on the way stood still, in milliseconds. */
  readonly stalledMs: number;
  /** Delay that the listener aimed at between arrival and sound. */
  readonly jitterMs: number;
  /** Old speech pulled after the listener had flushed it, in milliseconds. */
  readonly staleMs: number;
  /** How far `heardUntil` is off what the speaker played; undefined where the publisher takes nothing back. */
  readonly heardErrorMs: number | undefined;
  /** Whether `heardUntil` lies beyond what the listener had received. */
  readonly beyondReceived: boolean;
  /** Whether the listener itself reported it in time. */
  readonly measured: boolean;
  /** Payload of taken-back media that came through the link after the call. */
  readonly staleBytes: number;
}

/** The three processes: this one publishes, the relays and the listeners have one each. */
export interface Stage {
  readonly farEnd: Remote<FarEndCalls>;
  readonly relays: Remote<RelayCalls>;
  readonly stalls: StallWatch;
}

/** Options of {@link Lane}. */
export interface LaneOptions {
  readonly stage: Stage;
  /** Different for every lane of a stage. */
  readonly lane: number;
  readonly relay: RelayDoor;
  readonly interrupting: Interrupting;
  /** Between relay and listener, each way. */
  readonly link: Link;
  readonly seed: number;
  readonly random: () => number;
  readonly speech: Float32Array;
}

/** One publisher and one listener of a broadcast, with an impaired link between the relay and the listener. */
export class Lane {
  readonly #options: LaneOptions;
  readonly #publisher: Publisher;

  private constructor(options: LaneOptions) {
    const { lane, relay, interrupting } = options;
    this.#options = options;
    this.#publisher = new Publisher({
      url: `https://127.0.0.1:${relay.port}`,
      broadcast: `lane-${lane}`,
      aheadMs: AHEAD_MS,
      // Every interrupt has 8 s encoded again; their quality does not matter here.
      opus: { complexity: 0 },
      rewindBy: interrupting === "track" ? "track" : "group",
      connect: { certificateHashes: [Buffer.from(relay.certificateHash, "hex")], backends: ["quic"] },
    });
  }

  /** Opens a lane; its publisher starts to speak at once. */
  static async open(options: LaneOptions): Promise<Lane> {
    const { stage, lane, relay, link, seed, speech } = options;
    await stage.farEnd.open({ id: lane, ...relay, broadcast: `lane-${lane}`, link, seed });
    const opened = new Lane(options);
    opened.#publisher.say(await monologue(speech));
    return opened;
  }

  /** Waits until 8 s are sent ahead and heard, and a random while more. Rejects when that takes too long. */
  async ready(): Promise<void> {
    const { lane, stage, random } = this.#options;
    await this.#until("8 s are sent ahead", () => {
      const { leadMs, listeners } = this.#publisher.stats();
      return leadMs >= AHEAD_MS - 100 && listeners === 1 ? true : undefined;
    });
    await this.#until("it is heard", async () => (await stage.farEnd.stats(lane)).playing || undefined);
    await sleep(random() * DITHER_MS);
  }

  /**
   * Interrupts, speaks again and returns what was heard. Undefined when the listener was silent at the call anyway, for
   * lack of sound or of time to play it. Where nothing is taken back, calls may overlap.
   */
  interrupt(): Promise<Interrupt | undefined> {
    return this.#options.interrupting === "nothing" ? this.#playOut() : this.#takeBack();
  }

  /** Ends both sides. */
  async close(): Promise<void> {
    const { lane, stage } = this.#options;
    await stage.farEnd.close(lane);
    await this.#publisher.close();
  }

  async #takeBack(): Promise<Interrupt | undefined> {
    const { lane, stage, interrupting, speech } = this.#options;
    const source = await monologue(speech);
    await stage.farEnd.arm(lane);
    const calledAt = sharedClock();
    const interruption = this.#publisher.interrupt();
    this.#publisher.say(source);
    const epoch = interrupting === "track" ? undefined : this.#publisher.stats().epoch;
    const { to, perListener } = await interruption;
    const asked = { calledAt, epoch, reply: microseconds(to + FRAME_US) };
    await this.#until("the new speech is heard", () => stage.farEnd.outcome(lane, asked));
    await sleep(WATCH_MS);
    const outcome = (await stage.farEnd.outcome(lane, asked))!;
    const { before, after, heard } = outcome;
    if (heard.silentAt === undefined) return undefined;
    const reported = perListener[0];
    const receivedUntil = Math.max((before.playheadUs ?? 0) + before.bufferMs * 1000, heard.heardUntil);
    return {
      silenceMs: (heard.silentAt - calledAt) / 1000,
      replyMs: (heard.replyAt! - calledAt) / 1000,
      stalledMs: await this.#stalled(calledAt, heard.silentAt),
      jitterMs: before.jitterTargetMs,
      staleMs: Math.max(heard.staleMs, after.staleMs - before.staleMs),
      heardErrorMs: reported && Math.abs(reported.heardUntil - heard.heardUntil) / 1000,
      beyondReceived: reported !== undefined && reported.heardUntil > receivedUntil + 1,
      measured: reported?.measured ?? false,
      staleBytes: staleBytes(outcome),
    };
  }

  // Today's stacks: the speaker falls silent, but the audio sent ahead plays out, and the reply behind it. To
  // what was sent before a moment it makes no difference whether more follows, so the speech goes on for the next call.
  async #playOut(): Promise<Interrupt> {
    const { lane, stage } = this.#options;
    const before = await stage.farEnd.stats(lane);
    const calledAt = sharedClock();
    const end = microseconds(this.#publisher.stats().frontierUs);
    const reached = await this.#until("the old speech has ended", () => stage.farEnd.reached(lane, end), SLOW_POLL_MS);
    const after = await stage.farEnd.stats(lane);
    const receivedUntil = (before.playheadUs ?? 0) + before.bufferMs * 1000;
    const elapsedMs = (reached - calledAt) / 1000;
    return {
      silenceMs: elapsedMs,
      replyMs: elapsedMs,
      stalledMs: 0,
      jitterMs: before.jitterTargetMs,
      staleMs: 0,
      heardErrorMs: undefined,
      beyondReceived: false,
      measured: false,
      staleBytes: (Math.max(0, end - receivedUntil) / FRAME_US) * bytesPerFrame(after),
    };
  }

  // While a packet is on the link there is nothing to do: the time before and the time behind count.
  async #stalled(calledAt: number, silentAt: number): Promise<number> {
    const { stage, link } = this.#options;
    const { stalls, relays, farEnd } = stage;
    const linkUs = (link.delayMs ?? 0) * 1000;
    const [there, far] = await Promise.all([relays.stalls(calledAt, silentAt), farEnd.stalls(calledAt, silentAt)]);
    const all = [...stalls.between(calledAt, silentAt), ...there, ...far];
    const before = stalledMs(all, calledAt, silentAt - linkUs);
    const behind = linkUs === 0 ? 0 : stalledMs(far, calledAt + linkUs, silentAt);
    return Math.min(before + behind, Math.max(0, silentAt - calledAt - linkUs) / 1000);
  }

  async #until<T>(what: string, ask: () => T | undefined | Promise<T | undefined>, pollMs = POLL_MS): Promise<T> {
    const { lane, stage } = this.#options;
    const end = performance.now() + LIMIT_MS;
    for (;;) {
      const value = await ask();
      if (value !== undefined) return value;
      if (performance.now() > end) {
        const state = { publisher: this.#publisher.stats(), listener: await stage.farEnd.stats(lane) };
        throw new Error(`Still waiting after ${LIMIT_MS / 1000} s until ${what}: ${JSON.stringify(state)}`);
      }
      await sleep(pollMs);
    }
  }
}

// Bytes between the call and the flush are old, and after it those that were dropped on arrival.
function staleBytes({ before, flush, after }: Outcome): number {
  const dropped = (stats: ListenerStats) => stats.dropped.stale + stats.dropped.late;
  const afterFlush = dropped(after) - dropped(flush.stats);
  return flush.stats.receivedBytes - before.receivedBytes + afterFlush * bytesPerFrame(after);
}

function bytesPerFrame({ receivedBytes, receivedFrames }: ListenerStats): number {
  return receivedBytes / Math.max(1, receivedFrames);
}

/** Resolves so much later. */
export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
