import type { RequestListener } from "node:http";
import { z } from "zod";
import { validate } from "../base/index.js";
import { type Certificate, Certificates, type ConnectOptions } from "../transport/index.js";
import type { AuthOptions } from "./admission/auth.js";
import { limitsSchema, type RelayLimits } from "./limits.js";
import { isLogger, type Logger, SILENT } from "./ops/log.js";

/** Where an edge takes its broadcasts from. */
export interface UpstreamOptions extends Pick<ConnectOptions, "certificateHashes" | "insecure" | "backends" | "ca"> {
  /** URL of the other relay, with a token as `?jwt=` where it asks for one. */
  readonly url: string;
}

/** Options for `Relay`. */
export interface RelayOptions {
  /** Address to listen on. Default `127.0.0.1`. */
  readonly host?: string;
  /** Port for QUIC (UDP) and for HTTP and WebSocket (TCP); 0 picks a free one. Default 4443. */
  readonly port?: number;
  /**
   * What the relay proves its identity with. It follows `Certificates` as they rotate; closing them is up to the caller.
   * Default: a self-signed certificate made for this run.
   */
  readonly certificate?: Certificate | Certificates;
  /**
   * Repeats every datagram once, one object later, for listeners that report: `auto` for those whose path loses packets
   * and is not full. Default `auto`.
   */
  readonly repeat?: boolean | "auto";
  /** Answers HTTP requests other than `/certificate.sha256`. Default: 404. */
  readonly handler?: RequestListener;
  /** Tokens that publishing and watching need. Default: none; every client may do everything. */
  readonly auth?: AuthOptions;
  /**
   * Host names that the relay answers to besides its address. Default: on loopback only the names of loopback, so that no
   * web page reaches the relay by DNS rebinding; elsewhere all.
   */
  readonly allowedHosts?: readonly string[];
  /**
   * Origins of web pages that may connect, such as `https://app.example`; `*` for all. Default: at loopback and private
   * addresses only pages of such addresses; elsewhere all. Clients other than browsers are not affected.
   */
  readonly allowedOrigins?: readonly string[];
  /** Another relay, of unsay or a stock one, whose broadcasts this one serves too, as its edge. */
  readonly upstream?: UpstreamOptions;
  /** Port on loopback for `/metrics`, `/health`, `/ready` and `/broadcasts`; 0 picks a free one. Default: none. */
  readonly opsPort?: number;
  /** Limits that differ from their defaults. */
  readonly limits?: Partial<RelayLimits>;
  /** Takes the log lines. Default: no log. */
  readonly logger?: Logger;
  /** Closes the relay when aborted. */
  readonly signal?: AbortSignal;
}

/** What a measurement leaves out of a relay, as its control. */
export interface RelayAblation {
  /** Forwards stale media too. */
  readonly keepStale?: boolean;
  /** Takes every report for as new as it arrives. */
  readonly ignoreStaleness?: boolean;
  /** Reads no reports and sends no aggregates, like a stock relay. */
  readonly ignoreReports?: boolean;
}

const originSchema = z
  .string()
  .refine(
    (value) => value === "*" || (URL.canParse(value) && new URL(value).origin === value),
    "it must be an origin such as https://app.example, or *",
  );

// A blank setting must not mean everything.
const prefix = z.string().refine((value) => value.trim() !== "", "it must be a path, where / stands for everything");
const prefixes = z.array(prefix).optional();

const optionsSchema = z.strictObject({
  host: z.string().min(1).default("127.0.0.1"),
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
      public: z.strictObject({ put: prefixes, get: prefixes }).optional(),
    })
    .optional(),
  allowedHosts: z.array(z.string().trim().min(1)).optional(),
  allowedOrigins: z.array(originSchema).optional(),
  upstream: z
    .strictObject({
      url: z.url({ protocol: /^https?$/, error: "it must be a URL such as https://origin.example:4443" }),
      certificateHashes: z.array(z.instanceof(Uint8Array, { error: "it must be bytes" })).optional(),
      insecure: z.boolean().optional(),
      ca: z.string().min(1).optional(),
      backends: z.array(z.enum(["quic", "qmux", "http2"])).optional(),
    })
    .optional(),
  opsPort: z.number().int().min(0).max(65_535).optional(),
  limits: limitsSchema.prefault({}),
  logger: z.custom<Logger>(isLogger, "it must have the methods debug, info, warn and child").default(SILENT),
  signal: z.instanceof(AbortSignal, { error: "it must be an AbortSignal" }).optional(),
});

/** The options of a relay, checked and complete. */
export type CheckedRelayOptions = RelayOptions &
  Required<Pick<RelayOptions, "host" | "port" | "repeat" | "logger">> & { readonly limits: RelayLimits };

/** Checks options and completes them; throws an `InputError` (`INVALID_OPTION`). */
export function checkOptions(options: RelayOptions): CheckedRelayOptions {
  // Values that are undefined count as left out, which the interface's exact types can not express.
  return validate("Relay", optionsSchema, options) as CheckedRelayOptions;
}
