import type { IncomingMessage, ServerResponse } from "node:http";
import { gzipSync } from "node:zlib";
import type { PageAssets } from "./bundle.js";

/** The elements, each as one file with its worklet in it, and both as one. */
const ELEMENTS = new Set(["/unsay-element.js", "/unsay-talk.js", "/unsay-elements.js"]);

/** Answers a request and returns true, or leaves it alone and returns false. */
export type PathHandler = (request: IncomingMessage, response: ServerResponse) => boolean;

/** Serves `<unsay-watch>` and `<unsay-talk>` for pages of every site; `load` is called for the first request. */
export function elementHandler(load: () => Promise<PageAssets>): PathHandler {
  let packed: Promise<PageAssets> | undefined;
  const answer = async (path: string, request: IncomingMessage, response: ServerResponse): Promise<void> => {
    packed ??= load().then(pack);
    const files = await packed;
    const isPacked = /\bgzip\b/.test(String(request.headers["accept-encoding"] ?? ""));
    const file = files.get(isPacked ? `${path}.gz` : path)!;
    response.writeHead(200, {
      "Content-Type": "text/javascript; charset=utf-8",
      "Content-Length": file.length,
      ...(isPacked && { "Content-Encoding": "gzip" }),
      Vary: "Accept-Encoding",
      "Access-Control-Allow-Origin": "*",
      "Cross-Origin-Resource-Policy": "cross-origin",
      "Content-Security-Policy": "default-src 'none'; script-src 'self'",
      "X-Content-Type-Options": "nosniff",
      "Cache-Control": "no-cache",
    });
    response.end(request.method === "HEAD" ? undefined : file);
  };
  return (request, response) => {
    const [path] = (request.url ?? "/").split("?", 1);
    if (!ELEMENTS.has(path!)) return false;
    if (request.method !== "GET" && request.method !== "HEAD") response.writeHead(405, { Allow: "GET, HEAD" }).end();
    else
      answer(path!, request, response).catch(() => {
        packed = undefined;
        if (!response.headersSent) response.writeHead(500).end();
      });
    return true;
  };
}

function pack(files: PageAssets): PageAssets {
  const elements = [...ELEMENTS].map((path) => [path, files.get(path) ?? new Uint8Array()] as const);
  return new Map([...elements, ...elements.map(([path, file]) => [`${path}.gz`, gzipSync(file)] as const)]);
}
