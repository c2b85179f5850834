const LOW_SUFFIX = "-low";

/**
 * Whether a rendition is the lower one of another in the same catalog: it has the other's groups at a lower bit rate, and
 * a relay sends them in their place where the way is full, so nobody has to choose it.
 */
export function isLowRendition(name: string, renditions: Readonly<Record<string, unknown>> | undefined): boolean {
  return name.endsWith(LOW_SUFFIX) && Object.hasOwn(renditions ?? {}, name.slice(0, -LOW_SUFFIX.length));
}
