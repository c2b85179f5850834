/** Running totals of a {@link RemoteControl}. */
export interface RemoteControlCounters {
  /** Controllers that are present. */
  readonly controllers: number;
  /** Requests taken, and repeated requests. */
  readonly requests: number;
  readonly repeats: number;
  /** Requests that ended, by outcome. */
  readonly applied: number;
  readonly superseded: number;
  readonly failed: number;
  /** Controllers above the limit, or without a valid name. */
  readonly refusedControllers: number;
  /** Requests that were unreadable, or above the rate limit. */
  readonly malformed: number;
  readonly tooFast: number;
  /** Payloads in transfer. */
  readonly payloads: number;
  readonly payloadBytes: number;
}

/** Counts {@link RemoteControlCounters}, except for the controllers that are present. */
export class Counts {
  requests = 0;
  repeats = 0;
  applied = 0;
  superseded = 0;
  failed = 0;
  refusedControllers = 0;
  malformed = 0;
  tooFast = 0;
  payloads = 0;
  payloadBytes = 0;
}
