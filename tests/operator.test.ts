import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { limitsSchema } from "../relay/limits.js";
import { Listener, Publisher, Relay } from "../src/index.js";
import { createCertificate } from "../transport/index.js";
import { UnsayProcess, unsay } from "./support/command-line.js";
import { compiledPath } from "./support/compile.js";

const recording = "examples/audio/noisy-speech.wav";
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), "unsay-operator-"));
  cleanups.push(() => rmSync(folder, { recursive: true }));
  return folder;
}

function start(argv: readonly string[], environment: Record<string, string> = {}): UnsayProcess {
  const started = new UnsayProcess(argv, environment);
  cleanups.push(() => started.child.kill("SIGKILL"));
  return started;
}

async function startRelay(...argv: string[]): Promise<{ relay: UnsayProcess; url: string }> {
  const relay = start(["relay", "--port", "0", ...argv], { XDG_DATA_HOME: temporary() });
  const [, url] = await relay.says(/relay listening on (http:\/\/\S+)/);
  return { relay, url: url! };
}

/** Watches until half a second was heard. */
async function hear(url: string): Promise<void> {
  const watcher = start(["watch", url, "--json", "--timeout-ms", "60000"]);
  await watcher.says(/"playedMs":(?:[5-9]\d\d|\d{4,})/);
  expect(await watcher.interrupt()).toBe(0);
}

function claimsOf(token: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(token.split(".")[1]!, "base64url").toString("utf8"));
}

test("only the owner can read a new key, no key is overwritten, and a token has the requested claims", async () => {
  const folder = temporary();
  const key = join(folder, "key.jwk");
  const open = join(folder, "public.jwk");
  expect(await unsay(["token", "generate", "--algorithm", "ES256", "--key", key, "--public", open])).toMatchObject({
    exitCode: 0,
    error: "",
  });
  expect(statSync(key).mode & 0o777).toBe(0o600);
  expect(JSON.parse(readFileSync(key, "utf8"))).toMatchObject({ alg: "ES256", kty: "EC", d: expect.any(String) });
  expect(JSON.parse(readFileSync(open, "utf8"))).not.toHaveProperty("d");

  const before = Math.floor(Date.now() / 1000);
  const grants = ["--root", "live", "--put", "a,b", "--get", "/", "--expires", "60"];
  const signed = await unsay(["token", "sign", "--key", key, ...grants]);
  expect(signed).toMatchObject({ exitCode: 0, error: "" });
  const claims = claimsOf(signed.out.trim());
  expect(claims).toMatchObject({ root: "live", put: ["a", "b"], get: ["/"] });
  expect((claims.exp as number) - (claims.iat as number)).toBe(60);
  expect(claims.iat).toBeGreaterThanOrEqual(before);

  const set = join(folder, "set.jwks");
  const one = JSON.parse(readFileSync(open, "utf8"));
  writeFileSync(set, JSON.stringify({ keys: [one, one] }));
  chmodSync(set, 0o600);
  const wrong: [string[], RegExp][] = [
    [[], /--action must be generate or sign, but is missing\. \(INVALID_OPTION\)/],
    [["mint"], /--action must .*, but is "mint"/],
    [["sign"], /--key must be a path, but is missing/],
    [["generate", "--key", key], /key\.jwk exists already and is not overwritten\. \(FILE_EXISTS\)/],
    [
      ["generate", "--key", join(folder, "no/such/place")],
      /place cannot be written: no such file or directory\. \(FILE_UNWRITABLE\)/,
    ],
    [
      ["generate", "--algorithm", "EdDSA", "--key", join(folder, "x"), "--public", join(folder, "no/y")],
      /y cannot be written: no such file or directory\. \(FILE_UNWRITABLE\)/,
    ],
    [
      ["generate", "--algorithm", "EdDSA", "--key", key, "--public", join(folder, "y")],
      /key\.jwk exists already and is not overwritten\. \(FILE_EXISTS\)/,
    ],
    [["generate", "--key", join(folder, "x"), "--public", join(folder, "y")], /no public part.*\(INVALID_KEY\)/],
    [["generate", "--key", join(folder, "x"), "--algorithm", "none"], /--algorithm must .*, but is "none"/],
    [
      ["sign", "--key", join(folder, "absent"), "--get", "/"],
      /absent cannot be read: no such file or directory\. \(INVALID_KEY\)/,
    ],
    [["sign", "--key", open, "--get", "/"], /cannot sign any\. \(INVALID_KEY\)/],
    [["sign", "--key", set, "--get", "/"], /must be one key.*\(INVALID_KEY\)/],
    [["sign", "--key", recording, "--get", "/"], /not a JSON Web Key.*\(INVALID_KEY\)/],
    [["sign", "--key", key, "--get", "/", "--public", "z"], /sign takes no --public, but it is "z"/],
    [["generate", "--key", join(folder, "x"), "--put", "a"], /generate takes no --put, but it is "a"/],
    [["sign", "--key", key], /--put or --get must grant at least one path\. \(INVALID_CLAIMS\)/],
    [["sign", "--key", key, "--get", "/", "--expires", "0"], /--expires must .*, but is "0"/],
  ];
  for (const [argv, sentence] of wrong) {
    const { exitCode, error } = await unsay(["token", ...argv]);
    expect(error, argv.join(" ")).toMatch(sentence);
    expect(exitCode, argv.join(" ")).toBe(2);
  }
  for (const name of ["x", "y"]) expect(() => statSync(join(folder, name))).toThrow();
  // A config file has the settings of both actions.
  const config = join(folder, "both.json");
  writeFileSync(config, JSON.stringify({ token: { key: join(folder, "both.jwk"), get: "/" } }));
  for (const action of ["generate", "sign"])
    expect(await unsay(["token", action, "--config", config])).toMatchObject({ exitCode: 0, error: "" });
  // A disk without room: half a key would be in the way of the next attempt.
  const run = `${process.execPath} ${compiledPath("src/cli.ts")} token generate --key ${join(folder, "x")}`;
  const full = spawnSync("/bin/bash", ["-c", `ulimit -f 0; exec ${run}`], { encoding: "utf8" });
  expect(full).toMatchObject({
    status: 2,
    stderr: expect.stringMatching(/x cannot be written: file too large\. \(FILE_UNWRITABLE\)\n$/),
  });
  expect(() => statSync(join(folder, "x"))).toThrow();
});

