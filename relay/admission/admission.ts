import { EventEmitter } from "node:events";
import { InputError } from "../../base/index.js";
import type { Session, SessionRequest } from "../../transport/index.js";
import type { RelayEnvironment } from "../environment.js";
import type { Logger } from "../ops/log.js";
import { Auth, type AuthEvents, type AuthOptions, rootOf } from "./auth.js";
import type { Scope } from "./scope.js";
import type { SitePolicy } from "./site-policy.js";

/** Code of the refusal that ends an edge whose upstream leads back to itself. */
export const UPSTREAM_IS_SELF = "UPSTREAM_IS_SELF";
/** The query parameter by which a relay recognises its own session to its upstream. */
export const DIALLED_BY = "unsay-relay";

/** Refusals without a fault of the client, which tries again. */
const REFUSALS = {
  draining: { status: 503, code: "UNAVAILABLE", message: "The relay is shutting down." },
  full: { status: 503, code: "UNAVAILABLE", message: "The relay has no room for another session." },
  address: { status: 429, code: "UNAVAILABLE", message: "The relay has no room for another session of this address." },
  self: { status: 508, code: UPSTREAM_IS_SELF, message: "The upstream of the relay is the relay itself." },
  keyless: { status: 503, code: "UNAVAILABLE", message: "The relay cannot check tokens now." },
} as const;

/** Options for {@link Admission}. */
export interface AdmissionOptions {
  readonly auth: AuthOptions | undefined;
  readonly sites: SitePolicy;
  readonly environment: RelayEnvironment;
  readonly log: Logger;
}

/** An admitted session. */
export interface Admitted {
  readonly session: Session;
  readonly scope: Scope;
  /** Call it when the session is over. */
  release(): void;
}

/** Decides which sessions a relay admits: by web page, room, address and token. */
export class Admission extends EventEmitter<AuthEvents> {
  /** Refuses every session from now on. */
  draining = false;
  readonly #auth: Auth | undefined;
  readonly #options: AdmissionOptions;
  readonly #addresses = new Map<string, number>();
  #taken = 0;

  constructor(options: AdmissionOptions) {
    super();
    this.#options = options;
    this.#auth = options.auth && new Auth(options.auth);
    this.#auth?.on("problem", (error) => {
      options.log.warn({ reason: error.message }, "The keys for tokens cannot be read again.");
      this.emit("problem", error);
    });
  }

  /**
   * Reads the keys once, so that a bad source shows at the start.
   *
   * @throws InputError `INVALID_KEY`.
   */
  async prepare(): Promise<void> {
    await this.#auth?.prepare();
  }

  /** Admits a session, or refuses it and resolves with undefined. */
  async admit(request: SessionRequest): Promise<Admitted | undefined> {
    const { sites, environment, log } = this.#options;
    const { limits, counters, hopId } = environment;
    const address = request.remoteAddress;
    const refusal = sites.refuse({ host: request.url.host, origin: request.origin });
    if (refusal) {
      counters.sessionsRefused.site++;
      log.info({ code: refusal.code, reason: refusal.message, address }, "A session was refused.");
      return void (await request.reject(refusal));
    }
    if (this.draining) return void (await request.reject(REFUSALS.draining));
    if (request.url.searchParams.get(DIALLED_BY) === String(hopId)) return void (await request.reject(REFUSALS.self));
    if (this.#taken >= limits.sessions) {
      counters.sessionsRefused.limit++;
      return void (await request.reject(REFUSALS.full));
    }
    if (address !== undefined && (this.#addresses.get(address) ?? 0) >= limits.sessionsPerAddress) {
      counters.sessionsRefused.address++;
      return void (await request.reject(REFUSALS.address));
    }
    // Counted before any wait, so that a burst does not pass.
    this.#count(address, 1);
    const release = (): void => this.#count(address, -1);
    try {
      const admitted = await this.#authorize(request);
      if (admitted) return { ...admitted, release };
    } catch (error) {
      release();
      throw error;
    }
    release();
    return undefined;
  }

  async #authorize(request: SessionRequest): Promise<Omit<Admitted, "release"> | undefined> {
    const { environment, log } = this.#options;
    const { counters } = environment;
    try {
      const open: Scope = { root: rootOf(request.url), put: [""], get: [""] };
      const scope = this.#auth ? await this.#auth.authorize(request.url) : open;
      const session = await request.accept();
      counters.sessionsAccepted++;
      return { session, scope };
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      counters.sessionsRefused.unauthorized++;
      const { code, message } = error;
      log.info({ code, reason: message, address: request.remoteAddress }, "A session was refused.");
      // Unreadable keys are the relay's own fault, and temporary.
      await request.reject(code === "UNAUTHORIZED" ? { status: 401, code, message } : REFUSALS.keyless);
      return undefined;
    }
  }

  #count(address: string | undefined, change: 1 | -1): void {
    this.#taken += change;
    if (address === undefined) return;
    const sessions = (this.#addresses.get(address) ?? 0) + change;
    if (sessions > 0) this.#addresses.set(address, sessions);
    else this.#addresses.delete(address);
  }
}
