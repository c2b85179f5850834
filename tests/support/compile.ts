import { existsSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";

const root = join(import.meta.dirname, "../..");
const compiled = join(root, ".cache/compiled");

/** Where {@link compile} puts the JavaScript of a source file, given by its path from the root. */
export function compiledPath(source: string): string {
  return join(compiled, source.replace(/\.ts$/, ".js"));
}

/** Compiles the sources once before the tests: a process that compiles them at its start takes two seconds longer. */
export default async function compile(): Promise<void> {
  const modules = ["base", "container", "flow", "transport", "publisher", "relay", "watch", "agent", "src", "bench"];
  const folders = [...modules, "tests/support", "tests/fixtures"].filter((folder) => existsSync(join(root, folder)));
  await build({
    entryPoints: folders.map((folder) => join(root, folder, "**/*.ts")),
    outbase: root,
    outdir: compiled,
    platform: "node",
    format: "esm",
    target: "node20",
    sourcemap: "inline",
    logLevel: "error",
  });
}
