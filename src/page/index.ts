import { randomBytes, timingSafeEqual } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { extname, join } from "node:path";
import { InputError, requirementOf, UnsayError } from "../../base/index.js";
import type { PageAssets } from "./bundle.js";
import { type ControlRequest, controlSchema } from "./control.js";
import { elementHandler } from "./element-files.js";
import { CONTROL_HEADER, type PageRecording } from "./replies.js";

export type { PageAssets } from "./bundle.js";
export type { ControlRequest } from "./control.js";
export { elementHandler } from "./element-files.js";
export type { HeardReply, InterruptReply, PageRecording, PageStats, SpokenPiece, SpokenStats } from "./replies.js";

/** Options of {@link pageHandler}. */
export interface PageHandlerOptions {
  /** Runs a request of the page, already validated; resolves with the JSON reply. */
  control(request: ControlRequest): Promise<unknown> | unknown;
  /** Live numbers for `GET /stats`, as JSON. The page reads the fields of {@link PageStats}. */
  stats(): Promise<unknown> | unknown;
  /** The recording, for the transcript and the picture; without it the page shows no words ahead of time. */
  readonly recording?: PageRecording;
}

/** Placeholder of the token in the page's file. */
const TOKEN_PLACE = "CONTROL_TOKEN";
/** The element as one file, with its worklet. */
const ELEMENT = "/unsay-element.js";
/** Longest body that `POST /control` reads, in bytes. */
const MAX_BODY_BYTES = 16 * 1024;

const TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
};

const PAGE_HEADERS = {
  "Content-Security-Policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src *; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "Referrer-Policy": "no-referrer",
  "X-Content-Type-Options": "nosniff",
  "Cache-Control": "no-cache",
};

const STATUS: Record<string, number> = {
  BODY_TOO_LARGE: 413,
  METHOD_NOT_ALLOWED: 405,
  WRONG_ORIGIN: 403,
  WRONG_TOKEN: 403,
  WRONG_TYPE: 415,
};

/** The page's files: those of the build where there is one, else bundled now. */
export async function loadPage(): Promise<PageAssets> {
  const folder = join(import.meta.dirname, "assets");
  const names = await readdir(folder).catch(() => undefined);
  if (names === undefined) return (await import("./bundle.js")).bundlePage();
  const files = names.map(async (name) => [`/${name}`, await readFile(join(folder, name))] as const);
  return new Map(await Promise.all(files));
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "Content-Type": "application/json; charset=utf-8", "Cache-Control": "no-store" });
  response.end(JSON.stringify(body ?? null));
}

function sendError(response: ServerResponse, error: unknown): void {
  const known = error instanceof UnsayError;
  const status = error instanceof InputError ? (STATUS[error.code] ?? 400) : 500;
  sendJson(response, status, {
    code: known ? error.code : "UNEXPECTED",
    message: known ? error.message : "The server failed to answer.",
  });
}

/** A page of another site must not use our controls; clients other than browsers send neither header. */
function requireSameOrigin(request: IncomingMessage): void {
  const site = request.headers["sec-fetch-site"];
  const { origin, host } = request.headers;
  const foreign = (site !== undefined && site !== "same-origin") || (origin !== undefined && !sameHost(origin, host));
  if (foreign) throw new InputError("WRONG_ORIGIN", "POST /control is only for the page this server serves.");
}

function sameHost(origin: string, host: string | undefined): boolean {
  return URL.canParse(origin) && new URL(origin).host === host;
}

function readBody(request: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    const pieces: Buffer[] = [];
    let bytes = 0;
    request.on("data", (piece: Buffer) => {
      bytes += piece.byteLength;
      if (bytes <= MAX_BODY_BYTES) pieces.push(piece);
      else reject(new InputError("BODY_TOO_LARGE", `The body of POST /control exceeds ${MAX_BODY_BYTES} bytes.`));
    });
    request.on("end", () => resolve(Buffer.concat(pieces).toString("utf8")));
    request.on("error", reject);
  });
}

/**
 * Only a client that has read the page has its token: neither a page of another site nor one that guesses addresses.
 */
