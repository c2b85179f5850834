import { InputError } from "./error.js";

/** The part of a zod issue that makes up a sentence. */
interface Issue {
  readonly code: string;
  readonly path: readonly PropertyKey[];
  readonly message: string;
  readonly expected?: string;
  readonly format?: string;
  readonly origin?: string;
  readonly minimum?: number | bigint;
  readonly maximum?: number | bigint;
  readonly inclusive?: boolean;
  readonly keys?: readonly string[];
  readonly values?: readonly unknown[];
  readonly errors?: readonly (readonly Issue[])[];
}

/** Checks a value and fills in its defaults: any zod schema. */
export interface Schema<T> {
  safeParse(
    value: unknown,
  ): { readonly success: true; readonly data: T } | { readonly success: false; readonly error: unknown };
}

/**
 * Checks input from outside, such as the options of a class, and fills in its defaults. A schema may describe valid
 * values in words that follow "must": `z.string().refine(isOrigin, "be an origin such as https://a.example")`.
 *
 * @param name - What the value belongs to, such as `Relay`: messages name `Relay.port`.
 * @param shown - What messages show in its place, such as a text without its secret.
 * @throws InputError `INVALID_OPTION`, with one sentence that names the option, what it must be and what it is.
 */
export function validate<T>(name: string, schema: Schema<T>, value: unknown, shown = value): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new InputError("INVALID_OPTION", faultOf(name, parsed.error, shown));
}

/** The sentence of {@link validate} for the error of a schema. */
export function faultOf(name: string, error: unknown, shown: unknown): string {
  const { issues } = error as { readonly issues: readonly Issue[] };
  return sentence(name, issues[0]!, shown);
}

/** What the first value at fault must be, for a sentence that names it and not the value: `must be a number`. */
export function requirementOf(error: unknown): string {
  const { issues } = error as { readonly issues: readonly Issue[] };
  return `must ${wordsOf(issues[0]!)}`;
}

/** A value in a message: short enough to read, and without secrets. */
export function showValue(value: unknown): string {
  if (typeof value === "string") {
    if (value.includes("-----BEGIN ")) return "PEM text";
    const text = value.replace(/([?&]jwt=)[^&#\s]*/g, "$1…").replace(/(\/\/[^/?#\s@:]*):[^/?#\s]*@/g, "$1:…@");
    return text.length > 80 ? `"${text.slice(0, 80)}…"` : `"${text}"`;
  }
  if (value instanceof URL) return showValue(value.href);
  if (typeof value === "function") return "a function";
  if (value instanceof Uint8Array) return "bytes";
  if (ArrayBuffer.isView(value)) return withArticle(value.constructor.name);
  if (Array.isArray(value)) return value.length === 0 ? "an empty array" : "an array";
  if (typeof value === "object" && value !== null) return "an object";
  return typeof value === "bigint" ? `${value}n` : String(value);
}

function withArticle(name: string): string {
  return `${/^[AEIOU]/.test(name) ? "an" : "a"} ${name}`;
}

/** Name of a class or a function, whose options a value is; not that of a flag, a variable or a key. */
const OWNER = /^(?:[a-z]|[A-Z][a-z])\w*$/;

function sentence(name: string, issue: Issue, root: unknown): string {
  // A key of a config file is `relay.limits in relay.json`.
  const [, owner, file = ""] = /^(.*?)( in .*)?$/s.exec(name)!;
  const place = `${[owner, ...issue.path.map(String)].join(".")}${file}`;
  if (issue.code === "unrecognized_keys") return `${place} has no option ${showValue(issue.keys?.[0])}.`;
  const value = at(root, issue.path);
  if (issue.path.length === 0 && OWNER.test(name))
    return `${name} must get an object of options, but got ${showValue(value)}.`;
  // The value that a text stands for is not at hand.
  if (typeof root === "string" && issue.path.length > 0)
    return `${place} must ${wordsOf(issue)}, but ${name} is ${showValue(root)}.`;
  return value === undefined
    ? `${place} must ${wordsOf(issue)}, but is missing.`
    : `${place} must ${wordsOf(issue)}, but is ${showValue(value)}.`;
}

function at(root: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (value, key) => (typeof value === "object" && value !== null ? Reflect.get(value, key) : undefined),
    root,
  );
}

const TYPES: Readonly<Record<string, string>> = {
  int: "be a whole number",
  number: "be a number",
  string: "be a string",
  boolean: "be true or false",
  array: "be an array",
  object: "be an object",
  record: "be an object",
  function: "be a function",
};

/** Zod's messages where a schema has none. */
const DEFAULT_MESSAGE = /^(?:Invalid|Too |Unrecognized|Expected)/;

/** What a value must be, in words that follow "must". */
function wordsOf(issue: Issue): string {
  if (!DEFAULT_MESSAGE.test(issue.message)) return issue.message.replace(/^(?:it )?must /, "").replace(/\.$/, "");
  switch (issue.code) {
    case "invalid_type":
      return TYPES[issue.expected ?? ""] ?? `be a ${issue.expected}`;
    case "too_small":
      return sized(issue, issue.inclusive === false ? "more than" : "at least", issue.minimum);
    case "too_big":
      return sized(issue, issue.inclusive === false ? "less than" : "at most", issue.maximum);
    case "invalid_value":
      return `be ${alternatives((issue.values ?? []).map(showValue))}`;
    case "invalid_format":
      return issue.format === "url" ? "be an absolute URL" : `be a valid ${issue.format}`;
    case "invalid_union": {
      const options = (issue.errors ?? []).flatMap(([first]) => (first ? [wordsOf(first).replace(/^be /, "")] : []));
      return `be ${alternatives([...new Set(options)])}`;
    }
    default:
      return "be valid";
  }
}

function sized({ origin }: Issue, how: string, bound: number | bigint | undefined): string {
  if (origin === "string") return bound === 1 ? "not be empty" : `have ${how} ${bound} characters`;
  if (origin === "array" || origin === "set") return `have ${how} ${bound} ${bound === 1 ? "entry" : "entries"}`;
  return `be ${how} ${bound}`;
}

function alternatives(words: readonly string[]): string {
  const last = words.at(-1) ?? "valid";
  return words.length < 2 ? last : `${words.slice(0, -1).join(", ")} or ${last}`;
}
