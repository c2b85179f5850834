import { execFile } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import typescript from "typescript";
import { afterAll, beforeAll, expect, test } from "vitest";

const run = promisify(execFile);
const root = join(import.meta.dirname, "..");
const project = mkdtempSync(join(tmpdir(), "unsay-package-"));
const installed = join(project, "node_modules/unsay");
afterAll(() => rmSync(project, { recursive: true }));

/** Where the package is installed without its optional dependencies. */
const lean = mkdtempSync(join(tmpdir(), "unsay-lean-"));
afterAll(() => rmSync(lean, { recursive: true }));

let installation = "";

/** Packs as `npm publish` would and installs the result in empty projects, with nothing but the registry. */
beforeAll(async () => {
  const { stdout } = await run("npm", ["pack", "--silent", "--pack-destination", project], { cwd: root });
  const tarball = join(project, stdout.trim().split("\n").at(-1)!);
  const install = async (cwd: string, ...flags: string[]) => {
    writeFileSync(join(cwd, "package.json"), JSON.stringify({ type: "module" }));
    const args = ["install", ...flags, "--prefer-offline", "--no-audit", "--no-fund", tarball];
    const { stdout: out, stderr } = await run("npm", args, { cwd, env: withoutNpmSettings() });
    return out + stderr;
  };
  [installation] = await Promise.all([install(project), install(lean, "--omit=optional")]);
}, 600_000);

/** The environment of a user: the variables that `npm test` sets would reach the installation. */
function withoutNpmSettings(): NodeJS.ProcessEnv {
  const settings = /^npm_(?!config_(?:registry|cache|userconfig|globalconfig|.*proxy))|^ONNXRUNTIME/i;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !settings.test(name)));
}

test("the package installs without a flag, a refused engine or an unknown setting", () => {
  expect(installation).toContain("added ");
  expect(installation).not.toMatch(/EBADENGINE|Unknown .*config|deprecated/i);
});

test.concurrent("the installed package denoises, and holds the patched dependencies", async () => {
  for (const name of ["@kixelated/moq", "@moq/qmux", "@moq/signals"])
    expect(readdirSync(join(installed, "node_modules", name)), name).toContain("unsay.js");
  const script = `
    import { loadModel, shippedModel } from "unsay";
    const model = await loadModel(shippedModel);
    process.stdout.write(model.contract.name);
    await model.close();`;
  const { stdout } = await run(process.execPath, ["--input-type=module", "--eval", script], { cwd: project });
  expect(stdout).toBe("unsay-denoise");
});

test.concurrent("a relay without the optional dependencies listens on every carrier and takes at most 90 MB", async () => {
  const script = `
    import { Relay } from "unsay/relay";
    const relay = new Relay({ port: 0 });
    await relay.listen();
    process.stdout.write(relay.backends.join());
    await relay.close();`;
  expect(readdirSync(join(lean, "node_modules")).filter((name) => name.startsWith("onnxruntime"))).toEqual([]);
  const { stdout } = await run(process.execPath, ["--input-type=module", "--eval", script], { cwd: lean });
  expect(stdout).toBe("quic,qmux");
  const { stdout: size } = await run("du", ["-sm", "node_modules"], { cwd: lean });
  expect(Number.parseInt(size, 10)).toBeLessThanOrEqual(90);
});

test.concurrent("the packed files run with plain node, and hold neither tests nor sources", async () => {
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
  const { stdout } = await run(process.execPath, [join(installed, "dist/src/cli.js"), "--version"]);
  expect(stdout.trim()).toBe(version);
  const listed = await run("find", [installed, "-path", "*/node_modules", "-prune", "-o", "-type", "f", "-print"]);
  const files = listed.stdout.trim().split("\n");
  expect(files.filter((file) => /\.test\.|(?<!\.d)\.ts$/.test(file) && !file.includes("/examples/"))).toEqual([]);
  expect(files.some((file) => file.endsWith("page/assets/index.html"))).toBe(true);
  const megabytes = files.reduce((sum, file) => sum + statSync(file).size, 0) / 1e6;
  expect(megabytes).toBeLessThan(6.5);
});

