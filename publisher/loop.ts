import type { EventEmitter } from "node:events";
import { background, fromMilliseconds, fromSeconds, type Microseconds, microseconds } from "../base/index.js";
import type { Aggregate } from "../flow/report/index.js";
import type { ControlTarget } from "./control/controls.js";
import { loadModel } from "./denoise/model.js";
import { makeEncoders, type PublisherParts } from "./parts.js";
import { nameTaken } from "./send/name-claim.js";
import type { UplinkEvent } from "./send/uplink-events.js";
import type { RendererEvent } from "./speech/renderer.js";
import { toPosition, toTime } from "./tracks/position.js";

/** State of a publisher; `displaced` while another publisher holds its name at the relay. */
export type PublisherState = "connecting" | "publishing" | "displaced" | "closed";

/** Events of a `Publisher`. */
export interface PublisherEvents {
  /** The state changed. */
  state: [PublisherState];
  /**
   * An attempt to connect failed, the session was lost, or another publisher took the name (`NAME_TAKEN`). The publisher
   * continues by itself; `retryable` of the error says whether another attempt can help.
   */
  problem: [Error];
  /** The number of listeners changed, or whether any of them plays. */
  listeners: [PublisherListeners];
}

/** The listeners of a broadcast that its publisher knows of. */
export interface PublisherListeners {
  /** Listeners that report. */
  readonly count: number;
  /** Whether at least one of them plays. */
  readonly playing: boolean;
  /** The relay delivers audio, but no listener reports, or none has started to. */
  readonly silent: boolean;
}

const TICK_MS = 10;
/** How long the first audio waits at most: for a session, and then for a listener there. */
const FIRST = { session: fromSeconds(5), listener: fromMilliseconds(1500) };
/** Hops rendered in a row before other work runs. */
const RENDER_BATCH = 4;

/**
 * Runs a publisher: every 10 ms, and whenever there is work, it takes what each part returns and hands it to the next.
 */
export class Loop implements ControlTarget {
  readonly #parts: PublisherParts;
  readonly #emitter: EventEmitter<PublisherEvents>;
  readonly #turns: (() => void)[] = [];
  #state: PublisherState = "connecting";
  #sessions = 0;
  #listeners: PublisherListeners = { count: 0, playing: false, silent: false };
  /** True after the last listener left: the lead is void, and the next listener starts at the audio that is due. */
  #isStranded = false;
  #isReady = false;
  #hasBegun = false;
  /** When audio begins although no listener has subscribed to it. */
  #beginsAt: Microseconds;
  #isClosing = false;
  #failure: Error | undefined;

  constructor(parts: PublisherParts, emitter: EventEmitter<PublisherEvents>) {
    this.#parts = parts;
    this.#emitter = emitter;
    this.#beginsAt = microseconds(parts.clock() + FIRST.session);
  }

  get state(): PublisherState {
    return this.#state;
  }

  /** Sessions so far. */
  get sessions(): number {
    return this.#sessions;
  }

  get closing(): boolean {
    return this.#isClosing;
  }

