import { readFileSync } from "node:fs";
import { z } from "zod";
import { InputError } from "../base/index.js";

/** One setting of a command: its schema and the words `--help` prints. */
export interface Setting {
  readonly schema: z.ZodType;
  readonly help: string;
  /** What stands after the flag in `--help`, such as `<milliseconds>`; absent for an on/off flag. */
  readonly value?: string;
  /** Whether it must be shown nowhere. */
  readonly secret?: boolean;
}

/** The settings of a command by camelCase name; the flag is the kebab-case form, the variable `UNSAY_` + upper case. */
export type Settings = Record<string, Setting>;

/** The values that a table of settings resolves to. */
export type Resolved<T extends Settings> = { [K in keyof T]: z.output<T[K]["schema"]> };

/** A number given as a number (config file) or as text (flag, environment). */
export function number(range: { min?: number; max?: number; integer?: boolean } = {}): z.ZodType<number> {
  let schema = z.number();
  if (range.integer) schema = schema.int();
  if (range.min !== undefined) schema = schema.min(range.min);
  if (range.max !== undefined) schema = schema.max(range.max);
  return z.preprocess((value) => (typeof value === "string" && value.trim() !== "" ? Number(value) : value), schema);
}

/** An on/off value given as a boolean or as `true|1|on|yes|false|0|off|no`. */
export const flag: z.ZodType<boolean> = z.preprocess((value) => {
  if (typeof value !== "string") return value;
  if (/^(true|1|on|yes)$/i.test(value)) return true;
  if (/^(false|0|off|no)$/i.test(value)) return false;
  return value;
}, z.boolean());

/** Several values given as a list (config file) or as text with commas between them (flag, environment). */
export const list: z.ZodType<string[]> = z.preprocess(
  (value) => (typeof value === "string" ? value.split(",").map((part) => part.trim()) : value),
  z.array(z.string()),
);

/** Numbers by name, given as an object (config file) or as its JSON (flag, environment). */
export const numbers: z.ZodType<Record<string, number>> = z.preprocess(
  (value) => {
    if (typeof value !== "string") return value;
    try {
      return JSON.parse(value);
    } catch {
      return value;
    }
  },
  z.record(z.string(), z.number(), { error: "it must be an object of numbers" }),
);

/** A text in which tokens within URLs are masked. */
export function hideTokens(text: string): string {
  return text.replace(/([?&]jwt=)[^&#\s"'\\]+/gi, "$1[secret]");
}

/** A setting's value as it may be shown. */
export function shown(setting: Setting | undefined, value: unknown): unknown {
  if (setting?.secret && value !== undefined) return "[secret]";
  return typeof value === "string" ? hideTokens(value) : value;
}

/** The kebab-case flag of a camelCase setting, with its dashes. */
export function flagName(key: string): string {
  return `--${key.replace(/[A-Z0-9]+/g, (part, at: number) => (at === 0 ? part : `-${part.toLowerCase()}`))}`;
}

/** The environment variable of a camelCase setting. */
export function variableName(key: string): string {
  return `UNSAY_${flagName(key).slice(2).replaceAll("-", "_").toUpperCase()}`;
}

/** Where the values of a command come from, strongest first. */
export interface ConfigSources {
  /** What the command line gave, by camelCase name. */
  readonly flags: Readonly<Record<string, unknown>>;
  /** The process environment. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Path of a JSON file, if one was named. */
  readonly file?: string | undefined;
}

const fileSchema = z.record(z.string(), z.unknown());

function readConfigFile(path: string): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new InputError("CONFIG_UNREADABLE", `The config file ${path} cannot be read.`, { cause });
  }
  try {
    return fileSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new InputError("CONFIG_INVALID", `The config file ${path} is not a JSON object.`, { cause });
  }
}

/**
 * Merges flags over environment over config file over defaults and validates the result.
 *
 * A config file holds an object per command (`{"relay": {"port": 4443}}`); a key no command knows is refused.
 * @throws InputError `INVALID_OPTION` naming the flag, variable or key at fault; `CONFIG_UNREADABLE`; `CONFIG_INVALID`.
 */
export function resolveConfig<T extends Settings>(command: string, settings: T, sources: ConfigSources): Resolved<T> {
  const file = sources.file === undefined ? {} : readConfigFile(sources.file);
  const section = fileSchema.safeParse(file[command] ?? {});
  if (!section.success)
    throw new InputError("CONFIG_INVALID", `The key ${command} of ${sources.file} must be an object.`);
  for (const key of Object.keys(section.data)) {
    if (!(key in settings))
      throw new InputError("INVALID_OPTION", `The key ${command}.${key} of ${sources.file} is not a known setting.`);
  }
  const resolved: Record<string, unknown> = {};
  for (const [key, setting] of Object.entries(settings)) {
    const variable = variableName(key);
    const [name, value] =
      sources.flags[key] !== undefined
        ? [flagName(key), sources.flags[key]]
        : sources.environment[variable] !== undefined
          ? [variable, sources.environment[variable]]
          : [`${command}.${key} in ${sources.file}`, section.data[key]];
    const parsed = setting.schema.safeParse(value);
    if (!parsed.success) throw invalid(value === undefined ? flagName(key) : name, shown(setting, value), parsed.error);
    resolved[key] = parsed.data;
  }
  return resolved as Resolved<T>;
}

function invalid(name: string, value: unknown, error: z.ZodError): InputError {
  const issue = error.issues[0];
  const detail = (issue?.message ?? "invalid value").replace(/^Invalid input: /, "").replace(/^Too /, "too ");
  const given = value === undefined ? "is missing" : `is ${JSON.stringify(value)}`;
  return new InputError("INVALID_OPTION", `${name} ${given}: ${detail}.`, { cause: error });
}
