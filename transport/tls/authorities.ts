import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tls, { type ConnectionOptions, rootCertificates, type TLSSocket } from "node:tls";
import { isMainThread } from "node:worker_threads";
import { readBoundedFile, whyUnusable } from "../../base/bytes/bounded-file.js";
import { TransportError } from "../../base/index.js";

const PEM_CERTIFICATE = /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----/;
const AUTHORITIES_FILE = "ca.pem";
/** More than all authorities of a system take. */
export const MAX_AUTHORITIES_BYTES = 16 << 20;

/**
 * The certificate authorities to trust, as PEM, or undefined for each carrier's own: those of the caller, else those
 * of the environment. Node reads `NODE_EXTRA_CA_CERTS` and the QUIC binding `SSL_CERT_FILE`; here both count for both,
 * so that all carriers trust the same authorities.
 *
 * @throws TransportError `CA_UNUSABLE` where `SSL_CERT_FILE` cannot be read or holds no certificate.
 */
export function authorities(ca: string | undefined): string | undefined {
  if (ca !== undefined) return ca;
  const { NODE_EXTRA_CA_CERTS, SSL_CERT_FILE } = process.env;
  const extra = NODE_EXTRA_CA_CERTS ? readExtra(NODE_EXTRA_CA_CERTS) : undefined;
  const instead = SSL_CERT_FILE ? readInstead(SSL_CERT_FILE) : undefined;
  if (extra === undefined && instead === undefined) return undefined;
  return [instead ?? rootCertificates.join("\n"), extra ?? ""].join("\n");
}

/**
 * Calls `make` while `SSL_CERT_FILE` names only these authorities: the binding reads that file each time it creates a
 * client.
 *
 * @throws TransportError `NATIVE_UNAVAILABLE` in a worker thread, whose environment is a copy, `CA_UNUSABLE` where no
 * temporary file can be written.
 */
export function withAuthorities<T>(pem: string, make: () => T): T {
  if (!isMainThread)
    throw new TransportError("NATIVE_UNAVAILABLE", "QUIC takes authorities of one's own on the main thread alone.");
  const before = { SSL_CERT_FILE: process.env.SSL_CERT_FILE, SSL_CERT_DIR: process.env.SSL_CERT_DIR };
  const folder = temporaryFolder(pem);
  try {
    process.env.SSL_CERT_FILE = join(folder, AUTHORITIES_FILE);
    delete process.env.SSL_CERT_DIR;
    return make();
  } finally {
    for (const [name, value] of Object.entries(before)) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A fresh folder with the authorities in a file. */
function temporaryFolder(pem: string): string {
  let folder: string | undefined;
  try {
    folder = mkdtempSync(join(tmpdir(), "unsay-ca-"));
    writeFileSync(join(folder, AUTHORITIES_FILE), pem, { mode: 0o600 });
    return folder;
  } catch (cause) {
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
    const why = `The temporary folder ${tmpdir()} takes no file with the certificate authorities for QUIC`;
    throw new TransportError("CA_UNUSABLE", `${why}: ${whyUnusable(cause)}.`, { cause });
  }
}

/**
 * Calls `open` while TLS connections of this thread trust only these authorities: `http2.connect` connects at once
 * through `tls.connect`, but a library that calls it may not accept `ca`.
 */
export function withTlsAuthorities<T>(ca: string | undefined, open: () => T): T {
  if (ca === undefined) return open();
  const { connect } = tls;
  const trusting = (port: number, host: string, options: ConnectionOptions): TLSSocket =>
    connect(port, host, { ...options, ca });
  Object.assign(tls, { connect: trusting });
  try {
    return open();
  } finally {
    Object.assign(tls, { connect });
  }
}

function read(path: string): string {
  return readBoundedFile(path, MAX_AUTHORITIES_BYTES).toString("utf8");
}

/** Node starts without the file as well, with a warning. */
function readExtra(path: string): string | undefined {
  try {
    return read(path);
  } catch {
    return undefined;
  }
}

/** The binding would trust no authority at all, or wait for ever in a file that is a pipe. */
function readInstead(path: string): string {
  const unusable = (why: string, cause?: unknown): TransportError =>
    new TransportError("CA_UNUSABLE", `SSL_CERT_FILE is ${path}, which ${why}.`, { cause });
  let text: string;
  try {
    text = read(path);
  } catch (cause) {
    throw unusable(`cannot be read: ${whyUnusable(cause)}`, cause);
  }
  if (!PEM_CERTIFICATE.test(text)) throw unusable("holds no PEM certificate");
  return text;
}