  /** Runs until closed. Returns the error that ended it, or null. */
  async run(): Promise<Error | null> {
    const { settings, uplink, renderer, logger } = this.#parts;
    background(
      "publisher.uplink",
      uplink.closed.then((error) => this.#fail(error)),
    );
    try {
      this.#start();
      for (let batch = 0; !this.#isClosing; ) {
        if (this.#failure !== undefined) throw this.#failure;
        this.turn();
        const isRendering = this.#mayBegin() && (await renderer.read()) && ++batch % RENDER_BATCH === 0;
        await this.#rest(isRendering);
      }
    } catch (error) {
      this.#fail(error);
      logger.warn({ err: error }, `The publisher ended in ${settings.mode} mode.`);
    }
    await this.#end();
    return this.#failure ?? null;
  }

  /** One turn, from reports received to frames sent. */
  turn(): void {
    const { clock, events, renderer, interrupts, uplink, controls, sender, listeners } = this.#parts;
    for (const event of events.take()) this.#follow(event);
    interrupts.turn();
    this.#announceListeners();
    if (!this.#mayBegin()) return;
    for (const event of renderer.take()) this.#rendered(event);
    interrupts.follow(uplink.wanted);
    renderer.speeches.expire(clock());
    if (!renderer.busy) controls.tick(this);
    listeners.lead.loopBandArmed = controls.banded;
    this.#startOver();
    sender.pump();
    this.#pumpVideo();
    this.#pumpVoice();
    this.#updateCatalog();
  }

  /** Ends the loop, with a reason if there is one; idempotent. */
  close(reason?: Error): void {
    if (reason !== undefined && !this.#isClosing) this.#failure = reason;
    this.#isClosing = true;
    this.#parts.remote?.close();
    this.#parts.wake.ring();
  }

  /** Resolves when everything said so far was sent and, as far as the publisher knows, heard; or when closed. */
  async drained(): Promise<void> {
    while (!this.#isClosing && !this.#isDrained()) await new Promise<void>((resolve) => this.#turns.push(resolve));
  }

  // Live audio is never sent twice, so a change can only apply behind the sent audio.
  soonest(): number {
    const { settings, ablation, audioTrack, deadlines, clock } = this.#parts;
    if (settings.mode === "live" || ablation.keepStale) return Math.max(audioTrack.end, audioTrack.cursor);
    return deadlines.soonest(clock());
  }

  interrupt(): void {
    void this.#parts.interrupts.interruptAll();
  }

  resume(): boolean {
    return this.#parts.interrupts.resumeAll() !== undefined;
  }

  // Speech before the first session is up and its listeners have subscribed would be lost.
  #mayBegin(): boolean {
    const { settings, uplink, clock } = this.#parts;
    if (!this.#isReady || this.#hasBegun) return this.#isReady;
    const isExpected = settings.audio && settings.mode === "ahead" && !uplink.wanted;
    this.#hasBegun = !isExpected || clock() >= this.#beginsAt;
    return this.#hasBegun;
  }

  // Encoders and model take time to load, so they load while the session connects.
  #start(): void {
    const { settings, video, deadlines, clock, audioTrack, uplink } = this.#parts;
    if (settings.audio) uplink.startTrack(audioTrack.track);
    else video?.start(deadlines.wall(clock()));
    this.#updateCatalog();
    const ready = settings.audio ? this.#prepare() : Promise.resolve();
    const begin = () => {
      this.#isReady = true;
      this.#parts.wake.ring();
    };
    background(
      "publisher.start",
      ready.then(begin, (error: unknown) => this.#fail(error)),
    );
  }

  async #prepare(): Promise<void> {
    const { settings, audioTrack, controls } = this.#parts;
    await makeEncoders(settings, audioTrack);
    const { model } = settings;
    if (typeof model === "string") controls.start(await loadModel(model), { owned: true });
    else controls.start(model, { owned: false });
  }

  #fail(error: unknown): void {
    if (error !== undefined) this.#failure = error instanceof Error ? error : new Error(String(error));
    this.#parts.wake.ring();
  }

  async #rest(isRendering: boolean): Promise<void> {
    const { sender, wake } = this.#parts;
    if (sender.isBehind) wake.ring();
    if (isRendering || sender.isBehind) await new Promise((resolve) => setImmediate(resolve));
    await wake.wait(TICK_MS);
    for (const resolve of this.#turns.splice(0)) resolve();
  }

  async #end(): Promise<void> {
    const { uplink, renderer, voice, audioTrack, video, controls, listeners, playback } = this.#parts;
    this.#isClosing = true;
    this.#become("closed");
    uplink.close();
    // No report comes any more: interrupts end with what is known.
    for (const reports of [listeners, playback]) reports.reset();
    renderer.close();
    voice.close();
    audioTrack.close();
    await video?.close();
    await controls.close();
    for (const resolve of this.#turns.splice(0)) resolve();
  }

  #follow(event: UplinkEvent): void {
    const { settings, uplink, clock } = this.#parts;
    switch (event.kind) {
      case "connected":
        this.#connected(clock());
        break;
      case "problem":
        this.#become("connecting");
        this.#emitter.emit("problem", event.reason);
        break;
      case "displaced":
        this.#become(event.displaced ? "displaced" : "publishing");
        if (event.displaced) this.#emitter.emit("problem", nameTaken(settings.broadcast));
        break;
      case "aggregate":
        this.#observe(event);
        break;
      case "demand":
        // Where its session has ended, no listener left.
        if (!event.wanted && uplink.connected && event.session === uplink.session) this.#isStranded = true;
    }
  }

  #announceListeners(): void {
    const { playback, listeners, uplink } = this.#parts;
    const { count } = playback;
    const playing = count > 0 && listeners.playing;
    const silent = count === 0 && uplink.wanted;
    const before = this.#listeners;
    if (before.count === count && before.playing === playing && before.silent === silent) return;
    this.#listeners = { count, playing, silent };
    this.#emitter.emit("listeners", this.#listeners);
  }

  #connected(now: Microseconds): void {
    const { listeners, playback, sendQueue, deadlines } = this.#parts;
    if (this.#sessions++ === 0) this.#beginsAt = microseconds(now + FIRST.listener);
    listeners.reset();
    playback.reset();
    sendQueue.reconnected(deadlines.unheard(now), now);
    this.#become("publishing");
  }

  #observe({ aggregate, source, at }: { aggregate: Aggregate; source: object; at: Microseconds }): void {
    const { listeners, playback, sendQueue } = this.#parts;
    if (listeners.listeners === 0 && aggregate.listeners > 0) this.#believeFirst(aggregate.latest, at);
    if (aggregate.ingestAck !== undefined) sendQueue.acked(aggregate.ingestAck, at);
    if (sendQueue.roundTrip !== undefined) listeners.relayAnswers(sendQueue.roundTrip);
    listeners.observe(aggregate, source, at);
    playback.observe(aggregate, { audible: listeners.audible(at), now: at });
  }