/** `NAME=value` pairs of a line or several. */
function assignments(text: string): Record<string, string> {
  return Object.fromEntries([...text.matchAll(/(\w+)=(\S+)/g)].map(([, name, value]) => [name!, value!]));
}

/** The settings `unsay relay` starts with in an environment. */
async function relaySettings(cli: string, environment: Record<string, string>): Promise<Record<string, unknown>> {
  const settings = { cwd: project, env: { PATH: process.env.PATH, ...environment } };
  const { stdout } = await run(process.execPath, [cli, "relay", "--print-config"], settings);
  return JSON.parse(stdout);
}

test("the packed files import only their dependencies, the standard library and themselves", () => {
  const manifest = JSON.parse(readFileSync(join(installed, "package.json"), "utf8"));
  const dependencies = { ...manifest.dependencies, ...manifest.optionalDependencies, ...manifest.peerDependencies };
  const folder = join(installed, "dist");
  const scripts = readdirSync(folder, { recursive: true, encoding: "utf8" })
    // The page is a bundle already; what bundles it runs from the sources alone.
    .filter((file) => file.endsWith(".js") && !/page\/(?:assets\/|bundle\.js$)/.test(file));
  const names = scripts.flatMap((file) =>
    typescript.preProcessFile(readFileSync(join(folder, file), "utf8")).importedFiles.map(({ fileName }) => fileName),
  );
  const packages = [...new Set(names)].filter((name) => !/^(?:\.|node:)/.test(name));
  expect(packages).toContain("onnxruntime-node");
  const unknown = packages.filter(
    (name) => !Object.keys(dependencies).some((each) => `${name}/`.startsWith(`${each}/`)),
  );
  expect(unknown).toEqual([]);
});

test.concurrent("the container has everything the relay starts with, and accepts its settings", async () => {
  const dockerfile = readFileSync(join(root, "Dockerfile"), "utf8").replaceAll("\\\n", " ");
  const image = join(project, "image");
  mkdirSync(image);
  const ignored = readFileSync(join(root, ".dockerignore"), "utf8").split("\n");
  const paths = [...dockerfile.matchAll(/^COPY --from=build \/unsay\/(\S+)/gm)].map(([, path]) => path!);
  const built = ["dist", "node_modules"];
  expect(paths).toEqual(expect.arrayContaining(built));
  expect(paths.filter((path) => ignored.includes(path) && !built.includes(path))).toEqual([]);
  for (const path of paths) {
    if (path === "node_modules") symlinkSync(join(root, path), join(image, path));
    else cpSync(join(root, path), join(image, path), { recursive: true });
  }
  const environment = assignments(/^ENV (.*)$/m.exec(dockerfile)![1]!);
  const [, script] = /^ENTRYPOINT \["node", "(.*)"\]$/m.exec(dockerfile)!;
  expect(/^CMD (.*)$/m.exec(dockerfile)![1]).toBe('["relay"]');
  const config = await relaySettings(join(image, script!), environment);
  expect(config).toMatchObject({ host: "0.0.0.0", opsPort: Number(environment.UNSAY_OPS_PORT), drainSeconds: 8 });
});

