import type { SkipCounters } from "../flow/congestion/index.js";
import type { RemoteControlCounters } from "./control/remote-control.js";
import type { PublisherParts } from "./parts.js";
import type { SendQueueCounters } from "./send/send-queue.js";
import { toTime } from "./tracks/position.js";
import type { VideoTrackCounters } from "./tracks/video-track.js";
import type { VoiceTrackCounters } from "./tracks/voice-track.js";

/** Counters of a publisher; all times in milliseconds unless marked otherwise. */
export interface PublisherStats {
  readonly connected: boolean;
  /** Sessions so far. */
  readonly sessions: number;
  readonly listeners: number;
  /** Groups encoded. */
  readonly groups: number;
  readonly bytes: number;
  readonly epoch: number;
  readonly sequence: number;
  /** Media time up to which audio was encoded, in microseconds. */
  readonly frontierUs: number;
  /** Latest playhead, reported or estimated, in microseconds. */
  readonly playheadUs: number;
  readonly leadMs: number;
  readonly rewinds: number;
  /** Rises with every turn that applied a change. */
  readonly controlEpoch: number;
  /** Ends of control requests so far: one for each request. */
  readonly controlEvents: number;
  readonly queued: number;
  /** Probability of speech now, 0 to 1. */
  readonly voiceActivity: number;
  /** Hops of 10 ms that went through the network. */
  readonly denoisedHops: number;
  /** Mean cost of denoising one hop, in microseconds. */
  readonly denoiseCostUs: number;
  /** Audio that passed undenoised because inference was too slow. */
  readonly bleedMs: number;
  /** Times the source was too slow and left a hole. */
  readonly underruns: number;
  readonly clippedSamples: number;
  readonly sendQueue: SendQueueCounters;
  /** Groups never sent, by reason. */
  readonly skips: SkipCounters;
  /** Listeners' reports dropped because the process fell behind, and broadcasts of reports above the limit of 64. */
  readonly reportsDropped: number;
  /** Payload bytes sent and not yet acknowledged by the next hop. */
  readonly inFlightBytes: number;
  /** The part of the lead that exists because audio landed late before. */
  readonly transportMs: number;
  /** Undefined without video. */
  readonly video: VideoTrackCounters | undefined;
  /** Frames of voice activity written. */
  readonly voice: VoiceTrackCounters;
  /** Undefined unless remote control is on. */
  readonly control: RemoteControlCounters | undefined;
}

/** Reads the counters of a publisher's parts. */
export function statsOf(parts: PublisherParts, sessions: number): PublisherStats {
  const { clock, audioTrack, deadlines, uplink, listeners, controls, renderer, sendQueue } = parts;
  const now = clock();
  const { groups, bytes, rewinds, clipped } = audioTrack.counters;
  const playhead = deadlines.presumed(now);
  const frontier = toTime(audioTrack.cursor);
  return {
    connected: uplink.connected,
    sessions,
    listeners: listeners.listeners,
    groups,
    bytes,
    epoch: audioTrack.epoch,
    sequence: audioTrack.lastSequence,
    frontierUs: frontier,
    playheadUs: playhead,
    leadMs: (frontier - playhead) / 1000,
    rewinds,
    controlEpoch: controls.controlEpoch,
    controlEvents: controls.ended,
    queued: renderer.speeches.queued,
    voiceActivity: renderer.voiceActivity,
    denoisedHops: renderer.guard.denoisedHops,
    denoiseCostUs: renderer.guard.meanCost,
    bleedMs: renderer.guard.bleedMs,
    underruns: renderer.underruns,
    clippedSamples: clipped,
    sendQueue: sendQueue.counters,
    skips: sendQueue.skips,
    reportsDropped: parts.events.dropped,
    inFlightBytes: sendQueue.inFlight(now),
    transportMs: listeners.lead.transport(now) / 1000,
    video: parts.video?.counters,
    voice: parts.voice.counters,
    control: parts.remote?.counters,
  };
}
