import { EventEmitter } from "node:events";
import type { Server } from "node:http";
import { attachLogger, background, guard, guardHandlers, StateError } from "../base/index.js";
import {
  type Backend,
  type Certificate,
  Certificates,
  createCertificate,
  type Session,
  type SessionServer,
} from "../transport/index.js";
import { Admission } from "./admission/admission.js";
import type { Scope } from "./admission/scope.js";
import { SitePolicy } from "./admission/site-policy.js";
import type { Broadcast } from "./broadcast/broadcast.js";
import { closeHttp, portOf } from "./edge/http-endpoint.js";
import { RelayEndpoint } from "./edge/relay-endpoint.js";
import { Upstream } from "./edge/upstream.js";
import type { UpstreamReports } from "./edge/upstream-reports.js";
import { createEnvironment, type RelayEnvironment } from "./environment.js";
import { relayMetrics } from "./ops/metrics.js";
import { listenOps } from "./ops/ops.js";
import { type CheckedRelayOptions, checkOptions, type RelayAblation, type RelayOptions } from "./options.js";
import { RelaySession } from "./session/relay-session.js";
import { collectStats, describeBroadcasts, type RelayListener, type RelayStats, reportingListeners } from "./stats.js";
import { Code } from "./wire/code.js";

const SWEEP_MS = 100;
const PROTOCOLS = ["moq-lite-05", "moq-lite-04", "moq-lite-03", "moql"] as const;
/** How often a draining relay checks whether all sessions have left. */
const DRAIN_MS = 50;

/** The events of a {@link Relay}. */
export interface RelayEvents {
  /**
   * The session to the upstream relay failed to open or was lost. The relay keeps trying, except after
   * `UPSTREAM_IS_SELF`: the upstream leads back to this relay. With the code `INVALID_KEY`: the keys for tokens could not
   * be read again, so those read last stay valid.
   */
  problem: [Error];
}

/** A relay: accepts sessions over QUIC and WebSocket, and fans publishers' media out to listeners. */
export class Relay extends EventEmitter<RelayEvents> {
  /** Resolves when the relay has closed: with null, or with the error of closing it. Never rejects. */
  readonly closed: Promise<Error | null>;
  readonly #options: CheckedRelayOptions;
  readonly #environment: RelayEnvironment;
  readonly #sites: SitePolicy;
  readonly #admission: Admission;
  readonly #sessions = new Set<RelaySession>();
  readonly #cleanups: (() => void)[] = [];
  #certificate: Certificate | undefined;
  #opening = false;
  #endpoint: RelayEndpoint | undefined;
  #ops: Server | undefined;
  #opsPort: number | undefined;
  #upstream: Upstream | undefined;
  #sessionNumber = 0;
  #closing: Promise<void> | undefined;
  #settleClosed!: (error: Error | null) => void;

  /**
   * @throws InputError `INVALID_OPTION`, which names the option.
   */
  constructor(options: RelayOptions = {}, /** @internal */ ablation: RelayAblation = {}) {
    super();
    guardHandlers(this);
    this.#options = checkOptions(options);
    const { host, allowedHosts, allowedOrigins, auth, logger, signal } = this.#options;
    this.#environment = createEnvironment(this.#options, ablation);
    this.#sites = new SitePolicy({ host, allowedHosts, allowedOrigins });
    this.#admission = new Admission({ auth, sites: this.#sites, environment: this.#environment, log: logger });
    this.#admission.on("problem", (error) => this.emit("problem", error));
    this.closed = new Promise((resolve) => {
      this.#settleClosed = resolve;
    });
    if (options.logger) this.#cleanups.push(attachLogger(logger));
    if (signal) {
      const close = (): void => void this.close();
      signal.addEventListener("abort", close, { once: true });
      this.#cleanups.push(() => signal.removeEventListener("abort", close));
    }
  }

