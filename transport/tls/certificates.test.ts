import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createCertificate, loadCertificate, loadOrCreateCertificate } from "../index.js";

const DAY_MS = 86_400_000;

let folder: string;
const cleanups: (() => unknown)[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "unsay-certificates-"));
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
  rmSync(folder, { recursive: true });
});

test("a self-signed certificate is P-256, lives under 14 days, is kept, and is replaced before it expires", async () => {
  const directory = join(folder, "data");
  const made = await loadOrCreateCertificate({ directory, hosts: ["relay.example", "10.1.2.3"] });
  cleanups.push(() => made.close());
  const parsed = new X509Certificate(made.current.cert);
  expect(parsed.publicKey.asymmetricKeyDetails?.namedCurve).toBe("prime256v1");
  expect(Date.parse(parsed.validTo) - Date.parse(parsed.validFrom)).toBe(13 * DAY_MS);
  expect(Date.parse(parsed.validFrom)).toBeLessThan(Date.now());
  for (const host of ["localhost", "relay.example"]) expect(parsed.checkHost(host)).toBe(host);
  for (const ip of ["127.0.0.1", "::1", "10.1.2.3"]) expect(parsed.checkIP(ip)).toBeDefined();
  expect(made.sha256).toBe(parsed.fingerprint256.replaceAll(":", "").toLowerCase());
  expect(statSync(join(directory, "key.pem")).mode & 0o777).toBe(0o600);
  expect(statSync(directory).mode & 0o777).toBe(0o700);

  const load = async (options: { hosts?: string[]; now?: () => number } = {}) => {
    const loaded = await loadOrCreateCertificate({ directory, ...options });
    loaded.close();
    return loaded.sha256;
  };
  expect(await load()).toBe(made.sha256);
  expect(await load({ now: () => Date.now() + 10 * DAY_MS })).toBe(made.sha256);
  const later = await load({ now: () => Date.now() + 11.5 * DAY_MS });
  expect(later).not.toBe(made.sha256);
  // Another name needs another certificate, and so does a broken file.
  const other = await load({ hosts: ["other.example"] });
  expect(other).not.toBe(later);
  writeFileSync(join(directory, "key.pem"), "nonsense");
  expect(await load()).not.toBe(other);
});

test("a given certificate is loaded again when its files change, and kept while they are unusable", async () => {
  const paths = { cert: join(folder, "cert.pem"), key: join(folder, "key.pem") };
  const write = (pair: { cert: string; key: string }) => {
    writeFileSync(paths.cert, pair.cert);
    writeFileSync(paths.key, pair.key);
  };
  const [first, second] = [await createCertificate(), await createCertificate()];
  await expect(loadCertificate(paths)).rejects.toMatchObject({ code: "CERTIFICATE_UNUSABLE" });
  write({ cert: first.cert, key: second.key });
  await expect(loadCertificate(paths)).rejects.toMatchObject({ code: "CERTIFICATE_UNUSABLE" });

  write(first);
  const given = await loadCertificate(paths);
  cleanups.push(() => given.close());
  const errors: Error[] = [];
  given.on("error", (error) => errors.push(error));
  writeFileSync(paths.key, second.key);
  await expect.poll(() => errors.length, { timeout: 10_000 }).toBeGreaterThan(0);
  expect(given.current).toEqual(first);
  const rotated = new Promise((resolve) => given.once("rotate", resolve));
  writeFileSync(paths.cert, second.cert);
  expect(await rotated).toEqual(second);
  expect(given.current).toEqual(second);
});
