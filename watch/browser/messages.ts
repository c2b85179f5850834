import type { Microseconds } from "../../base/index.js";
import type { PublisherTraits } from "../audio/broadcast-lag.js";
import type { ClockRewind } from "../audio/generations.js";
import type { AppliedRewind, MissedTime, PlayoutCounters, PlayoutRewind } from "../audio/playout.js";
import type { Provenance } from "../audio/sample-ring.js";

/** Name under which the audio worklet registers its processor. */
export const PROCESSOR = "unsay-playout";

/** Commands from the page to the worklet. */
export type WorkletCommand =
  | { readonly type: "arrive"; readonly timestamp: Microseconds; readonly begins: boolean }
  | { readonly type: "landed"; readonly timestamp: Microseconds; readonly copy: boolean }
  | { readonly type: "live"; readonly on: boolean }
  | { readonly type: "publisher"; readonly publisher: PublisherTraits }
  | { readonly type: "lost"; readonly frames: number }
  | {
      readonly type: "write";
      readonly timestamp: Microseconds;
      readonly samples: readonly Float32Array[];
      readonly provenance: Provenance;
    }
  | { readonly type: "rewind"; readonly rewind: PlayoutRewind }
  | { readonly type: "rewind-clock"; readonly rewind: ClockRewind }
  | { readonly type: "hold"; readonly on: boolean }
  | { readonly type: "close" };

/** Status of the worklet, sent about fifty times a second and at once after a rewind or a start. */
export interface WorkletStatus {
  /** Media time of the next sample; undefined without a timeline. */
  readonly playhead: Microseconds | undefined;
  /** See `Playout.heardUntil`. */
  readonly heardUntil: Microseconds | undefined;
  /** See `Playout.missed`. */
  readonly missed: MissedTime | undefined;
  /** See `PlaybackClock.earliest`. */
  readonly earliest: Microseconds | undefined;
  /** See `PlaybackClock.due` and `PlaybackClock.targetMs`. */
  readonly due: Microseconds | undefined;
  readonly targetMs: number;
  /** See `PlaybackClock.canWait`. */
  readonly canWait: boolean;
  /** See `PlaybackClock.patient`. */
  readonly patient: boolean;
  /** Whether the timeline has begun. */
  readonly started: boolean;
  /** Whether audio is audible, whether the playhead moves, and whether nothing is missing: see `Playout`. */
  readonly playing: boolean;
  readonly moving: boolean;
  readonly resting: boolean;
  /** Milliseconds of decoded audio at or after the playhead. */
  readonly bufferedMs: number;
  /** Sum of the squares of the samples since the last status, and their number. */
  readonly energy: number;
  readonly samples: number;
  /** Rewinds applied since the start, of audio and of video: a status with fewer than were sent is outdated. */
  readonly rewinds: number;
  /** The last rewind applied. */
  readonly applied: AppliedRewind | undefined;
  readonly counters: PlayoutCounters;
}
