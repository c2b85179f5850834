import { background, MediaError, type Microseconds, microseconds, toMilliseconds } from "../base/index.js";
import { type AudioRendition, type Catalog, epochOf, type VideoRendition } from "../container/index.js";
import type { TrackEvent } from "../transport/moq.js";
import { AudioPipeline } from "./audio/audio-pipeline.js";
import { SwitchableDecoder } from "./decoders/switchable-decoder.js";
import type { ListenerState, PlayerOptions, PlayerOutput, PlayerSession } from "./options.js";
import { PlayerEvents } from "./player-events.js";
import { Feedback } from "./report/feedback.js";
import { Reporter } from "./report/reporter.js";
import { type PlayerStats, playerStats, unheardMs } from "./stats.js";
import { BroadcastFinder } from "./tracks/broadcast-finder.js";
import { type BroadcastChange, type OpenBroadcast, readBroadcast } from "./tracks/broadcast-reader.js";
import { chooseRendition, describeFormat, type NamedRendition } from "./tracks/renditions.js";
import { type Arrival, TrackFeed } from "./tracks/track-feed.js";
import { VoiceFeed } from "./tracks/voice-feed.js";
import { VideoPlayer } from "./video/video-player.js";

/** Audio has priority over video, and both over their reports. */
const PRIORITY = { audio: 100, video: 50 };
/** Groups of audio read in parallel: more than a publisher may send ahead. */
const MAX_OPEN_GROUPS = 1024;

/** A track that is played, of one run of a publisher. */
interface Followed {
  readonly name: string;
  readonly run: string | undefined;
  readonly stop: AbortController;
}

/** What a catalog offers that can be played here. */
interface Plan {
  readonly broadcast: OpenBroadcast;
  readonly catalog: Catalog;
  readonly audio: NamedRendition<AudioRendition> | undefined;
  readonly video: NamedRendition<VideoRendition> | undefined;
}

/**
 * Plays a broadcast: follows its catalog, chooses renditions, reads their tracks through decoders to an output, applies
 * rewinds, and reports what was played. It neither opens sessions nor pulls the output: {@link run} serves one session
 * after the other, {@link turn} advances everything.
 */
export class Player {
  readonly video: VideoPlayer<{ close(): void }> | undefined;
  readonly #options: PlayerOptions;
  readonly #events: PlayerEvents;
  readonly #output: PlayerOutput;
  readonly #feed: TrackFeed;
  readonly #voice: VoiceFeed;
  readonly #reporter: Reporter;
  /** Groups that had come before. */
  #duplicates = 0;
  readonly #pipeline: AudioPipeline;
  readonly #decoder: SwitchableDecoder;
  #decoding: string | undefined;
  #isPaused: boolean;
  /** What the newest catalog offers. */
  #plan: Plan | undefined;
  #audio: Followed | undefined;
  #videoTrack: Followed | undefined;
  #session: PlayerSession | undefined;
  #sessions = 0;
  #found = false;
  #isThere = false;
  /** What was wrong with the catalog before. */
  #complaint: string | undefined;
  #leadMs: number | undefined;
  #applied: { readonly discontinuity: number; readonly from: Microseconds } | undefined;
  /** The publisher's bleed in its first and its last catalog, in milliseconds. */
  #bleed: { readonly first: number; readonly last: number } | undefined;

