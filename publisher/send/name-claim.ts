import { type Connection, Path } from "@kixelated/moq";
import { background, sleep, TransportError } from "../../base/index.js";

/**
 * How long another publisher's broadcast must exist: while a session replaces a broken one, the relay still shows the
 * old broadcast for a moment.
 */
const SETTLED_MS = 1000;

/** Options of {@link NameClaim}. */
export interface NameClaimOptions {
  readonly connection: Connection.Established;
  /** Path of the broadcast that this session publishes. */
  readonly path: string;
  /** Gets each change: whether another publisher has the name. */
  readonly events: { push(change: { readonly kind: "displaced"; readonly displaced: boolean }): void };
}

/** The problem of a publisher that is not heard any more: some end then, others wait until the name is theirs again. */
export function nameTaken(broadcast: string): TransportError {
  return new TransportError(
    "NAME_TAKEN",
    `Another publisher has taken the name ${broadcast} at the relay and is heard instead of this one.`,
  );
}

/**
 * Detects another publisher under this session's path. A relay never announces a session's broadcast to that session,
 * so an announcement of the same path means another publisher.
 */
export class NameClaim {
  readonly #options: NameClaimOptions;
  readonly #announcements: ReturnType<Connection.Established["announced"]>;
  #settling = new AbortController();
  #displaced = false;
  #closed = false;

  constructor(options: NameClaimOptions) {
    this.#options = options;
    this.#announcements = options.connection.announced(Path.from(options.path));
    this.#follow().catch(() => {});
  }

  /** Stops watching; idempotent. */
  close(): void {
    this.#closed = true;
    this.#settling.abort();
    this.#announcements.close();
  }

  async #follow(): Promise<void> {
    for (let next = await this.#announcements.next(); next; next = await this.#announcements.next()) {
      if (this.#closed) return;
      // Broadcasts below the path are reports and controllers.
      if (String(next.path) !== "") continue;
      this.#settling.abort();
      this.#settling = new AbortController();
      if (next.active) background("publisher.name", this.#settle(this.#settling.signal));
      else this.#change(false);
    }
  }

  async #settle(signal: AbortSignal): Promise<void> {
    await sleep(SETTLED_MS, signal);
    if (!signal.aborted) this.#change(true);
  }

  #change(displaced: boolean): void {
    if (displaced === this.#displaced) return;
    this.#displaced = displaced;
    this.#options.events.push({ kind: "displaced", displaced });
  }
}
