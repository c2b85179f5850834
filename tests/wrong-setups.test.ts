import { execFileSync } from "node:child_process";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { generateKey, Relay, signToken } from "../relay/index.js";
import { createCertificate } from "../transport/index.js";
import { type Outcome, UnsayProcess, unsay } from "./support/command-line.js";
import { waveFile } from "./support/wave-file.js";

const recording = "examples/audio/noisy-speech.wav";
const folder = mkdtempSync(join(tmpdir(), "unsay-wrong-"));
const at = (name: string) => join(folder, name);
const environment = { XDG_DATA_HOME: folder };
const cleanups: (() => unknown)[] = [];
/** A port on which nothing listens, one of another program, and the relays: an open one and one with keys. */
const DEAD = "http://127.0.0.1:1";
let taken = 0;
let openRelay: Relay;
let open = "";
let keyed = "";
let tokens: Record<"stage" | "watching" | "expired", string>;

beforeAll(async () => {
  const key = await generateKey("HS256");
  writeFileSync(at("key.jwk"), JSON.stringify(key), { mode: 0o600 });
  const past = Math.floor(Date.now() / 1000) - 60;
  tokens = {
    stage: await signToken(key, { put: "stage", get: "stage" }),
    watching: await signToken(key, { get: "" }),
    expired: await signToken(key, { put: "", get: "", exp: past }),
  };
  openRelay = new Relay({ port: 0 });
  const relays = [openRelay, new Relay({ port: 0, auth: { keys: at("key.jwk") } })];
  for (const relay of relays) cleanups.push(() => relay.close());
  [open, keyed] = (await Promise.all(relays.map((relay) => relay.listen()))).map(
    ({ port }) => `http://127.0.0.1:${port}`,
  ) as [string, string];
  const other: Server = createServer();
  await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
  cleanups.push(() => other.close());
  const address = other.address();
  taken = typeof address === "object" && address ? address.port : 0;

  const [first, second] = await Promise.all([createCertificate(), createCertificate()]);
  writeFileSync(at("cert.pem"), first.cert);
  writeFileSync(at("key.pem"), first.key, { mode: 0o600 });
  writeFileSync(at("other-key.pem"), second.key, { mode: 0o600 });
  writeFileSync(at("half.pem"), first.key.slice(0, 100), { mode: 0o600 });
  writeFileSync(at("cert.der"), new X509Certificate(first.cert).raw);
  const locked = { type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "secret" } as const;
  writeFileSync(at("locked.pem"), createPrivateKey(first.key).export(locked), { mode: 0o600 });
  writeFileSync(at("half-pair.json"), JSON.stringify({ relay: { cert: at("cert.pem") } }));
  writeFileSync(at("six.wav"), waveFile({ channels: Array.from({ length: 6 }, () => new Float32Array(9)) }));
  writeFileSync(at("slow.wav"), waveFile({ channels: [new Float32Array(9)], rate: 500 }));
  writeFileSync(at("none.wav"), waveFile({ channels: [new Float32Array(0)] }));
  writeFileSync(at("damaged.jwk"), JSON.stringify({ kty: "EC", alg: "ES256", crv: "P-256", x: "AAAA", y: "AAAA" }));
  writeFileSync(at("mixed.jwk"), JSON.stringify({ ...key, alg: "EdDSA" }));
  writeFileSync(at("short.jwk"), JSON.stringify({ kty: "oct", alg: "HS256", k: "AAAA" }));
  writeFileSync(at("shared.jwk"), JSON.stringify(key));
  chmodSync(at("shared.jwk"), 0o666);
  writeFileSync(at("odd.onnx"), "model");
  writeFileSync(at("odd.json"), JSON.stringify({ name: 5, feature: { kind: "waveform" } }));
  mkdirSync(at("no-keys"));
  mkdirSync(at("odd-keys/a.jwk"), { recursive: true });
  writeFileSync(at("broken.json"), '{"relay":');
  writeFileSync(at("unknown.json"), '{"relay": {"prot": 1}}');
  writeFileSync(at("unknown-command.json"), '{"rely": {}}');
  writeFileSync(at("unknown-limit.json"), '{"relay": {"limits": {"sesions": 1}}}');
  writeFileSync(at("list.json"), '{"relay": {"publicGet": ["a", 2]}}');
  writeFileSync(at("deep.json"), '{"relay": {"config": "other.json"}}');
  writeFileSync(at("text.txt"), "This is not audio or video.");
});
afterAll(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  rmSync(folder, { recursive: true });
});

