/** Running totals of a {@link RemoteControl}. */
export interface RemoteControlCounters {
  /** Controllers listened to now. */
  readonly controllers: number;
  /** Requests taken, and requests that came again. */
  readonly requests: number;
  readonly repeats: number;
  /** Requests that ended, by outcome. */
  readonly applied: number;
  readonly superseded: number;
  readonly failed: number;
  /** Controllers that were one too many or had no valid name. */
  readonly refusedControllers: number;
  /** Requests that could not be read, or came faster than they may. */
  readonly malformed: number;
  readonly tooFast: number;
  /** Payloads on their way now. */
  readonly payloads: number;
  readonly payloadBytes: number;
}

/** Counts what {@link RemoteControlCounters} tells, but for the controllers that are there. */
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
