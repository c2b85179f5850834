import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { createSecureContext } from "node:tls";
import { InputError, TransportError } from "../../base/index.js";
import { type Certificate, certificateHash, listen, type SessionServer } from "../../transport/index.js";
import type { SitePolicy } from "../admission/site-policy.js";
import type { RelayLimits } from "../limits.js";
import type { Logger } from "../ops/log.js";
import type { RelayCounters } from "../relay-counters.js";
import { closeHttp, type HttpEndpoint, listenHttp, portOf } from "./http-endpoint.js";

/** Attempts to find a port that is free in both TCP and UDP. */
const PORT_ATTEMPTS = 5;
/** How soon, and how late at most, a QUIC side that could not bind tries again. */
const REBIND_MS = { first: 100, most: 5000 };

/** Options for {@link RelayEndpoint}. */
export interface RelayEndpointOptions {
  readonly host: string;
  readonly port: number;
  /** Protocols that sessions may speak, the preferred one first. */
  readonly protocols: readonly string[];
  readonly sites: SitePolicy;
  /** Answers requests other than `/certificate.sha256`. */
  readonly handler: RequestListener | undefined;
  readonly limits: RelayLimits;
  readonly counters: RelayCounters;
  readonly log: Logger;
}

/** One port number: QUIC on UDP, HTTP, HTTPS and WebSocket on TCP, all with one certificate. */
export class RelayEndpoint {
  readonly #options: RelayEndpointOptions;
  #http!: HttpEndpoint;
  #port = 0;
  #servers: readonly SessionServer[] = [];
  #certificate: Certificate;
  #fingerprint: string;
  #rotation: Promise<void> = Promise.resolve();
  #closed = false;
  #quicFailure: Error | undefined;

  private constructor(certificate: Certificate, options: RelayEndpointOptions) {
    this.#options = options;
    this.#certificate = certificate;
    this.#fingerprint = fingerprintOf(certificate);
  }

  /**
   * Listens.
   *
   * @throws TransportError `PORT_IN_USE`, `LISTEN_FAILED`; InputError `CERTIFICATE_UNUSABLE`.
   */
  static async open(certificate: Certificate, options: RelayEndpointOptions): Promise<RelayEndpoint> {
    const endpoint = new RelayEndpoint(certificate, options);
    for (let attempt = 1; ; attempt++) {
      try {
        await endpoint.#open();
        return endpoint;
      } catch (error) {
        const busy = error instanceof TransportError && error.code === "PORT_IN_USE";
        // A port that is free in TCP may be taken in UDP, so a picked one may need another try.
        if (!busy || options.port !== 0 || attempt >= PORT_ATTEMPTS) throw error;
      }
    }
  }

  /** Where it listens. */
  get address(): { readonly host: string; readonly port: number } {
    return { host: this.#options.host, port: this.#port };
  }

  /** One server for each carrier. */
  get servers(): readonly SessionServer[] {
    return this.#servers;
  }

  /** Why there is no server for QUIC. */
  get quicFailure(): Error | undefined {
    return this.#quicFailure;
  }

  /** TCP connections without a session. */
  get connections(): number {
    return this.#http.connections;
  }

  /** SHA-256 of the certificate in hex. */
  get fingerprint(): string {
    return this.#fingerprint;
  }

  /**
   * Replaces the certificate everywhere. Resolves when QUIC listens again, whose sessions end.
   *
   * @throws InputError `CERTIFICATE_UNUSABLE`; the previous one stays.
   */
  async setCertificate(certificate: Certificate): Promise<void> {
    // Before the sessions end, because their clients ask for the new hash at once.
    this.#fingerprint = fingerprintOf(certificate);
    this.#certificate = certificate;
    this.#http.setCertificate(certificate);
    this.#rotation = this.#rotation.then(() => this.#rebind(certificate));
    await this.#rotation;
  }

  /** Ends the sessions and frees the ports. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#rotation;
    await Promise.all(this.#servers.map((server) => server.close()));
    await closeHttp(this.#http.server);
  }

  async #open(): Promise<void> {
    const { host, port, protocols, limits, counters } = this.#options;
    this.#http = await listenHttp({
      host,
      port,
      certificate: this.#certificate,
      handler: (request, response) => this.#answer(request, response),
      limits,
      counters: counters.connectionsRefused,
    });
    const { server } = this.#http;
    const bound = { host, port: portOf(server), protocols, freesPort: port !== 0 };
    try {
      const quic = await this.#openQuic(bound);
      this.#port = bound.port;
      this.#servers = [...quic, await listen({ ...bound, backend: "qmux", httpServer: server })];
    } catch (error) {
      await closeHttp(server);
      throw error;
    }
  }

  async #openQuic(bound: Pick<RelayEndpointOptions, "host" | "port" | "protocols">): Promise<SessionServer[]> {
    try {
      return [await listen({ ...bound, backend: "quic", certificate: this.#certificate })];
    } catch (error) {
      if (!(error instanceof TransportError) || error.code !== "NATIVE_UNAVAILABLE") throw error;
      this.#quicFailure = error;
      this.#options.log.warn({ error: error.message }, "The relay listens without QUIC, over WebSocket alone.");
      return [];
    }
  }

  // A port that the system frees a moment too late must not cost the relay its QUIC side.
  async #rebind(certificate: Certificate): Promise<void> {
    for (const server of this.#servers) {
      let waitMs = REBIND_MS.first;
      while (!this.#closed && certificate === this.#certificate) {
        try {
          await server.setCertificate?.(certificate);
          break;
        } catch (error) {
          this.#options.log.warn({ error: String(error), waitMs }, "QUIC cannot listen again; trying again.");
          await new Promise((resolve) => setTimeout(resolve, waitMs));
          waitMs = Math.min(2 * waitMs, REBIND_MS.most);
        }
      }
    }
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { sites, counters, handler } = this.#options;
    const { host, origin } = request.headers;
    const refusal = sites.refuse({ host, origin });
    if (refusal) {
      counters.sessionsRefused.site++;
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
    if (handler) return void handler(request, response);
    response.writeHead(404, { "content-type": "text/plain" });
    response.end("Not found.\n");
  }
}

function fingerprintOf({ cert, key }: Certificate): string {
  try {
    createSecureContext({ cert, key });
    return certificateHash(cert);
  } catch (cause) {
    throw new InputError("CERTIFICATE_UNUSABLE", "Relay.certificate must be a PEM certificate and its key.", { cause });
  }
}
