import { EventEmitter } from "node:events";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { decodeProtectedHeader, errors, type JWTPayload, jwtVerify } from "jose";
import type { z } from "zod";
import { whyUnusable } from "../../base/bytes/bounded-file.js";
import { InputError, normalizePath } from "../../base/index.js";
import { assertTrustedFolder, readTrusted, whyUnreachable } from "../../transport/index.js";
import { stripPrefix } from "../wire/path.js";
import type { Scope } from "./scope.js";
import {
  claimsSchema,
  covers,
  type Grants,
  grantsOf,
  importKey,
  parseKeys,
  prefixesOf,
  type TokenKey,
} from "./token.js";

// How long fetched or read keys are valid, and how soon an unknown key id may trigger another lookup.
const REFRESH_MS = 60_000;
const RETRY_MS = 5_000;
const FETCH_MS = 5_000;
const MAX_TOKEN_BYTES = 8192;
/** Far more than any set of keys takes. */
const MAX_KEYS_LENGTH = 1 << 20;
/** By how much the clock of a token's issuer may be ahead of ours. */
const SKEW_SECONDS = 30;

/** Accepted tokens, and permissions without one. */
export interface AuthOptions {
  /** A file with a JSON Web Key or key set, a folder of such files, or an `http(s)://` URL of a key set. */
  readonly keys?: string;
  /** Names of this relay: each token must name one of them as its `aud`. Without any, a token with an `aud` is refused. */
  readonly audience?: readonly string[];
  /** Prefixes that clients may publish to and watch without a token; `/` is everything. */
  readonly public?: { readonly put?: readonly string[]; readonly get?: readonly string[] };
}

/** The events of {@link Auth}. */
export interface AuthEvents {
  /** The keys could not be read again, or there are none any more; once for each reason until they can be read. */
  problem: [Error];
}

/** Derives a session's permissions from its URL: path, and token in `?jwt=`. */
export class Auth extends EventEmitter<AuthEvents> {
  readonly #source: string | undefined;
  readonly #audience: readonly string[];
  readonly #public: Grants;
  #keys: readonly TokenKey[] = [];
  #loadedAt = Number.NEGATIVE_INFINITY;
  #loading: Promise<void> | undefined;
  #problem: string | undefined;

  constructor({ keys, audience = [], public: open = {} }: AuthOptions) {
    super();
    this.#source = keys;
    this.#audience = audience;
    this.#public = { put: (open.put ?? []).flatMap(prefixesOf), get: (open.get ?? []).flatMap(prefixesOf) };
  }

