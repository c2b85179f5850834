/**
 * Prepares a release: `npm run release -- <version>`. Checks the tree, the version and the changelog, runs what CI runs,
 * packs the tarball and creates a tag. Publishing stays a separate, manual step.
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { releaseScript } from "../bench/support/scripts.js";

const root = join(import.meta.dirname, "..");

function fail(sentence: string): never {
  process.stderr.write(`release: ${sentence}\n`);
  process.exit(1);
}

function run(command: string, ...args: string[]): void {
  process.stdout.write(`\n== ${command} ${args.join(" ")}\n`);
  execFileSync(command, args, { cwd: root, stdio: "inherit" });
}

function read(command: string, ...args: string[]): string {
  return execFileSync(command, args, { cwd: root, encoding: "utf8" }).trim();
}

const [version = ""] = releaseScript().parse().args;

const { version: declared } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
if (declared !== version)
  fail(`package.json has version ${declared}. Set it first: npm version ${version} --no-git-tag-version`);

const section = new RegExp(`^## ${version.replaceAll(".", "\\.")} \\(\\d{4}-\\d{2}-\\d{2}\\)$`, "m");
if (!section.test(readFileSync(join(root, "CHANGELOG.md"), "utf8")))
  fail(`CHANGELOG.md needs a section "## ${version} (YYYY-MM-DD)".`);

if (read("git", "status", "--porcelain") !== "") fail("The working tree has changes. Commit them first.");
if (read("git", "tag", "--list", `v${version}`) !== "") fail(`The tag v${version} exists already.`);

run(join(root, ".ci/run"));
run("npm", "pack");
run("git", "tag", "--annotate", `v${version}`, "--message", `unsay ${version}`);
process.stdout.write(
  `\nPacked unsay-${version}.tgz and created the tag v${version}. To publish: npm publish unsay-${version}.tgz\n`,
);
