import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import ts from "typescript";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "..");

/** What each module may import besides npm packages and itself. */
const LOWER = ["base", "container", "flow", "transport"];
const MAY_IMPORT: Record<string, readonly string[]> = {
  base: [],
  container: ["base"],
  flow: ["base"],
  transport: ["base"],
  publisher: LOWER,
  relay: LOWER,
  watch: LOWER,
  agent: [...LOWER, "publisher", "relay", "watch"],
  src: [...LOWER, "publisher", "relay", "watch", "agent"],
};

/** Files beside `index.ts` that other modules may import: an index would pull Node into a browser, or the relay into a program that signs tokens. */
const ENTRIES = new Set([
  "base/bytes/bounded-file",
  "base/polyfills",
  "base/broadcast-element",
  "publisher/browser/talk-element",
  "relay/admission/token",
  "transport/browser",
  "transport/browser-sessions",
  "transport/moq",
  "watch/browser/browser-listener",
  "watch/browser/element",
]);

/** Files of one folder, tests aside; leaves of the tree have at least `FEWEST`. */
const [FEWEST, MOST] = [4, 14];
const LINES = 400;

/** What is not yet as it should be: a number may fall, and goes when it is within the rule. */
const FOLDERS: Record<string, number> = { "relay/load": 3, "src/library": 2 };
const LONG: Record<string, number> = {};
const CALLBACKS: Record<string, number> = {};
const WORDS: Record<string, number> = {
  bench: 1,
  container: 7,
  tests: 3,
  watch: 1,
};

/** A word that says less than the one a native engineer would use; see CONTRIBUTING.md. */
const FORBIDDEN = /\b(tell|tells|told|somebody|nobody|anybody|whoever|anew|lets? go of|so many|reneg\w*)\b/gi;
/** Files that list these words, or what changed under its old name. */
const WORDLESS = new Set(["tests/layers.test.ts", "CONTRIBUTING.md", "CHANGELOG.md"]);
const isText = (path: string) => /\.(ts|mjs|md|html|txt|sh|py)$/.test(path);

function filesIn(folder: string): string[] {
  return readdirSync(join(root, folder)).flatMap((name) => {
    const path = posix.join(folder, name);
    if (!statSync(join(root, path)).isDirectory()) return [path];
    return /^(node_modules|dist|\..*)$/.test(name) ? [] : filesIn(path);
  });
}

const read = (path: string) => readFileSync(join(root, path), "utf8");
const all = filesIn(".");
const moduleOf = (path: string) => path.split("/")[0]!;
const sources = all.filter(
  (path) => path.endsWith(".ts") && !path.endsWith(".test.ts") && moduleOf(path) in MAY_IMPORT,
);

/** How often a pattern occurs in each folder at the root. */
function countBy(paths: readonly string[], pattern: RegExp): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const path of paths) {
    const found = read(path).match(pattern)?.length ?? 0;
    if (found > 0) counts[moduleOf(path)] = (counts[moduleOf(path)] ?? 0) + found;
  }
  return counts;
}

/** Numbers above their ceiling, which is 0 unless a table says otherwise. */
function above(counts: Record<string, number>, ceilings: Record<string, number>): string[] {
  return Object.entries(counts).flatMap(([name, count]) => {
    const ceiling = ceilings[name] ?? 0;
    return count > ceiling ? [`${name}: ${count} for at most ${ceiling}`] : [];
  });
}

test("every module imports only the layers below it, through their entries", () => {
  const violations: string[] = [];
  let checked = 0;
  for (const path of sources) {
    for (const [, specifier] of read(path).matchAll(/(?:from|import)\s*\(?\s*["'](\.{1,2}\/[^"']+)["']/g)) {
      const target = posix.join(dirname(path), specifier!).replace(/\.[jt]s$/, "");
      checked++;
      if (moduleOf(target) === moduleOf(path)) continue;
      const isEntry = ENTRIES.has(target) || /^[a-z]+(\/[a-z0-9]+)?\/index$/.test(target);
      if (!MAY_IMPORT[moduleOf(path)]!.includes(moduleOf(target))) violations.push(`${path} imports ${target}`);
      else if (!isEntry) violations.push(`${path} reaches into ${target}`);
    }
  }
  expect(violations).toEqual([]);
  expect(checked).toBeGreaterThan(500);
});

test(`every folder has ${FEWEST} to ${MOST} files, and no file more than ${LINES} lines`, () => {
  const folders = new Set(sources.map((path) => dirname(path)));
  const crowded: string[] = [];
  for (const folder of folders) {
    const count = sources.filter((path) => dirname(path) === folder).length;
    const isLeaf = ![...folders].some((other) => other.startsWith(`${folder}/`));
    const known = FOLDERS[folder];
    if (count > Math.max(MOST, known ?? 0) || (isLeaf && count < Math.min(FEWEST, known ?? FEWEST)))
      crowded.push(`${folder}: ${count} files`);
  }
  expect(crowded).toEqual([]);
  const lengths = Object.fromEntries(
    sources.flatMap((path) => {
      const lines = read(path).split("\n").length - 1;
      return lines > LINES ? [[path, lines]] : [];
    }),
  );
  expect(above(lengths, LONG)).toEqual([]);
});

/** Barrels that the package exports as they are, and the relay's, with three types too many. */
const OPEN_BARRELS = new Set(["agent/livekit/index.ts", "watch/browser/index.ts", "relay/index.ts"]);

test("every barrel exports only what another file imports through it", () => {
  const named = /^(?:import|export) (?:type )?\{([^}]*)\} from "(\.{1,2}\/[^"]+)"/gm;
  const namesIn = (list: string) => list.match(/(?<!\bas )\b(?!type\b|as\b)\w+/g) ?? [];
  const imported = new Set<string>();
  for (const path of all.filter((each) => /\.(ts|tsx)$/.test(each))) {
    for (const [, list, specifier] of read(path).matchAll(named)) {
      const target = posix.join(dirname(path), specifier!).replace(/\.js$/, ".ts");
      for (const name of namesIn(list!)) imported.add(`${target} ${name}`);
    }
  }
  const barrels = sources.filter((path) => path.endsWith("/index.ts") && !path.startsWith("src/"));
  const exported = barrels
    .filter((path) => !OPEN_BARRELS.has(path))
    .flatMap((path) =>
      [...read(path).matchAll(named)].flatMap(([, list]) => namesIn(list!).map((name) => `${path} ${name}`)),
    );
  expect(exported.filter((each) => !imported.has(each))).toEqual([]);
  expect(exported.length).toBeGreaterThan(200);
});

