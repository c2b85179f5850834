import type { Server } from "node:http";
import type { Server as SecureServer } from "node:https";
import { InputError } from "../base/index.js";
import type { NativeOptions } from "./quic/native.js";
import { listenQuic } from "./quic/quic.js";
import type { Backend, SessionServer } from "./session.js";
import { listenHttp2 } from "./tcp/http2.js";
import { listenQmux } from "./tcp/qmux.js";
import type { Certificate } from "./tls/certificate.js";

/** Options of {@link listen}. */
export interface ListenOptions {
  /** Carrier of the sessions. */
  readonly backend: Backend;
  /** Host name or address to bind to; unused by `qmux`. */
  readonly host: string;
  /** Port to bind to; 0 picks a free one. Unused by `qmux`. */
  readonly port: number;
  /** The server's certificate; required by every backend that listens by itself. */
  readonly certificate?: Certificate;
  /** Supported application protocols, in order of preference. Default: `moq-lite-05`. */
  readonly protocols?: readonly string[];
  /** For `qmux`: the listening HTTP or HTTPS server whose WebSocket upgrades become sessions. */
  readonly httpServer?: Server | SecureServer;
  /** For `quic`: whether `close` waits until any program can bind the port again. Default: unless `port` is 0. @internal */
  readonly freesPort?: boolean;
  /** Location of the QUIC binding. */
  readonly native?: NativeOptions;
}

/**
 * Listens for sessions on one backend.
 *
 * @throws InputError `INVALID_OPTION` on options that do not fit the backend; TransportError `PORT_IN_USE`,
 * `LISTEN_FAILED`, `NATIVE_UNAVAILABLE`, `NATIVE_REFUSED` when listening fails.
 */
export async function listen(options: ListenOptions): Promise<SessionServer> {
  const { backend, certificate, httpServer, ...rest } = options;
  switch (backend) {
    case "quic":
      return listenQuic({ ...rest, certificate: required(certificate, backend) });
    case "qmux":
      if (!httpServer) throw new InputError("INVALID_OPTION", "options.httpServer is needed by the qmux backend.");
      return listenQmux({ httpServer, ...(rest.protocols && { protocols: rest.protocols }) });
    case "http2":
      return listenHttp2({ ...rest, certificate: required(certificate, backend) });
    default:
      throw new InputError("INVALID_OPTION", `options.backend must be quic, qmux or http2, not ${String(backend)}.`);
  }
}

function required(certificate: Certificate | undefined, backend: Backend): Certificate {
  if (certificate) return certificate;
  throw new InputError("INVALID_OPTION", `options.certificate is needed to listen with the ${backend} backend.`);
}
