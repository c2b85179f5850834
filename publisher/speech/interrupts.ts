import { type Clock, fromMilliseconds, InputError, type Microseconds, microseconds } from "../../base/index.js";
import { MAX_LAG } from "../../flow/report/index.js";
import type { Deadlines } from "../send/deadlines.js";
import type { HeardListener, Listeners } from "../send/listeners.js";
import type { Sender } from "../send/sender.js";
import type { AudioTrack } from "../tracks/audio-track.js";
import { toPosition, toTime } from "../tracks/position.js";
import type { VideoTrack } from "../tracks/video-track.js";
import type { Wake } from "../wake.js";
import type { Playback } from "./playback.js";
import type { QueuedSpeech, TakenBack } from "./queued-speech.js";
import type { Renderer } from "./renderer.js";
import type { Speech, SpeechControl, SpeechPhase, SpeechPiece } from "./speech.js";
import type { HeardReport } from "./speech-state.js";

/** What listeners heard of a speech that an interrupt of the whole publisher cut off. */
export interface InterruptedSpeech {
  readonly speech: Speech;
  readonly heardMs: number;
  readonly heardText: string;
}

/** Result of `interrupt`. */
export interface Interruption {
  /** The speeches that played or waited, in order. */
  readonly speeches: readonly InterruptedSpeech[];
  /**
   * Media time up to which every reporting listener heard the stale audio: the earliest of `perListener`. Without
   * reports it is the clock's estimate, or the start of a speech that has just begun. 0 when nothing had been sent.
   */
  readonly heardUntil: Microseconds;
  /** The listeners that report, at most 24 of them. */
  readonly perListener: readonly HeardListener[];
  /** Media time of the cut. */
  readonly to: Microseconds;
  /** Whether the interrupt made sent audio stale. */
  readonly rewound: boolean;
}

type Heard = Omit<Interruption, "speeches">;

interface Cut {
  readonly to: Microseconds;
  readonly rewound: boolean;
  /** Whether listeners will report it: only those of audio do. */
  readonly heard: boolean;
  /** No listener can have heard anything beyond: that audio was not sent, or could not arrive in time. */
  readonly reach: Microseconds;
}

/** Options of {@link Interrupts}. */
export interface InterruptsOptions {
  readonly clock: Clock;
  readonly hasAudio: boolean;
  readonly renderer: Renderer;
  readonly audioTrack: AudioTrack;
  readonly video: VideoTrack | undefined;
  readonly listeners: Listeners;
  readonly deadlines: Deadlines;
  readonly playback: Playback;
  readonly sender: Sender;
  readonly wake: Wake;
  /**
   * Maximum wait for the listeners' reports of a rewind on a short path, in milliseconds of {@link Interrupts.turn}: up to
   * three times as long by the clock where turns are slow. A longer path adds its `allowance`. Default 1000.
   */
  readonly heardLimitMs?: number | undefined;
}

/**
 * How long an interrupt waits for reports, in milliseconds of {@link Interrupts.turn}. A listener plays at most that much
 * more before it applies a rewind. This limit and the next ones are those of a short path: a longer one adds its
 * `allowance`.
 */
const HEARD_LIMIT_MS = 1000;
/** Without a report this long after a speech should have ended, the clock decides. */
const UNREPORTED_MS = 500;
/** For this long after its last report a listener counts as playing on. */
const CERTAIN = fromMilliseconds(200);
/**
 * A turn may take this long. A later one may come from a slow machine, or find a process that stood still, with reports
 * that it has not read: a third of it counts, so that no limit takes more than three times as long, up to
 * {@link STANDSTILL}, less than any limit.
 */
const SLOW = fromMilliseconds(50);
const SLOW_SHARE = 1 / 3;
const STANDSTILL = fromMilliseconds(250);
const SAMPLES_PER_MS = 48;
/** Audio that starts later than this behind a playhead is not audible before a rewind arrives. */
const REACHED = fromMilliseconds(300);

/** Interrupts all speeches or one of several, for good or to be resumed, and finds out how far listeners heard each. */
export class Interrupts implements SpeechControl {
  readonly #options: InterruptsOptions;
  readonly #heardLimitMs: number;
  /** Count of frames at the end of the last interrupt of all. */
  #quietSince = -1;
  #last: Promise<Interruption> | undefined;
  /** The last cut, and the count of frames sent once its silence followed. */
  #silence: { readonly position: number; readonly frames: number; readonly heard: Promise<Heard> } | undefined;
  /** Whether the relay wants audio, so that a listener may hear it. */
  #wanted = false;
  /** Result of the interrupt that can be resumed. */
  #resumable: Promise<Interruption> | undefined;
  #turnedAt: Microseconds;

