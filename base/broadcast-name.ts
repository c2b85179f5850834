import { InputError } from "./error.js";

/** Ending of the path of a broadcast in the hang format. */
const SUFFIX = ".hang";
/** Maximum parts of a name: moq-lite allows 32 in a path, and reports and controllers take two of them. */
const MAX_PARTS = 30;
/** Maximum UTF-8 bytes of a name: half of a relay's limit, so that reports and controllers have room below it. */
const MAX_BYTES = 512;

/** The rule of {@link isBroadcastName}, to follow a field's name in a message. */
export const BROADCAST_NAME_RULE = `must have 1 to ${MAX_PARTS} parts between slashes and at most ${MAX_BYTES} bytes`;

/** Trims slashes at both ends of a path and collapses inner ones, as moq-lite does with every path. */
export function normalizePath(path: string): string {
  return path.replace(/\/+/g, "/").replace(/^\//, "").replace(/\/$/, "");
}

/** Whether a broadcast may have this name. */
export function isBroadcastName(name: string): boolean {
  const path = normalizePath(name);
  const bytes = new TextEncoder().encode(path).length;
  return path !== "" && path.split("/").length <= MAX_PARTS && bytes <= MAX_BYTES;
}

/**
 * The canonical spelling of a broadcast's name: without needless slashes and without `.hang` at its end. Names with the
 * same spelling name the same broadcast, for publishers, listeners and controllers alike.
 *
 * @throws InputError `INVALID_OPTION` for an invalid name; see {@link BROADCAST_NAME_RULE}.
 */
export function broadcastName(name: string): string {
  if (!isBroadcastName(name)) throw new InputError("INVALID_OPTION", `broadcast ${BROADCAST_NAME_RULE}.`);
  // Only a suffix: a last part of just `.hang` is a name.
  return normalizePath(name).replace(/(?<=[^/])\.hang$/, "");
}

/** A peer's path as a message shows it: the name of the broadcast where the path is valid, else unchanged. */
export function shownName(path: string): string {
  return isBroadcastName(path) ? broadcastName(path) : path;
}

/** The path of a broadcast with that name. */
export function broadcastPath(name: string): string {
  return `${broadcastName(name)}${SUFFIX}`;
}

/**
 * The paths where a broadcast of that name may be, best first: ours, then the bare name, since publishers of other
 * makes need not use the suffix.
 */
export function broadcastPaths(name: string): readonly [string, string] {
  return [broadcastPath(name), broadcastName(name)];
}
