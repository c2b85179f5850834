import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { whyUnusable } from "../../base/bytes/bounded-file.js";
import { InputError } from "../../base/index.js";
import { makeFolder } from "../../transport/index.js";
import type { PageAssets } from "./bundle.js";

/** What {@link writeSite} writes a page for. */
export interface SiteOptions {
  readonly url: URL;
  readonly broadcast: string;
}

/** Files of the page, by what they are called in the bundle. */
const FILES: Readonly<Record<string, string>> = {
  "/listen.html": "index.html",
  "/listen.js": "listen.js",
  "/listen.css": "listen.css",
  "/unsay-element.js": "unsay-element.js",
  "/worklet.js": "worklet.js",
};

/**
 * Writes a page that plays one broadcast, for any web server, and returns the names of its files. Its content security
 * policy permits its own files and the relay, and nothing else: neither inline scripts nor `blob:` ones.
 *
 * @throws InputError `FILE_NOT_WRITTEN` where the folder does not take them.
 */
export async function writeSite(
  folder: string,
  assets: PageAssets,
  { url, broadcast }: SiteOptions,
): Promise<readonly string[]> {
  const texts: Readonly<Record<string, string>> = {
    CONTENT_POLICY: policyFor(url),
    RELAY_URL: url.href,
    BROADCAST_NAME: broadcast,
  };
  try {
    makeFolder(folder);
    for (const [path, name] of Object.entries(FILES)) {
      const file = Buffer.from(assets.get(path)!);
      const page = () =>
        file.toString("utf8").replace(/CONTENT_POLICY|RELAY_URL|BROADCAST_NAME/g, (word) => escapeHtml(texts[word]!));
      await writeFile(join(folder, name), name === "index.html" ? page() : file);
    }
  } catch (cause) {
    throw new InputError("FILE_NOT_WRITTEN", `The page can't be written to ${folder}: ${whyUnusable(cause)}.`, {
      cause,
    });
  }
  return Object.values(FILES);
}

function policyFor({ protocol, host, hostname, port }: URL): string {
  // Chromium's WebTransport to `localhost` goes to 127.0.0.1, see `transport/browser`.
  const hosts = hostname === "localhost" ? [host, `127.0.0.1:${port || 80}`] : [host];
  const schemes = protocol === "http:" ? ["https", "wss", "http", "ws"] : ["https", "wss"];
  const relay = hosts.flatMap((each) => schemes.map((scheme) => `${scheme}://${each}`)).join(" ");
  const rules = [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src data:",
    `connect-src ${relay}`,
    "base-uri 'none'",
    "form-action 'none'",
  ];
  return rules.join("; ");
}

function escapeHtml(text: string): string {
  const entities: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
  return text.replace(/[&<>"]/g, (character) => entities[character]!);
}
