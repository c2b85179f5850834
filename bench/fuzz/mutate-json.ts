/** Values at which a schema may give way. */
const ODD_VALUES: readonly unknown[] = [
  null,
  true,
  "",
  "a",
  "\u0000",
  "__proto__",
  0,
  -1,
  0.5,
  2 ** 53,
  1e308,
  [],
  {},
  [[]],
  [{}],
];
const ODD_KEYS = ["__proto__", "constructor", "toString", "", "0"];

type Json = { [key: string]: unknown } | unknown[];

/** Changes, adds, leaves out or moves one value of a JSON text; undefined where it is none. */
export function mutateJson(input: Uint8Array, random: (below: number) => number): Uint8Array | undefined {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(input));
  } catch {
    return undefined;
  }
  const places: { readonly holder: Json; readonly key: string }[] = [];
  const root: Json = { value };
  const visit = (holder: unknown): void => {
    if (typeof holder !== "object" || holder === null) return;
    for (const [key, inner] of Object.entries(holder)) {
      places.push({ holder: holder as Json, key });
      visit(inner);
    }
  };
  visit(root);
  const { holder, key } = places[random(places.length)]!;
  const other = places[random(places.length)]!;
  change(holder, key, random, Reflect.get(other.holder, other.key));
  const text = JSON.stringify(Reflect.get(root, "value"));
  return text === undefined ? undefined : new TextEncoder().encode(text);
}

function change(holder: Json, key: string, random: (below: number) => number, other: unknown): void {
  const set = (name: string, value: unknown): void => {
    // Defined, so that `__proto__` becomes a key like any other.
    Object.defineProperty(holder, name, { value, enumerable: true, writable: true, configurable: true });
  };
  const odd = ODD_VALUES[random(ODD_VALUES.length)];
  switch (random(4)) {
    case 0:
      set(key, structuredClone(odd));
      break;
    case 1:
      Reflect.deleteProperty(holder, key);
      break;
    case 2: {
      const added = Array.isArray(holder) ? String(holder.length) : ODD_KEYS[random(ODD_KEYS.length)]!;
      set(added, structuredClone(odd));
      break;
    }
    default:
      set(key, structuredClone(other));
  }
}