test("no option type takes a callback: stages return values", () => {
  expect(above(countBy(sources, /^\s+(readonly )?on[A-Z]\w*\??[:(].*;$/gm), CALLBACKS)).toEqual([]);
});

test("code, messages and docs avoid the words that CONTRIBUTING.md rules out", () => {
  const texts = all.filter((path) => isText(path) && !WORDLESS.has(path));
  expect(above(countBy(texts, FORBIDDEN), WORDS)).toEqual([]);
});

test("no path of a file is the `pathname` of its URL, which spells a space as %20", () => {
  const paths = all.filter((path) => /(?<!\.test)\.(ts|mjs)$/.test(path));
  expect(paths.filter((path) => /import\.meta\.url\)\.pathname/.test(read(path)))).toEqual([]);
});

test("every file that the map of the code names exists", () => {
  const named = [...read("docs/architecture.md").matchAll(/`([a-z]+(?:\/[a-z-]+)+)(?:\.ts)?`/g)].map(
    ([, name]) => name!,
  );
  const paths = new Set(all.map((path) => `/${path}`));
  const isThere = (name: string) =>
    [...paths].some((path) => path.endsWith(`/${name}.ts`) || path.includes(`/${name}/`));
  expect(named.filter((name) => !isThere(name))).toEqual([]);
  expect(named.length).toBeGreaterThan(30);
});

/** Whether a node of a syntax tree may never run, although the code around it does. */
function isConditional(node: ts.Node, parent = node.parent): boolean {
  if (ts.isIfStatement(parent)) return node !== parent.expression;
  if (ts.isConditionalExpression(parent)) return node !== parent.condition;
  if (ts.isBinaryExpression(parent))
    return /^(&&|\|\||\?\?)$/.test(parent.operatorToken.getText()) && node === parent.right;
  if (ts.isCallExpression(parent))
    return /\.(catch|then|on|once)$/.test(parent.expression.getText()) && ts.isArrowFunction(node);
  return ts.isCatchClause(parent) || ts.isCaseOrDefaultClause(parent);
}

test("every assertion runs: none stands behind a condition, in a catch, or in a callback of an event", () => {
  const conditional: string[] = [];
  let checked = 0;
  for (const path of all.filter((each) => /\.test\.ts$|^tests\/support\//.test(each))) {
    const file = ts.createSourceFile(path, read(path), ts.ScriptTarget.Latest, true);
    const visit = (node: ts.Node, isHidden: boolean): void => {
      if (ts.isCallExpression(node) && /^expect(\.poll)?$/.test(node.expression.getText())) {
        checked++;
        if (isHidden) conditional.push(`${path}:${file.getLineAndCharacterOfPosition(node.pos).line + 1}`);
      }
      ts.forEachChild(node, (child) => visit(child, isHidden || isConditional(child)));
    };
    visit(file, false);
  }
  expect(conditional).toEqual([]);
  expect(checked).toBeGreaterThan(3000);
});

test("a test that runs beside others polls with the `expect` of its own context: the common one forgets which test it is in", () => {
  const common: string[] = [];
  for (const path of all.filter((each) => each.endsWith(".test.ts") && read(each).includes("test.concurrent"))) {
    const file = ts.createSourceFile(path, read(path), ts.ScriptTarget.Latest, true);
    const visit = (node: ts.Node, isSafe: boolean): void => {
      const isOwn = ts.isArrowFunction(node) && node.parameters.some((one) => /^\{[^}]*\bexpect\b/.test(one.getText()));
      const isAlone = ts.isCallExpression(node) && node.expression.getText() === "test";
      if (ts.isCallExpression(node) && node.expression.getText() === "expect.poll" && !isSafe)
        common.push(`${path}:${file.getLineAndCharacterOfPosition(node.getStart()).line + 1}`);
      ts.forEachChild(node, (child) => visit(child, isSafe || isOwn || isAlone));
    };
    visit(file, false);
  }
  expect(common).toEqual([]);
});

test("every test runs: none is skipped, singled out or given tries of its own", () => {
  // `runIf` stays for what only some systems have.
  const suspect = /\b(?:test|it|describe)(?:\.\w+)*\.(?:skip|only|todo|skipIf|fails)\b|\bretry:|^\s*it(?:\.\w+)*\(/m;
  const paths = all.filter((path) => path.endsWith(".test.ts"));
  const runners = ["vitest.config.ts", "tests/stock/vitest.config.ts"];
  expect([...paths, ...runners].filter((path) => suspect.test(read(path)))).toEqual([]);
  for (const path of ["package.json", ".ci/run"]) expect(read(path)).not.toContain("--retry");
  expect(paths.length).toBeGreaterThan(100);
});
