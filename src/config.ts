import { z } from "zod";
import { InputError, validate } from "../base/index.js";
import { isObject, parseConfigObject, readConfigText } from "./config-file.js";

/** One setting of a command: its schema and its text in `--help`. */
export interface Setting {
  readonly schema: z.ZodType;
  readonly help: string;
  /** Placeholder after the flag in `--help`, such as `<milliseconds>`; absent for an on/off flag. */
  readonly value?: string;
  /** Whether to hide it everywhere. */
  readonly secret?: boolean;
}

/** The settings of a command by camelCase name; the flag is the kebab-case form, the variable `UNSAY_` + upper case. */
export type Settings = Record<string, Setting>;

/** Values of a table of settings. */
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

/**
 * Several values given as a list (config file) or as text with commas between them (flag, environment). Refuses an
 * empty entry: as a path it would mean everything.
 */
export const list: z.ZodType<string[]> = z.preprocess(
  (value) => (typeof value === "string" ? value.split(",") : value),
  z.array(z.string().trim().min(1)),
);

/** A file or folder to write. Elsewhere `-` is standard output; here it would be a file of that name. */
export const written: z.ZodType<string> = writtenAs("a path, such as ./-");

/** A file to write that may be a pipe. */
export const writtenStream: z.ZodType<string> = writtenAs("a path, such as /dev/stdout or ./-");

function writtenAs(path: string): z.ZodType<string> {
  return z
    .string({ error: "it must be a path" })
    .min(1)
    .refine((value) => value !== "-", { error: `it must be ${path}` });
}

/** An object of numbers given as itself (config file) or as its JSON (flag, environment). */
export function numbers<T>(schema: z.ZodType<T>): z.ZodType<T> {
  const object = z.custom<unknown>(isObject, "be an object of numbers");
  return z.preprocess((value) => (typeof value === "string" ? parseJson(value) : value), object.pipe(schema));
}

