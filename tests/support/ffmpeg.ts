import { execFileSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

const ADVICE = "Install Debian's `ffmpeg` package.";

function folderOfFfmpeg(): string | undefined {
  return (process.env.PATH ?? "").split(delimiter).find((folder) => {
    try {
      accessSync(join(folder, "ffmpeg"), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/**
 * The folder of the ffmpeg to test with: one on PATH, else Debian's package, installed on the spot when we are root.
 * Throws one sentence that says what to do.
 */
export function findFfmpeg(): string {
  const installed = folderOfFfmpeg();
  if (installed !== undefined) return installed;
  if (process.getuid?.() !== 0) throw new Error(`No ffmpeg was found. ${ADVICE}`);
  const apt = (args: string[], timeout: number): void => {
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    execFileSync("apt-get", args, { timeout, stdio: "ignore", env });
  };
  try {
    apt(["update", "-qq"], 60_000);
    apt(["install", "-y", "-qq", "--no-install-recommends", "ffmpeg"], 240_000);
  } catch (cause) {
    throw new Error(`No ffmpeg was found and apt-get could not install it. ${ADVICE}`, { cause });
  }
  const fresh = folderOfFfmpeg();
  if (fresh === undefined) throw new Error(`apt-get installed no ffmpeg. ${ADVICE}`);
  return fresh;
}