  /**
   * Reads the keys once, so that a bad source shows at the start.
   *
   * @throws InputError `INVALID_KEY`.
   */
  async prepare(): Promise<void> {
    await this.#refresh(0);
    if (this.#source !== undefined && this.#keys.length === 0) throw noKeys(this.#source);
  }

  /**
   * Permissions of a session with this URL.
   *
   * @throws InputError `UNAUTHORIZED` with the reason when it has none.
   */
  async authorize(url: URL): Promise<Scope> {
    const root = rootOf(url);
    const token = url.searchParams.get("jwt");
    const { grants, exp } = token ? await this.#verify(token) : { grants: this.#public, exp: undefined };
    const overlapping = (prefixes: readonly string[]): string[] =>
      prefixes.filter((prefix) => stripPrefix(prefix, root) !== undefined || stripPrefix(root, prefix) !== undefined);
    const put = overlapping(grants.put);
    const get = overlapping(grants.get);
    if (put.length + get.length === 0)
      throw unauthorized(token ? "The token grants nothing at this path." : "This path needs a token.");
    return { root, put, get, ...(exp === undefined ? {} : { expiresAt: exp * 1000 }) };
  }

  async #verify(token: string): Promise<{ grants: Grants; exp: number | undefined }> {
    if (this.#source === undefined) throw unauthorized("The relay takes no tokens.");
    if (token.length > MAX_TOKEN_BYTES) throw unauthorized("The token is too long.");
    let kid: string | undefined;
    try {
      kid = decodeProtectedHeader(token).kid;
    } catch (cause) {
      throw unauthorized("The token is not a JWT.", cause);
    }
    await this.#refresh(REFRESH_MS);
    let key = this.#find(kid);
    if (key === undefined) {
      await this.#refresh(RETRY_MS);
      key = this.#find(kid);
    }
    if (key === undefined) throw unauthorized("The token's key is not known.");
    const claims = await this.#claims(token, key);
    const grants = grantsOf(claims);
    if (key.scope && !covers(grantsOf(key.scope), grants))
      throw unauthorized("The token grants more than its key may.");
    return { grants, exp: claims.exp };
  }

  async #claims(token: string, key: TokenKey): Promise<z.infer<typeof claimsSchema>> {
    let payload: JWTPayload;
    try {
      ({ payload } = await jwtVerify(token, await importKey(key, "verify"), {
        algorithms: [key.alg],
        clockTolerance: SKEW_SECONDS,
        ...(this.#audience.length > 0 && { audience: [...this.#audience] }),
      }));
    } catch (cause) {
      throw unauthorized(whyInvalid(cause), cause);
    }
    // RFC 7519, section 4.1.3: a token for another audience must be refused.
    if (payload.aud !== undefined && this.#audience.length === 0)
      throw unauthorized("The token is for a certain audience (aud), and the relay has none of its own.");
    const claims = claimsSchema.safeParse(payload);
    if (!claims.success) throw unauthorized(`The token's ${String(claims.error.issues[0]?.path[0])} cannot be read.`);
    // The issuer's clock may be ahead, but a token ends when it says.
    if ((claims.data.exp ?? Number.POSITIVE_INFINITY) * 1000 <= Date.now())
      throw unauthorized("The token has expired.");
    return claims.data;
  }

  #find(kid: string | undefined): TokenKey | undefined {
    if (kid === undefined) return this.#keys.length === 1 ? this.#keys[0] : undefined;
    return this.#keys.find((key) => key.kid === kid) ?? this.#keys.find((key) => key.kid === undefined);
  }

  async #refresh(maxAgeMs: number): Promise<void> {
    const source = this.#source;
    if (source === undefined || performance.now() - this.#loadedAt < maxAgeMs) return;
    this.#loading ??= load(source).then(
      (keys) => {
        const isFirst = this.#loadedAt === Number.NEGATIVE_INFINITY;
        this.#keys = keys;
        this.#loadedAt = performance.now();
        this.#loading = undefined;
        this.#report(keys.length === 0 && !isFirst ? noKeys(source) : undefined);
      },
      (error: Error) => {
        this.#loading = undefined;
        // Valid keys stay valid while their source is unreachable.
        if (this.#keys.length === 0) throw error;
        this.#loadedAt = performance.now() - REFRESH_MS + RETRY_MS;
        const sentence = `${error.message.replace(/\.$/, "")}; the keys that were read last stay valid.`;
        this.#report(new InputError("INVALID_KEY", sentence, { cause: error }));
      },
    );
    await this.#loading;
  }

  // A key that its operator has removed or added makes no difference until the source can be read.
  #report(error: Error | undefined): void {
    if (error !== undefined && error.message !== this.#problem) this.emit("problem", error);
    this.#problem = error?.message;
  }
}

/** The path that a session's names are relative to. */
export function rootOf(url: URL): string {
  try {
    return normalizePath(decodeURIComponent(url.pathname));
  } catch {
    return normalizePath(url.pathname);
  }
}

function noKeys(source: string): InputError {
  return new InputError("INVALID_KEY", `auth.keys: ${source} holds no keys.`);
}

async function load(source: string): Promise<TokenKey[]> {
  const keys = await read(source);
  // Report unusable keys now, not to each client as an invalid token.
  for (const key of keys) {
    await importKey(key, "verify").catch((cause: unknown) => {
      const which = key.kid === undefined ? "A key" : `The key ${key.kid}`;
      throw new InputError("INVALID_KEY", `auth.keys: ${which} of ${source} is damaged.`, { cause });
    });
  }
  return keys;
}

async function read(source: string): Promise<TokenKey[]> {
  if (/^https?:/i.test(source)) {
    const { ok, status, text } = await fetchText(source).catch((cause: unknown) => {
      const why = whyUnreachable(cause);
      throw new InputError("INVALID_KEY", `auth.keys: ${source} cannot be fetched: ${why}.`, { cause });
    });
    if (!ok) throw new InputError("INVALID_KEY", `auth.keys: ${source} answers with status ${status}.`);
    return parseKeys(text, `auth.keys: ${source}`);
  }
  try {
    const isFolder = (await stat(source)).isDirectory();
    if (isFolder) await assertTrustedFolder(source);
    const files = isFolder
      ? (await readdir(source)).filter((name) => /\.(jwk|jwks|json)$/.test(name)).map((name) => join(source, name))
      : [source];
    const keys: TokenKey[] = [];
    for (const file of files) keys.push(...(await readKeyFile(file)));
    return keys;
  } catch (cause) {
    throw unreadable(source, cause);
  }
}

async function readKeyFile(file: string): Promise<TokenKey[]> {
  const text = await readTrusted(file).catch((cause: unknown) => {
    throw unreadable(file, cause);
  });
  return parseKeys(text, `auth.keys: ${file}`);
}

function unreadable(path: string, cause: unknown): InputError {
  if (cause instanceof InputError) return cause;
  return new InputError("INVALID_KEY", `auth.keys: ${path} cannot be read: ${whyUnusable(cause)}.`, { cause });
}

/** What is wrong with a token, as far as a stranger may learn it. */
function whyInvalid(error: unknown): string {
  if (error instanceof errors.JWTExpired) return "The token has expired.";
  if (error instanceof errors.JOSEAlgNotAllowed) return "The token's algorithm is not that of its key.";
  if (error instanceof errors.JWSSignatureVerificationFailed) return "The token was not signed with the relay's key.";
  // These are checked once its signature is known to be right.
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.claim === "aud") return "The token is not for this relay's audience (aud).";
    if (error.claim === "nbf" && error.reason === "check_failed") return "The token is not valid yet (nbf).";
    return `The token's ${error.claim} cannot be read.`;
  }
  return "The token is not valid.";
}

async function fetchText(
  url: string,
): Promise<{ readonly ok: boolean; readonly status: number; readonly text: string }> {
  const { ok, status, body } = await fetch(url, { signal: AbortSignal.timeout(FETCH_MS) });
  let text = "";
  const decoder = new TextDecoder();
  const reader = body?.getReader();
  for (let next = await reader?.read(); next?.done === false; next = await reader?.read()) {
    text += decoder.decode(next.value, { stream: true });
    if (text.length <= MAX_KEYS_LENGTH) continue;
    void reader?.cancel();
    throw new Error(`it has more than ${MAX_KEYS_LENGTH} characters`);
  }
  return { ok, status, text };
}

function unauthorized(message: string, cause?: unknown): InputError {
  return new InputError("UNAUTHORIZED", message, cause === undefined ? {} : { cause });
}
