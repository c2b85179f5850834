import { stripPrefix } from "../wire/path.js";

/** Permissions of a session. */
export interface Scope {
  /** Path that all names of the session are relative to. */
  readonly root: string;
  /** Prefixes, from the relay's root, below which it may publish. */
  readonly put: readonly string[];
  /** Prefixes, from the relay's root, below which it may watch. */
  readonly get: readonly string[];
  /** When the session must end, in milliseconds since 1970; undefined for never. */
  readonly expiresAt?: number;
}

/** Whether a path is below one of some prefixes. */
export function allows(prefixes: readonly string[], path: string): boolean {
  return prefixes.some((prefix) => stripPrefix(prefix, path) !== undefined);
}
