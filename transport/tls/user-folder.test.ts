import { userInfo } from "node:os";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { userFolder } from "./user-folder.js";

test("a user's folder is absolute, whatever the environment says", () => {
  try {
    vi.stubEnv("HOME", "/home/me");
    expect(userFolder("data", { XDG_DATA_HOME: "/data" })).toBe("/data/unsay");
    expect(userFolder("cache", { XDG_DATA_HOME: "/data" })).toBe("/home/me/.cache/unsay");
    for (const odd of ["", "relative/path", ".", "~/data", undefined])
      expect(userFolder("data", { XDG_DATA_HOME: odd })).toBe("/home/me/.local/share/unsay");
    for (const odd of ["", "relative"]) {
      vi.stubEnv("HOME", odd);
      expect(userFolder("cache", {})).toBe(join(userInfo().homedir, ".cache/unsay"));
    }
  } finally {
    vi.unstubAllEnvs();
  }
});
