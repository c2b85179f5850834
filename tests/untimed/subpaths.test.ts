import { join } from "node:path";
import { build } from "esbuild";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "../..");

/** The modules of this package and the names of others that importing a module loads, at once or later. */
async function graphOf(entry: string): Promise<{ readonly modules: string[]; readonly packages: string[] }> {
  const { metafile } = await build({
    entryPoints: [join(root, entry)],
    absWorkingDir: root,
    bundle: true,
    packages: "external",
    platform: "node",
    format: "esm",
    metafile: true,
    write: false,
  });
  const imports = Object.values(metafile.inputs).flatMap((input) => input.imports);
  const outside = imports.flatMap(({ path, external }) => (external && !path.startsWith("node:") ? [path] : []));
  return {
    modules: [...new Set(Object.keys(metafile.inputs).map((path) => path.split("/")[0]!))].sort(),
    packages: [...new Set(outside)].sort(),
  };
}

test("importing the relay loads no denoiser, no codec and no part of publisher and listener", async () => {
  const { modules, packages } = await graphOf("src/library/relay.ts");
  expect(modules).toEqual(["base", "container", "flow", "relay", "src", "transport"]);
  expect(packages.filter((name) => /onnx|opus|pffft/.test(name))).toEqual([]);
  // The graph is the real one: the relay listens with these.
  expect(packages).toEqual(expect.arrayContaining(["ws", "prom-client", "jose"]));
});

test("importing the token functions loads no other part of the relay", async () => {
  const { modules, packages } = await graphOf("src/library/token.ts");
  expect(modules).toEqual(["base", "relay", "src"]);
  expect(packages.filter((name) => !name.startsWith("core-js/"))).toEqual(["jose", "zod"]);
});

test("a program that only sees the library finds everything that a model needs", async () => {
  const { packages } = await graphOf("src/index.ts");
  expect(packages).toEqual(expect.arrayContaining(["onnxruntime-node", "libopus-wasm"]));
});
