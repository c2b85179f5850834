import { homedir, tmpdir, userInfo } from "node:os";
import { isAbsolute, join } from "node:path";

/** Where a user keeps files of a kind: the variable that says so, and the place below the home folder without it. */
const PLACES = {
  cache: { variable: "XDG_CACHE_HOME", below: ".cache" },
  data: { variable: "XDG_DATA_HOME", below: ".local/share" },
} as const;

/**
 * Absolute path of this user's folder for files of unsay. A relative path in a variable does not count, as the XDG
 * specification says: what is kept must be found again from everywhere.
 */
export function userFolder(
  kind: keyof typeof PLACES,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): string {
  const { variable, below } = PLACES[kind];
  const given = environment[variable] ?? "";
  return join(isAbsolute(given) ? given : join(home(), below), "unsay");
}

/** The system knows the home folder where `HOME` is blank or relative; a user of a container may have none. */
function home(): string {
  for (const find of [homedir, () => userInfo().homedir]) {
    try {
      const path = find();
      if (isAbsolute(path)) return path;
    } catch {
      // The user has no entry in the system's list.
    }
  }
  return tmpdir();
}