function requireToken(request: IncomingMessage, token: string): void {
  const given = Buffer.from(String(request.headers[CONTROL_HEADER] ?? ""));
  const wanted = Buffer.from(token);
  if (given.length !== wanted.length || !timingSafeEqual(given, wanted))
    throw new InputError(
      "WRONG_TOKEN",
      `POST /control needs the token of the page in ${CONTROL_HEADER}; reload the page.`,
    );
}

async function readControl(request: IncomingMessage, token: string): Promise<ControlRequest> {
  requireSameOrigin(request);
  requireToken(request, token);
  if (!/^application\/json\b/i.test(request.headers["content-type"] ?? "")) {
    throw new InputError("WRONG_TYPE", "POST /control takes a body of type application/json.");
  }
  const text = await readBody(request);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new InputError("BAD_JSON", "The body of POST /control is not JSON.", { cause });
  }
  const parsed = controlSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const field = parsed.error.issues[0]?.path.join(".") || "body";
  const what = requirementOf(parsed.error);
  throw new InputError("INVALID_OPTION", `The field ${field} of POST /control is wrong: it ${what}.`);
}

/** The page with the token where its script finds it. */
function withToken(files: PageAssets, token: string): PageAssets {
  const page = files.get("/index.html");
  if (page === undefined) return files;
  const text = Buffer.from(page).toString("utf8").replace(TOKEN_PLACE, token);
  return new Map([...files, ["/index.html", Buffer.from(text)]]);
}

function requireMethod(request: IncomingMessage, ...allowed: string[]): void {
  if (allowed.includes(request.method ?? "")) return;
  throw new InputError("METHOD_NOT_ALLOWED", `${request.url} takes ${allowed.join(" or ")}, not ${request.method}.`);
}

/**
 * Serves the demo page: its files, `GET /stats` and `POST /control`.
 *
 * The returned function answers a request for one of these and returns true, or ignores it and returns false, so that
 * it can precede a server's other routes. A bad request gets `{code, message}` and never reaches `control`.
 */
export function pageHandler(
  options: PageHandlerOptions,
): (request: IncomingMessage, response: ServerResponse) => boolean {
  const token = randomBytes(16).toString("hex");
  const assets = loadPage().then((files) => withToken(files, token));
  assets.catch(() => {});
  const elements = elementHandler(() => assets);

  const answer = async (request: IncomingMessage, response: ServerResponse, path: string): Promise<void> => {
    if (path === "/control") {
      requireMethod(request, "POST");
      return sendJson(response, 200, await options.control(await readControl(request, token)));
    }
    requireMethod(request, "GET", "HEAD");
    if (path === "/stats") return sendJson(response, 200, await options.stats());
    if (path === "/recording") return sendJson(response, 200, options.recording);
    const name = path === "/" ? "/index.html" : path;
    const file = (await assets).get(name);
    if (!file) return sendJson(response, 404, { code: "NOT_FOUND", message: `There is no ${path} here.` });
    // Pages of other sites may load the element, like any script.
    if (name === ELEMENT) response.setHeader("Access-Control-Allow-Origin", "*");
    response.writeHead(200, { ...PAGE_HEADERS, "Content-Type": TYPES[extname(name)], "Content-Length": file.length });
    response.end(request.method === "HEAD" ? undefined : file);
  };

  const paths = new Set([
    "/",
    "/index.html",
    "/page.js",
    "/picture.js",
    "/worklet.js",
    "/talk-worklet.js",
    "/style.css",
    "/stats",
    "/recording",
    "/control",
  ]);
  return (request, response) => {
    const path = (request.url ?? "/").split("?", 1)[0]!;
    if (elements(request, response)) return true;
    if (!paths.has(path)) return false;
    answer(request, response, path).catch((error) => {
      if (response.headersSent) return void response.destroy();
      // The rest of a refused body is not worth reading: the connection ends with the answer.
      if (!request.complete) response.once("finish", () => request.destroy()).setHeader("Connection", "close");
      sendError(response, error);
    });
    return true;
  };
}
