import { z } from "zod";
import { hasCredentials, InputError, type Logger, NO_CREDENTIALS, validate } from "../base/index.js";
import type { ConnectOptions } from "./connect.js";
import type { Backoff } from "./path/backoff.js";

/** Options that every client of a relay has. */
export interface ClientOptions {
  readonly url: string | URL;
  readonly connect?: ConnectOptions | undefined;
  readonly backoff?: Backoff | undefined;
  readonly logger?: Logger | undefined;
}

/** The longest timeout of Node's timers. */
const MAX_TIMER_MS = 2_147_483_647;
const milliseconds = z.number().min(0).max(MAX_TIMER_MS);
const isFunction = (value: unknown) => typeof value === "function";
const isLogger = (value: unknown) =>
  typeof value === "object" &&
  value !== null &&
  ["debug", "info", "warn"].every((level) => isFunction(Reflect.get(value, level)));

const urlSchema = z
  .union([z.string(), z.instanceof(URL)], { error: "be an http or https URL" })
  .refine((url) => URL.canParse(String(url)) && /^https?:$/.test(new URL(url).protocol), "be an http or https URL")
  .refine((url) => !hasCredentials(url), NO_CREDENTIALS);

const connectSchema = z.strictObject(
  {
    backends: z.array(z.enum(["quic", "qmux", "http2"])).min(1),
    headStartMs: milliseconds,
    certificateHashes: z.array(z.instanceof(Uint8Array, { error: "be the 32 bytes of a SHA-256" })).min(1),
    ca: z.string().min(1),
    insecure: z.boolean(),
    // An empty list leaves the version to a SETUP, as stock clients do.
    protocols: z.array(z.string().min(1)),
    timeoutMs: milliseconds.min(1),
    signal: z.instanceof(AbortSignal, { error: "be an AbortSignal" }),
    native: z.looseObject({}),
  },
  { error: (issue) => (issue.code === "invalid_type" ? "be an object of options" : undefined) },
);

const backoffSchema = z.strictObject({ initialMs: milliseconds, maxMs: milliseconds }).partial();

const clientSchema = z.looseObject({
  url: urlSchema,
  connect: connectSchema.partial().optional(),
  backoff: backoffSchema.optional(),
  logger: z.custom(isLogger, "have the methods debug, info and warn").optional(),
});

/**
 * Refuses hashes where they would not count: `http://` trusts the certificate whose hash the relay serves, and its
 * WebSocket has none.
 */
function checkHashes(name: string, url: string | URL, { certificateHashes }: ConnectOptions = {}): void {
  if (certificateHashes !== undefined && new URL(url).protocol === "http:")
    throw new InputError(
      "INVALID_OPTION",
      `${name}.certificateHashes must come with an https:// URL, but is given with ${new URL(url).origin}.`,
    );
}

/** Checks the options of `connect` for a URL; see {@link validateClient}. */
export function validateConnect(url: URL, options: ConnectOptions): void {
  validate("connect", connectSchema.partial(), options);
  checkHashes("connect", url, options);
}

/**
 * Checks the options that every client of a relay has.
 *
 * @param name - The class, such as `Publisher`.
 * @throws InputError `INVALID_OPTION`, with one sentence that names the option, what it must be and what it is.
 */
export function validateClient(name: string, options: ClientOptions): void {
  validate(name, clientSchema, options);
  checkHashes(`${name}.connect`, options.url, options.connect);
}