  // A listener that joins at the newest frame plays at most what was sent before the first report.
  #believeFirst(playhead: Microseconds, now: Microseconds): void {
    const { settings, listeners, deadlines } = this.#parts;
    const { mode, aheadMs } = settings;
    const ahead = mode === "live" ? 0 : aheadMs === undefined ? listeners.lead.advance(now) : fromMilliseconds(aheadMs);
    listeners.begin(microseconds(Math.min(playhead, deadlines.wall(now) + ahead)), now);
  }

  #rendered(event: RendererEvent): void {
    const { interrupts, video } = this.#parts;
    if (event.kind === "delayed") video?.delay(event.by);
    else {
      interrupts.began();
      video?.start(event.at);
    }
  }

  #startOver(): void {
    const { settings, uplink, sendQueue, deadlines, audioTrack, clock } = this.#parts;
    if (!this.#isStranded || !uplink.wanted) return;
    this.#isStranded = false;
    sendQueue.forget();
    const position = toPosition(deadlines.presumed(clock()));
    if (settings.mode === "ahead" && position < audioTrack.cursor) audioTrack.rewind(position);
  }

  // Video is sent as far ahead as audio, but never beyond the rendered audio that belongs to it.
  #pumpVideo(): void {
    const { settings, video, renderer, audioTrack, deadlines, listeners, clock } = this.#parts;
    if (video === undefined) return;
    const now = clock();
    const target = deadlines.target(now);
    const isRendered = renderer.speeches.current === undefined;
    video.pump(deadlines.passed(now), isRendered ? target : microseconds(Math.min(target, toTime(audioTrack.end))));
    if (!settings.audio) listeners.sent(video.frontier, { isRewind: false, now });
  }

  #pumpVoice(): void {
    const { settings, voice, renderer, audioTrack, deadlines, clock } = this.#parts;
    voice.offer(settings.audio && renderer.factory.detectsVoice);
    const heard = microseconds(Math.max(deadlines.passed(clock()), toTime(audioTrack.oldest)));
    voice.pump({ heard, until: toTime(audioTrack.cursor), epoch: audioTrack.epoch });
  }

  #updateCatalog(): void {
    const { catalog, audioTrack, video, voice, renderer, uplink, clock } = this.#parts;
    const { bleedMs } = renderer.guard;
    const state = { track: audioTrack.track, video: video?.renditions, voice: voice.name, bleedMs };
    const encoded = catalog.update(state, clock());
    if (encoded !== undefined) uplink.setCatalog(encoded);
  }

  #isDrained(): boolean {
    const { settings, renderer, sendQueue, audioTrack, listeners, deadlines, uplink, clock } = this.#parts;
    const video = settings.video?.endless ? undefined : this.#parts.video;
    const now = clock();
    // A paused listener must not keep the broadcast open.
    const playhead = (listeners.playing ? deadlines.playhead(now) : undefined) ?? deadlines.wall(now);
    return (
      renderer.idle &&
      (uplink.wanted ? sendQueue.size === 0 : sendQueue.isExpired(deadlines.passed(now))) &&
      (video === undefined || !video.running || video.ended) &&
      audioTrack.cursor >= audioTrack.end &&
      playhead >= Math.max(toTime(audioTrack.cursor), video?.frontier ?? 0)
    );
  }

  #become(state: PublisherState): void {
    if (state === this.#state || this.#state === "closed") return;
    this.#state = state;
    this.#emitter.emit("state", state);
  }
}