/** The value of a JSON text, or undefined for invalid JSON. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The text with tokens within URLs masked. */
export function hideTokens(text: string): string {
  return text
    .replace(/([?&]jwt=)[^&#\s"'\\]+/gi, "$1[secret]")
    .replace(/(\/\/[^/?#\s@:]*):[^/?#\s@]*@/g, "$1:[secret]@");
}

/** A setting's value for display. */
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

/** Sources of a command's values, strongest first. */
export interface ConfigSources {
  /** Values of the command line, by camelCase name. */
  readonly flags: Readonly<Record<string, unknown>>;
  /** The process environment. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly file?: ConfigFile | undefined;
}

/** A checked config file. It is read once: a second read of a pipe gets nothing. */
export interface ConfigFile {
  readonly path: string;
  /** Settings by command. */
  readonly sections: Readonly<Record<string, Record<string, unknown>>>;
}

/** The settings of every command, by its name; a config file may name no others. */
export type KnownSettings = Readonly<Record<string, Settings>>;

/**
 * Reads a config file (`{"relay": {"port": 4443}}`).
 * @param known The settings of all commands.
 * @throws InputError as {@link parseConfig}, or `CONFIG_UNREADABLE`.
 */
export async function readConfig(path: string, known: KnownSettings): Promise<ConfigFile> {
  return { path, sections: parseConfig(await readConfigText(path), path, known) };
}

/**
 * Parses a config file and checks every key in it, including those of other commands.
 * @throws InputError `CONFIG_INVALID`, or `INVALID_OPTION` naming the unknown key.
 */
export function parseConfig(text: string, path: string, known: KnownSettings): Record<string, Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(parseConfigObject(text, path)).map(([command, value]) => [
      command,
      checkSection(path, command, value, known),
    ]),
  );
}

function checkSection(path: string, command: string, value: unknown, known: KnownSettings): Record<string, unknown> {
  const settings = Object.hasOwn(known, command) ? known[command] : undefined;
  if (settings === undefined) {
    const names = Object.keys(known).join(", ");
    throw new InputError("INVALID_OPTION", `The key ${command} of ${path} is not a command: ${names} are.`);
  }
  if (!isObject(value)) throw new InputError("CONFIG_INVALID", `The key ${command} of ${path} must be an object.`);
  for (const key of Object.keys(value)) {
    if (!Object.hasOwn(settings, key))
      throw new InputError("INVALID_OPTION", `The key ${command}.${key} of ${path} is not a known setting.`);
  }
  return value;
}

/** A blank text counts as not set, so that an empty variable of a script never means more than a missing one. */
function given(value: unknown): unknown {
  return typeof value === "string" && value.trim() === "" ? undefined : value;
}

/** A given setting's value, with its name there: its flag, its variable or its key. */
interface Given {
  readonly name: string;
  readonly value: unknown;
}

/** Where each of a command's settings was given. */
function givenSettings(command: string, settings: Settings, sources: ConfigSources): Map<string, Given> {
  const { file } = sources;
  const section = file?.sections[command] ?? {};
  return new Map(
    Object.keys(settings).map((key) => {
      const places = [
        { name: flagName(key), value: given(sources.flags[key]) },
        // Files of variables and of secrets often end a value with a blank or a line break.
        { name: variableName(key), value: given(sources.environment[variableName(key)]?.trim()) },
        { name: `${command}.${key} in ${file?.path}`, value: given(section[key]) },
      ];
      return [key, places.find(({ value }) => value !== undefined) ?? places[0]!];
    }),
  );
}

/**
 * Merges flags over environment over config file over defaults and validates the result. Blank texts count as not set,
 * wherever they come from.
 * @throws InputError `INVALID_OPTION` naming the flag, variable or key at fault.
 */
export function resolveConfig<T extends Settings>(command: string, settings: T, sources: ConfigSources): Resolved<T> {
  const resolved: Record<string, unknown> = {};
  for (const [key, { name, value }] of givenSettings(command, settings, sources)) {
    resolved[key] = validate(name, settings[key]!.schema, value, shown(settings[key], value));
  }
  return resolved as Resolved<T>;
}

/** Options of classes with another name than their setting, such as `upstream.url`. */
export type OptionNames<T extends Settings> = Readonly<Record<string, keyof T & string>>;

/** Codes of sentences that a command itself writes about its flags. */
const OF_FLAGS: ReadonlySet<string> = new Set(["INVALID_OPTION", "INVALID_CLAIMS"]);

/**
 * Turns an error about an option of a class, such as `Relay.allowedOrigins.0`, or about a flag that was not given as
 * one, into one about its flag, variable or key. Any other error stays the same.
 */
export function namedBySetting(
  error: unknown,
  command: string,
  { settings, options = {} }: { readonly settings: Settings; readonly options?: OptionNames<Settings> | undefined },
  sources: ConfigSources,
): unknown {
  if (!(error instanceof InputError)) return error;
  // About what an option names: `auth.keys: keys/ holds no keys.`
  const named = Object.keys(options).find((option) => error.message.startsWith(`${option}: `));
  if (named === undefined && !OF_FLAGS.has(error.code)) return error;
  const given = givenSettings(command, settings, sources);
  const checked = /^[A-Z]\w*\.([\w.]+?)(?:\.\d+)?(?= (?:must|is|has) )/.exec(error.message);
  const [start, path] = named === undefined ? (checked ?? []) : [named, named];
  if (start === undefined || path === undefined) return withNamesOf(given, error);
  const [first = "", ...rest] = path.split(".");
  const setting = given.get(options[path] ?? first);
  if (setting === undefined) return error;
  const within = options[path] !== undefined || rest.length === 0 ? "" : `: ${rest.join(".")}`;
  return new InputError(error.code, `${setting.name}${within}${error.message.slice(start.length)}`, { cause: error });
}

/** The same error with each flag in its sentence under the name where its value was given. */
function withNamesOf(given: ReadonlyMap<string, Given>, error: InputError): InputError {
  const names = new Map([...given].map(([key, { name }]) => [flagName(key), name]));
  const message = error.message.replace(/--[a-z0-9-]+/g, (flag) => names.get(flag) ?? flag);
  return message === error.message ? error : new InputError(error.code, message, { cause: error });
}
