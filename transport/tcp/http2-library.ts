import type { ClientHttp2Session, Http2SecureServer } from "node:http2";
import { setImmediate } from "node:timers/promises";
import { logForProcess, TransportError } from "../../base/index.js";

/** Line that the library for HTTP/2 prints where its optional package for HTTP/3 is missing. */
const LOADER = /^(?:Problem loading http3-quiche|Did you install @fails-components|http3 loader:)/;

/** As a variable, because the package's type declarations lack it. */
const LIBRARY: string = "@fails-components/webtransport";

export type Header = Readonly<Record<string, string | string[] | undefined>>;

export interface Answer {
  readonly status: number;
  readonly path: string;
  readonly userData?: { readonly id: string };
  readonly selectedProtocol?: string;
}

/** The used part of the library, whose own types do not fit the DOM's. */
interface Library {
  readonly WebTransport: LibraryClient;
  readonly HttpServer: new (options: Record<string, unknown>) => LibraryServer;
}

export type LibraryClient = new (
  url: string,
  options: Record<string, unknown>,
) => WebTransport & {
  protocol?: string;
  createClient(options: unknown): { readonly client: { readonly args: LibraryClientParts } };
};

interface LibraryClientParts {
  createReliableClient(client: unknown): {
    readonly clientInt?: ClientHttp2Session;
    createTransport(options: unknown): void;
  };
}

export interface LibraryTransport {
  readonly serverInt?: Http2SecureServer;
  /** Where HTTP/3 is available too. */
  readonly transportsInts?: ReadonlySet<LibraryTransport>;
}

export interface LibraryServer {
  readonly transportInt?: LibraryTransport;
  readonly ready: Promise<void>;
  readonly closed: Promise<void>;
  startServer(): void;
  stopServer(): void;
  updateCert(cert: string, key: string, http2Only: boolean): void;
  address(): { host: string; port: number } | null;
  setRequestCallback(callback: (request: { header: Header }) => Promise<Answer>): void;
  sessionStream(path: string, options: { noAutoPaths: boolean }): ReadableStream<LibrarySession>;
}

export type LibrarySession = WebTransport & {
  readonly objint?: { readonly streamIdMngrBi?: { getNextOutgoingStreamId(): bigint } };
  readonly userData: { readonly id?: string };
  readonly peerAddress?: string;
};

/** Whether the optional package that adds HTTP/3 is installed. */
export async function hasHttp3(): Promise<boolean> {
  // Assembled at run time, so that bundlers and the compiler do not ask for an optional package.
  const name = ["@fails-components", "webtransport-transport-http3-quiche"].join("/");
  try {
    await import(name);
    return true;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ERR_MODULE_NOT_FOUND") return false;
    const text = cause instanceof Error ? cause.message : String(cause);
    throw new TransportError("HTTP3_UNAVAILABLE", `The package ${name} does not load: ${text}.`, { cause });
  }
}

let library: Promise<Library> | undefined;

/** The library for HTTP/2, loaded once: while it loads, the console of the whole process is replaced. */
export function importLibrary(): Promise<Library> {
  library ??= withoutLoaderWords(load);
  return library;
}

async function load(): Promise<Library> {
  const loaded: Library = await import(LIBRARY);
  // The library began to look for it before.
  await hasHttp3().catch(() => false);
  return loaded;
}

/** Loads a library; its words about an optional package go to the log instead of the host's console. */
async function withoutLoaderWords<T>(load: () => Promise<T>): Promise<T> {
  const { log, error } = console;
  const quiet =
    (print: typeof console.log) =>
    (...words: unknown[]): void => {
      const [first] = words;
      if (typeof first === "string" && LOADER.test(first)) logForProcess(first);
      else print.apply(console, words);
    };
  const replaced = { log: quiet(log), error: quiet(error) };
  Object.assign(console, replaced);
  try {
    return await load();
  } finally {
    // It prints once what it waits for has failed.
    await setImmediate();
    // A host may have set its own meanwhile.
    if (console.log === replaced.log) console.log = log;
    if (console.error === replaced.error) console.error = error;
  }
}