  constructor(options: PlayerOptions) {
    const { output, clock, horizonMs, video, report = true, paused = false } = options;
    this.#options = options;
    this.#events = new PlayerEvents(options);
    this.#isPaused = paused;
    this.#output = output;
    this.#feed = new TrackFeed({ clock, output });
    this.#voice = new VoiceFeed({ clock });
    this.#reporter = new Reporter({ clock, alwaysPublish: report === "broadcast" });
    this.video = video && new VideoPlayer({ decoders: video, clock });
    let decoder: SwitchableDecoder | undefined;
    this.#pipeline = new AudioPipeline({
      consumer: this.#feed.consumer,
      openDecoder: (events) => (decoder = new SwitchableDecoder(events)),
      output,
      ...(horizonMs !== undefined && { horizonMs }),
    });
    this.#decoder = decoder!;
  }

  /** Ends with {@link close}. */
  get events(): PlayerEvents["inbox"] {
    return this.#events.inbox;
  }

  get state(): ListenerState {
    if (this.#isClosed || this.#output.playing) return this.#isClosed ? "closed" : "playing";
    if (!this.#session || this.#isPaused) return "connecting";
    return this.#isThere && (this.#audio ?? this.#videoTrack) !== undefined ? "ready" : "waiting";
  }

  /** Sessions served so far. */
  get sessions(): number {
    return this.#sessions;
  }

  /** Whether the broadcast has ever been found. */
  get found(): boolean {
    return this.#found;
  }

  /** Whether there is a session without the broadcast. */
  get isWaiting(): boolean {
    return this.#session !== undefined && !this.#isThere;
  }

  /** The last error. */
  get lastProblem(): Error | undefined {
    return this.#events.lastProblem;
  }

  /** Current numbers. */
  stats(): PlayerStats {
    return playerStats({
      state: this.state,
      sessions: this.#sessions,
      output: this.#output,
      feed: this.#feed,
      pipeline: this.#pipeline,
      voice: this.#voice,
      video: this.video,
      reporter: this.#reporter,
      hasAudio: this.#audio !== undefined,
      leadMs: this.#leadMs,
      bleedMs: this.#bleedMs,
    });
  }

  /** Subscribes to media and reports from now on, where it was made `paused`; idempotent. */
  begin(): void {
    if (!this.#isPaused || this.#isClosed) return;
    this.#isPaused = false;
    if (this.#session) this.#report(this.#session);
    try {
      if (this.#plan) this.#follow(this.#plan);
    } catch (error) {
      this.problem(error);
    }
    this.#refresh();
  }

  /** Serves a session until it ends. */
  async run(session: PlayerSession): Promise<void> {
    this.#session = session;
    this.#isThere = false;
    this.#sessions++;
    if (!this.#isPaused) this.#report(session);
    background("watch.records", this.#readRecords(session));
    this.#refresh();
    const finder = new BroadcastFinder(session.connection, this.#options.broadcast);
    try {
      for await (const change of readBroadcast(finder, session.closed)) await this.#heed(change);
    } finally {
      finder.close();
      this.#session = undefined;
      this.#reporter.attach(undefined);
      this.#refresh();
    }
  }

  /** Advances everything; call it after every pull of the output, and every few milliseconds where nothing pulls. */
  turn(): void {
    this.#pump();
    this.video?.pump();
    this.#refresh();
    // Audio that was decoded before is heard first.
    for (const part of [this.#output.playing ? undefined : this.#pipeline, this.video])
      this.#events.lasting(part?.refusal);
    this.#reporter.tick(this.#reading);
  }

  /** Emits an error that ends nothing; as a `retry` where the same was a problem before, in the same outage. */
  problem(cause: unknown, { isRepeated = false }: { readonly isRepeated?: boolean } = {}): void {
    this.#events.problem(cause, isRepeated);
  }

  /** Ends it; idempotent. */
  close(): void {
    if (this.#isClosed) return;
    this.#audio?.stop.abort();
    this.#videoTrack?.stop.abort();
    this.#voice.close();
    this.#pipeline.close();
    this.video?.close();
    this.#events.close();
  }

  async #readRecords({ records }: PlayerSession): Promise<void> {
    for await (const record of records) this.#reporter.receive(record);
  }

  #report(session: PlayerSession): void {
    const { report = true } = this.#options;
    if (report === false) return;
    const feedback = new Feedback({ connection: session.connection, session: this.#reporter.session });
    this.#reporter.attach({
      send: (record) => report !== "broadcast" && session.send(record),
      publish: (path, record) => feedback.send(path, record),
      unpublish: () => feedback.close(),
      get backedUp() {
        return session.backedUp;
      },
    });
  }

  async #heed(change: BroadcastChange): Promise<void> {
    if (change.kind === "problem") this.#complain(change.error);
    else if (change.kind === "catalog") {
      const error = await this.#apply(change.broadcast, change.catalog).catch((cause: unknown) => cause);
      if (error === undefined) this.#complaint = undefined;
      else this.#complain(error);
    } else {
      this.#audio = undefined;
      this.#videoTrack = undefined;
      this.#isThere = change.kind === "found";
      this.#found ||= this.#isThere;
      if (change.kind === "found") this.#reporter.follow(change.path);
    }
    this.#refresh();
  }

  /** Reports what is wrong with a catalog; the next one may be better, or have the same fault. */
  #complain(cause: unknown): void {
    const isRepeated = this.#complaint === String(cause);
    this.#complaint = String(cause);
    this.problem(cause, { isRepeated });
  }

  /** Chooses among the renditions that a catalog names, and plays them unless it is paused. */
  async #apply(broadcast: OpenBroadcast, catalog: Catalog): Promise<void> {
    const { decoders } = this.#options;
    const last = catalog.unsay?.renege === "track";
    const audio = await chooseRendition(catalog.audio?.renditions, (each) => decoders.canDecode(each), { last });
    const videos = this.video && catalog.video?.renditions;
    const video = await chooseRendition(videos, (each) => this.video?.decoders.canDecode(each) ?? false);
    if (audio) await this.#decodeWith(audio.rendition);
    this.#plan = { broadcast, catalog, audio, video };
    if (!this.#isPaused) this.#follow(this.#plan);
  }

  #follow({ broadcast, catalog, audio, video }: Plan): void {
    if (broadcast.signal.aborted || this.#isClosed) return;
    const { unsay } = catalog;
    const bleedMs = unsay?.bleedMs ?? 0;
    this.#bleed = { first: Math.min(this.#bleed?.first ?? bleedMs, bleedMs), last: bleedMs };
    this.#voice.follow(broadcast, unsay?.voice, unsay?.run);
    const renditions = catalog.audio?.renditions ?? {};
    this.#output.setLive(audio !== undefined && unsay?.mode === "live");
    this.#output.setPublisher({
      marksPauses: unsay !== undefined,
      aheadMs: unsay?.aheadMs,
      sendsAudio: audio !== undefined,
    });
    if (audio) this.#followAudio(broadcast, audio, unsay);
    if (video) this.#followVideo(broadcast, video, { unsay, master: audio === undefined });
    if (audio || video || Object.keys(renditions).length === 0) return;
    const all = Object.values(renditions).map(describeFormat);
    throw new MediaError("UNSUPPORTED_CODEC", `No audio of the catalog can be played here: ${all.join("; ")}.`);
  }

  async #decodeWith(rendition: AudioRendition): Promise<void> {
    const { codec, sampleRate, numberOfChannels, description } = rendition;
    const key = [codec, sampleRate, numberOfChannels, description].join(" ");
    if (key === this.#decoding) return;
    const open = await this.#options.decoders.load(rendition);
    this.#decoding = key;
    this.#decoder.become(open);
  }

  #followAudio(broadcast: OpenBroadcast, { name }: NamedRendition<AudioRendition>, unsay: Catalog["unsay"]): void {
    if (isSame(this.#audio, name, unsay?.run)) return;
    this.#audio?.stop.abort();
    const followed = { name, run: unsay?.run, stop: new AbortController() };
    this.#audio = followed;
    this.#feed.follow(unsay);
    background("watch.audio", this.#readAudio(broadcast, followed));
  }

  async #readAudio(broadcast: OpenBroadcast, { name, stop: { signal } }: Followed): Promise<void> {
    const options = { priority: PRIORITY.audio, signal, maxOpenGroups: MAX_OPEN_GROUPS };
    for await (const event of broadcast.follow(name, options)) {
      if (signal.aborted) return;
      this.#take(event);
    }
  }

  #followVideo(
    broadcast: OpenBroadcast,
    { name, rendition }: NamedRendition<VideoRendition>,
    { unsay, master }: { readonly unsay: Catalog["unsay"]; readonly master: boolean },
  ): void {
    if (isSame(this.#videoTrack, name, unsay?.run)) return;
    this.#videoTrack?.stop.abort();
    const followed = { name, run: unsay?.run, stop: new AbortController() };
    this.#videoTrack = followed;
    this.video?.begin(rendition, this.#output.clock, { master, hasEpochs: unsay !== undefined });
    background("watch.video", this.#readVideo(broadcast, followed));
  }

  async #readVideo(broadcast: OpenBroadcast, { name, stop: { signal } }: Followed): Promise<void> {
    const { video } = this;
    if (!video) return;
    for await (const event of broadcast.follow(name, { priority: PRIORITY.video, signal })) {
      if (signal.aborted) return;
      if (event.kind === "ended" && event.error) this.problem(event.error, event);
      video.take(event);
    }
  }

  #take(event: TrackEvent): void {
    if (event.kind === "subscribed") this.#feed.begin(event.track.name);
    else if (event.kind === "frame") this.#arrived(this.#feed.receive(event));
    else if (event.kind === "end") {
      this.#feed.end(event);
      this.#arrived(undefined);
    } else if (event.error) this.problem(event.error, event);
  }

  #arrived(arrival: Arrival | undefined): void {
    if (this.#isClosed) return;
    if (arrival?.restarted) this.#reporter.restart();
    if (this.#output.isOpen === false) return;
    this.#pump();
    if (!arrival) return;
    const { timestamp, sequence, first, copy } = arrival;
    this.#noteCopies();
    if (first || copy) this.#output.landed(timestamp, copy);
    const { started, playhead } = this.#output;
    if (playhead === undefined) return;
    const lead = microseconds(timestamp - playhead);
    this.#leadMs = toMilliseconds(lead);
    if (first) this.events.push({ kind: "landing", detail: { sequence, timestamp, lead } });
    // Frames right behind the one that set the playhead were sent before any report of the playhead.
    if (started) this.#reporter.landed(lead, sequence);
  }

  /** Passes to the reports whether the newest group had come before. */
  #noteCopies(): void {
    const { duplicate } = this.#feed.consumer.counters;
    this.#reporter.arrived({ copy: duplicate > this.#duplicates });
    this.#duplicates = duplicate;
  }

  /** Moves audio to the output, and applies the rewinds in between. */
  #pump(): void {
    this.#pipeline.follow(this.#feed.consumer);
    this.#pipeline.pump();
    const epoch = epochOf(this.#feed.received.newest ?? 0);
    for (const { from } of this.#pipeline.takeRewinds()) this.#voice.takeBack(from, epoch);
    const { applied } = this.#output;
    if (!applied || (applied.discontinuity === this.#applied?.discontinuity && applied.from === this.#applied.from))
      return;
    this.#applied = applied;
    const { discontinuity, from, heardUntil = from } = applied;
    this.events.push({ kind: "rewind", detail: { discontinuity, from, heardUntil } });
    this.#reporter.hurry();
    this.#reporter.tick(this.#reading);
  }

  get #reading(): Parameters<Reporter["tick"]>[0] {
    return {
      playhead: this.#output.heard,
      moving: this.#output.moving,
      applied: this.#output.applied,
      receivedBytes: this.#feed.counters.receivedBytes + (this.video?.receivedBytes ?? 0),
      receivedGroup: this.#feed.received.mark ?? this.video?.newest,
      bufferedMs: unheardMs(this.#output, this.#feed),
      missed: this.#output.missed,
      bleedMs: this.#bleedMs,
      counters: this.#output.counters,
    };
  }

  get #bleedMs(): number {
    return this.#bleed ? this.#bleed.last - this.#bleed.first : 0;
  }

  #refresh(): void {
    this.#events.become(this.state);
  }

  get #isClosed(): boolean {
    return this.#events.state === "closed";
  }
}

function isSame(followed: Followed | undefined, name: string, run: string | undefined): boolean {
  return followed !== undefined && followed.name === name && followed.run === run;
}
