const LOW_SUFFIX = "-low";

/** Name of a track's lower rendition: the same groups, with the same sequences and timestamps, at a lower bit rate. */
export function lowRenditionOf(track: string): string {
  return `${track}${LOW_SUFFIX}`;
}

/** Whether a track's name is that of a lower rendition. */
export function isLowRendition(track: string): boolean {
  return track.endsWith(LOW_SUFFIX);
}

/**
 * Whether a rendition is the lower one of another in the same catalog. A relay sends it in the other's place where the
 * path is full, so no listener has to choose it.
 */
export function isLowerInCatalog(track: string, renditions: Readonly<Record<string, unknown>> | undefined): boolean {
  return isLowRendition(track) && Object.hasOwn(renditions ?? {}, track.slice(0, -LOW_SUFFIX.length));
}