type Wrong = [argv: string[], exitCode: 1 | 2, sentence: RegExp, environment?: Record<string, string>];

/** One sentence on standard error, after at most those that say what is tried. */
function expectSentences(wrong: readonly Wrong[], outcomes: readonly Outcome[]): void {
  const seen = outcomes.map(({ exitCode, error }, index) => ({
    argv: wrong[index]![0].join(" "),
    exitCode,
    sentence: error.trim().split("\n").at(-1),
    trace: /\n\s+at |undefined|\[object/.test(error),
  }));
  expect(seen).toEqual(
    wrong.map(([argv, exitCode, sentence]) => ({
      argv: argv.join(" "),
      exitCode,
      sentence: expect.stringMatching(new RegExp(`^unsay: .*${sentence.source}`)),
      trace: false,
    })),
  );
  for (const { sentence } of seen) expect(sentence).toMatch(/[^.:]\.? \([A-Z0-9_]+\)$/);
}

test("every wrong argument, setting, file and key ends with a sentence that names it and exit code 2", async () => {
  const publish = (...rest: string[]) => ["publish", recording, "--url", open, ...rest];
  const relay = (...rest: string[]) => ["relay", "--port", "0", ...rest];
  const wrong: Wrong[] = [
    [["lisen"], 2, /unknown command 'lisen'/],
    [["help", "relya"], 2, /unknown command 'relya'; did you mean relay\?/],
    [["relay", "twice"], 2, /too many arguments/],
    [["relay", "--prot", "1"], 2, /unknown option '--prot'.*--port/],
    [["relay", "--port"], 2, /--port <number>.*argument missing/],
    [relay("--port", "70000"), 2, /--port must .*, but is "70000"/],
    [relay("--host", "no.such.host.invalid"), 2, /no\.such\.host\.invalid is not an address/],
    [relay("--host", "127.0.0.1:4443"), 2, /--host must be a name or an address without a scheme and a port/],
    [relay("--host", "http://127.0.0.1"), 2, /--host must be a name or an address without a scheme and a port/],
    [relay("--host", "224.0.0.1"), 2, /--host must not be a multicast or broadcast address/],
    [relay("--host", "255.255.255.255"), 2, /--host must not be a multicast or broadcast address/],
    [relay("--host", "[ff02::1]"), 2, /--host must not be a multicast or broadcast address/],
    [relay("--host", "fe80::1%eth0"), 2, /--host must be a name or an address without a zone/],
    [relay("--drain-seconds", "soon"), 2, /--drain-seconds must .*, but is "soon"/],
    [relay(), 2, /UNSAY_REPEAT must .*, but is "perhaps"/, { UNSAY_REPEAT: "perhaps" }],
    [relay("--public-put", "demo,"), 2, /--public-put\.1 must not be empty, but --public-put is "demo,"/],
    [relay(), 2, /UNSAY_PUBLIC_GET\.0 must not be empty/, { UNSAY_PUBLIC_GET: "," }],
    [relay("--allow-origin", "app.example"), 2, /--allow-origin must be an origin such as/],
    [relay("--allow-origin", "https://*.app.example"), 2, /--allow-origin must be an origin such as/],
    [relay("--allow-host", "https://app.example"), 2, /--allow-host must be a host name such as/],
    [relay("--allow-host", "app.example:4443"), 2, /--allow-host must be a host name such as/],
    [relay("--allow-host", "*.example"), 2, /--allow-host must be a host name such as/],
    [relay("--limits", '{"handshakeMs": 1e10}'), 2, /--limits\.handshakeMs must be at most 86400000/],
    [relay("--limits", '{"sesions": 1}'), 2, /--limits has no option "sesions"/],
    [relay("--limits", '{"sessions": -1}'), 2, /--limits\.sessions must be more than 0/],
    [relay("--config", at("absent.json")), 2, /absent\.json cannot be read: no such file or directory\./],
    [relay("--config", folder), 2, /cannot be read: it is a directory\./],
    [relay("--config", "/dev/zero"), 2, /\/dev\/zero cannot be read: it has more than 1048576 bytes/],
    [relay("--config", at("broken.json")), 2, /broken\.json is not a JSON object/],
    [relay("--config", at("unknown.json")), 2, /relay\.prot of .*unknown\.json is not a known setting/],
    [relay("--config", at("unknown-command.json")), 2, /The key rely of .* is not a command/],
    [relay("--config", at("unknown-limit.json")), 2, /relay\.limits in .*json has no option "sesions"/],
    [relay("--config", at("deep.json")), 2, /relay\.config of .* is not a known setting/],
    [relay("--cert", at("cert.pem")), 2, /--cert and --key must be given together/],
    [relay(), 2, /--cert and UNSAY_KEY must be given together/, { UNSAY_KEY: at("key.pem") }],
    [relay("--config", at("half-pair.json")), 2, /relay\.cert in .*half-pair\.json and --key must be given together/],
    [relay("--cert", at("cert.pem"), "--key", at("other-key.pem")), 2, /does not belong to the key .*other-key\.pem\./],
    [relay("--cert", at("cert.pem"), "--key", at("half.pem")), 2, /half\.pem ends within its private key/],
    [relay("--cert", at("cert.der"), "--key", at("key.pem")), 2, /cert\.der is in DER instead of PEM/],
    [relay("--cert", at("cert.pem"), "--key", at("locked.pem")), 2, /locked\.pem has a passphrase/],
    [relay("--cert", at("cert.pem"), "--key", at("absent.pem")), 2, /absent\.pem cannot be read/],
    [relay("--auth-keys", at("absent.jwk")), 2, /--auth-keys: .*absent\.jwk cannot be read/],
    [relay("--auth-keys", at("text.txt")), 2, /not a JSON Web Key/],
    [relay("--auth-keys", at("damaged.jwk")), 2, /A key of .*damaged\.jwk is damaged/],
    [relay("--auth-keys", at("mixed.jwk")), 2, /mixed\.jwk is not a JSON Web Key/],
    [relay("--auth-keys", at("short.jwk")), 2, /short\.jwk is not a JSON Web Key/],
    [relay("--auth-keys", at("shared.jwk")), 2, /Every user of this machine can write the file .*shared\.jwk/],
    [relay("--auth-keys", at("no-keys")), 2, /--auth-keys: .*no-keys holds no keys/],
    [relay("--auth-keys", at("odd-keys")), 2, /--auth-keys: .*odd-keys\/a\.jwk cannot be read: it is a directory/],
    [relay("--no-elements=false"), 2, /--no-elements takes no value/],
    [relay("--repeat=yes"), 2, /--repeat takes no value/],
    [
      relay("--public-get", "a", "--public-get", "b,"),
      2,
      /--public-get\.2 must not be empty, but --public-get is "a,b,"/,
    ],
    [relay(), 2, /UNSAY_AUTH_KEYS: .*no-keys holds no keys/, { UNSAY_AUTH_KEYS: at("no-keys") }],
    [relay("--auth-keys", `${DEAD}/keys`), 2, /127\.0\.0\.1:1\/keys cannot be fetched: that port belongs to/],
    [
      relay("--upstream", "http://me:secret@127.0.0.1:1"),
      2,
      /--upstream must have no user name .*, but is "http:\/\/me:\[secret\]@127/,
    ],
    [relay("--upstream", "localhost:4443"), 2, /--upstream must .*, but is "localhost:4443"/],
    [relay("--ca", at("cert.pem")), 2, /--ca is for --upstream/],
    [relay(), 2, /UNSAY_CA is for --upstream/, { UNSAY_CA: at("cert.pem") }],
    [relay("--auth-audience", "me"), 2, /--auth-audience is for the tokens of --auth-keys/],
    [["token", "sign", "--key", at("damaged.jwk"), "--get", "/"], 2, /cannot sign any/],
    [["token", "sign", "--key", at("key.jwk"), "--get", "a,,b"], 2, /--get\.1 must not be empty, but --get is "a,,b"/],
    [["token", "sign", "--key", at("key.jwk"), "--get", ""], 2, /must grant at least one path/],
    [["watch"], 2, /--url must be .*, but is missing/],
    [["watch", open], 2, /UNSAY_TOKEN must be a JWT.*, but is "\[secret\]"/, { UNSAY_TOKEN: "password" }],
    [["watch", open, "--url", open], 2, /--url and the argument .* are the same setting/],
    [["watch", "ftp://127.0.0.1"], 2, /must be a URL/],
    [["watch", "http://me@127.0.0.1"], 2, /--url must have no user name and no password/],
    [["watch", open, "--seconds", "1e12"], 2, /--seconds must be at most 2000000/],
    [["watch", open, "--wav", "-"], 2, /--wav must be a path, such as \/dev\/stdout or \.\/-, but is "-"/],
    [["page", "--url", open, "--out", "-"], 2, /--out must be a path/],
    [["token", "generate", "--key", "-"], 2, /--key must be a path/],
    [["watch", open, "--wav", at("a/b.wav")], 2, /b\.wav cannot be written: no such file or directory/],
    [["watch", open, "--wav", "/dev/full"], 2, /\/dev\/full cannot be written: no space left on device/],
    [["watch", open, "--json", "--wav", "/dev/stdout"], 2, /--json and --wav \/dev\/stdout exclude each other/],
    [["watch", open, "--json", "--stdout"], 2, /--json and --stdout exclude each other/],
    [["agent", "--url", open, "--listen", "demo.hang"], 2, /--listen must be another broadcast than --broadcast/],
    [["call", "ws://127.0.0.1:1", "--url", open, "--listen", "/demo"], 2, /--listen must be another broadcast/],
    [
      ["call", "ws://127.0.0.1:1", "--url", open, "--parameters", "a=1,a=2"],
      2,
      /--parameters must have each name once/,
    ],
    [["control", open, "interrupt", "now"], 2, /interrupt takes no --what, but it is "now"/],
    [["control", open, "interrupt", "--gain-db", "3"], 2, /interrupt takes no --gain-db, but it is "3"/],
    [["control", open, "set", "--bypass", "on", "--clear"], 2, /set takes no --clear/],
    [["control", open, "model", "a.onnx", "--name", "b"], 2, /model takes --what or --name, not both/],
    [["control", open, "write-audio", recording, "--at", "1e300"], 2, /--at must be at most \d+, but is "1e300"/],
    [
      ["control", open, "write-audio", at("six.wav"), "--at", "1"],
      2,
      /six\.wav has 6 channels; write-audio takes 1 or 2/,
    ],
    [["control", open, "write-audio", at("slow.wav"), "--at", "1"], 2, /slow\.wav has a sample rate of 500 Hz/],
    [["control", open, "write-audio", at("none.wav"), "--at", "1"], 2, /none\.wav holds no audio/],
    [["control", open, "noise-profile", at("text.txt")], 2, /text\.txt does not start with "RIFF"/],
    [["control", open, "loop-band", "--start", "5", "--end", "1"], 2, /--end must be at least 0\.1 s after --start/],
    [["watch", open, "--wav", at("x.wav"), "--stdout"], 2, /--wav and --stdout exclude each other/],
    [["watch", open, "--ca", at("absent.pem")], 2, /absent\.pem cannot be read/],
    [["watch", open, "--ca", "/dev/zero"], 2, /\/dev\/zero cannot be read: it has more than 16777216 bytes/],
    [["watch", open, "--ca", at("key.pem")], 2, /hold no PEM certificate/],
    [["watch", open, "--ca", at("cert.pem"), "--insecure"], 2, /--insecure and --ca exclude each other/],
    [["watch", open, "--certificate-hash", "0".repeat(64)], 2, /--certificate-hash needs an https:/],
    [["watch", open, "--transport", "http2"], 2, /--transport http2 needs an https:/],
    [
      ["publish", recording, "--url", "https://127.0.0.1:1", "--transport", "http2", "--insecure"],
      2,
      /--insecure does not/,
    ],
    [["evil\u001b[31m"], 2, /unknown command 'evil\uFFFD\[31m'/],
    [["page", "--url", "http://me:secret@a", "--out", at("page")], 2, /--url must have no user name .*\[secret\]@a/],
    [["watch", open, "--broadcast", "/"], 2, /--broadcast must .*, but is "\/"/],
    [publish("--model", at("odd.onnx")), 2, /sidecar .*odd\.json is not valid: name must be a string\./],
    [publish("--frame-ms", "7"), 2, /--frame-ms must .*, but is "7"/],
    [["publish", "--url", open], 2, /There is nothing to publish/],
    [["publish", at("absent.wav"), "--url", open], 2, /absent\.wav does not exist/],
    [["publish", "--video", at("absent.ivf"), "--url", open], 2, /absent\.ivf/],
    [["control", open, "sett"], 2, /--operation must .*, but is "sett"/],
    [["control", open, "set"], 2, /set needs a --strength/],
    [["control", open, "model"], 2, /model needs an ONNX file/],
    [["control", open, "write-audio", folder, "--at", "1"], 2, /can't be read: it is a directory/],
    [relay("--config", at("list.json")), 2, /relay\.publicGet\.1 in .*list\.json must be a string, but is 2/],
    [
      ["token", "generate", "--key", at("no/key.jwk")],
      2,
      /no\/key\.jwk cannot be written: no such file or directory\./,
    ],
    [
      ["token", "--action", "generate", "--algorithm", "EdDSA", "--key", at("new.jwk"), "--public", at("new.jwk")],
      2,
      /--public must be another file than --key/,
    ],
    [["token", "sign", "--key", folder, "--get", "/"], 2, /The key .* cannot be read: it is a directory/],
    [["token", "sign", "--key", "/dev/null", "--get", "/"], 2, /\/dev\/null is a device that every user/],
    [["control", open, "model", "/dev/zero"], 2, /\/dev\/zero can't be read: it has more than 67108864 bytes/],
    [
      ["page", "--url", open, "--out", "/proc/none"],
      2,
      /The page can't be written to \/proc\/none: no such file or directory\./,
    ],
    [["bench"], 2, /--what must be relay, but is missing/],
    [["bench", "relay"], 2, /--url must be .*, but is missing/],
  ];
  const outcomes: Outcome[] = [];
  for (const [argv, , , more] of wrong) outcomes.push(await unsay(argv, { environment: { ...environment, ...more } }));
  expectSentences(wrong, outcomes);
  expect(wrong.length).toBeGreaterThanOrEqual(40);
});

test("a pipe without a writer in place of a key, a certificate, a model or a payload is refused in a sentence", async () => {
  execFileSync("mkfifo", [at("silent")]);
  const wrong: Wrong[] = [
    [
      ["relay", "--port", "0", "--cert", at("silent"), "--key", at("key.pem")],
      2,
      /silent cannot be read: it is a pipe/,
    ],
    [["relay", "--port", "0", "--auth-keys", at("silent")], 2, /silent cannot be read: it is a pipe/],
    [["token", "sign", "--key", at("silent"), "--get", "/"], 2, /The key .*silent cannot be read: it is a pipe/],
    [
      ["publish", recording, "--url", open, "--model", at("silent")],
      2,
      /model file .*silent can't be read: it is a pipe/,
    ],
    [["control", open, "noise-profile", at("silent")], 2, /silent can't be read: it is a pipe/],
    [["control", open, "write-audio", at("silent"), "--at", "1"], 2, /silent can't be read: it is a pipe/],
  ];
  expectSentences(wrong, await Promise.all(wrong.map(([argv]) => unsay(argv, { environment }))));
});

test("a config file may be a pipe, which can be read but once", async () => {
  const pipe = at("config-pipe");
  execFileSync("mkfifo", [pipe]);
  const printed = unsay(["watch", open, "--config", pipe, "--print-config"], { environment });
  await writeFile(pipe, JSON.stringify({ watch: { seconds: 5 } }));
  expect(await printed).toMatchObject({ exitCode: 0, out: expect.stringMatching(/"seconds": 5/), error: "" });
});

test("a command that cannot reach its relay ends with the reason and exit code 1, without waiting for its time limit", async () => {
  // A minute is far more than any of them takes; `npm run bench -- refusals` measures how soon each says why.
  const patiently = ["--timeout-ms", "3600000"];
  const publish = (url: string, ...rest: string[]) => ["publish", recording, "--bypass", "--url", url, ...rest];
  const secure = open.replace("http:", "https:");
  const unpinned = ["--certificate-hash", "0".repeat(64)];
  const wrong: Wrong[] = [
    [["demo", "--port", String(taken)], 1, new RegExp(`port ${taken} .*in use.*\\(PORT_IN_USE\\)`)],
    [
      ["relay", "--port", "0", "--ops-port", String(taken)],
      1,
      /ops port \d+ is in use by another program\. \(PORT_IN_USE\)/,
    ],
    [["agent", "--url", open, "--port", String(taken)], 1, /port \d+ of 127\.0\.0\.1 is in use\. \(PORT_IN_USE\)/],
    [publish(DEAD, "--no-retry"), 1, /nothing listens on that port/],
    [publish(secure), 1, /certificate is not trusted.*\(CERTIFICATE_UNTRUSTED\)/],
    [publish(secure, ...unpinned), 1, /certificate is not trusted.*\(CERTIFICATE_UNTRUSTED\)/],
    [publish(keyed), 1, /This path needs a token\. \(UNAUTHORIZED\)/],
    [publish(keyed, "--token", "a.b.c"), 1, /The token is not a JWT\. \(UNAUTHORIZED\)/],
    [publish(keyed, "--token", tokens.expired), 1, /The token has expired\. \(UNAUTHORIZED\)/],
    [publish(keyed, "--token", tokens.stage, "--broadcast", "other"), 1, / other\. \(NOT_GRANTED\)/],
    [publish(keyed, "--token", tokens.watching), 1, / demo\. \(NOT_GRANTED\)/],
    [["watch", DEAD, "--no-retry", ...patiently], 1, /nothing listens on that port/],
    [["watch", keyed, "--token", tokens.stage, "--broadcast", "other", ...patiently], 1, / other\. \(NOT_GRANTED\)/],
    [["watch", secure, ...patiently], 1, /\(CERTIFICATE_UNTRUSTED\)/],
    [["control", keyed, "interrupt", ...patiently], 1, /This path needs a token\. \(UNAUTHORIZED\)/],
    [["bench", "relay", "--url", DEAD], 1, /nothing listens on that port/],
    [["bench", "relay", "--url", keyed], 1, /This path needs a token\. \(UNAUTHORIZED\)/],
  ];
  const run = ([argv]: Wrong) => unsay(argv, { environment, signal: AbortSignal.timeout(60_000) });
  expectSentences(wrong, await Promise.all(wrong.map(run)));
});

test("a command that finds no relay or no publisher within its own time limit ends with the reason and exit code 1", async () => {
  const secureDead = DEAD.replace("http:", "https:");
  const wrong: Wrong[] = [
    [["watch", DEAD, "--seconds", "2"], 1, /nothing listens on that port/],
    [["watch", secureDead, "--transport", "quic", "--seconds", "3"], 1, /no connection to 127\.0\.0\.1:1 within 3 s/],
    [["watch", open, "--seconds", "2", "--broadcast", "missing"], 1, /No publisher of missing\.hang at .*NO_BROADCAST/],
    [
      ["watch", open, "--seconds", "2", "--broadcast", "a\u001b[31m\u202eb"],
      1,
      /No publisher of a\uFFFD\[31m\uFFFDb\.hang at/,
    ],
    [["control", DEAD, "interrupt", "--timeout-ms", "2500"], 1, /nothing listens on that port/],
    [["control", open, "interrupt", "--timeout-ms", "4000"], 1, /No publisher of demo .*\(CONTROL_TIMEOUT\)/],
  ];
  const outcomes = await Promise.all(wrong.map(([argv]) => unsay(argv, { environment })));
  expectSentences(wrong, outcomes);
  expect(outcomes[1]!.error).toContain("127.0.0.1:1 has not answered over QUIC so far.");
});

test("a publisher whose name another one takes ends with that reason, like one whose token expires", async () => {
  const soon = (
    await unsay(["token", "sign", "--key", at("key.jwk"), "--put", "/", "--get", "/", "--expires", "5"])
  ).out.trim();
  const ended = unsay(["publish", recording, "--bypass", "--loop", "--url", keyed, "--token", soon]);

  const first = unsay(["publish", recording, "--bypass", "--loop", "--url", open, "--broadcast", "taken"]);
  await expect.poll(() => openRelay.stats().broadcasts).toBe(1);
  const stop = new AbortController();
  const second = unsay(["publish", recording, "--bypass", "--loop", "--url", open, "--broadcast", "taken"], {
    signal: stop.signal,
  });
  expect(await first).toMatchObject({ exitCode: 1, error: expect.stringMatching(/taken the name taken.*NAME_TAKEN/) });
  stop.abort();
  expect(await second).toMatchObject({ exitCode: 0, error: "" });
  expect(await ended).toMatchObject({ exitCode: 1, error: "unsay: The token has expired. (UNAUTHORIZED)\n" });
});

test("a relay whose upstream is itself ends with a sentence, also as a process", async () => {
  const port = await freePort();
  const relay = new UnsayProcess(
    ["relay", "--port", String(port), "--upstream", `http://localhost:${port}`],
    environment,
  );
  expect(await relay.exited()).toBe(2);
  expect(relay.error).toMatch(/--upstream is http:\/\/localhost:\d+: .*is the relay itself\. \(UPSTREAM_IS_SELF\)\n$/);
});

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer();
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address ? address.port : 0));
    });
  });
}
