import { createHmac } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exportJWK, generateKeyPair } from "jose";
import { afterEach, expect, test, vi } from "vitest";
import type { InputError } from "../../base/index.js";
import { Auth } from "./auth.js";
import { allows } from "./scope.js";
import { generateKey, parseKeys, publicKeyOf, signToken, type TokenKey } from "./token.js";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const SECRET: TokenKey = { kty: "oct", alg: "HS256", kid: "one", k: Buffer.alloc(32, 7).toString("base64url") };
const inFuture = () => Math.floor(Date.now() / 1000) + 60;

async function folder(files: Record<string, unknown>): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "unsay-auth-"));
  cleanups.push(() => rm(directory, { recursive: true }));
  for (const [name, content] of Object.entries(files)) await writeFile(join(directory, name), JSON.stringify(content));
  return directory;
}

function at(path: string, token?: string): URL {
  const url = new URL(path, "https://relay.example");
  if (token !== undefined) url.searchParams.set("jwt", token);
  return url;
}

test.each([
  [{ put: "a", expires: 60 }, '"expires"'],
  [{ put: 5 }, "claims.put"],
  [{ put: "a", exp: Number.NaN }, "claims.exp"],
  [{ put: "a", root: 5 }, "claims.root"],
  [null, "claims must"],
])("claims %j are refused by name, so that a mistyped one signs nothing", async (claims, named) => {
  await expect(signToken(SECRET, claims as Parameters<typeof signToken>[1])).rejects.toMatchObject({
    code: "INVALID_CLAIMS",
    message: expect.stringContaining(named),
  });
});

test.each([
  [{ ...SECRET, kty: "EC" }, "key.kty must be the kind of key that its alg needs."],
  [{ ...SECRET, kid: "a b" }, "key.kid must have only letters, digits, - and _."],
  [{ ...SECRET, k: "" }, "key.k must have at least 32 bytes."],
  [{ ...SECRET, k: "c2hvcnQ" }, "key.k must have at least 32 bytes."],
  [{ kty: "oct", alg: "HS256" }, "key.k must have at least 32 bytes."],
  [{ ...SECRET, scope: { put: 5 } }, "key.scope.put must be a string or an array."],
  [JSON.stringify(SECRET), "key must get an object of options."],
  [undefined, "key must get an object of options."],
])("what is no key, such as %j, signs nothing, and the sentence about it shows no part of it", async (key, message) => {
  await expect(signToken(key as TokenKey, { put: "a" })).rejects.toMatchObject({ code: "INVALID_KEY", message });
  expect(() => publicKeyOf(key as TokenKey)).toThrow(expect.objectContaining({ code: "INVALID_KEY", message }));
});

test("a key's scope without a root limits tokens below the relay's root", async () => {
  const scoped = { ...SECRET, scope: { put: "a" } } as TokenKey;
  await expect(signToken(scoped, { put: "b" })).rejects.toMatchObject({ code: "INVALID_CLAIMS" });
  const auth = new Auth({ keys: join(await folder({ "key.jwk": scoped }), "key.jwk") });
  expect(await auth.authorize(at("/", await signToken(scoped, { put: "a/b" })))).toMatchObject({ get: [] });
});

test("what is no algorithm is refused in one sentence", async () => {
  await expect(generateKey("RS256" as "HS256")).rejects.toMatchObject({
    code: "INVALID_OPTION",
    message: expect.stringMatching(/^generateKey.algorithm must be .*, but is "RS256"\.$/),
  });
});

