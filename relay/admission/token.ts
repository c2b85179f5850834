import { randomBytes } from "node:crypto";
import { type CryptoKey, exportJWK, generateKeyPair, importJWK, type JWK, SignJWT } from "jose";
import { z } from "zod";
import { broadcastPath, faultOf, InputError, isBroadcastName, normalizePath, validate } from "../../base/index.js";
import { joinPath, stripPrefix } from "../wire/path.js";

const prefixes = z.union([z.string(), z.array(z.string())]).default([]);

/**
 * Claims in the format of `@moq/token`: `put` and `get` are prefixes below `root`, `exp` and `iat` seconds since 1970.
 * `aud` are the relays it is for, by the names of their option `audience`.
 */
export const claimsSchema = z.object({
  root: z.string().default(""),
  put: prefixes,
  get: prefixes,
  exp: z.number().optional(),
  iat: z.number().optional(),
  aud: z.union([z.string(), z.array(z.string())]).optional(),
});

/** See {@link claimsSchema}. */
export type Claims = z.input<typeof claimsSchema>;

/** Algorithms of a key: HMAC, ECDSA and EdDSA. */
export const ALGORITHMS = ["HS256", "HS384", "HS512", "ES256", "ES384", "EdDSA"] as const;

/** See {@link ALGORITHMS}. */
export type Algorithm = (typeof ALGORITHMS)[number];

/** The kind of key that each algorithm needs, RFC 7518 section 3.1 and RFC 8037. */
const KINDS = { HS256: "oct", HS384: "oct", HS512: "oct", ES256: "EC", ES384: "EC", EdDSA: "OKP" } as const;

/** Bytes of the shortest shared secret. */
const MIN_SECRET = 32;

const keySchema = z
  .looseObject({
    kty: z.enum(["oct", "EC", "OKP"]),
    alg: z.enum(ALGORITHMS),
    kid: z
      .string()
      .regex(/^[A-Za-z0-9_-]+$/, "must have only letters, digits, - and _")
      .optional(),
    scope: z.object({ root: z.string().default(""), put: prefixes, get: prefixes }).optional(),
  })
  .refine(({ kty, alg }) => KINDS[alg] === kty, { path: ["kty"], error: "must be the kind of key that its alg needs" })
  .refine(
    ({ kty, k }) => kty !== "oct" || (typeof k === "string" && Buffer.from(k, "base64url").length >= MIN_SECRET),
    {
      path: ["k"],
      error: `must have at least ${MIN_SECRET} bytes`,
    },
  );

/** A JSON Web Key for tokens; `scope` limits every token signed with it. */
export type TokenKey = z.infer<typeof keySchema>;

/** Full prefixes that some claims grant. */
export interface Grants {
  readonly put: readonly string[];
  readonly get: readonly string[];
}

/** Resolves claims to prefixes from the relay's root. */
export function grantsOf(claims: { root: string; put: string | string[]; get: string | string[] }): Grants {
  const root = normalizePath(claims.root);
  const resolve = (paths: string | string[]): string[] =>
    [paths].flat().flatMap((path) => prefixesOf(path).map((prefix) => joinPath(root, prefix)));
  return { put: resolve(claims.put), get: resolve(claims.get) };
}

/** The prefixes that a path grants: itself, and the path of the broadcast that it names. */
export function prefixesOf(path: string): string[] {
  const prefix = normalizePath(path);
  return isBroadcastName(prefix) ? [...new Set([prefix, broadcastPath(prefix)])] : [prefix];
}

/** Whether every prefix of some grants lies within others, direction by direction. */
export function covers(outer: Grants, inner: Grants): boolean {
  const within = (bounds: readonly string[], paths: readonly string[]): boolean =>
    paths.every((path) => bounds.some((bound) => stripPrefix(bound, path) !== undefined));
  return within(outer.put, inner.put) && within(outer.get, inner.get);
}

/**
 * Reads one key or a key set, as JSON or as its base64url.
 *
 * @throws InputError `INVALID_KEY` that names the source.
 */
