import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

function findRoot(): string {
  // One folder up from the sources, two up from the build.
  for (let folder = import.meta.dirname; ; folder = dirname(folder)) {
    if (existsSync(join(folder, "package.json"))) return folder;
    if (folder === dirname(folder)) return import.meta.dirname;
  }
}

const root = findRoot();

/** The path of a file in this package, such as `models/unsay-denoise.onnx`. */
export function packagedFile(name: string): string {
  return join(root, name);
}

/** The denoising model that this package ships. */
export const shippedModel: string = packagedFile("models/unsay-denoise.onnx");

const manifest: { readonly version?: string } = JSON.parse(readFileSync(packagedFile("package.json"), "utf8"));

/** The version of this package. */
export const version: string = manifest.version ?? "0.0.0";
