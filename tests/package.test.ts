import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";

const run = promisify(execFile);
const root = join(import.meta.dirname, "..");
const project = mkdtempSync(join(tmpdir(), "unsay-package-"));
const installed = join(project, "node_modules/unsay");
afterAll(() => rmSync(project, { recursive: true }));

/** Packs as `npm publish` would and lays the result out as an installed dependency of an empty project. */
beforeAll(async () => {
  const { stdout } = await run("npm", ["pack", "--silent", "--pack-destination", project], { cwd: root });
  mkdirSync(installed, { recursive: true });
  await run("tar", ["-xzf", join(project, stdout.trim().split("\n").at(-1)!), "-C", installed, "--strip", "1"]);
  symlinkSync(join(root, "node_modules"), join(installed, "node_modules"));
  symlinkSync(join(root, "node_modules/@types"), join(project, "node_modules/@types"));
  writeFileSync(join(project, "package.json"), JSON.stringify({ type: "module" }));
}, 180_000);

test("what is packed runs with plain node, and holds neither tests nor sources", async () => {
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
  const { stdout } = await run(process.execPath, [join(installed, "dist/src/cli.js"), "--version"]);
  expect(stdout.trim()).toBe(version);
  const listed = await run("find", [installed, "-path", "*/node_modules", "-prune", "-o", "-type", "f", "-print"]);
  const files = listed.stdout.trim().split("\n");
  expect(files.filter((file) => /\.test\.|(?<!\.d)\.ts$/.test(file) && !file.includes("/examples/"))).toEqual([]);
  expect(files.some((file) => file.endsWith("page/assets/index.html"))).toBe(true);
  const megabytes = files.reduce((sum, file) => sum + statSync(file).size, 0) / 1e6;
  expect(megabytes).toBeLessThan(6);
});

test("the README's library example runs against the package and hears what it published", async () => {
  const readme = readFileSync(join(root, "README.md"), "utf8");
  const [, example] = /```ts\n(import [\s\S]*?from "unsay";[\s\S]*?)```/.exec(readme) ?? [];
  expect(example, "the README has an example that imports unsay").toBeDefined();
  expect(example!.trim().split("\n").filter(Boolean).length).toBeLessThanOrEqual(14);
  writeFileSync(join(project, "example.js"), example!);
  const recording = join(root, "examples/audio/noisy-speech.wav");
  const { stdout } = await run(process.execPath, ["example.js", recording], { cwd: project, timeout: 60_000 });
  expect(stdout).toMatch(/Heard until [1-9]\d*\.\d+ s/);
  expect(statSync(join(project, "heard.wav")).size).toBeGreaterThan(100_000);
}, 90_000);

test("a NodeNext project gets real types: right use compiles, wrong use does not", async () => {
  writeFileSync(
    join(project, "consumer.ts"),
    `import { Listener, Publisher, Relay, UnsayError, type Interruption } from "unsay";
const relay: Relay = new Relay({ port: 0 });
const publisher = new Publisher({ url: "http://localhost:1", broadcast: "x" });
const told: Promise<Interruption> = publisher.interrupt();
const until: number = (await told).heardUntil;
const listener = new Listener({ url: "http://localhost:1", broadcast: "x" });
const code: string = new UnsayError("CODE", "Sentence.").code;
// @ts-expect-error a port is a number
new Relay({ port: "many" });
// @ts-expect-error there is no such option
new Publisher({ url: "http://localhost:1", loudness: 11 });
// @ts-expect-error a broadcast must be named
new Listener({ url: "http://localhost:1" });
// @ts-expect-error stats are not any
listener.stats().nonsense;
export { relay, until, code };
`,
  );
  writeFileSync(
    join(project, "tsconfig.json"),
    JSON.stringify({
      compilerOptions: {
        module: "nodenext",
        target: "es2023",
        strict: true,
        noEmit: true,
        types: ["node"],
        skipLibCheck: true,
      },
      files: ["consumer.ts"],
    }),
  );
  const compiler = createRequire(import.meta.url).resolve("typescript/bin/tsc");
  const { stdout } = await run(process.execPath, [compiler, "-p", project]).catch((error: { stdout: string }) => error);
  expect(stdout).toBe("");
}, 90_000);
