import { type AudioRendition, isLowerInCatalog, type VideoRendition } from "../../container/index.js";

/** A rendition with the name of its track. */
export interface NamedRendition<R> {
  readonly name: string;
  readonly rendition: R;
}

/** Renditions of a catalog with a supported container, as parts of this broadcast, without lower ones. */
function readableRenditions<R extends AudioRendition | VideoRendition>(
  renditions: Readonly<Record<string, R>> | undefined,
): readonly NamedRendition<R>[] {
  return Object.entries(renditions ?? {})
    .map(([name, rendition]) => ({ name, rendition }))
    .filter(({ rendition }) => rendition.container.kind === "legacy" && !rendition.broadcast)
    .filter(({ name }) => !isLowerInCatalog(name, renditions));
}

/**
 * The rendition to play: among those that can be decoded here, the one with the highest bit rate, and of several the
 * first. Where a publisher rewinds by a new track, the one added last.
 */
export async function chooseRendition<R extends AudioRendition | VideoRendition>(
  renditions: Readonly<Record<string, R>> | undefined,
  canDecode: (rendition: R) => boolean | Promise<boolean>,
  { last = false }: { readonly last?: boolean } = {},
): Promise<NamedRendition<R> | undefined> {
  const readable = readableRenditions(renditions);
  const decodable = await Promise.all(readable.map(({ rendition }) => canDecode(rendition)));
  const playable = readable.filter((_, index) => decodable[index]);
  if (last) return playable.at(-1);
  return playable.reduce<NamedRendition<R> | undefined>(
    (best, each) => (best && (best.rendition.bitrate ?? 0) >= (each.rendition.bitrate ?? 0) ? best : each),
    undefined,
  );
}

/** A rendition's format, for a sentence. */
export function describeFormat({ codec, numberOfChannels, sampleRate }: AudioRendition): string {
  return `${codec}, ${numberOfChannels} channel(s) at ${sampleRate} Hz`;
}
