import { randomUUID, X509Certificate } from "node:crypto";
import { EventEmitter } from "node:events";
import { unwatchFile, watchFile } from "node:fs";
import { chmod, rename, writeFile } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import { z } from "zod";
import { whyUnusable } from "../../base/bytes/bounded-file.js";
import { InputError, validate } from "../../base/index.js";
import { type Certificate, certificateHash, createCertificate } from "./certificate.js";
import { makeFolder } from "./make-folder.js";
import { pairOf } from "./pem-pair.js";
import { assertTrustedFolder, readTrusted } from "./trusted-file.js";

/** How long before its expiry a self-signed certificate is replaced. */
const RENEW_MS = 2 * 86_400_000;
/** How often to check the age of a self-signed certificate, or the files of a given one. */
const CHECK_MS = 3_600_000;
const WATCH_MS = 2_000;

/** Options of {@link loadOrCreateCertificate}. */
export interface OwnCertificateOptions {
  /** Folder for `certificate.pem` and `key.pem`; created with mode 0700 when missing. */
  readonly directory: string;
  /** Host names and addresses besides `localhost`, `127.0.0.1` and `::1`. */
  readonly hosts?: readonly string[];
  /** Milliseconds since 1970. Default `Date.now`. */
  readonly now?: () => number;
}

/** Options of {@link loadCertificate}. */
export interface GivenCertificateOptions {
  /** Path of the PEM chain. */
  readonly cert: string;
  /** Path of the PEM private key. */
  readonly key: string;
}

const path = z.string().min(1);
const ownSchema = z.strictObject({
  directory: path,
  hosts: z.array(z.string().min(1)).optional(),
  now: z.custom<() => number>((value) => typeof value === "function", "be a function").optional(),
});
const givenSchema = z.strictObject({ cert: path, key: path });

/** A server's certificate, which is replaced over time. */
export class Certificates extends EventEmitter<{ rotate: [Certificate]; error: [Error] }> {
  #current: Certificate;
  #stop: () => void;

  /** @internal */
  constructor(
    current: Certificate,
    start: (replace: (next: Certificate) => void, fail: (error: Error) => void) => () => void,
  ) {
    super();
    this.#current = current;
    this.#stop = start(
      (next) => {
        if (next.cert === this.#current.cert && next.key === this.#current.key) return;
        this.#current = next;
        this.emit("rotate", next);
      },
      (error) => {
        // Without a listener an "error" event would end the process; the current certificate still works.
        if (this.listenerCount("error") > 0) this.emit("error", error);
      },
    );
  }

  /** The current certificate; a "rotate" event reports a replacement. */
  get current(): Certificate {
    return this.#current;
  }

  /** SHA-256 of the certificate in lower-case hex, which clients pin and `/certificate.sha256` serves. */
  get sha256(): string {
    return certificateHash(this.#current.cert);
  }

  /** When the certificate expires, in milliseconds since 1970. */
  get expiresAt(): number {
    return expiry(this.#current);
  }

  /** Stops checking for newer ones; idempotent. */
  close(): void {
    this.#stop();
  }
}

/**
 * Loads the self-signed certificate stored in a folder, or creates one: ECDSA P-256, 13 days, as browsers require of a
 * certificate pinned by hash. Only its owner can read the key's file. It is replaced two days before its expiry.
 *
 * @throws InputError `CERTIFICATE_UNUSABLE` when the folder is unusable.
 */
export async function loadOrCreateCertificate(options: OwnCertificateOptions): Promise<Certificates> {
  validate("loadOrCreateCertificate", ownSchema, options);
  const { directory, hosts = [], now = Date.now } = options;
  const paths = { cert: join(directory, "certificate.pem"), key: join(directory, "key.pem") };
  const fresh = async (): Promise<Certificate> => {
    // A key that another user put there is not secret.
    const kept = await readPair(paths).catch(() => undefined);
    if (kept && expiry(kept) - now() > RENEW_MS && names(kept, hosts)) return kept;
    const made = await createCertificate(hosts, now());
    try {
      makeFolder(directory, 0o700);
      await assertTrustedFolder(directory);
      await replace(paths.key, made.key, 0o600);
      await replace(paths.cert, made.cert, 0o644);
    } catch (cause) {
      if (cause instanceof InputError) throw cause;
      throw new InputError(
        "CERTIFICATE_UNUSABLE",
        `The folder ${directory} cannot keep a certificate: ${whyUnusable(cause)}.`,
        {
          cause,
        },
      );
    }
    return made;
  };
  return new Certificates(await fresh(), (next, fail) => {
    const timer = setInterval(() => fresh().then(next, fail), CHECK_MS);
    timer.unref();
    return () => clearInterval(timer);
  });
}

/**
 * Loads a certificate and its key from files, and again whenever they change. While a changed pair is unusable, such
 * as half written, the previous one stays and an "error" event reports the reason.
 *
 * @throws InputError `CERTIFICATE_UNUSABLE` when the files are not a certificate and its key.
 */
export async function loadCertificate(options: GivenCertificateOptions): Promise<Certificates> {
  validate("loadCertificate", givenSchema, options);
  return new Certificates(await readPair(options), (next, fail) => {
    const reload = () => void readPair(options).then(next, fail);
    const paths = [options.cert, options.key];
    for (const path of paths) watchFile(path, { interval: WATCH_MS, persistent: false }, reload);
    return () => {
      for (const path of paths) unwatchFile(path, reload);
    };
  });
}

async function readPair(paths: GivenCertificateOptions): Promise<Certificate> {
  const [cert, key] = await Promise.all([readPem(paths.cert, "certificate"), readPem(paths.key, "key")]);
  return pairOf({ path: paths.cert, text: cert }, { path: paths.key, text: key });
}

async function readPem(path: string, what: string): Promise<string> {
  try {
    return await readTrusted(path);
  } catch (cause) {
    if (cause instanceof InputError) throw cause;
    throw new InputError("CERTIFICATE_UNUSABLE", `The ${what} ${path} cannot be read: ${whyUnusable(cause)}.`, {
      cause,
    });
  }
}

async function replace(path: string, content: string, mode: number): Promise<void> {
  // In two containers two processes with one folder may have the same id.
  const temporary = `${path}.${randomUUID()}`;
  await writeFile(temporary, content, { mode });
  // An older file of that name would have kept its mode.
  await chmod(temporary, mode);
  await rename(temporary, path);
}

function names(certificate: Certificate, hosts: readonly string[]): boolean {
  const parsed = new X509Certificate(certificate.cert);
  return hosts.every((host) => (isIP(host) === 0 ? parsed.checkHost(host) : parsed.checkIP(host)) !== undefined);
}

function expiry(certificate: Certificate): number {
  return Date.parse(new X509Certificate(certificate.cert).validTo);
}
