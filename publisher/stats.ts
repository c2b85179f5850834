import type { SkipCounters } from "../flow/congestion/index.js";
import type { RemoteControlCounters } from "./control/remote-control.js";
import type { PublisherParts } from "./parts.js";
import type { SendQueueCounters } from "./send/send-queue.js";
import { toTime } from "./tracks/position.js";
import type { VideoTrackCounters } from "./tracks/video-track.js";
import type { VoiceTrackCounters } from "./tracks/voice-track.js";

/** What a publisher is doing; all times in milliseconds unless said otherwise. */
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
  /** Latest playhead as reported or estimated, in microseconds. */
  readonly playheadUs: number;
  readonly leadMs: number;
  readonly rewinds: number;
  /** Climbs with every tick that made a change live. */
  readonly controlEpoch: number;
  /** Ends of control requests so far: one for each. */
  readonly controlEvents: number;
  readonly queued: number;
  /** Probability of speech now, 0 to 1. */
  readonly voiceActivity: number;
  /** Hops of 10 ms that went through the network. */
  readonly denoisedHops: number;
  /** Mean cost of denoising one hop, in microseconds. */
  readonly denoiseCostUs: number;
  /** Sound passed through undenoised because inference was too slow. */
  readonly bleedMs: number;
  /** Times the source was too slow and a hole was left. */
  readonly underruns: number;
  readonly clippedSamples: number;
  readonly sendQueue: SendQueueCounters;
  /** Groups that were never sent, by reason. */
  readonly skips: SkipCounters;
  /** Payload bytes sent and not yet acknowledged by the next hop. */
  readonly inFlightBytes: number;
  /** How much of the lead is there because audio landed late before. */
  readonly transportMs: number;
  /** Undefined without video. */
  readonly video: VideoTrackCounters | undefined;
  /** What was written of where somebody speaks. */
  readonly voice: VoiceTrackCounters;
  /** Undefined unless it takes control from afar. */
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
    inFlightBytes: sendQueue.inFlight(now),
    transportMs: listeners.lead.transport(now) / 1000,
    video: parts.video?.counters,
    voice: parts.voice.counters,
    control: parts.remote?.counters,
  };
}
