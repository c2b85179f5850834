import { z } from "zod";
import { BROADCAST_NAME_RULE, InputError, isBroadcastName } from "../../base/index.js";
import type { ConnectOptions } from "../../transport/index.js";
import { flag, type Settings } from "../config.js";

/** The settings by which a publisher or a listener finds and trusts its relay. */
export const connectionSettings = {
  url: {
    schema: z.url({ protocol: /^https?$/, error: "it must be a URL such as http://localhost:4443" }),
    value: "<url>",
    help: "the relay; with http:// its self-signed certificate is pinned by the hash it tells there",
  },
  broadcast: {
    schema: z.string().refine(isBroadcastName, `it ${BROADCAST_NAME_RULE}`).default("demo"),
    value: "<name>",
    help: "name of the broadcast, with or without .hang",
  },
  token: {
    schema: z
      .string()
      .regex(/^[\w-]+\.[\w-]+\.[\w-]+$/, "it must be a JWT")
      .optional(),
    value: "<jwt>",
    help: "what the relay asks for; better in UNSAY_TOKEN, which no list of processes shows",
    secret: true,
  },
  certificateHash: {
    schema: z
      .string()
      .regex(/^[0-9a-f]{64}$/i, "it must be 64 hex digits")
      .optional(),
    value: "<sha256>",
    help: "trust only the certificate with this hash",
  },
  insecure: { schema: flag.default(false), help: "trust any certificate (tests only)" },
  transport: {
    schema: z.enum(["auto", "quic", "qmux", "http2"]).default("auto"),
    value: "<name>",
    help: "carrier: auto, quic, qmux (WebSocket) or http2",
  },
} satisfies Settings;

/** The relay's URL with the token where the relay looks for it. */
export function relayUrl(config: { url: string; token: string | undefined }): URL {
  const url = new URL(config.url);
  if (config.token !== undefined) url.searchParams.set("jwt", config.token);
  return url;
}

/** Turns {@link connectionSettings} into the options of the transport. */
export function connectOptions(config: {
  certificateHash: string | undefined;
  insecure: boolean;
  transport: "auto" | "quic" | "qmux" | "http2";
}): ConnectOptions {
  if (config.insecure && config.certificateHash !== undefined)
    throw new InputError("INVALID_OPTION", "--insecure and --certificate-hash exclude each other.");
  return {
    ...(config.certificateHash && { certificateHashes: [Uint8Array.from(Buffer.from(config.certificateHash, "hex"))] }),
    ...(config.insecure && { insecure: true }),
    ...(config.transport !== "auto" && { backends: [config.transport] }),
  };
}
