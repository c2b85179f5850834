import type { AudioRendition, VideoRendition } from "../../container/index.js";

/** A rendition with the name of its track. */
export interface NamedRendition<R> {
  readonly name: string;
  readonly rendition: R;
}

const LOW_SUFFIX = "-low";

/**
 * Whether a rendition is the lower one of another in the same catalog: it has the other's groups at a lower bit rate, and
 * a relay sends them in their place where the way is full, so nobody has to choose it.
 */
export function isLowRendition(name: string, renditions: Readonly<Record<string, unknown>> | undefined): boolean {
  return name.endsWith(LOW_SUFFIX) && Object.hasOwn(renditions ?? {}, name.slice(0, -LOW_SUFFIX.length));
}

/** The renditions of a catalog that are framed in a way that is read here, as parts of this broadcast, lower ones aside. */
export function readableRenditions<R extends AudioRendition | VideoRendition>(
  renditions: Readonly<Record<string, R>> | undefined,
): readonly NamedRendition<R>[] {
  return Object.entries(renditions ?? {})
    .map(([name, rendition]) => ({ name, rendition }))
    .filter(({ rendition }) => rendition.container.kind === "legacy" && !rendition.broadcast)
    .filter(({ name }) => !isLowRendition(name, renditions));
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