  /**
   * Its address.
   *
   * @throws StateError `NOT_LISTENING` before {@link listen}.
   */
  get address(): { readonly host: string; readonly port: number } {
    if (this.#endpoint === undefined) throw new StateError("NOT_LISTENING", "The relay does not listen yet.");
    return this.#endpoint.address;
  }

  /** The operations port, if any. */
  get opsPort(): number | undefined {
    return this.#opsPort;
  }

  /** SHA-256 of its certificate in hex, for clients to pin; empty before {@link listen}. */
  get fingerprint(): string {
    return this.#endpoint?.fingerprint ?? "";
  }

  /** Carriers of its sessions: QUIC is missing where its binding is not installed or does not load. */
  get backends(): readonly Backend[] {
    return this.#endpoint?.servers.map(({ backend }) => backend) ?? [];
  }

  /** Why QUIC is missing. */
  get quicFailure(): Error | undefined {
    return this.#endpoint?.quicFailure;
  }

  /**
   * Starts to listen.
   *
   * @throws TransportError `PORT_IN_USE`, `LISTEN_FAILED`, and errors of the carriers.
   * @throws InputError `INVALID_HOST`, `INVALID_KEY`, `CERTIFICATE_UNUSABLE`.
   * @throws StateError `ALREADY_LISTENING`, or `CLOSED` after `close()`; the reason of an aborted `signal`.
   */
  async listen(): Promise<{ readonly host: string; readonly port: number }> {
    this.#assertOpen();
    if (this.#opening || this.#endpoint !== undefined)
      throw new StateError("ALREADY_LISTENING", "listen() was called before.");
    this.#opening = true;
    try {
      await this.#admission.prepare();
      const certificate = await this.#firstCertificate();
      const endpoint = await this.#openEndpoint(certificate);
      this.#endpoint = endpoint;
      await this.#openOps(endpoint.address.port);
      this.#assertOpen();
      for (const server of endpoint.servers) background("relay.accept", this.#accept(server));
      this.#followCertificates(certificate);
      this.#followUpstream();
      this.#watch();
      this.#options.logger.info({ ...endpoint.address }, "The relay listens.");
      return endpoint.address;
    } catch (error) {
      await this.#closePorts();
      if (this.#closing === undefined) this.#endpoint = undefined;
      throw error;
    } finally {
      this.#opening = false;
    }
  }

  /**
   * Replaces the certificate of `/certificate.sha256`, HTTPS and QUIC at once. WebSocket sessions stay. QUIC sessions
   * end and return to the same port, because the QUIC binding reads a certificate only when it binds. Resolves when
   * QUIC listens again.
   *
   * @throws InputError `CERTIFICATE_UNUSABLE`; the relay keeps the previous certificate.
   * @throws StateError `CLOSED` after `close()`.
   */
  async setCertificate(certificate: Certificate): Promise<void> {
    this.#assertOpen();
    this.#certificate = certificate;
    if (this.#endpoint === undefined) return;
    await this.#endpoint.setCertificate(certificate);
    this.#options.logger.info({ fingerprint: this.#endpoint.fingerprint }, "The certificate was replaced.");
  }

  /** Current state, and counters since the start. */
  stats(): RelayStats {
    return collectStats(this.#environment, {
      pendingBytes: [...this.#sessions].map(({ pendingBytes }) => pendingBytes),
      connections: this.#endpoint?.connections ?? 0,
    });
  }

  /** The listeners that report, by broadcast. */
  reportingListeners(): RelayListener[] {
    return reportingListeners(this.#environment.origin);
  }

  /**
   * Accepts no new sessions, asks every peer to leave where its version can (GOAWAY), and closes when all have left or
   * after `deadlineMs`. For use on SIGTERM.
   */
  async drain(deadlineMs = 10_000): Promise<void> {
    this.#admission.draining = true;
    this.#upstream?.close();
    this.#options.logger.info({ sessions: this.#sessions.size, deadlineMs }, "The relay drains.");
    for (const session of this.#sessions) session.goaway();
    const deadline = performance.now() + deadlineMs;
    while (this.#sessions.size > 0 && performance.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, Math.min(DRAIN_MS, deadlineMs)));
    await this.close();
  }

  /** Ends all sessions and frees the ports; idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    try {
      for (const cleanup of this.#cleanups.splice(0)) cleanup();
      this.#upstream?.close();
      for (const session of this.#sessions) session.close(Code.CLOSED, "The relay is shutting down.");
      await this.#closePorts();
      this.#settleClosed(null);
    } catch (error) {
      this.#settleClosed(error instanceof Error ? error : new Error(String(error)));
      throw error;
    }
  }

  async #closePorts(): Promise<void> {
    await this.#endpoint?.close();
    if (this.#ops) await closeHttp(this.#ops);
  }

  #assertOpen(): void {
    this.#options.signal?.throwIfAborted();
    if (this.#closing) throw new StateError("CLOSED", "The relay was used after close().");
  }

  async #firstCertificate(): Promise<Certificate> {
    const { certificate, host } = this.#options;
    const given = certificate instanceof Certificates ? certificate.current : certificate;
    return this.#certificate ?? given ?? (await createCertificate([host]));
  }

  #openEndpoint(certificate: Certificate): Promise<RelayEndpoint> {
    const { host, port, handler, limits, logger } = this.#options;
    const { counters } = this.#environment;
    const sites = this.#sites;
    return RelayEndpoint.open(certificate, {
      ...{ host, port, handler, limits, sites, counters, log: logger },
      protocols: PROTOCOLS,
    });
  }

  async #openOps(relayPort: number): Promise<void> {
    const { opsPort, allowedHosts } = this.#options;
    if (opsPort === undefined) return;
    this.#ops = await listenOps(opsPort, {
      metrics: relayMetrics(() => this.stats()),
      ready: () => !this.#admission.draining && this.#closing === undefined,
      broadcasts: () => describeBroadcasts(this.#environment.origin),
      counters: this.#environment.counters.connectionsRefused,
      allowedHosts,
      relayPort,
    });
    this.#opsPort = portOf(this.#ops);
  }

  #followCertificates(first: Certificate): void {
    const { certificate: certificates, logger } = this.#options;
    if (!(certificates instanceof Certificates)) return;
    const rotated = (next: Certificate): void => {
      this.setCertificate(next).catch((error: unknown) => {
        logger.warn({ error: String(error) }, "The new certificate could not be used.");
      });
    };
    certificates.on("rotate", rotated);
    this.#cleanups.push(() => certificates.off("rotate", rotated));
    // One that arrived while the ports were opened.
    if (certificates.current !== first) rotated(certificates.current);
  }

  #followUpstream(): void {
    const { upstream, logger } = this.#options;
    if (upstream === undefined) return;
    // A SETUP decides the last one, which a client cannot offer beside the others.
    const protocols = PROTOCOLS.slice(0, 3);
    this.#upstream = new Upstream(upstream, { environment: this.#environment, protocols, log: logger });
    this.#upstream.on("problem", (error) => this.emit("problem", error));
    // The upstream publishes everything to us; from us it gets our listeners' reports.
    this.#upstream.on("session", (session, reports) => {
      background("relay.upstream", this.#serve(session, { root: "", put: [""], get: [""] }, reports));
    });
  }

  #watch(): void {
    const ticker = setInterval(
      guard("relay.sweep", () => this.#sweep()),
      SWEEP_MS,
    );
    this.#cleanups.push(() => clearInterval(ticker));
  }

  #sweep(): void {
    const { origin } = this.#environment;
    // Each in its own call, so that a failure does not affect the others.
    for (const broadcast of origin.broadcasts) sweep(broadcast);
    origin.sweep();
    this.#upstream?.sweep();
    for (const session of this.#sessions) sweepSession(session, Date.now());
  }

  async #accept(server: SessionServer): Promise<void> {
    for (let request = await server.accept(); request; request = await server.accept()) {
      const taking = this.#admission.admit(request).then(async (admitted) => {
        if (admitted) await this.#serve(admitted.session, admitted.scope).finally(admitted.release);
      });
      taking.catch((error: unknown) => {
        this.#options.logger.debug({ error: String(error) }, "A session was not established.");
      });
    }
  }

  async #serve(session: Session, scope: Scope, reports?: UpstreamReports): Promise<void> {
    const id = `${reports ? "upstream" : session.backend}-${++this.#sessionNumber}`;
    const served = new RelaySession({
      ...{ id, session, scope, environment: this.#environment },
      ...(reports && { upstreamReports: reports }),
      log: this.#options.logger.child({ connection: id }),
    });
    this.#sessions.add(served);
    try {
      await served.run();
    } finally {
      this.#sessions.delete(served);
    }
  }
}

const sweep = guard("relay.broadcast", (broadcast: Broadcast) => broadcast.sweep());
const sweepSession = guard("relay.session", (session: RelaySession, now: number) => session.sweep(now));
