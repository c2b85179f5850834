import { readBounded, whyUnusable } from "../base/bytes/bounded-file.js";
import { InputError } from "../base/index.js";

/** A config file lists settings; this is far more than all of them take. */
const MAX_CONFIG_BYTES = 1024 * 1024;

/**
 * Reads the text of a config file, at most 1 MiB of UTF-8.
 *
 * @throws InputError `CONFIG_UNREADABLE`.
 */
export async function readConfigText(path: string): Promise<string> {
  try {
    return decode(await readBounded(path, MAX_CONFIG_BYTES));
  } catch (cause) {
    throw new InputError("CONFIG_UNREADABLE", `The config file ${path} cannot be read: ${whyUnusable(cause)}.`, {
      cause,
    });
  }
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new Error("it is not UTF-8 text", { cause });
  }
}

/**
 * The JSON object in the text of a config file. A key that is there twice is refused: of two sections, one with the keys
 * of a relay might lose.
 *
 * @throws InputError `CONFIG_INVALID`.
 */
export function parseConfigObject(text: string, path: string): Record<string, unknown> {
  const fail = (why: string): InputError => new InputError("CONFIG_INVALID", `The config file ${path} ${why}.`);
  const json = text.replace(/^\uFEFF/, "");
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw fail(`is not a JSON object${whereOf(error, json)}`);
  }
  if (!isObject(value)) throw fail("is not a JSON object");
  const twice = firstRepeatedKey(json);
  if (twice !== undefined) throw fail(`has the key ${twice} twice`);
  return value;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A parser's fault and its line, without the text that it quotes. */
function whereOf(error: unknown, json: string): string {
  if (!(error instanceof SyntaxError) || json.trim() === "") return "";
  const what = error.message.replace(/, (?:\.\.\.)?".*/s, "").replace(/ (?:in|after) JSON.*/s, "");
  const at = / at position (\d+)/.exec(error.message)?.[1];
  const line = at === undefined ? "" : ` in line ${json.slice(0, Number(at)).split("\n").length}`;
  return `: ${what.charAt(0).toLowerCase()}${what.slice(1)}${line}`;
}

/** The path of the first key that an object of a valid JSON text has twice. */
function firstRepeatedKey(json: string): string | undefined {
  const parents: { readonly keys: Set<string>; key: string }[] = [];
  for (const [token, text] of json.matchAll(/("(?:[^"\\]|\\.)*")\s*:|"(?:[^"\\]|\\.)*"|[{}]/g)) {
    if (token === "{") parents.push({ keys: new Set(), key: "" });
    if (token === "}") parents.pop();
    const parent = parents.at(-1);
    if (text === undefined || parent === undefined) continue;
    parent.key = String(JSON.parse(text));
    if (parent.keys.has(parent.key)) return parents.map(({ key }) => key).join(".");
    parent.keys.add(parent.key);
  }
  return undefined;
}
