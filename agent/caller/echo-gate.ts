/** The agent as its listeners hear it: a `Publisher`. */
export interface HeardAgent {
  /** Level of the loudest 10 ms that listeners played within the last `withinMs` milliseconds, in dBFS. */
  playedLevelDb(withinMs: number): number;
}

/** Options of {@link EchoGate}. */
export interface EchoGateOptions {
  readonly agent: HeardAgent | undefined;
  /** Level of the agent's echo in the caller's audio, relative to the agent, in decibels. */
  readonly echoDb: number;
  /** In dBFS. */
  readonly minLevelDb: number;
}

/**
 * An echo arrives late by the room (up to 200 ms), the way up (encoder, link, jitter buffer) and the age of the report
 * that the playhead is projected from.
 */
const LATE_MS = 600;
/** A room's echo of speech exceeds its mean loudness by this much for tens of milliseconds, in decibels. */
const MARGIN_DB = 4;

/** The level that a caller's voice must reach so that it can't be the agent's echo. */
export class EchoGate {
  readonly #options: EchoGateOptions;

  constructor(options: EchoGateOptions) {
    this.#options = options;
  }

  /** In dBFS, now. */
  get minDb(): number {
    const { agent, echoDb, minLevelDb } = this.#options;
    if (agent === undefined) return minLevelDb;
    return Math.max(minLevelDb, agent.playedLevelDb(LATE_MS) + echoDb + MARGIN_DB);
  }
}
