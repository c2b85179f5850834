import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { readBounded, whyUnusable } from "../../base/bytes/bounded-file.js";
import { InputError } from "../../base/index.js";
import { makeFolder } from "../../transport/index.js";
import type { PageAssets } from "./bundle.js";

/** Options of {@link writeSite}. */
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

/** The mark of every page that `writeSite` has written. */
const OURS = '<script type="module" src="unsay-element.js">';
const MAX_PAGE_BYTES = 1024 * 1024;

/**
 * Writes a page that plays one broadcast, for any web server, and returns the names of its files. Its content security
 * policy permits its own files and the relay, and nothing else: neither inline scripts nor `blob:` ones.
 *
 * @throws InputError `FILE_EXISTS` where the folder has another page, `FILE_NOT_WRITTEN` where it does not take them.
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
  await refuseOther(folder);
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

/** Only a page of ours may be replaced: a folder such as "." may hold a whole project. */
async function refuseOther(folder: string): Promise<void> {
  const page = await readBounded(join(folder, "index.html"), MAX_PAGE_BYTES).catch(
    (cause: NodeJS.ErrnoException) => cause,
  );
  // A file that the system can't read is missing, or can't be written either.
  if (page instanceof Error ? page.code !== undefined : page.length === 0 || page.includes(OURS)) return;
  throw new InputError(
    "FILE_EXISTS",
    `The folder ${folder} has an index.html of another page: name a folder of its own.`,
  );
}

function policyFor({ protocol, host, hostname, port }: URL): string {
  // Chromium's WebTransport to `localhost` goes to 127.0.0.1, see `transport/browser`.
  const hosts = hostname === "localhost" ? [host, `127.0.0.1:${port || 80}`] : [host];
  const schemes = protocol === "http:" ? ["https", "wss", "http", "ws"] : ["https", "wss"];
  // No policy can name an IPv6 address.
  const relay = hostname.startsWith("[")
    ? schemes.map((scheme) => `${scheme}:`).join(" ")
    : hosts.flatMap((each) => schemes.map((scheme) => `${scheme}://${each}`)).join(" ");
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
