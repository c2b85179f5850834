import { homedir } from "node:os";
import { join } from "node:path";

/** Folder of this user's data of unsay: `$XDG_DATA_HOME/unsay`, else `~/.local/share/unsay`. */
export function dataFolder(environment: Readonly<Record<string, string | undefined>> = process.env): string {
  return join(environment.XDG_DATA_HOME || join(homedir(), ".local/share"), "unsay");
}
