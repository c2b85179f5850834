import { z } from "zod";
import { BROADCAST_NAME_RULE, hasCredentials, isBroadcastName, NO_CREDENTIALS } from "../../base/index.js";
import { command } from "../command.js";
import { type Settings, written } from "../config.js";
import { onOneLine } from "../fail.js";
import { loadPage } from "../page/index.js";
import { writeSite } from "../page/static-site.js";

const settings = {
  out: {
    schema: written,
    value: "<folder>",
    help: "folder for the page's files; it is made if need be",
  },
  url: {
    schema: z
      .url({ protocol: /^https?$/, error: "it must be a URL such as https://relay.example:4443" })
      .refine((url) => !hasCredentials(url), NO_CREDENTIALS),
    value: "<url>",
    help: "relay that the page connects to; a token in its ?jwt= is visible to every visitor",
  },
  broadcast: {
    schema: z.string().refine(isBroadcastName, BROADCAST_NAME_RULE).default("demo"),
    value: "<name>",
    help: "broadcast that it plays",
  },
} satisfies Settings;

/** `unsay page`: writes a page that plays a broadcast, for any web server. */
export const page = command({
  examples: ["unsay page --out site --url https://relay.example:4443 --broadcast stage"],
  settings,
  async run({ out, url, broadcast }, { print }) {
    const files = await writeSite(out, await loadPage(), { url: new URL(url), broadcast });
    print(onOneLine(`wrote ${files.join(", ")} to ${out}`));
    return 0;
  },
});