  constructor(options: InterruptsOptions) {
    this.#options = options;
    this.#heardLimitMs = options.heardLimitMs ?? HEARD_LIMIT_MS;
    this.#turnedAt = options.clock();
  }

  /**
   * A turn of the publisher: time passes for what waits for reports. Of a process that stood still, at most 250 ms count.
   * On a slow machine, with turns of up to 750 ms, a third of the time or more does: each limit takes at most three times
   * as long by the clock.
   */
  turn(): void {
    const { clock, listeners, playback } = this.#options;
    const now = clock();
    const since = now - this.#turnedAt;
    const passed = microseconds(Math.min(since, Math.max(SLOW, Math.min(since * SLOW_SHARE, STANDSTILL))));
    this.#turnedAt = now;
    for (const reports of [listeners, playback]) reports.pass(passed);
  }

  /**
   * Advances the progress of each speech, and ends speeches that were heard: by the reports of listeners, and where there
   * are none by the clock. `wanted`: the relay wants audio, so a listener may be about to report.
   */
  follow(wanted: boolean): void {
    const { clock, deadlines, playback, renderer } = this.#options;
    const now = clock();
    this.#wanted = wanted;
    const estimate = wanted ? deadlines.unheard(now) : deadlines.presumed(now);
    const reported = playback.playheads(now);
    const { speeches } = renderer;
    const estimated = {
      earliest: estimate,
      passed: estimate,
      measured: false,
      listeners: [],
      counted: [],
      isOverdue: false,
      isComplete: true,
    };
    speeches.observe(reported ?? estimated);
    // While listeners report, only reports count: a playhead may be waiting, or its audio be late.
    const passed = deadlines.passed(now);
    speeches.settle(reported ?? { earliest: passed, passed });
  }

  /** A new speech begins: the next interrupt is another one. */
  began(): void {
    this.#last = undefined;
  }

