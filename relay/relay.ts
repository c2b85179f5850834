import { randomBytes } from "node:crypto";
import { EventEmitter } from "node:events";
import type { IncomingMessage, RequestListener, Server, ServerResponse } from "node:http";
import { createSecureContext } from "node:tls";
import { z } from "zod";
import {
  attachLogger,
  guard,
  InputError,
  microseconds,
  monotonicClock,
  onFault,
  StateError,
  TransportError,
  toMilliseconds,
} from "../base/index.js";
import { RewindClassifier } from "../container/index.js";
import {
  type Backend,
  type Certificate,
  Certificates,
  type ConnectOptions,
  certificateHash,
  createCertificate,
  listen,
  Reconnector,
  reach,
  type Session,
  type SessionRequest,
  type SessionServer,
} from "../transport/index.js";
import type { Broadcast, BroadcastEnvironment } from "./broadcast/broadcast.js";
import { ByteBudget } from "./broadcast/byte-budget.js";
import { Origin } from "./broadcast/origin.js";
import { CacheBudget } from "./broadcast/track-cache.js";
import { UpstreamReports } from "./broadcast/upstream-reports.js";
import { isLogger, type Logger, SILENT } from "./ops/log.js";
import { relayMetrics } from "./ops/metrics.js";
import { listenOps } from "./ops/ops.js";
import { limitsSchema, type RelayLimits } from "./options.js";
import { RelayCounters } from "./relay-counters.js";
import { Auth, type AuthOptions, rootOf } from "./session/auth.js";
import { closeHttp, type HttpEndpoint, listenHttp, portOf } from "./session/http-endpoint.js";
import { RelaySession } from "./session/relay-session.js";
import type { Scope } from "./session/scope.js";
import { SitePolicy } from "./session/site-policy.js";
import type { RelayListener, RelayStats } from "./stats.js";
import { BurstSmoother } from "./watcher/burst-smoother.js";
import { Code } from "./wire/code.js";

const SWEEP_MS = 100;
const PROTOCOLS = ["moq-lite-05", "moq-lite-04", "moq-lite-03", "moql"] as const;

const UPSTREAM_IS_SELF = "UPSTREAM_IS_SELF";
/** The query parameter by which a relay recognises its own session to its upstream. */
const DIALLED_BY = "unsay-relay";

/** What clients read that are refused for no fault of theirs; they try again. */
const REFUSALS = {
  draining: { status: 503, code: "UNAVAILABLE", message: "The relay is shutting down." },
  full: { status: 503, code: "UNAVAILABLE", message: "The relay has no room for another session." },
  address: { status: 429, code: "UNAVAILABLE", message: "The relay has no room for another session of this address." },
  self: { status: 508, code: UPSTREAM_IS_SELF, message: "The upstream of the relay is the relay itself." },
  keyless: { status: 503, code: "UNAVAILABLE", message: "The relay can not check tokens now." },
} as const;

/** Where an edge takes its broadcasts from. */
export interface UpstreamOptions extends Pick<ConnectOptions, "certificateHashes" | "insecure" | "backends" | "ca"> {
  /** The other relay, with a token as `?jwt=` where it wants one. */
  readonly url: string;
}

/** Options for {@link Relay}. */
export interface RelayOptions {
  /** Address to listen on. Default `127.0.0.1`. */
  readonly host?: string;
  /** Port for QUIC (UDP) and for HTTP and WebSocket (TCP); 0 picks a free one. Default 4443. */
  readonly port?: number;
  /**
   * What the relay proves its identity with; `Certificates` are followed as they rotate, and stay the caller's to
   * close. Default: a self-signed certificate made for this run.
   */
  readonly certificate?: Certificate | Certificates;
  /** Applies the rewind rule to what the relay holds. Off only as the control of a measurement. Default true. */
  readonly takeBack?: boolean;
  /** Projects listeners' playheads by how old their reports are. Off only as the control of a measurement. Default true. */
  readonly estimateStaleness?: boolean;
  /** Reads reports and sends aggregates. Off only as a stand-in for a stock relay, which drops both. Default true. */
  readonly reports?: boolean;
  /**
   * Repeats every datagram once, one object later, for players that report: `auto` to those whose path loses some and is
   * not full. Default `auto`.
   */
  readonly repeat?: boolean | "auto";
  /** Answers HTTP requests other than `/certificate.sha256`. */
  readonly handler?: RequestListener;
  /** Who may do what. Default: everybody everything. */
  readonly auth?: AuthOptions;
  /**
   * Host names that the relay answers to beside its address. Default: on loopback the names of loopback alone, so that no
   * web page reaches it by DNS rebinding; elsewhere all.
   */
  readonly allowedHosts?: readonly string[];
  /**
   * Origins of web pages that may connect, such as `https://app.example`; `*` for all. Default: at loopback and private
   * addresses pages of such addresses alone; elsewhere all. Clients that are no browsers are not affected.
   */
  readonly allowedOrigins?: readonly string[];
  /** Another relay, ours or a stock one, whose broadcasts are served here too: this one is its edge. */
  readonly upstream?: UpstreamOptions;
  /** Port on loopback for `/metrics`, `/health`, `/ready` and `/broadcasts`; 0 picks a free one. Default: none. */
  readonly opsPort?: number;
  /** Caps that differ from their defaults. */
  readonly limits?: Partial<RelayLimits>;
  /** Where log lines go. Default: nowhere. */
  readonly logger?: Logger;
}