test.concurrent("the service starts a packed command, with settings it knows, and waits until it has drained", async () => {
  const unit = readFileSync(join(installed, "examples/unsay-relay.service"), "utf8");
  const { bin } = JSON.parse(readFileSync(join(installed, "package.json"), "utf8"));
  const [, command, args] = /^ExecStart=\/usr\/local\/bin\/(\S+) (.*)$/m.exec(unit)!;
  expect(args).toBe("relay");
  const script = join(installed, bin[command!]);
  expect(readFileSync(script, "utf8")).toMatch(/^#!\/usr\/bin\/env node\n/);
  expect(statSync(script).mode & 0o111).toBe(0o111);
  const environment = assignments([...unit.matchAll(/^Environment=(.*)$/gm)].map(([, line]) => line).join(" "));
  const config = await relaySettings(script, environment);
  expect(config).toMatchObject({ host: "::", opsPort: Number(environment.UNSAY_OPS_PORT) });
  const [, seconds] = /^TimeoutStopSec=(\d+)$/m.exec(unit)!;
  expect(Number(seconds)).toBeGreaterThan(config.drainSeconds as number);
});

test.concurrent("the README's library example runs against the package and hears what it published", async () => {
  const readme = readFileSync(join(root, "README.md"), "utf8");
  const blocks = [...readme.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, block]) => block!);
  const example = blocks.find((block) => block.includes('from "unsay/relay"'));
  expect(example, "the README has a whole program").toBeDefined();
  expect(example!.trim().split("\n").filter(Boolean).length).toBeLessThanOrEqual(14);
  // A new project is CommonJS, so the name has to make the file a module.
  const [, name] = /`node (\S+) speech\.wav`/.exec(readme)!;
  const folder = join(project, "in one program");
  mkdirSync(folder);
  writeFileSync(join(folder, "package.json"), '{ "type": "commonjs" }');
  writeFileSync(join(folder, name!), example!);
  const recording = join(root, "examples/audio/noisy-speech.wav");
  const { stdout } = await run(process.execPath, [name!, recording], { cwd: folder, timeout: 60_000 });
  expect(stdout).toMatch(/Heard [1-9]\d{3} ms/);
  expect(statSync(join(folder, "heard.wav")).size).toBeGreaterThan(100_000);
});

/** What the compiler says about a file, checking the declarations of the package too, not those of the language. */
async function compile(name: string, contents: string, options: object): Promise<string> {
  const folder = join(project, name);
  mkdirSync(folder);
  writeFileSync(join(folder, "consumer.ts"), contents);
  const compilerOptions = { strict: true, noEmit: true, skipLibCheck: false, skipDefaultLibCheck: true, ...options };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["consumer.ts"] }));
  const compiler = createRequire(import.meta.url).resolve("typescript/bin/tsc");
  const { stdout } = await run(process.execPath, [compiler, "-p", folder]).catch((error: { stdout: string }) => error);
  return stdout;
}

test.concurrent("a NodeNext project gets real types: right use compiles, wrong use does not", async () => {
  const contents = `import { Listener, Publisher, Relay, UnsayError, type Interruption } from "unsay";
const relay: Relay = new Relay({ port: 0 });
const publisher = new Publisher({ url: "http://localhost:1", broadcast: "x" });
const interruption: Promise<Interruption> = publisher.interrupt();
const until: number = (await interruption).heardUntil;
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
`;
  const typeRoots = [join(root, "node_modules/@types")];
  expect(await compile("node", contents, { module: "nodenext", target: "es2023", types: ["node"], typeRoots })).toBe(
    "",
  );
});

test.concurrent("a page's project gets the elements' types without those of Node", async () => {
  const contents = `import "unsay/element";
import "unsay/talk";
import { BrowserListener } from "unsay/browser";
const watch = document.querySelector("unsay-watch")!;
watch.addEventListener("error", ({ detail }) => detail.code satisfies string);
// @ts-expect-error a volume is a number
watch.volume = "loud";
document.createElement("unsay-talk").addEventListener("level", ({ detail }) => detail.levelDb satisfies number);
const listener = new BrowserListener({ url: "http://localhost:1", broadcast: "x" });
listener.addEventListener("problem", ({ detail }) => detail.message satisfies string);
const error: Error | null = await listener.closed;
export { error };
`;
  const lib = ["es2022", "dom", "dom.iterable"];
  const options = { module: "esnext", moduleResolution: "bundler", target: "es2022", lib, types: [] };
  expect(await compile("web", contents, options)).toBe("");
});
