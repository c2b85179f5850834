import { ProtocolError } from "../../base/index.js";

/** A moq-lite draft that the forwarding core speaks. */
export type Version = 2 | 3 | 4 | 5;

/** The number of moq-lite-02 in the SETUP exchange, our only version negotiated there. */
export const SETUP_VERSION_02 = 0xff0dad02;

const BY_PROTOCOL = new Map<string, Version | "setup">([
  ["moq-lite-05", 5],
  ["moq-lite-04", 4],
  ["moq-lite-03", 3],
  ["moql", "setup"],
  ["", "setup"],
]);

/**
 * The meaning of a session's negotiated protocol name: a version, or that SETUP on a stream decides.
 *
 * @throws ProtocolError `UNSUPPORTED_VERSION` for anything else.
 */
export function versionOf(protocol: string): Version | "setup" {
  const version = BY_PROTOCOL.get(protocol);
  if (version === undefined)
    throw new ProtocolError("UNSUPPORTED_VERSION", `The relay does not speak the protocol "${protocol}".`);
  return version;
}

/** The name of a version on the wire. */
export function versionName(version: Version): string {
  return `moq-lite-0${version}`;
}

/** Whether frames carry timestamps, and with them TRACK, FETCH, datagrams, SETUP streams and ANNOUNCE_OK exist. */
export function hasTimestamps(version: Version): boolean {
  return version >= 5;
}

/** Whether SUBSCRIBE carries order, latency and range, and responses carry a type. */
export function hasRanges(version: Version): boolean {
  return version >= 3;
}

/** Whether announcements carry the ids of their hops; moq-lite-03 carries only their number, 02 nothing. */
export function hasHopIds(version: Version): boolean {
  return version >= 4;
}

/** Whether GOAWAY exists. */
export function hasGoaway(version: Version): boolean {
  return version >= 4;
}
