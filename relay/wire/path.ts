import { normalizePath, ProtocolError } from "../../base/index.js";
import type { MessageReader } from "./message-reader.js";

/** Maximum parts of a path, a bound that stock implementations enforce too. */
export const MAX_PATH_PARTS = 32;

/** Joins two normalized paths. */
export function joinPath(base: string, path: string): string {
  return base === "" ? path : path === "" ? base : `${base}/${path}`;
}

/** The rest of a path behind a prefix at a boundary between parts, or undefined when it is not below it. */
export function stripPrefix(prefix: string, path: string): string | undefined {
  if (prefix === "") return path;
  if (!path.startsWith(prefix)) return undefined;
  if (path.length === prefix.length) return "";
  return path[prefix.length] === "/" ? path.slice(prefix.length + 1) : undefined;
}

/**
 * Reads a path.
 *
 * @throws ProtocolError `PATH_TOO_DEEP` beyond {@link MAX_PATH_PARTS}.
 */
export function readPath(reader: MessageReader, maxBytes: number): string {
  const path = normalizePath(reader.string(maxBytes));
  if (path.split("/").length > MAX_PATH_PARTS)
    throw new ProtocolError("PATH_TOO_DEEP", `A path has more than ${MAX_PATH_PARTS} parts.`);
  return path;
}
