import { type Connection, Path } from "@kixelated/moq";
import { guard } from "../../base/index.js";
import type { UplinkEvents } from "./uplink-events.js";

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
  readonly events: UplinkEvents;
}

/**
 * Detects another publisher under this session's path. A relay never announces a session's broadcast to that session,
 * so an announcement of the same path means another publisher.
 */
export class NameClaim {
  readonly #options: NameClaimOptions;
  readonly #announcements: ReturnType<Connection.Established["announced"]>;
  #timer: NodeJS.Timeout | undefined;
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
    clearTimeout(this.#timer);
    this.#announcements.close();
  }

  async #follow(): Promise<void> {
    for (let next = await this.#announcements.next(); next; next = await this.#announcements.next()) {
      if (this.#closed) return;
      // Broadcasts below the path are reports and controllers.
      if (String(next.path) !== "") continue;
      clearTimeout(this.#timer);
      if (next.active)
        this.#timer = setTimeout(
          guard("publisher.name", () => this.#change(true)),
          SETTLED_MS,
        );
      else this.#change(false);
    }
  }

  #change(displaced: boolean): void {
    if (displaced === this.#displaced) return;
    this.#displaced = displaced;
    this.#options.events.push({ kind: "displaced", displaced });
  }
}
