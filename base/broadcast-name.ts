import { InputError } from "./error.js";

/** What the path of a broadcast in the hang format ends with. */
const SUFFIX = ".hang";
/** Most parts of a name: moq-lite allows 32 in a path, of which reports and controllers take two. */
const MAX_PARTS = 30;
/** Most UTF-8 bytes of a name: half of what relays take, so that reports and controllers have room below it. */
const MAX_BYTES = 512;

/** What {@link isBroadcastName} asks for, to follow a field's name in a message. */
export const BROADCAST_NAME_RULE = `must have 1 to ${MAX_PARTS} parts between slashes and at most ${MAX_BYTES} bytes`;

/** Trims slashes at both ends of a path and collapses those inside, as moq-lite does with every path. */
export function normalizePath(path: string): string {
  return path.replace(/\/+/g, "/").replace(/^\//, "").replace(/\/$/, "");
}

/** Whether a broadcast can have this name. */
export function isBroadcastName(name: string): boolean {
  const path = normalizePath(name);
  const bytes = new TextEncoder().encode(path).length;
  return path !== "" && path.split("/").length <= MAX_PARTS && bytes <= MAX_BYTES;
}

/**
 * The one spelling of a broadcast's name: without needless slashes and without `.hang` at its end. Names with the same
 * spelling name the same broadcast, for publishers, listeners and controllers alike.
 *
 * @throws InputError `INVALID_OPTION` when it is no name; see {@link BROADCAST_NAME_RULE}.
 */
export function broadcastName(name: string): string {
  if (!isBroadcastName(name)) throw new InputError("INVALID_OPTION", `broadcast ${BROADCAST_NAME_RULE}.`);
  // Only a suffix: a last part that is nothing but `.hang` is a name.
  return normalizePath(name).replace(/(?<=[^/])\.hang$/, "");
}

/** The path at which a broadcast of that name is published. */
export function broadcastPath(name: string): string {
  return `${broadcastName(name)}${SUFFIX}`;
}

/**
 * The paths at which to look for a broadcast of that name, best first: ours, then the bare name, since publishers of
 * other makes need not use the suffix.
 */
export function broadcastPaths(name: string): readonly [string, string] {
  return [broadcastPath(name), broadcastName(name)];
}
