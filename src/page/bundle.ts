import { join } from "node:path";
import { build, type Plugin } from "esbuild";

/** The files of the page by their path on the server. */
export type PageAssets = ReadonlyMap<string, Uint8Array>;

const root = join(import.meta.dirname, "../..");

/** Sources of the page's files, and what these are called. */
const ENTRIES = [
  ["src/page/page.ts", "page"],
  ["src/page/picture/picture-worker.ts", "picture"],
  ["src/page/style.css", "style"],
  ["src/page/index.html", "index"],
  ["src/page/listen.ts", "listen"],
  ["src/page/listen.css", "listen"],
  ["src/page/listen.html", "listen"],
  ["watch/browser/worklet.ts", "worklet"],
  ["watch/browser/element.ts", "unsay-element"],
  ["publisher/browser/worklet.ts", "talk-worklet"],
  ["publisher/browser/talk-element.ts", "unsay-talk"],
  ["src/page/elements.ts", "unsay-elements"],
] as const;

/** Where audio worklets are: of what plays and of what captures. */
export const WORKLETS = ["watch/browser", "publisher/browser"] as const;

/** Inserts the audio worklets, each as one script, where the elements expect them. */
export function inlineWorklet(options: { readonly minify?: boolean } = {}): Plugin {
  return {
    name: "inline-worklet",
    setup({ onLoad }) {
      onLoad({ filter: /[\\/]browser[\\/]worklet-script\.(ts|js)$/ }, async ({ path }) => {
        const folder = WORKLETS.find((each) => path.replaceAll("\\", "/").includes(`/${each}/`)) ?? WORKLETS[0];
        return { contents: await workletModule(folder, options), loader: "js" };
      });
    },
  };
}

/** The module whose one export is the script of a folder's audio worklet. */
export async function workletModule(
  folder: (typeof WORKLETS)[number],
  options: { readonly minify?: boolean } = {},
): Promise<string> {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: [`${folder}/worklet.ts`],
    bundle: true,
    format: "iife",
    target: "es2023",
    platform: "browser",
    legalComments: "none",
    minify: options.minify ?? false,
    write: false,
    logLevel: "silent",
  });
  return `export const WORKLET_SCRIPT = ${JSON.stringify(outputFiles[0]?.text ?? "")};\n`;
}

/**
 * Bundles the page's scripts, its audio worklet and its style sheet in memory, in well under a second. `npm start`
 * calls it at every start; the build writes its result beside the compiled files.
 * @throws the bundler's own error when a source does not compile.
 */
export async function bundlePage(options: { readonly minify?: boolean } = {}): Promise<PageAssets> {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: ENTRIES.map(([source, out]) => ({ in: source, out })),
    loader: { ".html": "copy" },
    bundle: true,
    format: "esm",
    target: "es2023",
    platform: "browser",
    legalComments: "none",
    minify: options.minify ?? false,
    plugins: [inlineWorklet(options)],
    outdir: "/",
    write: false,
    logLevel: "silent",
  });
  return new Map(outputFiles.map((file) => [file.path.replaceAll("\\", "/").replace(/^[A-Z]:/i, ""), file.contents]));
}