const originSchema = z
  .string()
  .refine((value) => value === "*" || (URL.canParse(value) && new URL(value).origin === value), {
    error: "it must be an origin such as https://app.example, or *",
  });

const optionsSchema = z.strictObject({
  host: z.string().min(1).default("127.0.0.1"),
  port: z.number().int().min(0).max(65_535).default(4443),
  certificate: z
    .union([z.instanceof(Certificates), z.strictObject({ cert: z.string(), key: z.string() })], {
      error: "it must be { cert, key } as PEM text, or Certificates",
    })
    .optional(),
  takeBack: z.boolean().default(true),
  estimateStaleness: z.boolean().default(true),
  reports: z.boolean().default(true),
  repeat: z.union([z.boolean(), z.literal("auto")]).default("auto"),
  handler: z.custom<RequestListener>((value) => typeof value === "function").optional(),
  auth: z
    .strictObject({
      keys: z.string().min(1).optional(),
      public: z.strictObject({ put: z.array(z.string()).optional(), get: z.array(z.string()).optional() }).optional(),
    })
    .optional(),
  allowedHosts: z.array(z.string().trim().min(1, "an entry is empty")).optional(),
  allowedOrigins: z.array(originSchema).optional(),
  upstream: z
    .strictObject({
      url: z.url(),
      certificateHashes: z.array(z.instanceof(Uint8Array)).optional(),
      insecure: z.boolean().optional(),
      ca: z.string().min(1).optional(),
      backends: z.array(z.enum(["quic", "qmux", "http2"])).optional(),
    })
    .optional(),
  opsPort: z.number().int().min(0).max(65_535).optional(),
  limits: limitsSchema.prefault({}),
  logger: z.custom<Logger>(isLogger, "it must have the methods debug, info, warn and child").default(SILENT),
});

/** The `events` of a {@link Relay}. */
export interface RelayEvents {
  /**
   * The session to the upstream relay could not be made or was lost. The relay goes on trying, except after
   * `UPSTREAM_IS_SELF`: the upstream leads back to this relay.
   */
  problem: [Error];
}