  /** Interrupts every speech that plays or waits. Until a new speech begins, it returns the same result. */
  interruptAll(): Promise<Interruption> {
    const { audioTrack, renderer, video, clock } = this.#options;
    const isQuiet = this.#quietSince === audioTrack.counters.frames && renderer.idle;
    if (isQuiet && video?.running !== true && this.#last !== undefined) return this.#last;
    if (this.#resumable !== undefined && renderer.speeches.isResuming) {
      renderer.speeches.interruptAll(clock(), { more: false });
      this.#last = this.#resumable;
      return this.#last;
    }
    const { found } = this.#interruptFrom(this.#earliest(clock()));
    this.#quietSince = audioTrack.counters.frames;
    this.#last = found;
    return found;
  }

  /** @throws InputError `INVALID_TIMESTAMP` when `to` is not a whole number from 0 on. */
  rewind(to: Microseconds): { readonly to: Microseconds; readonly rewound: boolean } {
    if (!Number.isSafeInteger(to) || to < 0) {
      throw new InputError("INVALID_TIMESTAMP", `to must be a whole number of microseconds from 0 on, not ${to}.`);
    }
    const { cut } = this.#interruptFrom(to);
    return { to: cut.to, rewound: cut.rewound };
  }

  /** Says the interrupted speeches after all; undefined when there is nothing to resume. */
  resumeAll(): readonly Speech[] | undefined {
    const { renderer, deadlines, clock, video, wake } = this.#options;
    const speeches = renderer.speeches.resume(clock());
    if (speeches === undefined) return undefined;
    this.#last = undefined;
    if (speeches.length === 0) video?.start(toTime(deadlines.next(clock())));
    wake.ring();
    return speeches;
  }

  phase(id: number): SpeechPhase {
    return this.#options.renderer.speeches.phase(id);
  }

  pieces(id: number): readonly SpeechPiece[] {
    const pieces = this.#options.renderer.speeches.find(id)?.timeline.pieces ?? [];
    return pieces.map(({ at, from, length }) => ({
      timestamp: toTime(at),
      fromMs: from / SAMPLES_PER_MS,
      lengthMs: length / SAMPLES_PER_MS,
    }));
  }

  interrupt(id: number): void {
    const { renderer, clock, wake } = this.#options;
    const speech = renderer.speeches.find(id);
    if (speech === undefined) return;
    // A speech that is over and only lacks a report ends by itself.
    if (!this.#takeOne(speech) && renderer.speeches.onTimeline.includes(speech)) return;
    renderer.speeches.interruptOne(speech, clock());
    wake.ring();
  }

  pause(id: number): boolean {
    const { renderer } = this.#options;
    const speech = renderer.speeches.find(id);
    if (speech === undefined || speech.isPaused) return false;
    const isTaken = this.#takeOne(speech);
    if (!isTaken && renderer.speeches.onTimeline.includes(speech)) return false;
    speech.pause();
    if (!isTaken) speech.announcePause();
    return true;
  }

  resume(id: number): Speech | undefined {
    const { renderer, wake } = this.#options;
    const speech = renderer.speeches.find(id);
    if (speech?.isPaused === true) {
      speech.resume();
      this.#last = undefined;
      wake.ring();
      return speech.speech;
    }
    const isInterrupted = speech !== undefined && renderer.speeches.isInterrupted(speech);
    return isInterrupted && this.resumeAll() !== undefined ? speech.speech : undefined;
  }

  #interruptFrom(to: Microseconds): { readonly cut: Cut; readonly found: Promise<Interruption> } {
    const { renderer, video, clock } = this.#options;
    const more = video?.running ?? false;
    const { cut, heard } = this.#cutAt(to);
    const speeches = renderer.speeches.interruptAll(clock(), { more });
    // By then, resumed speeches may have other handles.
    const handles = speeches.map(({ speech }) => speech);
    const found = heard.then(async (report) => {
      const results = await Promise.all(handles.map((speech) => speech.done));
      const each = results.map(({ heardMs, heardText }, index) => ({ speech: handles[index]!, heardMs, heardText }));
      return { ...report, speeches: each };
    });
    if (speeches.length > 0 || more) this.#resumable = found;
    return { cut, found };
  }

  // Cuts one speech off the timeline, and queues what follows it again; false when the speech is not there.
  #takeOne(speech: QueuedSpeech): boolean {
    const { renderer, clock, audioTrack } = this.#options;
    const { start, end } = speech.timeline;
    if (!renderer.speeches.onTimeline.includes(speech)) return false;
    if (start === undefined || end === undefined) {
      // Its source has not delivered a block yet: nothing is sent, but those behind it must not wait for it.
      const { taken } = this.#cutAt(toTime(Math.max(audioTrack.cursor, audioTrack.end)));
      return taken.some((one) => one.speech === speech);
    }
    const reported = speech.state.measured ? (speech.timeline.broadcastAt(speech.state.heard) ?? 0) : 0;
    const position = Math.max(start, toPosition(this.#earliest(clock())), reported);
    const { taken } = this.#cutAt(toTime(position));
    return taken.some((one) => one.speech === speech);
  }

  // Makes all audio at or after `to` stale, and stops video there.
  #cutAt(to: Microseconds): {
    readonly cut: Cut;
    readonly heard: Promise<Heard>;
    readonly taken: readonly TakenBack[];
  } {
    const { clock, audioTrack, renderer, video, listeners, deadlines, playback, hasAudio, sender } = this.#options;
    const now = clock();
    const frontier = toPosition(video?.frontier ?? 0);
    const { cursor } = audioTrack;
    // Before its first frame is due, a playhead lies before the start.
    const position = Math.max(0, Math.min(toPosition(to), Math.max(cursor, audioTrack.end, frontier)));
    // The encoder's tail behind the last sample is inaudible.
    const sent = toTime(hasAudio ? Math.min(cursor, audioTrack.end) : frontier);
    const taken = renderer.takeBack(position);
    // Since the last cut only its silence was sent: another rewind would hide the first one's result from the reports.
    const isSilent = this.#silence?.frames === audioTrack.counters.frames;
    const last = isSilent && (taken.length === 0 || position >= this.#silence!.position) ? this.#silence : undefined;
    const { allowance } = listeners;
    const furthest = microseconds((listeners.furthest(now) ?? deadlines.presumed(now)) + REACHED + allowance);
    const rewound = position < cursor && last === undefined;
    const most = listeners.bound.at(now) ?? sent;
    const reach = microseconds(Math.min(sent, most + fromMilliseconds(HEARD_LIMIT_MS) + allowance));
    let limit = (_: number) => Number.POSITIVE_INFINITY;
    // What a listener lacks although its time has come must not be heard after the interrupt.
    if (position <= toPosition(this.#earliest(now))) sender.leaveOut(position);
    if (rewound) {
      sender.silence(position);
      listeners.startOver(toTime(position), now);
      limit = playback.rewound(toTime(position), now, allowance);
    }
    const pictures = video?.rewind(toTime(position)) ?? false;
    const cut = { to: toTime(position), rewound: rewound || pictures, heard: rewound, reach };
    const heard = last?.heard ?? this.#heard(cut, limit);
    if (rewound) this.#silence = { position, frames: audioTrack.counters.frames, heard };
    this.#measure(
      taken.filter(({ before }) => (before.start ?? 0) < toPosition(furthest)),
      heard,
    );
    return { cut, heard, taken };
  }

  // Audio that may have been heard beyond the cut waits for the listeners' reports, and continues where they fell
  // silent.
  #measure(taken: readonly TakenBack[], heard: Promise<Heard>): void {
    const { renderer, wake } = this.#options;
    for (const { speech } of taken) speech.measure();
    void heard.then(({ heardUntil, perListener }) => {
      const report: HeardReport = {
        heardUntil,
        listeners: perListener.map((one) => ({ ...one, id: one.session })),
      };
      for (const { speech, before } of taken) {
        speech.measured(report, before);
        if (speech.isPaused && speech.isHeard) renderer.speeches.finishWaiting(speech);
        speech.announcePause();
      }
      wake.ring();
    });
  }

  async #heard({ to, rewound, heard, reach }: Cut, limit: (id: number) => number): Promise<Heard> {
    const { audioTrack, video, listeners } = this.#options;
    const nothing = audioTrack.counters.groups === 0 && !video?.counters.groups;
    const perListener = heard
      ? await listeners.heard(this.#heardLimitMs)
      : await this.#played(microseconds(Math.min(to, reach)));
    const clamped = perListener.map((one) => ({
      ...one,
      heardUntil: microseconds(Math.min(one.heardUntil, reach, limit(one.session))),
    }));
    const times = clamped.map((one) => one.heardUntil);
    // A listener that claims to have heard far less than the others counts for itself alone.
    const earliest = Math.min(...times.filter((time) => time >= Math.max(...times) - MAX_LAG));
    const heardUntil = nothing ? 0 : times.length > 0 ? earliest : Math.min(to, reach);
    return { heardUntil: microseconds(heardUntil), perListener: clamped, to, rewound };
  }

  // Nothing sent became stale, so listeners will hear all of it and only have to report that. One that has not by then
  // may hear more than it reported last.
  async #played(end: Microseconds): Promise<HeardListener[]> {
    const { playback, listeners, clock } = this.#options;
    await playback.reached(end, microseconds(fromMilliseconds(UNREPORTED_MS) + listeners.allowance));
    const reported = playback.playheads(clock())?.listeners ?? [];
    return reported.map(({ id, playhead }) => ({
      session: id,
      heardUntil: microseconds(Math.min(playhead, end)),
      measured: playhead >= end,
    }));
  }

  #earliest(now: Microseconds): Microseconds {
    const { listeners, deadlines, renderer, playback } = this.#options;
    const reported = listeners.earliest(now);
    if (reported !== undefined) {
      // A listener may be waiting where it last reported, or have run on through silence past audio that is late. Where it
      // can report the rest, an early cut costs nothing: those beyond it flush at once. Without a session the projection
      // is the best guess.
      const { earliest, passed } = playback.playheads(now) ?? { earliest: reported, passed: reported };
      const isUnsure = this.#wanted && (now - playback.arrival > CERTAIN || earliest < passed);
      return isUnsure ? microseconds(Math.min(reported, earliest)) : reported;
    }
    const presumed = deadlines.presumed(now);
    const [first] = renderer.speeches.onTimeline;
    const { start } = first?.timeline ?? {};
    if (!this.#wanted || first === undefined || start === undefined) return presumed;
    // A listener hears the first audio later than the clock has it, and only then reports. What passed before the relay
    // wanted audio counts as heard: a resume continues behind it.
    const counted = toTime(Math.max(start, first.timeline.broadcastAt(first.state.heard) ?? start));
    const isNew = presumed - toTime(start) < fromMilliseconds(UNREPORTED_MS);
    return isNew ? microseconds(Math.min(presumed, counted)) : presumed;
  }
}
