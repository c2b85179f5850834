import { type Stats, statSync } from "node:fs";
import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import { readBounded } from "../../base/bytes/bounded-file.js";
import { InputError } from "../../base/index.js";

/** Far more than any certificate or set of keys has. */
const MAX_BYTES = 1 << 20;

/**
 * Reads a file that decides what this process trusts, such as a key: no other user of the machine must have written
 * it.
 *
 * @throws InputError `FILE_UNTRUSTED` when it belongs to a user other than this one and root, or when every user may
 * write it; otherwise the system's error.
 */
export async function readTrusted(path: string): Promise<string> {
  const bytes = await readBounded(path, MAX_BYTES, (stats) => refuseStranger(path, "file", stats));
  return bytes.toString("utf8");
}

/** The same for a folder with files to read or write; sticky folders such as /tmp are refused too. */
export async function assertTrustedFolder(path: string): Promise<void> {
  refuseStranger(path, "folder", await stat(path));
}

/**
 * Whether no other user can replace a folder: it and the folders around it belong to this user or root, and where
 * others may write, a sticky bit protects what is not theirs.
 */
export function isOutOfReach(folder: string): boolean {
  for (let path = folder; ; path = dirname(path)) {
    const { uid, mode } = statSync(path);
    if (!isOurs(uid) || ((mode & 0o022) !== 0 && (mode & 0o1000) === 0)) return false;
    if (path === dirname(path)) return true;
  }
}

function isOurs(uid: number): boolean {
  const own = process.getuid?.();
  return own === undefined || uid === own || uid === 0;
}

function refuseStranger(path: string, what: string, stats: Stats): void {
  const { uid, mode } = stats;
  // Windows has no owners of this kind.
  if (process.getuid === undefined) return;
  if (!isOurs(uid))
    throw new InputError(
      "FILE_UNTRUSTED",
      `The ${what} ${path} belongs to user ${uid}; it must belong to the user that runs this, or to root.`,
    );
  if (stats.isCharacterDevice() && (mode & 0o002) !== 0)
    throw new InputError(
      "FILE_UNTRUSTED",
      `${path} is a device that every user of this machine can write, not a file.`,
    );
  if ((mode & 0o002) !== 0)
    throw new InputError(
      "FILE_UNTRUSTED",
      `Every user of this machine can write the ${what} ${path}; take that away with chmod o-w.`,
    );
}
