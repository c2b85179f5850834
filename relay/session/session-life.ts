import type { Clock } from "../../base/index.js";
import { PathWatch, probe, type Session } from "../../transport/index.js";
import { encodeAnnounceRequest } from "../wire/announce.js";
import { hasRanges, type Version } from "../wire/version.js";

/** A prefix that no broadcast has. */
const NOTHING = ".unsay-probe";

/** Unanswered questions, each of which is a stream: a live peer answers any of them. */
const MAX_ASKED = 4;

/** Options of {@link SessionLife}. */
export interface SessionLifeOptions {
  /** Asks the peer for a sign of life; resolves with whether it gave one, rejects when it could not be asked. */
  readonly ask: () => Promise<boolean>;
  readonly clock: Clock;
}

/**
 * Whether a session has traffic, watched only while it matters: where another publisher of the same name waits, because
 * QUIC takes 30 s to notice a killed process.
 */
export class SessionLife {
  readonly #ask: () => Promise<boolean>;
  readonly #clock: Clock;
  #watch: PathWatch | undefined;
  #alive = true;
  #asked = 0;

  constructor({ ask, clock }: SessionLifeOptions) {
    this.#ask = ask;
    this.#clock = clock;
  }

  /** Data arrived. */
  heard(): void {
    this.#watch?.heard(this.#clock());
    this.#alive = true;
  }

  /** Whether data arrived lately; call it every `TICK_MS` as long as it matters. Asks a silent peer. */
  check(): boolean {
    const now = this.#clock();
    this.#watch ??= new PathWatch(now);
    const state = this.#watch.tick(now);
    if (state === "silent") this.#alive = false;
    if (state === "ask" && this.#asked < MAX_ASKED) void this.#question();
    return this.#alive;
  }

  async #question(): Promise<void> {
    this.#asked++;
    try {
      if (!(await this.#ask())) return;
      this.#watch?.answered(this.#clock());
      this.#alive = true;
    } catch {
      // The session takes no stream: it is full, or about to end.
    } finally {
      this.#asked--;
    }
  }
}

/** Asks a peer for a sign of life with a request that its version answers at once; see `probe`. */
export function askPeer(session: Session, version: Version): Promise<boolean> {
  if (hasRanges(version)) return probe(session);
  // Without PROBE, a request for a prefix without broadcasts is answered just as soon.
  return probe(session, encodeAnnounceRequest({ prefix: NOTHING, excludeHop: 0n }, version));
}