test("a token grants its prefixes below the path, in whichever way path and root overlap", async () => {
  const auth = new Auth({ keys: join(await folder({ "key.jwk": SECRET }), "key.jwk") });
  const token = await signToken(SECRET, { root: "demo", put: "room/a", get: ["room", "lobby"], exp: inFuture() });
  const deeper = await auth.authorize(at("/demo/room/", token));
  expect(deeper).toMatchObject({ root: "demo/room", put: ["demo/room/a", "demo/room/a.hang"], get: ["demo/room"] });
  expect(deeper.expiresAt).toBeGreaterThan(Date.now());
  const above = await auth.authorize(at("/", token));
  expect(above).toMatchObject({ root: "" });
  const published = ["demo/room/a/x", "demo/room/a", "demo/room/ab", "demo/room/ab.hang", "demo/room"];
  expect(published.map((path) => allows(above.put, path))).toEqual([true, true, false, false, false]);
  const watched = ["demo/room/x", "demo/lobby", "demo", "demo.hang"];
  expect(watched.map((path) => allows(above.get, path))).toEqual([true, true, false, false]);
  for (const path of ["/other", "/demo/attic", "/demoroom"])
    await expect(auth.authorize(at(path, token))).rejects.toMatchObject({ code: "UNAUTHORIZED" });
});

test("a token for a name grants the broadcast of that name, and one for a root alone nothing beside it", async () => {
  const auth = new Auth({ keys: await folder({ "key.jwk": SECRET }), public: { get: ["open/stage"] } });
  const granted = async (claims: Parameters<typeof signToken>[1]) =>
    (await auth.authorize(at("/", await signToken(SECRET, claims)))).put;
  const named = await granted({ put: "stage" });
  expect(["stage.hang", "stage.hang/.feedback", "stages.hang"].map((path) => allows(named, path))).toEqual([
    true,
    true,
    false,
  ]);
  const whole = await granted({ root: "stage", put: "/" });
  expect(["stage/a.hang", "stage.hang"].map((path) => allows(whole, path))).toEqual([true, false]);
  const exact = await granted({ put: "stage.hang" });
  expect(["stage.hang", "stage/a.hang"].map((path) => allows(exact, path))).toEqual([true, false]);
  expect(allows((await auth.authorize(at("/open"))).get, "open/stage.hang")).toBe(true);
});

test("every kind of key verifies its own tokens and nothing else does", async () => {
  const pairs = await Promise.all(
    (["ES256", "ES384", "EdDSA"] as const).map(async (alg) => {
      const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
      const both = await Promise.all([exportJWK(privateKey), exportJWK(publicKey)]);
      return both.map((jwk) => parseKeys(JSON.stringify({ ...jwk, alg, kid: alg }), "test")[0]!);
    }),
  );
  const set = { keys: [SECRET, ...pairs.map(([, publicKey]) => publicKey)] };
  const auth = new Auth({ keys: await folder({ "all.jwks": set }), public: { get: ["open"] } });
  for (const key of [SECRET, ...pairs.map(([privateKey]) => privateKey!)]) {
    const token = await signToken(key, { put: "" });
    expect(await auth.authorize(at("/x", token))).toMatchObject({ root: "x", put: [""], get: [] });
    const [head, payload, signature] = token.split(".");
    const forged = Buffer.from(JSON.stringify({ put: "", get: "" })).toString("base64url");
    const none = Buffer.from(JSON.stringify({ alg: "none", kid: key.kid })).toString("base64url");
    for (const bad of [`${head}.${forged}.${signature}`, `${none}.${payload}.`, "abc", "x".repeat(10_000)])
      await expect(auth.authorize(at("/x", bad))).rejects.toMatchObject({ code: "UNAUTHORIZED" });
  }
  // A public key's own bytes must not pass as a shared secret.
  const confused = await signToken({ ...SECRET, kid: "ES256" }, { put: "" });
  await expect(auth.authorize(at("/x", confused))).rejects.toMatchObject({ code: "UNAUTHORIZED" });
  const expired = await signToken(SECRET, { put: "", exp: 1000 });
  await expect(auth.authorize(at("/x", expired))).rejects.toMatchObject({ code: "UNAUTHORIZED" });
  expect(await auth.authorize(at("/open/x"))).toMatchObject({ root: "open/x", put: [], get: ["open"] });
  await expect(auth.authorize(at("/x"))).rejects.toMatchObject({ code: "UNAUTHORIZED" });
});