export function parseKeys(text: string, source: string): TokenKey[] {
  try {
    const trimmed = text.trim();
    const json = JSON.parse(trimmed.startsWith("{") ? trimmed : Buffer.from(trimmed, "base64url").toString("utf8"));
    const listed: unknown[] = Array.isArray(json.keys) ? json.keys : [json];
    return listed.map((key) => keySchema.parse(key));
  } catch (cause) {
    // The cause may quote key material, so it stays out of the message.
    throw new InputError("INVALID_KEY", `${source} is not a JSON Web Key or key set that the relay can use.`, {
      cause,
    });
  }
}

// Bytes of a shared secret, RFC 7518 section 3.2.
const SECRET_BYTES = { HS256: 32, HS384: 48, HS512: 64 } as const;

/**
 * Creates a key for tokens with a random `kid`; it signs and verifies.
 *
 * @throws InputError `INVALID_OPTION` for another algorithm.
 */
export async function generateKey(algorithm: Algorithm): Promise<TokenKey> {
  validate("generateKey", z.object({ algorithm: z.enum(ALGORITHMS) }), { algorithm });
  const kid = randomBytes(8).toString("hex");
  if (algorithm === "HS256" || algorithm === "HS384" || algorithm === "HS512")
    return { kty: "oct", alg: algorithm, kid, k: randomBytes(SECRET_BYTES[algorithm]).toString("base64url") };
  const { privateKey } = await generateKeyPair(algorithm, { extractable: true });
  return keySchema.parse({ alg: algorithm, kid, ...(await exportJWK(privateKey)) });
}

/**
 * The part of a key that verifies but cannot sign.
 *
 * @throws InputError `INVALID_KEY` for a shared secret or no key.
 */
export function publicKeyOf(key: TokenKey): TokenKey {
  const { d: _, key_ops: __, ...rest } = checkedKey(key);
  if (rest.kty === "oct")
    throw new InputError("INVALID_KEY", `A key for ${rest.alg} is a secret and has no public part.`);
  return rest;
}

/** Prepares a key for one of its two uses. Ignores its `key_ops`: `@moq/token` lists both for a private key. */
export async function importKey(key: TokenKey, use: "sign" | "verify"): Promise<CryptoKey | Uint8Array> {
  const { key_ops: _, ...jwk } = use === "verify" && key.kty !== "oct" ? publicKeyOf(key) : key;
  return importJWK(jwk as JWK, key.alg);
}

/**
 * Signs a token.
 *
 * @throws InputError `INVALID_CLAIMS` for unknown or invalid claims and when it would grant nothing or more than the
 * key may, `INVALID_KEY` when the key cannot sign.
 */
export async function signToken(key: TokenKey, claims: Claims): Promise<string> {
  const signer = checkedKey(key);
  // A mistyped `exp` would make a token that is valid for ever.
  const checked = claimsSchema.strict().safeParse(claims);
  if (!checked.success) throw new InputError("INVALID_CLAIMS", faultOf("claims", checked.error, claims));
  const parsed = checked.data;
  const grants = grantsOf(parsed);
  if (grants.put.length + grants.get.length === 0)
    throw new InputError("INVALID_CLAIMS", "claims: put or get must grant at least one path.");
  if (signer.scope && !covers(grantsOf(signer.scope), grants))
    throw new InputError("INVALID_CLAIMS", "The key's scope does not cover these grants.");
  if (signer.kty !== "oct" && signer.d === undefined)
    throw new InputError("INVALID_KEY", "The key is public: it verifies tokens but cannot sign any.");
  const signing = await importKey(signer, "sign").catch((cause: unknown) => {
    throw new InputError("INVALID_KEY", "The key is damaged: it cannot sign.", { cause });
  });
  const { exp, iat, aud, ...paths } = parsed;
  const given = {
    ...(exp !== undefined && { exp }),
    ...(iat !== undefined && { iat }),
    ...(aud !== undefined && { aud }),
  };
  const header = { alg: signer.alg, typ: "JWT", ...(signer.kid === undefined ? {} : { kid: signer.kid }) };
  return new SignJWT({ ...paths, ...given }).setProtectedHeader(header).sign(signing);
}

/** A key with its defaults. */
function checkedKey(key: unknown): TokenKey {
  const parsed = keySchema.safeParse(key);
  if (parsed.success) return parsed.data;
  // Any part may hold the secret, so the message shows no value.
  throw new InputError("INVALID_KEY", faultOf("key", parsed.error, undefined).replace(/, but .*$/s, "."));
}