test("a relay with keys takes tokens, which it never prints or logs, and drains on SIGTERM", async () => {
  const keys = join(temporary(), "keys");
  mkdirSync(keys);
  const secret = join(temporary(), "secret.jwk");
  await unsay(["token", "generate", "--algorithm", "EdDSA", "--key", secret, "--public", join(keys, "public.jwk")]);
  const sign = async (...grants: string[]) => (await unsay(["token", "sign", "--key", secret, ...grants])).out.trim();
  const publishing = await sign("--root", "live", "--put", "/", "--expires", "600");
  const watching = await sign("--root", "other", "--get", "/", "--expires", "600");
  const settings = ["--auth-keys", keys, "--public-get", "live", "--ops-port", "0", "--log-level", "debug"];
  const { relay, url } = await startRelay(...settings, "--drain-seconds", "600");
  const [, ops] = await relay.says(/operations on (http:\/\/\S+)/);

  const printed: string[] = [];
  const show = async (argv: string[], environment: Record<string, string> = {}) => {
    const outcome = await unsay([...argv, "--print-config"], { environment });
    expect(outcome.exitCode).toBe(0);
    printed.push(outcome.out, outcome.error);
  };
  await show(["watch", `${url}/live?jwt=${watching}`, "--token", watching]);
  await show(["publish", recording, "--url", `${url}/live`], { UNSAY_TOKEN: publishing });
  await show(["relay", "--upstream", `${url}/?jwt=${watching}`]);

  const publisher = start(
    ["publish", recording, "--url", `${url}/live`, "--bypass", "--loop", "--log-level", "debug"],
    {
      UNSAY_TOKEN: publishing,
    },
  );
  await publisher.says(/publishing/);
  // Watching at live/ needs no token.
  await hear(`${url}/live`);
  const refused = start([
    "watch",
    `${url}/live/../secret`,
    "--token",
    watching,
    "--timeout-ms",
    "2000",
    "--log-level",
    "debug",
  ]);
  expect(await refused.exited()).toBe(1);
  const inUrl = start(["watch", `${url}/secret?jwt=${publishing}`, "--timeout-ms", "2000", "--log-level", "debug"]);
  expect(await inUrl.exited()).toBe(1);

  const metrics = await (await fetch(`${ops}/metrics`)).text();
  const documented = readFileSync("docs/relay.md", "utf8");
  const names = (text: string) =>
    [...new Set(text.match(/^(?:# TYPE |\| `)unsay_relay_\w+/gm))].map((name) => name.slice(name.indexOf("unsay")));
  expect(names(metrics).sort()).toEqual(names(documented).sort());
  const flags = [...(await unsay(["relay", "--help"])).out.matchAll(/--(?!(?:help|config)\b)[a-z][a-z-]+/g)].map(
    String,
  );
  const limits = Object.entries(limitsSchema.parse({})).map(
    ([name, value]) => `| \`${name}\` | ${value.toLocaleString("en")} |`,
  );
  expect(flags).toContain("--port");
  expect([...flags, ...limits].filter((each) => !documented.includes(each))).toEqual([]);

  // The container asks for its health in the same way.
  const [, probe] = /^HEALTHCHECK[^[]*CMD (\[.*\])$/m.exec(readFileSync("Dockerfile", "utf8")) ?? [];
  const [command, ...rest] = JSON.parse(probe!) as [string, ...string[]];
  const healthy = (port: string) => spawnSync(command, rest, { env: { ...process.env, UNSAY_OPS_PORT: port } }).status;
  expect([healthy(new URL(ops!).port), healthy("1")]).toEqual([0, 1]);

  expect(metrics).toMatch(/unsay_relay_sessions_refused_total\{reason="unauthorized"\} [1-9]/);
  expect(await (await fetch(`${ops}/broadcasts`)).json()).toMatchObject([{ path: "live/demo.hang" }]);
  relay.child.kill("SIGTERM");
  await relay.says(/waiting up to 600 s for \d+ sessions?; again to end at once/);
  expect((await fetch(`${ops}/ready`)).status).toBe(503);
  expect((await fetch(`${ops}/health`)).status).toBe(200);
  relay.child.kill("SIGTERM");
  expect(await relay.exited()).toBe(130);
  await publisher.interrupt();

  for (const { out, error } of [relay, publisher, refused, inUrl]) printed.push(out, error);
  const everything = printed.join("\n");
  expect(everything).toContain("[secret]");
  expect(relay.error).toContain("A session was refused.");
  expect(publisher.error).toContain("Publishing.");
  const secrets = [publishing, watching].flatMap((token) => token.split(".").slice(1));
  expect(secrets).toHaveLength(4);
  expect(secrets.filter((secret) => everything.includes(secret))).toEqual([]);
});

test("a relay says that a changed certificate can't be used, and once it can", async () => {
  const folder = temporary();
  const [cert, key] = [join(folder, "cert.pem"), join(folder, "key.pem")];
  const [first, second] = await Promise.all([createCertificate(), createCertificate()]);
  writeFileSync(cert, first.cert);
  writeFileSync(key, first.key, { mode: 0o600 });
  const { relay } = await startRelay("--cert", cert, "--key", key);
  writeFileSync(cert, second.cert);
  await expect
    .poll(() => relay.error)
    .toMatch(/^unsay: The changed certificate is not used so far: .*belong to the key/);
  writeFileSync(key, second.key);
  await expect.poll(() => relay.error).toMatch(/\nunsay: The changed certificate is used now\.\n$/);
});

test("a relay serves its upstream's broadcasts, and ends in order at once without clients", async () => {
  const { url: origin } = await startRelay();
  const { relay: edge, url } = await startRelay("--upstream", origin, "--repeat");
  const publisher = start(["publish", recording, "--url", origin, "--bypass", "--loop"]);
  await publisher.says(/publishing/);
  await hear(url);
  await publisher.interrupt();
  expect(await edge.interrupt()).toBe(0);

  const { relay: alone } = await startRelay();
  expect(await alone.interrupt()).toBe(0);
  for (const [argv, sentence] of [
    [["--upstream", "ftp://x/?jwt=a"], /--upstream must be a URL.*, but is "ftp:\/\/x\/\?jwt=\[secret\]"/],
    [
      ["--auth-keys", "/nowhere/at/all"],
      /--auth-keys: \/nowhere\/at\/all cannot be read: no such file or directory\. \(INVALID_KEY\)/,
    ],
    [["--ops-port", "x"], /--ops-port must .*, but is "x"/],
    [["--limits", "many"], /--limits must be an object of numbers.*, but is "many"/],
    [["--limits", '{"sessions": 0}'], /--limits\.sessions must be more than 0, but --limits is .* \(INVALID_OPTION\)/],
  ] as const) {
    const { exitCode, error } = await unsay(["relay", "--port", "0", ...argv], {
      environment: { XDG_DATA_HOME: temporary() },
    });
    expect(error).toMatch(sentence);
    expect(exitCode).toBe(2);
  }
});

test("a program that uses the library with a token finds it neither on its console nor in its log", async () => {
  const spies = (["debug", "info", "log", "warn", "error"] as const).map((name) =>
    vi.spyOn(console, name).mockImplementation(() => {}),
  );
  cleanups.push(() => vi.restoreAllMocks());
  const relay = new Relay({ port: 0 });
  cleanups.push(() => relay.close());
  const { port } = await relay.listen();
  const url = `http://127.0.0.1:${port}/live?jwt=aaaa.bbbb.cccc`;
  const log: string[] = [];
  const note = (fields: object, message: string) => log.push(`${JSON.stringify(fields)} ${message}`);
  const logger = { debug: note, info: note, warn: note };
  const publisher = new Publisher({ url, broadcast: "demo", logger });
  cleanups.push(() => publisher.close());
  const listener = new Listener({ url, broadcast: "demo", logger });
  cleanups.push(() => listener.close());
  await expect.poll(() => relay.stats()).toMatchObject({ sessions: 2, broadcasts: 1 });
  await expect.poll(() => relay.stats().watchers).toBeGreaterThan(0);
  const words = spies.flatMap(({ mock }) => mock.calls.map((call) => call.join(" ")));
  // What the libraries have to say is said in the log.
  expect(words).toEqual([]);
  expect(log.join("\n")).toContain(`127.0.0.1:${port}/live`);
  expect(log.join("\n")).not.toContain("bbbb");
});