/** A relay: takes sessions over QUIC and WebSocket and fans what is published on them out to who watches. */
export class Relay {
  /** What happens to it beside its sessions. */
  readonly events = new EventEmitter<RelayEvents>();
  readonly #options: z.infer<typeof optionsSchema>;
  readonly #counters = new RelayCounters();
  readonly #budget: CacheBudget;
  readonly #partial: ByteBudget;
  readonly #smoother = new BurstSmoother();
  readonly #detachLogger: () => void;
  readonly #origin: Origin;
  readonly #environment: BroadcastEnvironment;
  readonly #auth: Auth | undefined;
  readonly #sites: SitePolicy;
  readonly #connections = new Set<RelaySession>();
  readonly #addresses = new Map<string, number>();
  // 53 bits: older clients read the id as a number.
  readonly #hopId = (randomBytes(8).readBigUInt64BE() & 0x1fffffffffffffn) | 1n;
  #servers: SessionServer[] = [];
  #door: HttpEndpoint | undefined;
  #certificate: Certificate | undefined;
  #rotation: Promise<void> = Promise.resolve();
  readonly #rotated = (next: Certificate): void => {
    this.setCertificate(next).catch((error: unknown) => {
      this.#options.logger.warn({ error: String(error) }, "The new certificate could not be used.");
    });
  };
  #ops: Server | undefined;
  #upstream: Reconnector | undefined;
  #feedback: UpstreamReports | undefined;
  #draining = false;
  #address: { host: string; port: number } | undefined;
  #fingerprint = "";
  #ticker: NodeJS.Timeout | undefined;
  #stopFaults: (() => void) | undefined;
  #sessionNumber = 0;
  #pendingSessions = 0;
  #closing: Promise<void> | undefined;

  /** Throws an `InputError` (`INVALID_OPTION`) that names the field. */
  constructor(options: RelayOptions = {}) {
    const parsed = optionsSchema.safeParse(options);
    if (!parsed.success) {
      const issue = parsed.error.issues[0];
      throw new InputError("INVALID_OPTION", `options.${issue?.path.join(".")}: ${issue?.message}.`);
    }
    this.#options = parsed.data;
    this.#detachLogger = options.logger ? attachLogger(options.logger) : () => {};
    const { limits, takeBack, auth } = this.#options;
    this.#auth = auth && new Auth(auth as AuthOptions);
    this.#sites = new SitePolicy(this.#options);
    this.#budget = new CacheBudget(limits.cacheBytes, { onEvict: () => this.#counters.cacheFull.relay++ });
    this.#partial = new ByteBudget(limits.partialBytes);
    this.#origin = new Origin({ maxBroadcasts: limits.broadcasts, counters: this.#counters });
    this.#environment = {
      clock: monotonicClock,
      counters: this.#counters,
      budget: this.#budget,
      limits,
      partial: this.#partial,
      estimateStaleness: this.#options.estimateStaleness,
      classifier: takeBack ? () => new RewindClassifier() : undefined,
    };
  }

  /** Where it listens; throws a `StateError` (`NOT_LISTENING`) before {@link listen}. */
  get address(): { readonly host: string; readonly port: number } {
    if (this.#address === undefined) throw new StateError("NOT_LISTENING", "The relay does not listen yet.");
    return this.#address;
  }

  /** The operations port, when there is one. */
  get opsPort(): number | undefined {
    return this.#ops && portOf(this.#ops);
  }

  /** SHA-256 of its certificate in hex, as clients pin it. */
  get fingerprint(): string {
    return this.#fingerprint;
  }

  /** What carries the sessions it takes: QUIC is missing where its binding is not installed or does not load. */
  get backends(): readonly Backend[] {
    return this.#servers.map(({ backend }) => backend);
  }

  /** Starts to listen. Throws a `TransportError` (`PORT_IN_USE`, `LISTEN_FAILED` and what the backends throw). */
  async listen(): Promise<{ readonly host: string; readonly port: number }> {
    if (this.#address !== undefined || this.#closing)
      throw new StateError("ALREADY_LISTENING", "listen() was called before.");
    const { host, port, logger } = this.#options;
    await this.#auth?.prepare();
    const given = this.#options.certificate;
    const certificate =
      this.#certificate ?? (given instanceof Certificates ? given.current : given) ?? (await createCertificate([host]));
    this.#fingerprint = fingerprintOf(certificate);
    this.#certificate = certificate;
    // A port that is free in TCP may be taken in UDP, so a picked one may need another try.
    for (let attempt = 0; ; attempt++) {
      const door = await listenHttp({
        host,
        port,
        certificate,
        handler: (request, response) => this.#answer(request, response),
        limits: this.#options.limits,
        counters: this.#counters.connectionsRefused,
      });
      const http = door.server;
      const bound = portOf(http);
      try {
        const quic = await this.#listenQuic(bound, certificate);
        this.#door = door;
        this.#address = { host, port: bound };
        this.#servers = [
          ...quic,
          await listen({ backend: "qmux", host, port: bound, httpServer: http, protocols: [...PROTOCOLS] }),
        ];
        break;
      } catch (error) {
        await closeHttp(http);
        const busy = error instanceof TransportError && error.code === "PORT_IN_USE";
        if (!busy || port !== 0 || attempt >= 4) throw error;
      }
    }
    if (this.#options.opsPort !== undefined) {
      this.#ops = await listenOps(this.#options.opsPort, {
        metrics: relayMetrics(() => this.stats()),
        ready: () => !this.#draining && this.#closing === undefined,
        broadcasts: () => this.#describe(),
        allowedHosts: this.#options.allowedHosts,
      });
    }
    for (const server of this.#servers) void this.#accept(server);
    if (given instanceof Certificates) {
      given.on("rotate", this.#rotated);
      // One that came while the ports were opened.
      if (given.current !== certificate) this.#rotated(given.current);
    }
    if (this.#options.upstream) this.#follow(this.#options.upstream as UpstreamOptions);
    this.#ticker = setInterval(
      guard("relay.sweep", () => this.#sweep()),
      SWEEP_MS,
    );
    this.#stopFaults = onFault(({ handler, error, count }) =>
      logger.warn({ handler, error: String(error), count }, "A handler failed; the relay goes on."),
    );
    logger.info({ ...this.#address, takeBack: this.#options.takeBack }, "The relay listens.");
    return this.#address;
  }

  /**
   * Replaces the certificate of everything at once: what `/certificate.sha256` tells, HTTPS and QUIC. WebSocket sessions
   * go on; QUIC sessions end, because the QUIC binding takes a certificate only when it binds, and come back to the same
   * port. Resolves when QUIC listens again. Throws an `InputError` (`CERTIFICATE_UNUSABLE`) and keeps the one before.
   */
  async setCertificate(certificate: Certificate): Promise<void> {
    const fingerprint = fingerprintOf(certificate);
    this.#certificate = certificate;
    if (this.#address === undefined || this.#closing) return;
    // Before the sessions end, because their clients ask for the new hash at once.
    this.#fingerprint = fingerprint;
    this.#door?.setCertificate(certificate);
    this.#rotation = this.#rotation.then(() => this.#rebind(certificate));
    await this.#rotation;
    this.#options.logger.info({ fingerprint }, "The certificate was replaced.");
  }

  /** What it is doing now, and what it counted since its start. */
  stats(): RelayStats {
    let tracks = 0;
    let watchers = 0;
    let listeners = 0;
    let queuedBytes = 0;
    let queuedGroups = 0;
    for (const broadcast of this.#origin.broadcasts) {
      listeners += broadcast.listeners;
      for (const track of broadcast.tracks.values()) {
        tracks++;
        watchers += track.watchers.size;
        for (const watcher of track.watchers) {
          queuedBytes += watcher.queuedBytes;
          queuedGroups += watcher.queuedGroups;
        }
      }
    }
    return {
      sessions: this.#connections.size,
      broadcasts: this.#origin.size,
      displaced: this.#origin.displaced,
      tracks,
      watchers,
      listeners,
      connections: this.#door?.connections ?? 0,
      cachedBytes: this.#budget.usedBytes,
      partialBytes: this.#partial.usedBytes,
      pendingBytes: [...this.#connections].reduce((sum, { pendingBytes }) => sum + pendingBytes, 0),
      queuedBytes,
      queuedGroups,
      counters: structuredClone({ ...this.#counters, datagramsDropped: this.#smoother.dropped }),
    };
  }

  /** Who listens and reports, by broadcast. */
  listeners(): RelayListener[] {
    const now = monotonicClock();
    return [...this.#origin.broadcasts].flatMap(({ path, reporting }) =>
      [...reporting].map(([, state]) => ({
        broadcast: path,
        stalenessMs: toMilliseconds(state.latest?.staleness ?? microseconds(0)),
        playheadUs: state.playheadAt(now) ?? 0,
        playing: state.playing,
      })),
    );
  }

  /**
   * Shuts down with care: takes no new sessions, asks every peer to leave where its version can (GOAWAY), closes when
   * all have left or after `deadlineMs`. For use on SIGTERM.
   */
  async drain(deadlineMs = 10_000): Promise<void> {
    this.#draining = true;
    this.#upstream?.close();
    this.#options.logger.info({ sessions: this.#connections.size, deadlineMs }, "The relay drains.");
    for (const connection of this.#connections) connection.goaway();
    const deadline = performance.now() + deadlineMs;
    while (this.#connections.size > 0 && performance.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, Math.min(50, deadlineMs)));
    await this.close();
  }

  /** Ends all sessions and lets go of the ports; idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  // `npm install --omit=optional` leaves the binding of QUIC out as well.
  async #listenQuic(port: number, certificate: Certificate): Promise<SessionServer[]> {
    const { host, logger } = this.#options;
    try {
      return [await listen({ backend: "quic", host, port, certificate, protocols: [...PROTOCOLS] })];
    } catch (error) {
      if (!(error instanceof TransportError) || error.code !== "NATIVE_UNAVAILABLE") throw error;
      logger.warn({ error: error.message }, "The relay listens without QUIC: sessions come over WebSocket alone.");
      return [];
    }
  }

  // A port that lingers with the system for a moment must not cost the relay its QUIC side.
  async #rebind(certificate: Certificate): Promise<void> {
    for (const server of this.#servers) {
      for (let waitMs = 100; !this.#closing && certificate === this.#certificate; waitMs = Math.min(2 * waitMs, 5000)) {
        try {
          await server.setCertificate?.(certificate);
          break;
        } catch (error) {
          this.#options.logger.warn({ error: String(error), waitMs }, "QUIC can not listen again; trying again.");
          await new Promise((resolve) => setTimeout(resolve, waitMs));
        }
      }
    }
  }

  async #close(): Promise<void> {
    clearInterval(this.#ticker);
    this.#stopFaults?.();
    if (this.#options.certificate instanceof Certificates) this.#options.certificate.off("rotate", this.#rotated);
    this.#upstream?.close();
    for (const connection of this.#connections) connection.close(Code.CLOSED, "The relay is shutting down.");
    await this.#rotation;
    await Promise.all(this.#servers.map((server) => server.close()));
    if (this.#door) await closeHttp(this.#door.server);
    if (this.#ops) await closeHttp(this.#ops);
    this.#detachLogger();
  }

  #describe(): unknown {
    return [...this.#origin.broadcasts].map(({ path, source, hops, listeners, tracks }) => ({
      path,
      source: source.id,
      hops: hops.map(String),
      listeners,
      tracks: [...tracks.values()].map((track) => ({
        name: track.name,
        watchers: track.watchers.size,
        subscribed: track.subscribed,
        newestGroup: track.lastSequence,
        cachedGroups: track.cache?.groups.length ?? 0,
        cachedBytes: track.cache?.bytes ?? 0,
      })),
    }));
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { host, origin } = request.headers;
    const refusal = this.#sites.refuse({ host, origin });
    if (refusal) {
      this.#counters.sessionsRefused.site++;
      response.writeHead(refusal.status, { "content-type": "text/plain; charset=utf-8" });
      response.end(`${refusal.code}: ${refusal.message}\n`);
      return;
    }
    const path = request.url?.split("?", 1)[0];
    if (path === "/certificate.sha256" && (request.method === "GET" || request.method === "HEAD")) {
      // Without the hash no page gets a session over QUIC, where the binding does not show its origin.
      response.writeHead(200, {
        "content-type": "text/plain",
        ...(origin !== undefined && { "access-control-allow-origin": origin, vary: "Origin" }),
      });
      response.end(request.method === "GET" ? this.#fingerprint : undefined);
      return;
    }
    const { handler } = this.#options;
    if (handler) return void handler(request, response);
    response.writeHead(404, { "content-type": "text/plain" });
    response.end("Not found.\n");
  }

  async #accept(server: SessionServer): Promise<void> {
    for (;;) {
      const request = await server.accept();
      if (request === undefined) return;
      void this.#take(request).catch((error: unknown) => {
        this.#options.logger.debug({ error: String(error) }, "A session was not established.");
      });
    }
  }

  async #take(request: SessionRequest): Promise<void> {
    const { limits } = this.#options;
    const address = request.remoteAddress;
    const refusal = this.#sites.refuse({ host: request.url.host, origin: request.origin });
    if (refusal) {
      this.#counters.sessionsRefused.site++;
      this.#options.logger.info({ code: refusal.code, reason: refusal.message, address }, "A session was refused.");
      return request.reject(refusal);
    }
    if (this.#draining) return request.reject(REFUSALS.draining);
    if (request.url.searchParams.get(DIALLED_BY) === String(this.#hopId)) return request.reject(REFUSALS.self);
    if (this.#connections.size + this.#pendingSessions >= limits.sessions) {
      this.#counters.sessionsRefused.limit++;
      return request.reject(REFUSALS.full);
    }
    if (address !== undefined && (this.#addresses.get(address) ?? 0) >= limits.sessionsPerAddress) {
      this.#counters.sessionsRefused.address++;
      return request.reject(REFUSALS.address);
    }
    // Before anything is waited for, so that a burst does not pass before it is counted.
    this.#count(address, 1);
    try {
      const admitted = await this.#admit(request);
      if (admitted) await this.#serve(admitted.session, admitted.scope);
    } finally {
      this.#count(address, -1);
    }
  }

  async #admit(request: SessionRequest): Promise<{ session: Session; scope: Scope } | undefined> {
    this.#pendingSessions++;
    let scope: Scope = { root: rootOf(request.url), put: [""], get: [""] };
    try {
      if (this.#auth) scope = await this.#auth.authorize(request.url);
      const session = await request.accept();
      this.#counters.sessionsAccepted++;
      return { session, scope };
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      this.#counters.sessionsRefused.unauthorized++;
      const { code, message } = error;
      this.#options.logger.info({ code, reason: message, address: request.remoteAddress }, "A session was refused.");
      // Keys that cannot be read are the relay's trouble, and pass.
      await request.reject(code === "UNAUTHORIZED" ? { status: 401, code, message } : REFUSALS.keyless);
      return undefined;
    } finally {
      this.#pendingSessions--;
    }
  }

  #count(address: string | undefined, change: 1 | -1): void {
    if (address === undefined) return;
    const sessions = (this.#addresses.get(address) ?? 0) + change;
    if (sessions > 0) this.#addresses.set(address, sessions);
    else this.#addresses.delete(address);
  }

  async #serve(session: Session, scope: Scope, feedback?: UpstreamReports): Promise<void> {
    const role = feedback === undefined ? "server" : "client";
    const id = `${role === "client" ? "upstream" : session.backend}-${++this.#sessionNumber}`;
    const send = (body: Uint8Array): void => {
      if (!session.datagrams?.send(body)) this.#counters.datagramsRefused++;
    };
    const connection = new RelaySession({
      id,
      session,
      role,
      scope,
      origin: this.#origin,
      ...(feedback !== undefined && { feedback }),
      environment: this.#environment,
      hopId: this.#hopId,
      repeat: this.#options.repeat,
      reports: this.#options.reports,
      sendDatagram: (body) => this.#smoother.send(body, send),
      log: this.#options.logger.child({ connection: id }),
    });
    this.#connections.add(connection);
    const stopExpiry = expire(connection, scope.expiresAt);
    try {
      await connection.run();
    } finally {
      stopExpiry();
      this.#connections.delete(connection);
    }
  }

  #follow({ url, ...options }: UpstreamOptions): void {
    const { logger } = this.#options;
    const upstream = new URL(url);
    upstream.searchParams.set(DIALLED_BY, String(this.#hopId));
    this.#upstream = new Reconnector({
      persistent: true,
      ...reach(upstream, { ...options, protocols: PROTOCOLS.slice(0, 3) }),
      // It publishes to us whatever it has; of ours it sees what our listeners report.
      onSession: (session) => {
        this.#feedback = new UpstreamReports(this.#environment);
        void this.#serve(session, { root: "", put: [""], get: [""] }, this.#feedback);
      },
      onRetry: (reason, waitMs) => {
        if (reason instanceof TransportError && reason.code === UPSTREAM_IS_SELF) this.#upstream?.close();
        logger.warn({ reason: reason?.message, waitMs }, "The upstream relay is gone.");
        if (reason) this.events.emit("problem", reason);
      },
    });
  }

  #sweep(): void {
    // Each by itself, so that one that fails keeps no other from its turn.
    for (const broadcast of this.#origin.broadcasts) sweep(broadcast);
    this.#origin.sweep();
    this.#feedback?.sweep();
  }
}

const sweep = guard("relay.broadcast", (broadcast: Broadcast) => broadcast.sweep());

function fingerprintOf({ cert, key }: Certificate): string {
  try {
    createSecureContext({ cert, key });
    return certificateHash(cert);
  } catch (cause) {
    throw new InputError("CERTIFICATE_UNUSABLE", "options.certificate is not a PEM certificate and its key.", {
      cause,
    });
  }
}

// A token's end is a session's end. Timers reach no further than 24 days, so far ends are looked at daily.
function expire(connection: RelaySession, expiresAt: number | undefined): () => void {
  if (expiresAt === undefined) return () => {};
  let timer: NodeJS.Timeout;
  const wait = (): void => {
    const left = expiresAt - Date.now();
    if (left <= 0) connection.close(Code.UNAUTHORIZED, "UNAUTHORIZED: The token has expired.");
    else timer = setTimeout(guard("relay.expiry", wait), Math.min(left, 86_400_000));
  };
  wait();
  return () => clearTimeout(timer);
}
