import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { expect, test } from "vitest";
import { Publisher } from "../publisher/index.js";
import { Relay } from "../relay/index.js";
import { inlineWorklet } from "../src/page/bundle.js";
import { launchChromium } from "./support/chromium.js";
import { endlessTone } from "./support/outage.js";

const MAX_GZIPPED_BYTES = 90 * 1024;

/** What a site's own bundler makes of a script that imports from this package. */
async function bundle(script: string) {
  const { outputFiles, metafile } = await build({
    stdin: { contents: script, resolveDir: fileURLToPath(new URL("..", import.meta.url)), loader: "ts" },
    bundle: true,
    format: "esm",
    platform: "browser",
    minify: true,
    legalComments: "none",
    metafile: true,
    write: false,
    plugins: [inlineWorklet({ minify: true })],
  });
  const [output] = Object.values(metafile.outputs);
  return {
    text: outputFiles[0]!.text,
    contents: outputFiles[0]!.contents,
    inputs: Object.keys(output!.inputs),
    metafile,
  };
}

test("the element makes a script of at most 90 KB gzipped, with nothing of Node, zod or a model in it", async () => {
  const { contents, inputs, metafile } = await bundle('import "./watch/browser/element.js";');
  expect(gzipSync(contents, { level: 9 }).length).toBeLessThan(MAX_GZIPPED_BYTES);
  const imports = Object.values(metafile.inputs).flatMap((input) => input.imports);
  expect(imports.filter(({ external }) => external)).toEqual([]);
  expect(inputs.filter((path) => /zod|core-js|bowser|libopus|onnx|^(publisher|relay|src)\//.test(path))).toEqual([]);
  expect(inputs).toEqual(expect.arrayContaining(["watch/player.ts", "watch/browser/worklet-script.ts"]));
});

test("a page of one script, with no file beside it, hears a broadcast through the element and the listener", async () => {
  const { text } = await bundle(`
    import "./watch/browser/element.js";
    import { BrowserListener } from "./watch/browser/index.js";
    globalThis.BrowserListener = BrowserListener;`);
  const relay = new Relay({
    host: "127.0.0.1",
    port: 0,
    handler: (request, response) => {
      const isScript = request.url === "/app.js";
      response.setHeader("Content-Type", isScript ? "text/javascript" : "text/html");
      if (request.url === "/" || isScript)
        response.end(isScript ? text : '<script type="module" src="/app.js"></script>');
      else response.writeHead(404).end();
    },
  });
  const url = `http://127.0.0.1:${(await relay.listen()).port}`;
  const publisher = new Publisher({ url, broadcast: "demo" });
  publisher.say(await endlessTone(500));
  const browser = await launchChromium();
  try {
    const page = await browser.newPage();
    await page.goto(url);
    await page.evaluate(`{
      const element = document.createElement("unsay-watch");
      document.body.append(element);
      globalThis.element = element;
      globalThis.listener = new BrowserListener({ url: location.href, broadcast: "demo" });
      element.play();
    }`);
    const played = () =>
      page.evaluate<number[]>(
        "[element, listener].map((each) => (each.stats.call?.(each) ?? each.stats)?.playedMs ?? 0)",
      );
    await expect.poll(async () => Math.min(...(await played())), { timeout: 20_000 }).toBeGreaterThan(500);
    expect(await page.evaluate("element.state")).toBe("playing");
    expect(
      await page.evaluate(`(async () => {
        element.pause();
        await Promise.all([listener.close(), listener.close()]);
        return [element.state, await listener.closed, listener.stats().state];
      })()`),
    ).toEqual(["idle", null, "closed"]);
    expect(
      await page.evaluate(`(() => {
        try {
          new BrowserListener({ url: "x", broadcast: "demo" });
        } catch ({ code, message }) {
          return [code, message];
        }
      })()`),
    ).toEqual(["INVALID_OPTION", 'BrowserListener.url must be an absolute URL, but is "x".']);
  } finally {
    await browser.close();
    await publisher.close();
    await relay.close();
  }
});
