import type { RequestListener } from "node:http";
import { isIP } from "node:net";
import { z } from "zod";
import { hasCredentials, NO_CREDENTIALS, validate } from "../base/index.js";
import { type Certificate, Certificates, type ConnectOptions } from "../transport/index.js";
import type { AuthOptions } from "./admission/auth.js";
import { limitsSchema, type RelayLimits } from "./limits.js";
import { isLogger, type Logger, SILENT } from "./ops/log.js";

/** Source of an edge's broadcasts. */
export interface UpstreamOptions extends Pick<ConnectOptions, "certificateHashes" | "insecure" | "backends" | "ca"> {
  /** URL of the other relay, with a token as `?jwt=` if required. */
  readonly url: string;
}

/** Options for `Relay`. */
export interface RelayOptions {
  /** Address to listen on. Default `127.0.0.1`. */
  readonly host?: string;
  /** Port for QUIC (UDP) and for HTTP and WebSocket (TCP); 0 picks a free one. Default 4443. */
  readonly port?: number;
  /**
   * Certificate of the relay. It follows `Certificates` as they rotate; the caller closes them. Default: a self-signed
   * certificate for this run.
   */
  readonly certificate?: Certificate | Certificates;
  /**
   * Sends copies of every datagram to listeners that report: `auto` to those whose path loses packets and is not full.
   * Default `auto`.
   */
  readonly repeat?: boolean | "auto";
  /** Answers HTTP requests other than `/certificate.sha256`. Default: 404. */
  readonly handler?: RequestListener;
  /** Tokens required to publish and watch. Default: none; every client may do everything. */
  readonly auth?: AuthOptions;
  /**
   * Host names that the relay answers to besides its address. Default: on loopback only loopback names, so that no web
   * page reaches the relay by DNS rebinding; elsewhere all.
   */
  readonly allowedHosts?: readonly string[];
  /**
   * Origins of web pages that may connect, such as `https://app.example`; `*` for all. At loopback and private addresses
   * pages of such addresses always may; elsewhere, all by default. Clients other than browsers are not affected.
   */
  readonly allowedOrigins?: readonly string[];
  /** Another relay, of unsay or a stock one, whose broadcasts this edge serves too. */
  readonly upstream?: UpstreamOptions;
  /** Port on loopback for `/metrics`, `/health`, `/ready` and `/broadcasts`; 0 picks a free one. Default: none. */
  readonly opsPort?: number;
  /** Overrides of the default limits. */
  readonly limits?: Partial<RelayLimits>;
  /** Receives log lines. Default: no log. */
  readonly logger?: Logger;
  /** Closes the relay when aborted. */
  readonly signal?: AbortSignal;
}

/** Parts that a measurement switches off, as its control. */
export interface RelayAblation {
  /** Forwards stale media too. */
  readonly keepStale?: boolean;
  /** Treats every report as fresh. */
  readonly ignoreStaleness?: boolean;
  /** Reads no reports and sends no aggregates, like a stock relay. */
  readonly ignoreReports?: boolean;
}

const originSchema = z
  .string()
  .refine(
    (value) => value === "*" || (!value.includes("*") && URL.canParse(value) && new URL(value).origin === value),
    "it must be an origin such as https://app.example, or *",
  );

// A pattern, a port or a URL would never match.
const hostSchema = z
  .string()
  .trim()
  .refine((value) => {
    if (isIP(value) !== 0) return true;
    const url = URL.canParse(`http://${value}`) ? new URL(`http://${value}`) : undefined;
    return !/[*/?#@\\]/.test(value) && url !== undefined && url.port === "" && !/[^\]]:\d+$|\]:/.test(value);
  }, "it must be a host name such as relay.example, without a scheme and a port");

// A blank setting must not mean everything.
const prefix = z.string().refine((value) => value.trim() !== "", "it must be a path, where / stands for everything");
const prefixes = z.array(prefix).optional();

/** The address to listen on: a certificate names no zone, and QUIC takes none. */
export const listenHostSchema = z
  .string()
  .min(1)
  // As URLs have an address of IPv6.
  .transform((value) => value.replace(/^\[(.*)\]$/, "$1"))
  .refine((value) => !value.includes("%"), "it must be a name or an address without a zone")
  .refine((value) => !/\/|^[^:]*:\d*$/.test(value), "it must be a name or an address without a scheme and a port")
  // A socket binds to them, and no client reaches it there.
  .refine((value) => isIP(value) === 0 || !isForMany(value), "it must not be a multicast or broadcast address")
  .default("127.0.0.1");

/** An address of many computers at once: 224.0.0.0/3, which ends with the broadcast address, or ff00::/8. */
function isForMany(address: string): boolean {
  return isIP(address) === 4 ? Number.parseInt(address, 10) >= 224 : /^ff..:/i.test(address);
}

/** The URL of another relay to serve. */
export const upstreamUrlSchema = z
  .url({ protocol: /^https?$/, error: "it must be a URL such as https://origin.example:4443" })
  .refine((url) => !hasCredentials(url), NO_CREDENTIALS);

const optionsSchema = z.strictObject({
  host: listenHostSchema,
  port: z.number().int().min(0).max(65_535).default(4443),
  certificate: z
    .union([z.instanceof(Certificates), z.strictObject({ cert: z.string(), key: z.string() })], {
      error: "it must be { cert, key } as PEM text, or Certificates",
    })
    .optional(),
  repeat: z.union([z.boolean(), z.literal("auto")]).default("auto"),
  handler: z
    .custom<RequestListener>((value) => typeof value === "function", "it must be a function of request and response")
    .optional(),
  auth: z
    .strictObject({
      keys: z.string().min(1).optional(),
      audience: z.array(z.string().min(1)).optional(),
      public: z.strictObject({ put: prefixes, get: prefixes }).optional(),
    })
    .refine(({ keys, audience }) => keys !== undefined || audience === undefined, {
      path: ["audience"],
      error: "it must come with keys",
    })
    .optional(),
  allowedHosts: z.array(hostSchema).optional(),
  allowedOrigins: z.array(originSchema).optional(),
  upstream: z
    .strictObject({
      url: upstreamUrlSchema,
      certificateHashes: z.array(z.instanceof(Uint8Array, { error: "it must be bytes" })).optional(),
      insecure: z.boolean().optional(),
      ca: z.string().min(1).optional(),
      backends: z.array(z.enum(["quic", "qmux", "http2"])).optional(),
    })
    .refine(({ url, certificateHashes }) => certificateHashes === undefined || !/^http:/.test(String(url)), {
      path: ["certificateHashes"],
      error: "it must come with an https:// URL",
    })
    .optional(),
  opsPort: z.number().int().min(0).max(65_535).optional(),
  limits: limitsSchema.prefault({}),
  logger: z.custom<Logger>(isLogger, "it must have the methods debug, info, warn and child").default(SILENT),
  signal: z.instanceof(AbortSignal, { error: "it must be an AbortSignal" }).optional(),
});

/** Options of a relay, checked and complete. */
export type CheckedRelayOptions = RelayOptions &
  Required<Pick<RelayOptions, "host" | "port" | "repeat" | "logger">> & { readonly limits: RelayLimits };

/**
 * Checks options and fills in their defaults.
 *
 * @throws InputError `INVALID_OPTION`.
 */
export function checkOptions(options: RelayOptions): CheckedRelayOptions {
  // Undefined values count as missing, which the interface's exact types cannot express.
  return validate("Relay", optionsSchema, options) as CheckedRelayOptions;
}
