import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { beforeAll, expect, test } from "vitest";

const ROOT = join(import.meta.dirname, "..");

/** What each example prints at its end. */
const LAST_LINE: Readonly<Record<string, RegExp>> = {
  "agent-door.ts": /^Heard \d+ ms: "This sentence is.*"$/,
  "false-alarm.ts": /^The next reply finished too\.$/,
  "headless-listener.ts": /^state: closed$/,
  "hello.ts": /^interrupted: the listener heard \d+ ms of it\. Listen to heard\.wav\.$/,
  "livekit-agent.ts": /^The agent remembers: "Congratulations\. You have(?!.*started\.).*"$/,
  "openai-agent.ts": /^Truncated after \d+ ms of 10 s; the listener played \d+ ms\.$/,
  "relay-with-tokens.ts": /^The listener with a token heard 1000 ms\.$/,
  "remote-control.ts": /^speech: interrupted after \d+ ms$/,
  "twilio-bot.ts": /^The bot sent 5000 ms, the listener played \d+ ms of it\.$/,
  "voice-agent.ts": /^The caller heard: "Your order left the warehouse.*" \(exact\)$/,
};

const COMPILED = join(ROOT, ".cache/examples");
const examples = (await readdir(join(ROOT, "examples"))).filter((name) => name.endsWith(".ts"));

test("every example has an expected last line and fewer than 60 lines", async () => {
  expect(examples.sort()).toEqual(Object.keys(LAST_LINE).sort());
  for (const name of examples) {
    const text = await readFile(join(ROOT, "examples", name), "utf8");
    expect(text.split("\n").length).toBeLessThan(60);
  }
});

// `unsay` means the sources here, as the paths of tsconfig.json say.
beforeAll(async () => {
  await rm(COMPILED, { recursive: true, force: true });
  await mkdir(COMPILED, { recursive: true });
  await symlink(join(ROOT, "examples/audio"), join(COMPILED, "audio"));
  await build({
    entryPoints: examples.map((name) => join(ROOT, "examples", name)),
    outdir: COMPILED,
    bundle: true,
    packages: "external",
    tsconfig: join(ROOT, "tsconfig.json"),
    platform: "node",
    format: "esm",
    target: "node20",
    logLevel: "error",
  });
});

test.concurrent.each(Object.entries(LAST_LINE))(
  "the example %s runs to its end and prints what it promises",
  async (name, lastLine) => {
    const folder = await mkdtemp(join(tmpdir(), "unsay-example-"));
    const child = spawn(process.execPath, [join(COMPILED, name.replace(".ts", ".js"))], { cwd: folder });
    let out = "";
    let error = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      out += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      error += text;
    });
    const [exitCode] = await once(child, "close");
    expect({ exitCode, error }).toMatchObject({ exitCode: 0 });
    expect(out.trim().split("\n").at(-1)).toMatch(lastLine);
  },
);
