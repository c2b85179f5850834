import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { z } from "zod";
import { flag, flagName, number, resolveConfig, variableName } from "./config.js";

const folder = mkdtempSync(join(tmpdir(), "unsay-config-"));
afterAll(() => rmSync(folder, { recursive: true }));

const settings = {
  port: { schema: number({ min: 0, max: 65_535, integer: true }).default(4443), help: "Port." },
  json: { schema: flag.default(false), help: "JSON." },
  url: { schema: z.url(), help: "Address." },
};

test("flags win over the environment, the environment over the file, the file over defaults", () => {
  const file = join(folder, "unsay.json");
  writeFileSync(file, JSON.stringify({ relay: { port: 1, url: "http://file", json: true } }));
  const from = (flags: object, environment: Record<string, string>) =>
    resolveConfig("relay", settings, { flags: { ...flags }, environment, file });
  expect(from({}, {})).toEqual({ port: 1, json: true, url: "http://file" });
  expect(from({}, { UNSAY_PORT: "2", UNSAY_JSON: "off" })).toMatchObject({ port: 2, json: false });
  expect(from({ port: "3" }, { UNSAY_PORT: "2" })).toMatchObject({ port: 3 });
  expect(resolveConfig("relay", settings, { flags: { url: "http://x" }, environment: {} })).toMatchObject({
    port: 4443,
    json: false,
  });
});

test("what is wrong is named where the user wrote it, with a stable code", () => {
  const resolve = (flags: Record<string, unknown>, environment = {}, file?: string) =>
    resolveConfig("relay", settings, { flags, environment, file });
  expect(() => resolve({})).toThrow(/^--url is missing: /);
  expect(() => resolve({ url: "http://x", port: "many" })).toThrow(/^--port is "many": /);
  expect(() => resolve({ url: "http://x", port: "" })).toThrow(/^--port is "": /);
  expect(() => resolve({ url: "http://x" }, { UNSAY_PORT: "70000" })).toThrow(/^UNSAY_PORT is "70000": /);
  expect(() => resolve({ url: "http://x", json: "perhaps" })).toThrow(/^--json is "perhaps": /);
  expect(() => resolve({}, {}, join(folder, "absent.json"))).toThrow(/cannot be read/);
  const broken = join(folder, "broken.json");
  writeFileSync(broken, "{");
  expect(() => resolve({}, {}, broken)).toThrow(/is not a JSON object/);
  writeFileSync(broken, JSON.stringify({ relay: { prot: 1 } }));
  expect(() => resolve({ url: "http://x" }, {}, broken)).toThrow(/relay\.prot of .* is not a known setting/);
  expect.assertions(8);
});

test("names translate between code, command line and environment", () => {
  expect(flagName("attenuationLimitDb")).toBe("--attenuation-limit-db");
  expect(flagName("url")).toBe("--url");
  expect(variableName("aheadMs")).toBe("UNSAY_AHEAD_MS");
});
