import { createHash, randomUUID } from "node:crypto";
import { existsSync, lstatSync, readFileSync, realpathSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { whyUnusable } from "../../base/bytes/bounded-file.js";
import { logForProcess, TransportError } from "../../base/index.js";
import { makeFolder } from "../tls/make-folder.js";
import { isOutOfReach } from "../tls/trusted-file.js";
import { userFolder } from "../tls/user-folder.js";
import { patchSharedObject } from "./native-patch.js";

/** One stream's writing half in the native binding. Calls run on another thread, in no order unless awaited. */
export interface NativeSendStream {
  write(data: Uint8Array): Promise<void>;
  finish(): Promise<void>;
  reset(code: number): Promise<void>;
  setPriority(priority: number): Promise<void>;
}

/** One stream's reading half in the native binding. */
export interface NativeReceiveStream {
  read(maxSize: number): Promise<Uint8Array | null>;
  stop(code: number): Promise<void>;
}

/** Both halves of a stream in the native binding; each can be taken once. */
export interface NativeBidirectionalStream {
  takeSend(): NativeSendStream;
  takeRecv(): NativeReceiveStream;
}

/** A WebTransport session in the native binding. */
export interface NativeSession {
  readonly protocol: string | null;
  acceptUni(): Promise<NativeReceiveStream>;
  acceptBi(): Promise<NativeBidirectionalStream>;
  openUni(): Promise<NativeSendStream>;
  openBi(): Promise<NativeBidirectionalStream>;
  sendDatagram(data: Uint8Array): void;
  recvDatagram(): Promise<Uint8Array>;
  maxDatagramSize(): number;
  close(code: number, reason: string): void;
  closed(): Promise<{ closeCode: number; reason: string }>;
}

/** A CONNECT request in the native binding. */
export interface NativeRequest {
  readonly url: Promise<string>;
  ok(): Promise<NativeSession>;
  reject(status: number): Promise<void>;
}

/** A bound UDP socket in the native binding. `close` deadlocks while an `accept` is pending. */
export interface NativeServer {
  accept(): Promise<NativeRequest | null>;
  close(): void;
}

/** A client endpoint with its own UDP socket in the native binding. */
export interface NativeClient {
  connect(url: string, options?: { protocols?: string[] } | null): Promise<NativeSession>;
}

/** Exports of the native binding. */
export interface NativeBinding {
  readonly NapiClient: {
    withSystemRoots(): NativeClient;
    disableVerify(): NativeClient;
    withCertificateHashes(hashes: Uint8Array[]): NativeClient;
  };
  readonly NapiServer: { bind(address: string, certificate: Uint8Array, key: Uint8Array): NativeServer };
}

/** Location of the native binding, for {@link loadNative}. */
export interface NativeOptions {
  /** Logs in one sentence that a patched copy is used. Default: the loggers of this process. */
  readonly log?: (message: string) => void;
  /** Folder for the patched copy. Default: `unsay` in `XDG_CACHE_HOME`, or in `~/.cache`. */
  readonly cacheDirectory?: string;
  /** The C library's version such as "2.36"; undefined where it is not glibc. Default: this process's. */
  readonly glibc?: string | undefined;
  /** The published shared object. Default: the one of the installed package for this platform. */
  readonly file?: string;
}

const require = createRequire(import.meta.url);

const PACKAGES: Readonly<Record<string, string>> = {
  "darwin-arm64": "darwin-arm64",
  "darwin-x64": "darwin-x64",
  "linux-arm64": "linux-arm64-gnu",
  "linux-x64": "linux-x64-gnu",
  "win32-x64": "win32-x64-msvc",
};

/**
 * Hash of the published @moq/web-transport 0.1.4 build for linux-x64, and of the copy that {@link patchSharedObject}
 * makes.
 */
const PUBLISHED_SHA256 = "6953b1d57f2887cd74885cb3c2d13c314899baaa0513b6069c65c4b3b3b5bcf4";
const PATCHED_SHA256 = "d8c3a09c3726593202179755f897639041105734552a83803ef6c0a313633550";
const NEEDED_GLIBC = [2, 38] as const;

let loaded: NativeBinding | undefined;

/**
 * Loads the QUIC binding of `@moq/web-transport`, once per process.
 *
 * Where the C library is older than the published build needs (glibc 2.38), it loads a patched copy from a private
 * cache folder instead; see {@link prepareNative}.
 *
 * Throws a {@link TransportError}: `NATIVE_UNAVAILABLE` where no build exists or it does not load, `NATIVE_REFUSED`
 * where the build or the cache fails its checks.
 */
export function loadNative(options: NativeOptions = {}): NativeBinding {
  if (loaded) return loaded;
  const file = prepareNative(options);
  try {
    loaded = require(file) as NativeBinding;
  } catch (cause) {
    throw new TransportError(
      "NATIVE_UNAVAILABLE",
      `The QUIC binding ${file} does not load here: ${whyUnusable(cause)}.`,
      {
        cause,
      },
    );
  }
  return loaded;
}

/**
 * Returns the path of a shared object that loads here: the published one, or a patched copy of it.
 *
 * The copy is created only on linux-x64 with a glibc older than 2.38, only from the build pinned by SHA-256, in a
 * folder that only this user can enter and no other user can replace. Its own hash is checked before every use.
 */
export function prepareNative(options: NativeOptions = {}): string {
  const file = options.file ?? publishedFile();
  const glibc = "glibc" in options ? options.glibc : runtimeGlibc();
  if (process.platform !== "linux" || glibc === undefined || !isOlder(glibc)) return file;
  if (process.arch !== "x64") {
    throw new TransportError(
      "NATIVE_UNAVAILABLE",
      `QUIC needs glibc 2.38 on ${process.arch}; this machine has ${glibc}.`,
    );
  }

  const directory = privateDirectory(options);
  const copy = join(directory, `web-transport-${PATCHED_SHA256.slice(0, 16)}.node`);
  if (readHash(copy) !== PATCHED_SHA256) {
    const published = readFileSync(file);
    if (sha256(published) !== PUBLISHED_SHA256) {
      throw new TransportError(
        "NATIVE_REFUSED",
        `${file} is not the build of @moq/web-transport 0.1.4 that this version knows how to adapt to glibc ${glibc}.`,
      );
    }
    const patched = patchSharedObject(published);
    const temporary = `${copy}.${process.pid}.${randomUUID()}`;
    try {
      writeFileSync(temporary, patched, { mode: 0o600, flag: "wx" });
      renameSync(temporary, copy);
    } finally {
      rmSync(temporary, { force: true });
    }
    if (readHash(copy) !== PATCHED_SHA256) {
      throw new TransportError("NATIVE_REFUSED", `The adapted QUIC binding ${copy} has not the expected SHA-256.`);
    }
  }
  const notice = options.log ?? logForProcess;
  notice(`QUIC uses a copy of its native binding adapted to glibc ${glibc}, kept at ${copy}.`);
  return copy;
}

function publishedFile(): string {
  const suffix = PACKAGES[`${process.platform}-${process.arch}`];
  if (!suffix) {
    throw new TransportError(
      "NATIVE_UNAVAILABLE",
      `@moq/web-transport has no QUIC binding for ${process.platform} on ${process.arch}.`,
    );
  }
  // The package holds the builds of all platforms beside its scripts. The ones that npm fetches per platform are the
  // same files, but `npm install --omit=optional` omits them.
  let file: string;
  try {
    file = join(dirname(require.resolve("@moq/web-transport")), "..", `web-transport.${suffix}.node`);
  } catch (cause) {
    throw notInstalled(cause);
  }
  if (!existsSync(file)) throw notInstalled(undefined);
  return file;
}

function notInstalled(cause: unknown): TransportError {
  const message = "The package @moq/web-transport 0.1.4, which carries QUIC, is not installed.";
  return new TransportError("NATIVE_UNAVAILABLE", message, { cause });
}

function runtimeGlibc(): string | undefined {
  // Typed loosely by Node; without excludeNetwork the report resolves the names of all open sockets.
  const report = process.report as typeof process.report & { excludeNetwork?: boolean };
  const before = report.excludeNetwork;
  report.excludeNetwork = true;
  const { header } = report.getReport() as { header?: { glibcVersionRuntime?: string } };
  if (before !== undefined) report.excludeNetwork = before;
  return header?.glibcVersionRuntime;
}

function isOlder(glibc: string): boolean {
  const [major = 0, minor = 0] = glibc.split(".").map(Number);
  return major < NEEDED_GLIBC[0] || (major === NEEDED_GLIBC[0] && minor < NEEDED_GLIBC[1]);
}

/**
 * A folder that only this user can enter and no other user can replace: in the user's cache, or, where others can reach
 * that or it cannot be created, in the system's folder for temporary files.
 */
function privateDirectory({ cacheDirectory }: NativeOptions): string {
  // An absolute path: `require` takes any other one for the name of a package.
  const places = [cacheDirectory ?? userFolder("cache"), join(tmpdir(), `unsay-${process.getuid?.()}`)].map((place) =>
    resolve(place),
  );
  const refusals = places.map((directory) => {
    try {
      // Where others can reach the surrounding folders, they can reach a new one there too.
      if (!isOutOfReach(existing(directory))) return `other users can replace ${directory}`;
      makeFolder(directory, 0o700);
      return undefined;
    } catch (cause) {
      return `${directory} cannot be made: ${whyUnusable(cause)}`;
    }
  });
  const directory = places.find((_, index) => refusals[index] === undefined);
  if (directory === undefined)
    throw new TransportError("NATIVE_REFUSED", `The QUIC binding has no private folder: ${refusals.join(", and ")}.`);
  assertPrivate(directory);
  return directory;
}

function assertPrivate(directory: string): void {
  const stat = lstatSync(directory);
  if (stat.isDirectory() && stat.uid === process.getuid?.() && (stat.mode & 0o077) === 0) return;
  throw new TransportError(
    "NATIVE_REFUSED",
    `The cache folder ${directory} must be a folder of this user that no one else can enter (mode 0700).`,
  );
}

/** The innermost existing folder of a path, without symbolic links. */
function existing(directory: string): string {
  for (let path = directory; ; path = dirname(path)) {
    try {
      return realpathSync(path);
    } catch {
      if (path === dirname(path)) return path;
    }
  }
}

function readHash(file: string): string | undefined {
  try {
    return lstatSync(file).isFile() ? sha256(readFileSync(file)) : undefined;
  } catch {
    return undefined;
  }
}

function sha256(data: Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}
