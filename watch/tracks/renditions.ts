import { type AudioRendition, isLowerInCatalog, type VideoRendition } from "../../container/index.js";

/** A rendition with the name of its track. */
export interface NamedRendition<R> {
  readonly name: string;
  readonly rendition: R;
}

/** The renditions of a catalog that are framed in a way that is read here, as parts of this broadcast, lower ones aside. */
export function readableRenditions<R extends AudioRendition | VideoRendition>(
  renditions: Readonly<Record<string, R>> | undefined,
): readonly NamedRendition<R>[] {
  return Object.entries(renditions ?? {})
    .map(([name, rendition]) => ({ name, rendition }))
    .filter(({ rendition }) => rendition.container.kind === "legacy" && !rendition.broadcast)
    .filter(({ name }) => !isLowerInCatalog(name, renditions));
}

/**
 * The rendition to play: of those that can be decoded here, the one with the highest bitrate, and of several of these the
 * first. Where a publisher replaces its track to take back, the one added last.
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
