import { fromMilliseconds } from "../base/index.js";
import type { Receipt } from "../flow/report/index.js";
import type { AudioPipeline } from "./audio/audio-pipeline.js";
import type { ListenerState, PlayerOutput } from "./options.js";
import type { Reporter } from "./report/reporter.js";
import type { TrackFeed } from "./tracks/track-feed.js";
import type { VoiceFeed } from "./tracks/voice-feed.js";
import type { VideoPlayer } from "./video/video-player.js";

/** Numbers of any player; totals count from its start. */
export interface PlayerStats {
  /** See {@link ListenerState}. */
  readonly state: ListenerState;
  /** Sessions made. */
  readonly sessions: number;
  /** Whether audio of the broadcast is audible now, or was within the last 50 ms; false in every pause. */
  readonly playing: boolean;
  /** Media time of the next sample, in microseconds; undefined before the first frame. */
  readonly playheadUs: number | undefined;
  /** Milliseconds ready to play, decoded or not. */
  readonly bufferMs: number;
  /** Newest group received. */
  readonly group: number | undefined;
  /** Rewinds applied. */
  readonly discontinuities: number;
  /**
   * Times that audio was missing when it was due, and the milliseconds of silence in its place; both count an underrun
   * from its start. Intended pauses don't count. Our publisher marks its pauses; audio of other publishers counts as
   * missing only once it arrives late.
   */
  readonly underruns: number;
  readonly underrunMs: number;
  /** Times the playhead jumped to the broadcast's position: after a stall of more than a second, or by ending a pause early. */
  readonly jumps: number;
  /** Milliseconds of audio skipped to catch up with a live broadcast. */
  readonly skippedMs: number;
  /** Milliseconds of audio that was decoded, but too late to be played. */
  readonly lateMs: number;
  /** Probability of a voice in the audio that is audible now, 0 to 1; undefined where the publisher reports none. */
  readonly voice: number | undefined;
  /** Lead of the newest packet over its due time, in milliseconds; negative when it was late. */
  readonly leadMs: number | undefined;
  /** Milliseconds of undenoised audio that the publisher passed since this listener joined, by its catalog. */
  readonly bleedMs: number;
  /** Milliseconds of stale audio played; anything above 0 is a fault. */
  readonly staleMs: number;
  /** Milliseconds of audio played. */
  readonly playedMs: number;
  /** Bytes of media received. */
  readonly receivedBytes: number;
  /** Reports sent. */
  readonly reports: number;
  /** Of these, the ones on the listener's own broadcast, because the relay does not answer. */
  readonly feedbacks: number;
  /** The relay's report on the delivery, at most a second old; undefined while it answers no reports. */
  readonly relay: Omit<Receipt, "broadcast" | "session" | "reportId"> | undefined;
  /** The current target delay from arrival to audio. */
  readonly jitterTargetMs: number;
  /** Frames of audio received, repeats included, and how many of them came as datagrams. */
  readonly receivedFrames: number;
  readonly datagrams: number;
  /** Packets of audio decoded, gaps concealed, and packets of any kind that were invalid. */
  readonly decoded: number;
  readonly concealed: number;
  readonly malformed: number;
  /** Frames of audio dropped on arrival, by reason. */
  readonly dropped: {
    readonly duplicate: number;
    readonly late: number;
    readonly stale: number;
    readonly overflow: number;
  };
  /** Groups of audio that were reset before their end. */
  readonly abortedGroups: number;
}

/** Input of {@link playerStats}. */
export interface PlayerParts {
  readonly state: ListenerState;
  readonly sessions: number;
  readonly output: PlayerOutput;
  readonly feed: TrackFeed;
  readonly pipeline: AudioPipeline;
  readonly voice: VoiceFeed;
  readonly video: Pick<VideoPlayer, "newest" | "receivedBytes" | "malformed" | "generation"> | undefined;
  readonly reporter: Reporter;
  /** Whether it plays audio, rather than video alone. */
  readonly hasAudio: boolean;
  readonly leadMs: number | undefined;
  readonly bleedMs: number;
}

export function playerStats(parts: PlayerParts): PlayerStats {
  const { output, feed, pipeline, voice, video, reporter, leadMs, bleedMs } = parts;
  const { underruns, underrunMs, jumps, skippedMs, lateMs, staleMs, playedMs } = output.counters;
  const { receivedFrames, receivedBytes, datagrams, abortedGroups, malformed } = feed.counters;
  const { duplicate, late, stale, overflow } = feed.consumer.counters;
  const { decoded, concealed, late: undecoded, errors } = pipeline.counters;
  // Nothing pulls from a closed output, so it still says what the last pull showed.
  const playing = parts.state !== "closed" && output.playing;
  return {
    state: parts.state,
    sessions: parts.sessions,
    playing,
    playheadUs: output.heard,
    bufferMs: parts.state === "closed" ? 0 : output.bufferedMs + feed.waitingMs,
    group: feed.received.newest ?? video?.newest,
    discontinuities: parts.hasAudio ? (output.applied?.discontinuity ?? 0) : (video?.generation ?? 0),
    underruns,
    underrunMs,
    jumps,
    skippedMs,
    lateMs,
    // Without audio there is no voice, wherever the playhead is.
    voice: playing ? voice.at(output.heard) : undefined,
    leadMs,
    bleedMs,
    staleMs,
    playedMs,
    receivedBytes: receivedBytes + (video?.receivedBytes ?? 0),
    reports: reporter.sent,
    feedbacks: reporter.feedbacks,
    relay: reporter.relay,
    jitterTargetMs: output.targetMs,
    receivedFrames,
    datagrams,
    decoded,
    concealed,
    malformed: malformed + errors + voice.counters.malformed + (video?.malformed ?? 0),
    dropped: { duplicate, late: late + undecoded, stale, overflow },
    abortedGroups,
  };
}

/** Decoders conceal what is shorter. */
const CONCEALED = fromMilliseconds(120);

/**
 * Milliseconds of audio still to be heard: what waits, and what is in the device, unless that is silent. Negative where
 * that is nothing, or lies behind a stretch without audio: how long ago the last audio ended, by the playhead. A playhead
 * that jumped has passed more than was heard.
 */
export function unheardMs(
  output: Pick<PlayerOutput, "playhead" | "heard" | "heardUntil" | "playing" | "bufferedMs" | "applied">,
  { waitingMs }: Pick<TrackFeed, "waitingMs">,
): number {
  const { playhead, heard, heardUntil, playing, bufferedMs, applied } = output;
  const ready = bufferedMs + waitingMs;
  if (playhead === undefined || heard === undefined) {
    // Until the frame after a rewind sets it, it counts as at the cut.
    const missed = applied && heardUntil !== undefined ? applied.from - heardUntil : 0;
    return missed > CONCEALED ? -missed / 1e3 : ready;
  }
  // Audio that waits for a group before it is not audible yet, nor is audio behind a stretch without any.
  const isMissing = bufferedMs === 0 || (!playing && playhead - (heardUntil ?? playhead) > CONCEALED);
  if (!isMissing || heardUntil === undefined) return ready + (playing ? playhead - heard : 0) / 1e3;
  return (Math.min(heardUntil, playhead) - heard) / 1e3;
}
