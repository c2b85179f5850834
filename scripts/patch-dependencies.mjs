/**
 * Patches three dependencies where they are installed. `npm install` and `npm ci` run it here as `prepare`; the patched
 * copies are bundled into the package (`bundleDependencies`), so that those who install it have them too.
 *
 * What is mended, and why it can't be mended from outside:
 *
 * - Memory. `@moq/net` 0.3.4 calls `Promise.race` for every group and every frame with promises that live as long as the
 *   subscription or the session. Each call leaves a reaction at each of its operands until that settles, and with it the
 *   group, its streams and its frames: 28 MB a minute for a publisher at 50 groups a second. `race` and `any` of
 *   `dependencies/unsay.js` leave nothing behind. `Writer.tryOpen` derives a promise from the subscription's for every
 *   group; `settled` derives one for all of them.
 * - The system's clock. `@moq/net` drops a track's groups by it, and `@moq/qmux` sessions that heard nothing: when it jumps
 *   forward by an hour, both do so at once, and for an hour nothing is dropped when it jumps back. `monotonic` takes its place.
 * - Standard output. `@moq/net`, `@moq/signals` and `@moq/qmux` write to the console of the process that they run in.
 *   Their modules import an object in its place.
 *
 * It knows exactly the versions that are pinned here, refuses every other, and changes nothing that is patched already.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const helper = readFileSync(join(root, "scripts/dependencies/unsay.js"), "utf8");

/** By folder: the version that is known, and how often each change must have been made over all files. */
const PACKAGES = {
  "@kixelated/moq": { version: "0.3.4", race: 38, any: 2, settled: 1, monotonic: 4 },
  "@moq/signals": { version: "0.2.3", race: 1, any: 0, settled: 0, monotonic: 0 },
  "@moq/qmux": { version: "0.3.3", race: 0, any: 0, settled: 0, monotonic: 5 },
};
const CHANGES = [
  { name: "race", from: /\bPromise\.race\(/g, to: "race(" },
  { name: "any", from: /\bPromise\.any\(/g, to: "any(" },
  {
    name: "settled",
    from: /\boptions\.cancel\.then\(\(\) => undefined, \(\) => undefined\)/g,
    to: "settled(options.cancel)",
  },
  { name: "monotonic", from: /\bDate\.now\(\)/g, to: "monotonic()" },
];
const CONSOLE = /\bconsole\.(?:debug|info|log|warn|error)\(/;

/** The statements of a module without its comments, for what may also be named in them. */
function code(text) {
  return text.replace(/^\s*(?:\/\/|\/?\*).*$/gm, "");
}

function patchModule(text, counts) {
  const names = [];
  let patched = text;
  for (const { name, from, to } of CHANGES) {
    const found = code(text).match(from)?.length ?? 0;
    if (found === 0) continue;
    counts[name] += found;
    names.push(name);
    patched = patched.replace(from, to);
  }
  if (CONSOLE.test(code(text))) names.push("console");
  return { names, patched };
}

function patchPackage(name) {
  const { version, ...expected } = PACKAGES[name];
  const folder = join(root, "node_modules", name);
  const installed = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")).version;
  if (installed !== version)
    throw new Error(
      `${name} ${installed} is installed, and the patch is for ${version}: see scripts/patch-dependencies.mjs.`,
    );
  const marker = join(folder, "unsay.js");
  if (existsSync(marker)) {
    writeFileSync(marker, helper);
    return;
  }
  const counts = { race: 0, any: 0, settled: 0, monotonic: 0 };
  const changed = new Map();
  for (const file of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    if (!file.endsWith(".js") || file.endsWith(".test.js") || file === "unsay.js" || file.includes("node_modules"))
      continue;
    const path = join(folder, file);
    const { names, patched } = patchModule(readFileSync(path, "utf8"), counts);
    if (names.length === 0) continue;
    const from = relative(dirname(path), marker).replaceAll("\\", "/");
    const specifier = from.startsWith(".") ? from : `./${from}`;
    changed.set(path, `import { ${names.join(", ")} } from "${specifier}";\n${patched}`);
  }
  if (JSON.stringify(counts) !== JSON.stringify(expected))
    throw new Error(
      `The patch does not fit ${name} ${version}: ${JSON.stringify(counts)} of ${JSON.stringify(expected)}.`,
    );
  for (const [path, text] of changed) writeFileSync(path, text);
  writeFileSync(marker, helper);
}

for (const name of Object.keys(PACKAGES)) patchPackage(name);
