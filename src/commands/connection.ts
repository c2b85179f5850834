import { X509Certificate } from "node:crypto";
import { z } from "zod";
import { readBounded, whyUnusable } from "../../base/bytes/bounded-file.js";
import {
  BROADCAST_NAME_RULE,
  hasCredentials,
  InputError,
  isBroadcastName,
  NO_CREDENTIALS,
  TransportError,
} from "../../base/index.js";
import { type ConnectOptions, MAX_AUTHORITIES_BYTES } from "../../transport/index.js";
import { changes } from "../command.js";
import { flag, type Settings } from "../config.js";

/** Settings by which a publisher or a listener finds and trusts its relay. */
export const connectionSettings = {
  url: {
    schema: z
      .url({ protocol: /^https?$/, error: "it must be a URL such as http://localhost:4443" })
      .refine((url) => !hasCredentials(url), NO_CREDENTIALS),
    value: "<url>",
    help: "the relay; with http:// its self-signed certificate is pinned by the hash it serves there",
  },
  broadcast: {
    schema: z.string().refine(isBroadcastName, `it ${BROADCAST_NAME_RULE}`).default("demo"),
    value: "<name>",
    help: "name of the broadcast, with or without .hang",
  },
  token: {
    schema: z
      .string()
      .regex(/^[\w-]+\.[\w-]+\.[\w-]+$/, "it must be a JWT")
      .optional(),
    value: "<jwt>",
    help: "token for the relay; better in UNSAY_TOKEN, which no list of processes shows",
    secret: true,
  },
  certificateHash: {
    schema: z
      .string()
      .regex(/^[0-9a-f]{64}$/i, "it must be 64 hex digits")
      .optional(),
    value: "<sha256>",
    help: "trust only the certificate with this hash; needs an https:// URL",
  },
  ca: {
    schema: z.string().optional(),
    value: "<file>",
    help: "trust the certificate authorities in this PEM file instead of the system's, over QUIC and WebSocket",
  },
  insecure: { schema: flag.default(false), help: "trust any certificate (tests only)" },
  transport: {
    schema: z.enum(["auto", "quic", "qmux", "http2"]).default("auto"),
    value: "<name>",
    help: "carrier: auto, quic, qmux (WebSocket) or http2",
  },
} satisfies Settings;

/** Whether to continue where that can help. */
export const retrySetting = {
  retry: {
    schema: flag.default(true),
    help: "fail at once when the relay is unreachable or leaves, instead of retrying; refusals always end it",
  },
} satisfies Settings;

/**
 * Faults of a session while its owner continues: a sentence on standard error for each new one, and a promise that
 * rejects when continuing is not wanted (`--no-retry`) or cannot help.
 */
export function problemWatch(
  config: { retry: boolean },
  notice: (sentence: string) => void,
): { readonly take: (error: Error) => void; readonly fatal: Promise<never>; readonly last: () => Error | undefined } {
  const say = changes(notice);
  let last: Error | undefined;
  let fail: (error: Error) => void = () => {};
  const fatal = new Promise<never>((_, reject) => {
    fail = reject;
  });
  fatal.catch(() => {});
  const take = (error: Error): void => {
    last = error;
    // No retry mends what was asked for. A session may bring better media later; a session itself comes back, or not.
    if (error instanceof InputError) fail(error);
    else if (!(error instanceof TransportError)) say(error.message);
    else if (config.retry && error.retryable) say(`${error.message} Trying again.`);
    else fail(error);
  };
  return { take, fatal, last: () => last };
}

/** With QUIC alone: how long to wait for an answer before saying that none has come. */
const UNANSWERED_MS = 1500;

/**
 * Says that there is no answer yet where QUIC is the only carrier: a UDP port on which nothing listens never answers,
 * and another carrier would have failed. Returns a function that stops it.
 */
export function reportUnanswered(
  { transport, url }: { readonly transport: string; readonly url: string },
  isConnected: () => boolean,
  notice: (sentence: string) => void,
): () => void {
  const timer = setTimeout(() => {
    if (transport === "quic" && !isConnected()) notice(`${new URL(url).host} has not answered over QUIC so far.`);
  }, UNANSWERED_MS);
  return () => clearTimeout(timer);
}

/** Why a command that has ended never had a connection: its last problem, or that there was none. */
export function neverConnected(problem: Error | undefined, url: string): Error {
  return problem ?? new TransportError("NOT_CONNECTED", `There was no connection to ${url}.`);
}

/** The relay's URL with the token where the relay expects it. */
export function relayUrl(config: { url: string; token: string | undefined }): URL {
  const url = new URL(config.url);
  if (config.token !== undefined) url.searchParams.set("jwt", config.token);
  return url;
}

/** Turns {@link connectionSettings} into the options of the transport. */
export async function connectOptions(config: {
  url: string | undefined;
  certificateHash: string | undefined;
  ca: string | undefined;
  insecure: boolean;
  transport: "auto" | "quic" | "qmux" | "http2";
}): Promise<ConnectOptions> {
  if (config.insecure && config.certificateHash !== undefined)
    throw new InputError("INVALID_OPTION", "--insecure and --certificate-hash exclude each other.");
  if (config.insecure && config.ca !== undefined)
    throw new InputError("INVALID_OPTION", "--insecure and --ca exclude each other.");
  const isPlain = config.url !== undefined && new URL(config.url).protocol === "http:";
  if (isPlain && config.certificateHash !== undefined)
    throw new InputError("INVALID_OPTION", "--certificate-hash needs an https:// URL.");
  if (isPlain && config.transport === "http2")
    throw new InputError("INVALID_OPTION", "--transport http2 needs an https:// URL.");
  if (config.insecure && config.transport === "http2")
    throw new InputError("INVALID_OPTION", "--insecure does not work with --transport http2; --certificate-hash does.");
  return {
    ...(config.ca !== undefined && { ca: await readAuthorities(config.ca) }),
    ...(config.certificateHash && { certificateHashes: [Uint8Array.from(Buffer.from(config.certificateHash, "hex"))] }),
    ...(config.insecure && { insecure: true }),
    ...(config.transport !== "auto" && { backends: [config.transport] }),
  };
}

/**
 * The certificate authorities in a PEM file.
 *
 * @throws InputError `CA_UNUSABLE` when there are none.
 */
export async function readAuthorities(path: string): Promise<string> {
  const unusable = (why: string, cause?: unknown): InputError =>
    new InputError("CA_UNUSABLE", `The certificate authorities ${path} ${why}.`, { cause });
  let text: string;
  try {
    text = (await readBounded(path, MAX_AUTHORITIES_BYTES)).toString("utf8");
  } catch (cause) {
    throw unusable(`cannot be read: ${whyUnusable(cause)}`, cause);
  }
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) throw unusable("hold no PEM certificate");
  try {
    for (const block of blocks) new X509Certificate(block);
  } catch (cause) {
    throw unusable("hold a damaged certificate", cause);
  }
  return blocks.join("\n");
}
