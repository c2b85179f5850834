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
 * - Endless turns. `@moq/net` reads what has arrived in one turn of the event loop, however much that is: a peer that sends
 *   frames of two bytes stops everything else in the process, for good. `isLong` and `nextTurn` end a turn in time.
 * - Standard output. `@moq/net`, `@moq/signals` and `@moq/qmux` write to the console of the process that they run in.
 *   Their modules import an object in its place.
 * - Size. `@moq/net` loads a parser of user agents, for a check that is not made where a session is given to it, and a
 *   library of schemas, to see whether an integer has 62 bits: an eighth of a web page's script. A few lines take their
 *   place.
 * - Types. Those of `@moq/net` name their files without the extension, which `nodenext` does not resolve: nine errors in
 *   a project that checks its libraries, and `any` in one that does not.
 *
 * It knows exactly the versions that are pinned here, refuses every other, and changes nothing that is patched already.
 */
import { copyFileSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
/** By folder: the version that is known, and how often each change must have been made over all files. */
const PACKAGES = {
  "@kixelated/moq": { version: "0.3.4", race: 38, any: 2, settled: 1, monotonic: 4, extension: 229 },
  "@moq/signals": { version: "0.2.3", race: 1, any: 0, settled: 0, monotonic: 0, extension: 3 },
  "@moq/qmux": { version: "0.3.3", race: 0, any: 0, settled: 0, monotonic: 5, extension: 9 },
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
/** Texts of single files that are replaced, each once. */
const REPLACEMENTS = {
  "@kixelated/moq": {
    "connection/browser.js": [
      [`import Bowser from "bowser";\n`, ""],
      [
        / {4}const browser = Bowser\.getParser\(userAgent\);[\s\S]*? {4}return supported;\n/,
        `    // Firefox before 153 allows two remote streams at once; Safari stalls.
    const firefox = /\\bFirefox\\/(\\d+)/.exec(userAgent);
    if (firefox)
        return Number(firefox[1]) >= 153;
    return !/\\bVersion\\/[\\d.]+ .*\\bSafari\\//.test(userAgent);
`,
      ],
    ],
    "stream.js": [
      [`/* @ts-self-types="./stream.d.ts" */\n`, `import { isLong, nextTurn } from "./turns.js";\n`],
      [
        `    async #fillTo(size) {
        if (size > MAX_READ_SIZE) {`,
        `    async #fillTo(size) {
        if (isLong())
            await nextTurn();
        if (size > MAX_READ_SIZE) {`,
      ],
    ],
    "origin.js": [
      [`import * as z from "@zod/mini";\n`, ""],
      [
        /export const OriginSchema = z[\s\S]*?\.brand\("Origin"\);\n/,
        `export const OriginSchema = {
    parse(value) {
        if (typeof value !== "bigint" || value < 0n || value >= 1n << 62n)
            throw new Error("Origin must be a non-negative 62-bit integer");
        return value;
    },
};
`,
      ],
    ],
  },
};
const CONSOLE = /\bconsole\.(?:debug|info|log|warn|error)\(/;
/** Name of the file that the modules of a package import from; a package that has it is patched. */
const HELPER = "unsay.js";
/** Further files that the replacements of a package import from. */
const FURTHER_HELPERS = { "@kixelated/moq": ["turns.js"] };

/** The statements of a module without its comments. */
function code(text) {
  return text.replace(/^\s*(?:\/\/|\/?\*).*$/gm, "");
}

function patchModule(path, text, folder, counts) {
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
  if (names.length === 0) return text;
  const helper = relative(dirname(path), join(folder, HELPER)).replaceAll("\\", "/");
  return `import { ${names.join(", ")} } from "${helper.startsWith(".") ? helper : `./${helper}`}";\n${patched}`;
}

/** Gives the relative specifiers of a declaration file their extension. */
function patchDeclarations(path, text, counts) {
  return text.replace(/(\bfrom |\bimport\()"(\.[^"]*)"/g, (whole, before, specifier) => {
    if (specifier.endsWith(".js")) return whole;
    counts.extension++;
    const index = existsSync(join(dirname(path), `${specifier}.d.ts`)) ? "" : "/index";
    return `${before}"${specifier}${index}.js"`;
  });
}

/** The changed files of a package by their path, and how often each change was made. */
function patchFiles(folder) {
  const counts = { race: 0, any: 0, settled: 0, monotonic: 0, extension: 0 };
  const changed = new Map();
  for (const file of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    if (/\.test\.|node_modules/.test(file) || !/\.(?:js|d\.ts)$/.test(file)) continue;
    const path = join(folder, file);
    const text = readFileSync(path, "utf8");
    const patched = file.endsWith(".js")
      ? patchModule(path, text, folder, counts)
      : patchDeclarations(path, text, counts);
    if (patched !== text) changed.set(path, patched);
  }
  return { counts, changed };
}

function patchPackage(name) {
  const { version, ...expected } = PACKAGES[name];
  const folder = join(root, "node_modules", name);
  const installed = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")).version;
  const patch = "scripts/patch-dependencies.mjs";
  if (installed !== version) throw new Error(`${name} ${installed} is installed, and ${patch} knows ${version} alone.`);
  if (!existsSync(join(folder, HELPER))) {
    const { counts, changed } = patchFiles(folder);
    if (JSON.stringify(counts) !== JSON.stringify(expected))
      throw new Error(
        `${patch} does not fit ${name} ${version}: ${JSON.stringify(counts)} is not ${JSON.stringify(expected)}. Install it again.`,
      );
    for (const [path, text] of changed) writeFileSync(path, text);
  }
  for (const helper of [HELPER, ...(FURTHER_HELPERS[name] ?? [])])
    copyFileSync(join(root, "scripts/dependencies", helper), join(folder, helper));
  for (const [file, replacements] of Object.entries(REPLACEMENTS[name] ?? {}))
    replaceIn(join(folder, file), replacements);
}

/** Makes the replacements of a file, all of them or, where it has them, none. */
function replaceIn(path, replacements) {
  const text = readFileSync(path, "utf8");
  const fits = replacements.filter(([from]) => (typeof from === "string" ? text.includes(from) : from.test(text)));
  if (fits.length === 0) return;
  if (fits.length < replacements.length) throw new Error(`The patch does not fit ${path}. Install it again.`);
  writeFileSync(
    path,
    replacements.reduce((patched, [from, to]) => patched.replace(from, () => to), text),
  );
}

for (const name of Object.keys(PACKAGES)) patchPackage(name);
