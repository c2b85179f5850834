import { EventEmitter } from "node:events";
import { background, TransportError } from "../../base/index.js";
import { Reconnector, reach, type Session } from "../../transport/index.js";
import { DIALLED_BY, UPSTREAM_IS_SELF } from "../admission/admission.js";
import type { RelayEnvironment } from "../environment.js";
import type { Logger } from "../ops/log.js";
import type { UpstreamOptions } from "../options.js";
import { UpstreamReports } from "./upstream-reports.js";

/** The events of {@link Upstream}. */
export interface UpstreamEvents {
  /** A session to the upstream relay, with the reports published to it. */
  session: [Session, UpstreamReports];
  /** The session failed to open or was lost. */
  problem: [Error];
}

/** Keeps a session to the upstream relay of this edge. */
export class Upstream extends EventEmitter<UpstreamEvents> {
  readonly #reconnector: Reconnector;
  #reports: UpstreamReports | undefined;

  constructor(
    { url, ...options }: UpstreamOptions,
    {
      environment,
      protocols,
      log,
    }: { readonly environment: RelayEnvironment; readonly protocols: readonly string[]; readonly log: Logger },
  ) {
    super();
    const upstream = new URL(url);
    upstream.searchParams.set(DIALLED_BY, String(environment.hopId));
    this.#reconnector = new Reconnector({
      persistent: true,
      ...reach(upstream, { ...options, protocols }),
      serve: (session) => {
        this.#reports = new UpstreamReports(environment);
        this.emit("session", session, this.#reports);
      },
    });
    background("relay.upstream", this.#followRetries(log));
    background(
      "relay.upstream",
      this.#reconnector.closed.then((reason) => {
        if (reason === undefined) return;
        log.warn({ reason: reason.message }, "The upstream relay is not tried again.");
        this.emit("problem", reason);
      }),
    );
  }

  /** Withdraws reports that no listener here sends any more; called ten times a second. */
  sweep(): void {
    this.#reports?.sweep();
  }

  /** Ends the session and stops reconnecting; idempotent. */
  close(): void {
    this.#reconnector.close();
  }

  async #followRetries(log: Logger): Promise<void> {
    for await (const { reason, isRepeated, waitMs } of this.#reconnector.retries) {
      if (reason instanceof TransportError && reason.code === UPSTREAM_IS_SELF) this.close();
      log.warn({ reason: reason?.message, waitMs }, "The upstream relay is gone.");
      if (reason && !isRepeated) this.emit("problem", reason);
    }
  }
}
