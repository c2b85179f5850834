import type { Microseconds } from "../base/index.js";
import type { Receipt } from "../flow/index.js";
import type { Reporter } from "./report/reporter.js";
import type { TrackFeed } from "./tracks/track-feed.js";
import type { VoiceFeed } from "./tracks/voice-feed.js";

/** The numbers that every listener has, whatever it plays with; totals count from its start. */
export interface PlaybackStats {
  /** Whether audio of the broadcast is being heard now, or was within the last 50 ms; false in every pause. */
  readonly playing: boolean;
  /** Media time of the next sample that is heard, in microseconds; undefined before the first frame. */
  readonly playheadUs: number | undefined;
  /** Milliseconds ready to play, decoded or not. */
  readonly bufferMs: number;
  /** Newest group received. */
  readonly group: number | undefined;
  /** Rewinds applied. */
  readonly discontinuities: number;
  /**
   * Times that audio was missing when it was due, and the milliseconds of silence heard in its place; both count an
   * underrun from its start. A pause that the publisher meant is none. A publisher of ours marks its pauses; another
   * one's audio counts as missing only once it arrives late.
   */
  readonly underruns: number;
  readonly underrunMs: number;
  /** Times the playhead jumped to where the broadcast is, after the listener stood still for more than a second. */
  readonly jumps: number;
  /** Milliseconds of audio left out to catch up with a live broadcast. */
  readonly skippedMs: number;
  /** Level of the last moment in decibels below full scale; -Infinity for silence. */
  readonly levelDb: number;
  /** Chance from 0 to 1 that somebody speaks in what is heard now; undefined where the publisher does not tell. */
  readonly voice: number | undefined;
  /** How long before its turn the newest packet was there, in milliseconds; negative when it was late. */
  readonly leadMs: number | undefined;
  /** Milliseconds of undenoised audio that the publisher let pass since this listener came, as its catalog tells. */
  readonly bleedMs: number;
  /** Milliseconds heard that had been taken back before; anything above 0 is a fault. */
  readonly staleMs: number;
  /** Milliseconds of audio played. */
  readonly playedMs: number;
  /** Bytes of media received. */
  readonly receivedBytes: number;
  /** Reports sent. */
  readonly reports: number;
  /** Of these, how many went on a broadcast of the listener's own, because the relay answers none. */
  readonly feedbacks: number;
  /** What the relay tells of the delivery, a second old at most; undefined while it answers no reports. */
  readonly relay: Omit<Receipt, "broadcast" | "session" | "reportId"> | undefined;
}

/** What {@link playbackStats} puts together. */
export interface PlaybackSources {
  readonly feed: TrackFeed;
  readonly reporter: Reporter;
  readonly playing: boolean;
  readonly playheadUs: Microseconds | undefined;
  /** Milliseconds of decoded audio ahead of the playhead. */
  readonly decodedMs: number;
  readonly discontinuities: number;
  readonly levelDb: number;
  readonly voice: VoiceFeed;
  readonly leadMs: number | undefined;
  readonly bleedMs: number;
  /** The playout's totals; undefined before there is one. */
  readonly counters:
    | Readonly<Record<"underruns" | "underrunMs" | "jumps" | "skippedMs" | "staleMs" | "playedMs", number>>
    | undefined;
}

const NONE = { underruns: 0, underrunMs: 0, jumps: 0, skippedMs: 0, staleMs: 0, playedMs: 0 };

/** Makes the numbers that every listener has. */
export function playbackStats(sources: PlaybackSources): PlaybackStats {
  const { feed, reporter, counters = NONE } = sources;
  const { underruns, underrunMs, jumps, skippedMs, staleMs, playedMs } = counters;
  return {
    playing: sources.playing,
    playheadUs: sources.playheadUs,
    bufferMs: sources.decodedMs + feed.waitingMs,
    group: feed.received.newest,
    discontinuities: sources.discontinuities,
    underruns,
    underrunMs,
    jumps,
    skippedMs,
    levelDb: sources.levelDb,
    // While nothing is heard nobody speaks, whatever the playhead stands at.
    voice: sources.playing ? sources.voice.at(sources.playheadUs) : undefined,
    leadMs: sources.leadMs,
    bleedMs: sources.bleedMs,
    staleMs,
    playedMs,
    receivedBytes: feed.counters.receivedBytes,
    reports: reporter.sent,
    feedbacks: reporter.feedbacks,
    relay: reporter.relay,
  };
}
