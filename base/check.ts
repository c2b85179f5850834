import { BROADCAST_NAME_RULE, isBroadcastName } from "./broadcast-name.js";
import type { Schema } from "./validate.js";

/** Returns what a value must be, in words that follow "must", when it is not. */
export type Rule = (value: unknown) => string | undefined;

/** A number within bounds, both included. */
export function isNumber({ min, max }: { readonly min: number; readonly max: number }): Rule {
  return (value) => {
    if (typeof value !== "number" || Number.isNaN(value)) return "be a number";
    if (value < min) return `be at least ${min}`;
    return value > max ? `be at most ${max}` : undefined;
  };
}

/** True or false. */
export const isBoolean: Rule = (value) => (typeof value === "boolean" ? undefined : "be true or false");

/** One of a few values. */
export function isOneOf(...allowed: readonly (string | number | boolean)[]): Rule {
  const words = allowed.map((each) => (typeof each === "string" ? `"${each}"` : String(each)));
  const list = `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
  return (value) => (allowed.some((each) => each === value) ? undefined : `be ${list}`);
}

/** A string that passes a test; `words` complete the sentence as in {@link Rule}. */
export function isString(test: (value: string) => boolean, words: string): Rule {
  return (value) => (typeof value === "string" && test(value) ? undefined : words);
}

/** The name of a broadcast. */
export const isBroadcast: Rule = isString(isBroadcastName, BROADCAST_NAME_RULE.replace(/^must /, ""));

/** A URL, as one or as text. */
export const isUrl: Rule = (value) =>
  value instanceof URL || (typeof value === "string" && URL.canParse(value)) ? undefined : "be an absolute URL";

/** Whether a URL carries a user name or a password: a relay takes tokens, and no browser and no `fetch` sends those. */
export function hasCredentials(url: string | URL): boolean {
  if (!URL.canParse(String(url))) return false;
  const { username, password } = new URL(url);
  return username !== "" || password !== "";
}

/** An address at which a relay can be reached; any other would be tried in vain for ever. */
export const isRelayUrl: Rule = (value) => {
  const fault = isUrl(value);
  if (fault !== undefined) return fault;
  const url = new URL(value as string | URL);
  if (!/^https?:$/.test(url.protocol)) return "be an http or https URL";
  return hasCredentials(url) ? NO_CREDENTIALS : undefined;
};

/** What a relay's URL must not have, in words that follow "must". */
export const NO_CREDENTIALS = "have no user name and no password";

export const isSignal: Rule = (value) => (value instanceof AbortSignal ? undefined : "be an AbortSignal");

export const isObject: Rule = (value) => (typeof value === "object" && value !== null ? undefined : "be an object");

/** An object with some methods. */
export function hasMethods(...names: readonly string[]): Rule {
  const has = (value: object) => names.every((name) => typeof Reflect.get(value, name) === "function");
  const words = `have the methods ${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
  return (value) => (typeof value === "object" && value !== null && has(value) ? undefined : words);
}

/**
 * A schema for `validate` from rules for the fields of an object. It is small enough for a web page, and returns the
 * value unchanged, without defaults.
 */
export function fields<T extends object>(
  required: { readonly [K in keyof T]?: Rule },
  optional: { readonly [K in keyof T]?: Rule } = {},
): Schema<T> {
  const rules: Readonly<Record<string, Rule>> = { ...required, ...optional } as Record<string, Rule>;
  return {
    safeParse(value) {
      if (typeof value !== "object" || value === null) return fail("invalid_type", []);
      const found = { ...value } as Readonly<Record<string, unknown>>;
      for (const [name, rule] of Object.entries(rules)) {
        if (found[name] === undefined && Object.hasOwn(optional, name)) continue;
        const message = rule(found[name]);
        if (message !== undefined) return fail("custom", [name], { message });
      }
      const unknown = Object.keys(found).find((name) => !Object.hasOwn(rules, name));
      if (unknown !== undefined) return fail("unrecognized_keys", [], { keys: [unknown] });
      return { success: true, data: value as T };
    },
  };
}

function fail(code: string, path: readonly string[], rest: { message?: string; keys?: readonly string[] } = {}) {
  return { success: false as const, error: { issues: [{ code, path, message: "", ...rest }] } };
}
