import { type Connection, Path } from "@kixelated/moq";
import { guard } from "../../base/index.js";
import type { UplinkEvents } from "./uplink-events.js";

/**
 * How long another's broadcast must be there: while a session replaces one that broke, the relay still shows the broadcast
 * of the old one for a moment.
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
 * Watches whether the relay announces another publisher under a path that this session publishes: a relay never announces
 * a session's broadcast to that session, so an announcement of the very path is somebody else's.
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

  /** Ends it; idempotent. */
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