test("keys made here sign, verify with their public part alone, and may list their uses as @moq/token does", async () => {
  const verify = async (algorithm: Parameters<typeof generateKey>[0]) => {
    const key = { ...(await generateKey(algorithm)), key_ops: ["sign", "verify"] };
    const [again] = parseKeys(Buffer.from(JSON.stringify(key)).toString("base64url"), "test");
    const token = await signToken(again!, { root: "demo", get: "", exp: inFuture() });
    const auth = new Auth({ keys: await folder({ "key.jwk": key }) });
    expect(await auth.authorize(at("/demo", token))).toMatchObject({ root: "demo", put: [], get: ["demo"] });
    return { key, token };
  };
  for (const algorithm of ["HS256", "HS512"] as const) {
    const { key } = await verify(algorithm);
    expect(() => publicKeyOf(key)).toThrow("has no public part");
  }
  for (const algorithm of ["ES256", "ES384", "EdDSA"] as const) {
    const { key, token } = await verify(algorithm);
    const open = publicKeyOf(key);
    expect(open).toMatchObject({ kid: key.kid, x: expect.any(String) });
    expect(open).not.toHaveProperty("d");
    const verifier = new Auth({ keys: await folder({ "public.jwk": open }) });
    expect(await verifier.authorize(at("/demo", token))).toMatchObject({ get: ["demo"] });
    await expect(signToken(open, { get: "" })).rejects.toMatchObject({ code: "INVALID_KEY" });
  }
});

test("a key's scope caps what its tokens grant", async () => {
  const scoped: TokenKey = { ...SECRET, scope: { root: "live", put: [], get: ["a"] } };
  const auth = new Auth({ keys: await folder({ "key.json": scoped }) });
  expect(await auth.authorize(at("/", await signToken(scoped, { get: "live/a/b" })))).toMatchObject({
    get: ["live/a/b", "live/a/b.hang"],
  });
  await expect(signToken(scoped, { put: "live/a" })).rejects.toMatchObject({ code: "INVALID_CLAIMS" });
  const greedy = await signToken(SECRET, { get: "live" });
  await expect(auth.authorize(at("/", greedy))).rejects.toMatchObject({ code: "UNAUTHORIZED" });
});

test("a URL without usable keys is refused with a reason of ours", async () => {
  const servers = [
    createServer((_, response) => response.end("x".repeat(2 << 20))),
    createServer((_, response) => response.end("<html>")),
    createServer((_, response) => response.destroy()),
    createServer(),
  ];
  const urls: string[] = [];
  for (const server of servers) {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => server.close());
    urls.push(`http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`);
  }
  await new Promise((resolve) => servers[3]!.close(resolve));
  const sentences = [
    /cannot be fetched: it has more than 1048576 characters\.$/,
    /is not a JSON Web Key or key set that the relay can use\.$/,
    /cannot be fetched: the server ended the connection\.$/,
    /cannot be fetched: nothing listens on that port\.$/,
  ];
  for (const [index, keys] of urls.entries())
    await expect(new Auth({ keys }).prepare()).rejects.toMatchObject({
      code: "INVALID_KEY",
      message: expect.stringMatching(sentences[index]!),
    });
});

