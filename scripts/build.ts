import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { plainScript } from "../bench/support/scripts.js";
import { bundlePage, WORKLETS, workletModule } from "../src/page/bundle.js";

plainScript("build.ts", "Builds the package into dist.").parse();

const root = join(import.meta.dirname, "..");
const dist = join(root, "dist");

// The page's bundle and the package hold the patched copies of dependencies.
execFileSync(process.execPath, [join(root, "scripts/patch-dependencies.mjs")], { stdio: "inherit" });
rmSync(dist, { recursive: true, force: true });
const compiler = createRequire(import.meta.url).resolve("typescript/bin/tsc");
execFileSync(process.execPath, [compiler, "--project", join(root, "tsconfig.build.json")], { stdio: "inherit" });

const assets = join(dist, "src/page/assets");
mkdirSync(assets, { recursive: true });
for (const [path, contents] of await bundlePage({ minify: true })) writeFileSync(join(assets, path), contents);
for (const folder of WORKLETS)
  writeFileSync(join(dist, folder, "worklet-script.js"), await workletModule(folder, { minify: true }));
chmodSync(join(dist, "src/cli.js"), 0o755);
