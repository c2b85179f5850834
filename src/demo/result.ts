import type { PublisherStats } from "../../publisher/index.js";
import type { ListenerStats } from "../../watch/index.js";
import { heardScore } from "../heard.js";
import { alignedScore, levelDb } from "../score.js";
import { RECORDING, readWhole } from "./recording.js";

/** Result of a demo run. */
export interface DemoResult {
  readonly groupsPublished: number;
  readonly groupsReceived: number;
  readonly playedMs: number;
  readonly underruns: number;
  readonly discontinuities: number;
  readonly staleMs: number;
  readonly bleedMs: number;
  /** Level of everything heard, in dBFS. */
  readonly levelDb: number;
  /** Milliseconds from the start of the demo to the first audio. */
  readonly firstAudioMs: number | undefined;
  /** High-pass-fair SI-SDR of the heard audio against the clean recording. */
  readonly heardSiSdrDb: number | undefined;
  /** The same of the noisy input. */
  readonly inputSiSdrDb: number;
  /**
   * Whether denoised speech was really heard: not silence, nothing stale, and closer to the clean recording than the
   * input. The raw recording sent through Opus scores below the input.
   */
  readonly ok: boolean;
}

/** Input of a result. */
export interface DemoRun {
  readonly listener: ListenerStats;
  readonly publisher: PublisherStats;
  /** Audio that the listener heard, by media time. */
  readonly heard: Float32Array;
  readonly firstAudioMs: number | undefined;
}

/** Judges a run by its listener's audio. */
export async function judge({ listener, publisher, heard, firstAudioMs }: DemoRun): Promise<DemoResult> {
  const [clean, noisy] = await Promise.all([readWhole(RECORDING.clean), readWhole(RECORDING.noisy)]);
  const level = levelDb(heard);
  const inputSiSdrDb = alignedScore(clean, noisy, 0);
  const heardSiSdrDb = heard.length >= 48_000 ? heardScore(clean, heard) : undefined;
  return {
    groupsPublished: publisher.groups,
    groupsReceived: listener.receivedFrames,
    playedMs: Math.round(listener.playedMs),
    underruns: listener.underruns,
    discontinuities: listener.discontinuities,
    staleMs: listener.staleMs,
    bleedMs: publisher.bleedMs,
    levelDb: round(level),
    firstAudioMs: firstAudioMs === undefined ? undefined : Math.round(firstAudioMs),
    heardSiSdrDb: heardSiSdrDb === undefined ? undefined : round(heardSiSdrDb),
    inputSiSdrDb: round(inputSiSdrDb),
    ok: heardSiSdrDb !== undefined && heardSiSdrDb > inputSiSdrDb && level > -50 && listener.staleMs === 0,
  };
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
