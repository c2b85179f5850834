import { expect, test } from "vitest";
import { z } from "zod";
import { validate } from "./validate.js";

const schema = z.strictObject({
  port: z.number().int().min(0).max(65_535).default(4443),
  host: z.string().min(1).optional(),
  mode: z.enum(["ahead", "live"]).optional(),
  repeat: z.union([z.boolean(), z.literal("auto")]).optional(),
  names: z.array(z.string()).min(1).optional(),
  origin: z
    .string()
    .refine((value) => value === "*", "it must be an origin such as https://app.example, or *")
    .optional(),
  limits: z.strictObject({ sessions: z.number().positive() }).optional(),
  upstream: z.strictObject({ url: z.url() }).optional(),
});

test.each<[unknown, string]>([
  [undefined, "Relay must get an object of options, but got undefined."],
  [7, "Relay must get an object of options, but got 7."],
  [{ port: "x" }, 'Relay.port must be a number, but is "x".'],
  [{ port: 1.5 }, "Relay.port must be a whole number, but is 1.5."],
  [{ port: -1 }, "Relay.port must be at least 0, but is -1."],
  [{ port: 65_536 }, "Relay.port must be at most 65535, but is 65536."],
  [{ port: Number.NaN }, "Relay.port must be a number, but is NaN."],
  [{ port: null }, "Relay.port must be a number, but is null."],
  [{ host: "" }, 'Relay.host must not be empty, but is "".'],
  [{ host: ["a"] }, "Relay.host must be a string, but is an array."],
  [{ host: new URL("ftp://x/?jwt=secret") }, 'Relay.host must be a string, but is "ftp://x/?jwt=…".'],
  [{ mode: "fast" }, 'Relay.mode must be "ahead" or "live", but is "fast".'],
  [{ repeat: 1 }, 'Relay.repeat must be true or false or "auto", but is 1.'],
  [{ names: [] }, "Relay.names must have at least 1 entry, but is an empty array."],
  [{ names: ["a", 2] }, "Relay.names.1 must be a string, but is 2."],
  [{ origin: "x" }, 'Relay.origin must be an origin such as https://app.example, or *, but is "x".'],
  [{ limits: { sessions: 0 } }, "Relay.limits.sessions must be more than 0, but is 0."],
  [{ limits: { sesions: 5, sessions: 1 } }, 'Relay.limits has no option "sesions".'],
  [{ prot: 1 }, 'Relay has no option "prot".'],
  [{ upstream: {} }, "Relay.upstream.url must be a string, but is missing."],
  [{ upstream: { url: "relay?jwt=secret" } }, 'Relay.upstream.url must be an absolute URL, but is "relay?jwt=…".'],
  [
    { host: `-----BEGIN PRIVATE KEY-----`, port: "-----BEGIN PRIVATE KEY-----" },
    "Relay.port must be a number, but is PEM text.",
  ],
])("the options %j are refused in one sentence that names the option", (options, message) => {
  expect(() => validate("Relay", schema, options)).toThrow(
    expect.objectContaining({ code: "INVALID_OPTION", message }),
  );
});

test("valid options are returned with their defaults", () => {
  expect(validate("Relay", schema, { host: "::" })).toEqual({ host: "::", port: 4443 });
});
