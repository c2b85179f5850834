import { expect, test } from "vitest";
import { fields, isBoolean, isBroadcast, isNumber, isObject, isOneOf, isRelayUrl, isSignal } from "./check.js";
import { validate } from "./validate.js";

interface Options {
  readonly url: string | URL;
  readonly broadcast: string;
  readonly jitterMs?: number;
  readonly adaptive?: boolean;
  readonly channels?: 1 | 2;
  readonly report?: boolean | "stream";
  readonly signal?: AbortSignal;
  readonly sink?: object;
}

const schema = fields<Options>(
  { url: isRelayUrl, broadcast: isBroadcast },
  {
    jitterMs: isNumber({ min: 0, max: 10_000 }),
    adaptive: isBoolean,
    channels: isOneOf(1, 2),
    report: isOneOf(true, false, "stream"),
    signal: isSignal,
    sink: isObject,
  },
);
const good = { url: "https://relay.example", broadcast: "demo" };

test.each<[unknown, string]>([
  [undefined, "Listener must get an object of options, but got undefined."],
  ["x", 'Listener must get an object of options, but got "x".'],
  [{}, "Listener.url must be an absolute URL, but is missing."],
  [{ ...good, url: "relay?jwt=secret" }, 'Listener.url must be an absolute URL, but is "relay?jwt=…".'],
  [{ ...good, url: "ftp://relay.example" }, 'Listener.url must be an http or https URL, but is "ftp://relay.example".'],
  [{ ...good, broadcast: "/" }, /^Listener\.broadcast must have 1 to 30 parts .*, but is "\/"\.$/],
  [{ ...good, broadcast: 7 }, /^Listener\.broadcast must have .*, but is 7\.$/],
  [{ ...good, jitterMs: "x" }, 'Listener.jitterMs must be a number, but is "x".'],
  [{ ...good, jitterMs: Number.NaN }, "Listener.jitterMs must be a number, but is NaN."],
  [{ ...good, jitterMs: null }, "Listener.jitterMs must be a number, but is null."],
  [{ ...good, jitterMs: -1 }, "Listener.jitterMs must be at least 0, but is -1."],
  [{ ...good, jitterMs: 1e9 }, "Listener.jitterMs must be at most 10000, but is 1000000000."],
  [{ ...good, adaptive: 1 }, "Listener.adaptive must be true or false, but is 1."],
  [{ ...good, channels: 3 }, "Listener.channels must be 1 or 2, but is 3."],
  [{ ...good, report: "x" }, 'Listener.report must be true, false or "stream", but is "x".'],
  [{ ...good, signal: {} }, "Listener.signal must be an AbortSignal, but is an object."],
  [{ ...good, sink: () => {} }, "Listener.sink must be an object, but is a function."],
  [{ ...good, jiterMs: 80 }, 'Listener has no option "jiterMs".'],
] as [unknown, string][])("the options %j are refused in one sentence that names the option", (options, message) => {
  expect(() => validate("Listener", schema, options)).toThrow(
    expect.objectContaining({
      code: "INVALID_OPTION",
      message: typeof message === "string" ? message : expect.stringMatching(message),
    }),
  );
});

test("valid options are returned unchanged, and an option may be undefined", () => {
  const options = { ...good, url: new URL(good.url), jitterMs: 0, signal: AbortSignal.timeout(1), sink: undefined };
  expect(validate("Listener", schema, options)).toBe(options);
});
