/**
 * Packs the package, installs it with bundlers in an empty project, and opens in Chromium what each of them makes of the
 * two elements: both must work with nothing on the console. It needs the npm registry and some minutes.
 */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import type { Browser } from "playwright-core";
import { plainScript } from "../bench/support/scripts.js";
import { openSource, Publisher } from "../publisher/index.js";
import { Relay } from "../relay/index.js";
import { launchChromium } from "../tests/support/chromium.js";

plainScript(
  "try-bundlers.ts",
  "Builds a page with each bundler and opens it in Chromium; needs the npm registry and some minutes.",
).parse();

const PACKAGES = [
  "vite@8.3.8",
  "rollup@4.68.8",
  "@rollup/plugin-node-resolve@16",
  "@rollup/plugin-commonjs@29",
  "webpack@5.113.0",
  "webpack-cli@7.3.1",
  "parcel@2.16.4",
];
const COMMANDS = {
  vite: "vite build --base /vite/ --outDir out/vite",
  rollup: "rollup main.js --format es --plugin node-resolve --plugin commonjs --dir out/rollup",
  webpack: "webpack ./main.js --mode production --no-performance --output-path out/webpack",
  parcel: "parcel build index.html --no-source-maps --dist-dir out/parcel --public-url /parcel",
};
const MAIN = `
  import "unsay/element";
  import "unsay/talk";
  import { BrowserListener } from "unsay/browser";
  if (typeof BrowserListener !== "function") throw new Error("There is no BrowserListener.");
  const url = new URLSearchParams(location.search).get("url") ?? location.origin;
  for (const name of ["unsay-watch", "unsay-talk"])
    document.body.append(Object.assign(document.createElement(name), { url, controls: true }));`;
const PAGE = `<!doctype html><html lang="en"><title>Bundled</title><link rel="icon" href="data:,">
  <body><script type="module" src="./main.js"></script></body></html>`;
const LIMIT_MS = 60_000;

const root = join(import.meta.dirname, "..");
const project = mkdtempSync(join(tmpdir(), "unsay-bundlers-"));
const binary = (name: string) => join(project, "node_modules/.bin", name);
const run = (command: string, args: readonly string[], cwd = project) =>
  execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], env: userEnvironment() });

/** Without what `npm run` sets. */
function userEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_(?!config_registry)/.test(name)));
}

function install(): void {
  const tarball = run("npm", ["pack", "--silent", "--pack-destination", project], root).trim().split("\n").at(-1)!;
  // Parcel reads no package's `exports` without this.
  const settings = { type: "module", "@parcel/resolver-default": { packageExports: true } };
  writeFileSync(join(project, "package.json"), JSON.stringify(settings));
  writeFileSync(join(project, "main.js"), MAIN);
  writeFileSync(join(project, "index.html"), PAGE);
  run("npm", ["install", "--no-audit", "--no-fund", join(project, tarball), ...PACKAGES]);
}

function build(name: string, command: string): void {
  const [program, ...args] = command.split(" ");
  const ended = spawnSync(binary(program!), args, { cwd: project, encoding: "utf8", env: userEnvironment() });
  if (ended.error) throw ended.error;
  // Rollup warns on standard error.
  const said = ended.stdout + ended.stderr;
  if (ended.status !== 0) throw new Error(`${name} ended with exit code ${ended.status}:\n${said}`);
  if (/\bwarn|unresolved/i.test(said)) throw new Error(`${name} warns:\n${said}`);
}

/** Opens a page, clicks both elements and waits until they are at work. */
async function look(browser: Browser, name: string, url: string): Promise<void> {
  const page = await browser.newPage();
  const said: string[] = [];
  page.on("console", (message) => message.type() !== "debug" && said.push(message.text()));
  page.on("pageerror", (error) => said.push(String(error)));
  await page.goto(url);
  await page.getByRole("button", { name: "Listen" }).click();
  await page.getByRole("button", { name: "Talk" }).click();
  const both =
    "document.querySelector('unsay-watch').stats?.playedMs > 300 && document.querySelector('unsay-talk').state";
  await page.waitForFunction(`["ready", "talking"].includes(${both})`, undefined, { timeout: LIMIT_MS });
  await page.close();
  if (said.length > 0) throw new Error(`${name} left this on the console:\n${said.join("\n")}`);
  console.log(`${name}: both elements work, with nothing on the console.`);
}

/** Opens a page of Vite's development server. */
async function develop(browser: Browser, relay: string): Promise<void> {
  const server = spawn(binary("vite"), ["--clearScreen", "false"], {
    cwd: project,
    env: { ...userEnvironment(), NO_COLOR: "1" },
  });
  let said = "";
  for (const output of [server.stdout, server.stderr])
    output.on("data", (text) => {
      said += text;
    });
  const ended = once(server, "close").then(([code]) => {
    throw new Error(`vite (development) ended with exit code ${code}:\n${said}`);
  });
  ended.catch(() => {});
  try {
    let address: string | undefined;
    while (!address) {
      await Promise.race([once(server.stdout, "data"), ended]);
      address = /http:\/\/localhost:\d+/.exec(said)?.[0];
    }
    await look(browser, "vite (development)", `${address}/?url=${relay}`);
  } finally {
    server.kill();
  }
}

const TYPES: Record<string, string> = { ".html": "text/html", ".js": "text/javascript" };
const relay = new Relay({
  port: 0,
  handler: ({ url = "" }, response) => {
    const [, name, file] = /^\/(\w+)\/([\w./-]*)$/.exec(url) ?? [];
    if (!name || !(name in COMMANDS)) return void response.writeHead(404).end();
    const isOwn = file === "" && (name === "vite" || name === "parcel");
    const text = file === "" && !isOwn ? PAGE : readFileSync(join(project, "out", name, file || "index.html"));
    response.setHeader("Content-Type", TYPES[extname(file || "index.html")] ?? "text/plain");
    response.end(text);
  },
});
try {
  install();
  mkdirSync(join(project, "out"));
  const address = `http://localhost:${(await relay.listen()).port}`;
  const file = join(root, "examples/audio/clean-speech.wav");
  const publisher = new Publisher({ url: address, source: await openSource({ file, loop: true }) });
  const browser = await launchChromium(["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]);
  try {
    for (const [name, command] of Object.entries(COMMANDS)) {
      build(name, command);
      await look(browser, command, `${address}/${name}/`);
    }
    await develop(browser, address);
  } finally {
    await browser.close();
    await publisher.close();
  }
} finally {
  await relay.close();
  rmSync(project, { recursive: true, force: true, maxRetries: 5 });
}
