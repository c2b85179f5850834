import { BROADCAST_NAME_RULE, isBroadcastName } from "./broadcast-name.js";
import { InputError } from "./error.js";

/** Says what is wrong with a value, in words that follow "must", when anything is. */
export type Rule = (value: unknown) => string | undefined;

/** A finite number within bounds, both included. */
export function isNumber({ min, max }: { readonly min: number; readonly max: number }): Rule {
  return (value) =>
    typeof value === "number" && value >= min && value <= max ? undefined : `be a number from ${min} to ${max}`;
}

/** A name of a broadcast. */
export const isBroadcast: Rule = isString(isBroadcastName, BROADCAST_NAME_RULE.replace(/^must /, ""));

/** True or false. */
export const isBoolean: Rule = (value) => (typeof value === "boolean" ? undefined : "be true or false");

/** One of a few values. */
export function isOneOf(...allowed: readonly (string | number | boolean)[]): Rule {
  return (value) => (allowed.some((each) => each === value) ? undefined : `be one of ${allowed.map(show).join(", ")}`);
}

/** A string that passes a test; `words` say what it must be or have, as in {@link Rule}. */
export function isString(test: (value: string) => boolean, words: string): Rule {
  return (value) => (typeof value === "string" && test(value) ? undefined : words);
}

/** A URL, as one or as text. */
export const isUrl: Rule = (value) =>
  value instanceof URL || (typeof value === "string" && URL.canParse(value)) ? undefined : "be an absolute URL";

/** An `AbortSignal`. */
export const isSignal: Rule = (value) => (value instanceof AbortSignal ? undefined : "be an AbortSignal");

/** An object. */
export const isObject: Rule = (value) => (typeof value === "object" && value !== null ? undefined : "be an object");

/**
 * Checks the options of a class, by one rule for each. A rule for an option that may be left out stands under `optional`.
 *
 * @throws InputError `INVALID_OPTION`, with one sentence that names the option, what it must be and what it is.
 */
export function checkOptions(
  owner: string,
  options: unknown,
  {
    required,
    optional,
  }: { readonly required: Readonly<Record<string, Rule>>; readonly optional: Readonly<Record<string, Rule>> },
): void {
  if (typeof options !== "object" || options === null)
    throw new InputError("INVALID_OPTION", `${owner} must get an object of options, but got ${show(options)}.`);
  const values: Readonly<Record<string, unknown>> = { ...options };
  for (const [name, rule] of Object.entries({ ...required, ...optional })) {
    const value = values[name];
    if (value === undefined && name in optional) continue;
    const words = rule(value);
    if (words !== undefined)
      throw new InputError("INVALID_OPTION", `${owner}.${name} must ${words}, but is ${show(value)}.`);
  }
}

/** A value in a message, at a length that can be read. */
function show(value: unknown): string {
  if (typeof value === "string") return value.length > 80 ? `"${value.slice(0, 80)}…"` : `"${value}"`;
  if (typeof value === "function") return "a function";
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "an array" : "an object";
  return String(value);
}