test("a key set behind a URL may change, and its keys stay valid while it is unreachable", async () => {
  let keys: TokenKey[] = [SECRET];
  let fail = false;
  let fetches = 0;
  const server = createServer((_, response) => {
    fetches++;
    response.writeHead(fail ? 500 : 200).end(JSON.stringify({ keys }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanups.push(() => server.close());
  const auth = new Auth({ keys: `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks` });
  await auth.prepare();
  const second: TokenKey = { ...SECRET, kid: "two", k: Buffer.alloc(32, 9).toString("base64url") };
  keys = [SECRET, second];
  fail = true;
  await expect(auth.authorize(at("/", await signToken(second, { get: "" })))).rejects.toMatchObject({
    code: "UNAUTHORIZED",
  });
  expect(await auth.authorize(at("/", await signToken(SECRET, { get: "" })))).toMatchObject({ get: [""] });
  // An unknown key id does not make the relay flood the source.
  expect(fetches).toBe(1);
  const fresh = new Auth({ keys: "/nowhere/at/all" });
  await expect(fresh.prepare()).rejects.toMatchObject({ code: "INVALID_KEY" });
  expect(() => parseKeys(JSON.stringify({ ...SECRET, k: "c2hvcnQ" }), "auth.keys")).toThrow(
    /auth.keys is not a JSON Web Key/,
  );
});

test("keys that cannot be read again, or are no more, are reported once for each reason, with a token that is taken meanwhile", async () => {
  vi.useFakeTimers({ toFake: ["performance"] });
  cleanups.push(() => vi.useRealTimers());
  const keys = await folder({ "key.jwk": SECRET });
  const auth = new Auth({ keys });
  const problems: string[] = [];
  auth.on("problem", ({ message }) => problems.push(message));
  await auth.prepare();
  const token = await signToken(SECRET, { get: "" });
  const admits = async () => {
    vi.advanceTimersByTime(120_000);
    return auth.authorize(at("/", token)).then(
      () => true,
      () => false,
    );
  };
  const removed = join(keys, "key.jwk");
  const damaged = join(keys, "other.jwk");
  await writeFile(damaged, "{");
  await rm(removed);
  // A damaged file beside it keeps a key that was removed.
  expect([await admits(), await admits()]).toEqual([true, true]);
  expect(problems).toEqual([
    expect.stringMatching(/^auth\.keys: .*other\.jwk .*; the keys that were read last stay valid\.$/),
  ]);
  await rm(damaged);
  expect([await admits(), await admits()]).toEqual([false, false]);
  expect(problems.slice(1)).toEqual([`auth.keys: ${keys} holds no keys.`]);
  await writeFile(removed, JSON.stringify(SECRET));
  expect(await admits()).toBe(true);
  await writeFile(damaged, "{");
  expect(await admits()).toBe(true);
  expect(problems).toHaveLength(3);
});

/** A token as another library may write it: any header and any claims, signed with a shared secret. */
function foreign(claims: unknown, header: Record<string, unknown> = { alg: "HS256", kid: "one" }, secret = 7): string {
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${encode(header)}.${encode(claims)}`;
  const mac = createHmac("sha256", Buffer.alloc(32, secret)).update(signed).digest("base64url");
  return `${signed}.${mac}`;
}

test("a token with odd claims is taken as its standard says, or refused with the reason", async () => {
  const keys = await folder({ "key.jwk": SECRET });
  const [plain, named] = [new Auth({ keys }), new Auth({ keys, audience: ["relay-1", "relays"] })];
  const now = Math.floor(Date.now() / 1000);
  const head = { alg: "HS256", kid: "one" };
  const all = { put: "", get: "" };
  const cases: [auth: Auth, token: string, outcome: RegExp | "admitted"][] = [
    // What an issuer may add.
    [plain, foreign({ ...all, iss: "me", sub: "you", jti: "1", other: { deep: [] } }), "admitted"],
    [plain, foreign({ ...all, iat: now + 3600, nbf: now + 5, exp: now + 60 }), "admitted"],
    [plain, foreign(all, { ...head, typ: "at+jwt", cty: "x", jku: "http://127.0.0.1:1/", x5c: [] }), "admitted"],
    [plain, foreign({ ...all, exp: now + 0.5 + 60 }), "admitted"],
    [plain, foreign({ ...all, exp: 1e15 }), "admitted"],
    [plain, foreign({ put: ["", "/", "//a//b//"], get: [] }), "admitted"],
    // Times.
    [plain, foreign({ ...all, exp: now - 1 }), /has expired/],
    [plain, foreign({ ...all, exp: -1 }), /has expired/],
    [plain, foreign({ ...all, exp: 0 }), /has expired/],
    [plain, foreign({ ...all, exp: String(now + 60) }), /exp cannot be read/],
    [plain, foreign({ ...all, exp: null }), /exp cannot be read/],
    [plain, foreign({ ...all, nbf: now + 3600 }), /not valid yet \(nbf\)/],
    [plain, foreign({ ...all, nbf: "tomorrow" }), /nbf cannot be read/],
    [plain, foreign({ ...all, iat: "today" }), /iat cannot be read/],
    // Audiences.
    [plain, foreign({ ...all, aud: "relay-1" }), /\(aud\), and the relay has none/],
    [plain, foreign({ ...all, aud: [] }), /\(aud\), and the relay has none/],
    [named, foreign({ ...all, aud: "relay-1" }), "admitted"],
    [named, foreign({ ...all, aud: ["other", "relays"] }), "admitted"],
    [named, await signToken(SECRET, { put: "", aud: "relays" }), "admitted"],
    [named, foreign(all), /not for this relay's audience \(aud\)/],
    [named, foreign({ ...all, aud: "Relay-1" }), /not for this relay's audience \(aud\)/],
    [named, foreign({ ...all, aud: 7 }), /not for this relay's audience \(aud\)/],
    // Grants.
    [plain, foreign({}), /grants nothing/],
    [plain, foreign({ put: [], get: [] }), /grants nothing/],
    [plain, foreign({ put: null }), /put cannot be read/],
    [plain, foreign({ put: [["a"]] }), /put cannot be read/],
    [plain, foreign({ put: { a: 1 } }), /put cannot be read/],
    [plain, foreign({ ...all, root: 5 }), /root cannot be read/],
    [plain, foreign([all]), /not valid/],
    [plain, foreign("all"), /not valid/],
    // Algorithms, keys and headers.
    [plain, foreign(all, { alg: "none", kid: "one" }), /algorithm is not that of its key/],
    [plain, foreign(all, { alg: "HS512", kid: "one" }), /algorithm is not that of its key/],
    [plain, foreign(all, { alg: "RS256", kid: "one" }), /algorithm is not that of its key/],
    [plain, foreign(all, { kid: "one" }), /not valid/],
    [plain, foreign(all, { alg: "HS256" }), "admitted"],
    [plain, foreign(all, { ...head, kid: "two" }), /key is not known/],
    [plain, foreign(all, { ...head, kid: 1 }), /key is not known/],
    [plain, foreign(all, { ...head, kid: "../key" }), /key is not known/],
    [plain, foreign(all, { ...head, crit: ["exp"], exp: 1 }), /not valid/],
    [plain, foreign(all, { ...head, b64: false, crit: ["b64"] }), /not valid/],
    [plain, foreign(all, head, 8), /was not signed with the relay's key/],
    [plain, `${foreign(all)}x`, /not signed|not valid/],
    [plain, foreign(all).replace(/\.[^.]*$/, "."), /was not signed with the relay's key/],
    [plain, foreign({ ...all, more: "x".repeat(9000) }), /too long/],
  ];
  const outcomes = await Promise.all(
    cases.map(([auth, token]) =>
      auth.authorize(at("/", token)).then(
        () => "admitted",
        ({ code, message }: InputError) => `${code}: ${message}`,
      ),
    ),
  );
  const claims = (token: string) =>
    token
      .split(".")
      .slice(0, 2)
      .map((part) => Buffer.from(part, "base64url").toString());
  for (const [index, [, token, outcome]] of cases.entries())
    expect(outcomes[index], claims(token).join(" ")).toMatch(
      outcome === "admitted" ? /^admitted$/ : new RegExp(`^UNAUTHORIZED: .*(?:${outcome.source})`),
    );
});

test("a token's names match byte for byte, in any script, and whole parts alone", async () => {
  const auth = new Auth({ keys: await folder({ "key.jwk": SECRET }) });
  const decomposed = "cafe\u0301";
  const { get } = await auth.authorize(at("/", foreign({ root: "räume//", get: ["/café/", "客服", "..", "a/../b"] })));
  const watched = ["räume/café/x", "räume/客服.hang", `räume/${decomposed}`, "räume/caf", "räume", "räume/../x", "b"];
  expect(watched.map((path) => allows(get, path))).toEqual([true, true, false, false, false, true, false]);
  // A path of a URL is decoded before it is compared.
  expect(await auth.authorize(at("/r%C3%A4ume", foreign({ get: "räume" })))).toMatchObject({ root: "räume" });
});
