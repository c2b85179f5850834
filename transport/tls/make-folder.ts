import { mkdirSync, statSync } from "node:fs";
import { dirname } from "node:path";

/**
 * Creates a folder and those around it where they are missing. Node's own `recursive` never returns where a file system
 * takes no folders, as /proc does, although every folder around it exists.
 */
export function makeFolder(path: string, mode = 0o777): void {
  try {
    mkdirSync(path, { mode });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (isFolder(path)) return;
    if (code !== "ENOENT" || isFolder(dirname(path)) || dirname(path) === path) throw cause;
    makeFolder(dirname(path), mode);
    makeFolder(path, mode);
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
