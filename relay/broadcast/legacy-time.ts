import { decodeLegacyFrame, parseCatalog } from "../../container/index.js";

/** The track that lists a hang broadcast's media tracks and their containers. */
export const CATALOG_TRACK = "catalog.json";

/**
 * Reads the media time of frames from the media itself, for versions that carry none beside it: possible where the
 * catalog puts the track in the hang `legacy` container. Undefined elsewhere.
 */
export function legacyTime(
  catalog: Uint8Array | undefined,
  track: string,
): ((payload: Uint8Array) => number | undefined) | undefined {
  return catalog !== undefined && isLegacy(catalog, track) ? readTime : undefined;
}

function isLegacy(catalog: Uint8Array, track: string): boolean {
  try {
    const { audio, video } = parseCatalog(catalog);
    const rendition = audio?.renditions[track] ?? video?.renditions[track];
    return rendition?.container.kind === "legacy";
  } catch {
    // A catalog that players cannot read either.
    return false;
  }
}

/** Whether the broadcast's catalog declares it live, rather than sent ahead of the listeners' playheads. */
export function isLive(catalog: Uint8Array | undefined): boolean {
  try {
    return catalog !== undefined && parseCatalog(catalog).unsay?.mode === "live";
  } catch {
    return false;
  }
}

function readTime(payload: Uint8Array): number | undefined {
  try {
    return decodeLegacyFrame(payload, { keyframe: false }).timestamp;
  } catch {
    return undefined;
  }
}
