import { readdirSync, readlinkSync } from "node:fs";

/** How many of this process's descriptors have a file open. */
export function descriptorsOf(path: string): number {
  const targets = readdirSync("/proc/self/fd").map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      // The one that listed the folder.
      return "";
    }
  });
  return targets.filter((target) => target === path).length;
}
