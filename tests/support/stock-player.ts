import type { RequestListener } from "node:http";
import { join } from "node:path";
import { build } from "esbuild";

/**
 * Serves a page with nothing but the stock player on it, bundled as its users would. Its query: `name` of the broadcast;
 * `carrier=websocket` takes WebTransport away, else the player has nothing but that; `latency-max` as the player's own
 * attribute; `isolated` makes the page cross-origin isolated, which gives the player its shared memory.
 */
export async function stockPlayerHandler(): Promise<RequestListener> {
  const { outputFiles } = await build({
    entryPoints: [join(import.meta.dirname, "stock-player-page.ts")],
    bundle: true,
    format: "esm",
    target: "es2023",
    platform: "browser",
    write: false,
    logLevel: "silent",
  });
  const script = outputFiles[0]!.contents;
  const page =
    '<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script type="module" src="/player.js"></script>';
  return (request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://localhost");
    if (pathname === "/player.js") {
      response.writeHead(200, { "content-type": "text/javascript", "cross-origin-resource-policy": "same-origin" });
      return void response.end(script);
    }
    if (pathname !== "/") return void response.writeHead(404).end();
    response.writeHead(200, {
      "content-type": "text/html",
      ...(searchParams.has("isolated") && {
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-embedder-policy": "require-corp",
      }),
    });
    response.end(page);
  };
}
