import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { assertTrustedFolder, loadCertificate, loadOrCreateCertificate, readTrusted } from "../index.js";

/** Another user, which every Linux has. */
const OTHER_USER = 65_534;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "unsay-trusted-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

test("a key that every user may write is refused, wherever a key is read", async () => {
  const path = join(folder, "key.pem");
  writeFileSync(path, "secret");
  for (const mode of [0o600, 0o640, 0o644, 0o664]) {
    chmodSync(path, mode);
    expect(await readTrusted(path)).toBe("secret");
  }
  chmodSync(path, 0o666);
  const refusal = { code: "FILE_UNTRUSTED", message: expect.stringContaining(path) };
  await expect(readTrusted(path)).rejects.toMatchObject(refusal);
  await expect(loadCertificate({ cert: path, key: path })).rejects.toMatchObject(refusal);
  mkdirSync(join(folder, "data"));
  chmodSync(join(folder, "data"), 0o777);
  await expect(assertTrustedFolder(join(folder, "data"))).rejects.toMatchObject({ code: "FILE_UNTRUSTED" });
  await expect(loadOrCreateCertificate({ directory: join(folder, "data") })).rejects.toMatchObject({
    code: "FILE_UNTRUSTED",
  });
});

test.runIf(process.getuid?.() === 0)("a key of another user is refused", async () => {
  const path = join(folder, "key.pem");
  writeFileSync(path, "secret", { mode: 0o600 });
  chownSync(path, OTHER_USER, OTHER_USER);
  await expect(readTrusted(path)).rejects.toMatchObject({
    code: "FILE_UNTRUSTED",
    message: `The file ${path} belongs to user ${OTHER_USER}; it must belong to the user that runs this, or to root.`,
  });
  const directory = join(folder, "data");
  mkdirSync(directory, { mode: 0o700 });
  chownSync(directory, OTHER_USER, OTHER_USER);
  await expect(loadOrCreateCertificate({ directory })).rejects.toMatchObject({ code: "FILE_UNTRUSTED" });
});
