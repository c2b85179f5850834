import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { z } from "zod";
import { InputError } from "../base/index.js";
import { commands } from "./commands/index.js";
import {
  flag,
  flagName,
  list,
  namedBySetting,
  number,
  numbers,
  readConfig,
  resolveConfig,
  variableName,
} from "./config.js";

const folder = mkdtempSync(join(tmpdir(), "unsay-config-"));
afterAll(() => rmSync(folder, { recursive: true }));

const settings = {
  port: { schema: number({ min: 0, max: 65_535, integer: true }).default(4443), help: "Port." },
  json: { schema: flag.default(false), help: "JSON." },
  url: { schema: z.url(), help: "Address." },
};

test("flags win over the environment, the environment over the file, the file over defaults", async () => {
  const path = join(folder, "unsay.json");
  writeFileSync(path, JSON.stringify({ relay: { port: 1, url: "http://file", json: true } }));
  const file = await readConfig(path, { relay: settings });
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

test("an error names the place where the user wrote the value, with a stable code", async () => {
  const resolve = (flags: Record<string, unknown>, environment = {}) =>
    resolveConfig("relay", settings, { flags, environment });
  expect(() => resolve({})).toThrow(/^--url must be a string, but is missing\.$/);
  expect(() => resolve({ url: "http://x", port: "many" })).toThrow(/^--port must .*, but is "many"/);
  expect(() => resolve({ url: "http://x" }, { UNSAY_PORT: "70000" })).toThrow(/^UNSAY_PORT must .*, but is "70000"/);
  expect(() => resolve({ url: "http://x", json: "perhaps" })).toThrow(/^--json must .*, but is "perhaps"/);
  await expect(readConfig(join(folder, "absent.json"), {})).rejects.toThrow(/cannot be read/);
  const broken = join(folder, "broken.json");
  writeFileSync(broken, "{");
  await expect(readConfig(broken, {})).rejects.toThrow(/is not a JSON object/);
  expect.assertions(6);
});

test("a command's own sentence about its flags names the variable or the key where a value was given", () => {
  const named = (message: string, code = "INVALID_OPTION") =>
    namedBySetting(
      new InputError(code, message),
      "relay",
      { settings },
      {
        flags: {},
        environment: { UNSAY_PORT: "1" },
        file: { path: "unsay.json", sections: { relay: { json: true } } },
      },
    );
  expect(named("--port, --json, --url and --other go together.")).toMatchObject({
    code: "INVALID_OPTION",
    message: "UNSAY_PORT, relay.json in unsay.json, --url and --other go together.",
  });
  expect(named("A relay would let it with --port.", "WRONG_HOST")).toMatchObject({
    message: "A relay would let it with --port.",
  });
});

test("blanks around a variable's value do not belong to it", () => {
  const environment = { UNSAY_URL: " http://x\r\n", UNSAY_JSON: "yes " };
  expect(resolveConfig("relay", settings, { flags: {}, environment })).toMatchObject({ url: "http://x", json: true });
});

test("a config file has only keys that a command knows, at any level", async () => {
  const file = join(folder, "unknown.json");
  const known = { relay: settings, watch: { url: settings.url } };
  const resolve = (content: unknown) => {
    writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
    return readConfig(file, known);
  };
  await expect(resolve({ relay: { prot: 1 } })).rejects.toThrow(/^The key relay\.prot of .* is not a known setting\.$/);
  await expect(resolve({ relya: { port: 1 } })).rejects.toThrow(
    /^The key relya of .* is not a command: relay, watch are\.$/,
  );
  await expect(resolve({ watch: { port: 1 } })).rejects.toThrow(/^The key watch\.port of .* is not a known setting\.$/);
  await expect(resolve({ port: 1 })).rejects.toThrow(/^The key port of .* is not a command/);
  await expect(resolve({ relay: { toString: 1 } })).rejects.toThrow(/relay\.toString of .* is not a known setting/);
  await expect(resolve('{"relay": {"__proto__": {}}}')).rejects.toThrow(
    /relay\.__proto__ of .* is not a known setting/,
  );
  for (const section of [[], null, "port", 1])
    await expect(resolve({ relay: section })).rejects.toThrow(/^The key relay of .* must be an object\.$/);
  for (const content of ["[]", "null", '"relay"', "1", ""])
    await expect(resolve(content)).rejects.toThrow(/is not a JSON object\.$/);
  expect(await resolve('\uFEFF{"relay": {"port": 5}}')).toMatchObject({ sections: { relay: { port: 5 } } });
});

test("a config file with a key twice, or with an error in its JSON or its bytes, is refused with the place", async () => {
  const file = join(folder, "odd.json");
  const known = { relay: settings, watch: { url: settings.url } };
  const resolve = (content: string | Uint8Array) => {
    writeFileSync(file, content);
    return readConfig(file, known);
  };
  const wrong: [string, RegExp][] = [
    ['{"relay": {"port": 5}, "relay": {}}', /^The config file .* has the key relay twice\.$/],
    ['{"watch": {"url": "{\\"a\\":1}"}, "relay": {"port": 5, "\\u0070ort" : 6}}', /has the key relay\.port twice\.$/],
    [
      '{"relay": {"port": 5},\n "watch": {"url": "x",}}',
      /JSON object: expected double-quoted property name in line 2\.$/,
    ],
    ['// secret\n{"relay": {}}', /is not a JSON object: unexpected token '\/'\.$/],
    ['{"relay": {}', /is not a JSON object: expected ',' or '}'.* in line 1\.$/],
  ];
  for (const [content, sentence] of wrong) await expect(resolve(content)).rejects.toThrow(sentence);
  const utf16 = Buffer.from('{"relay": {}}', "utf16le");
  await expect(resolve(Buffer.concat([Buffer.of(0xff, 0xfe), utf16]))).rejects.toThrow(
    /cannot be read: it is not UTF-8 text\.$/,
  );
  // The same key in two objects, and a key's text as a value, are nothing odd.
  expect(await resolve('{"watch": {"url": "url"}, "relay": {"url": "url", "port": 5}}')).toMatchObject({
    sections: { relay: { port: 5 } },
  });
});

test("a blank text counts as not set in every source", async () => {
  const path = join(folder, "blank.json");
  const open = { ...settings, get: { schema: list.optional(), help: "Prefixes." } };
  writeFileSync(path, JSON.stringify({ relay: { port: " ", url: "http://file", get: "", json: "" } }));
  const file = await readConfig(path, { relay: open });
  fc.assert(
    fc.property(fc.subarray(["port", "get", "json", "url"]), fc.stringMatching(/^[ \t\r\n]{0,3}$/), (keys, blank) => {
      const flags = Object.fromEntries(keys.map((key) => [key, blank]));
      const environment = Object.fromEntries(keys.map((key) => [variableName(key), blank]));
      for (const sources of [
        { flags, environment: {}, file },
        { flags: {}, environment, file },
      ])
        expect(resolveConfig("relay", open, sources)).toEqual({ port: 4443, url: "http://file", json: false });
    }),
    { seed: 7 },
  );
});

test("a list has no empty entries, which would mean everything", () => {
  const open = { get: { schema: list.optional(), help: "Prefixes." } };
  const resolve = (get: unknown) => resolveConfig("relay", open, { flags: { get }, environment: {} }).get;
  expect(resolve(" demo , / ")).toEqual(["demo", "/"]);
  expect(resolve(["a,b"])).toEqual(["a,b"]);
  for (const wrong of ["demo,", ",demo", "a,,b", ",", " , ", ["demo", " "], [""]])
    expect(() => resolve(wrong)).toThrow(/^--get\.\d must not be empty/);
});

test("an object is checked in depth, whether it comes as JSON or as an object", () => {
  const limited = { limits: { schema: numbers(z.strictObject({ sessions: z.number() })).optional(), help: "Caps." } };
  const resolve = (limits: unknown) => resolveConfig("relay", limited, { flags: { limits }, environment: {} }).limits;
  expect(resolve('{"sessions": 5}')).toEqual({ sessions: 5 });
  expect(resolve({ sessions: 5 })).toEqual({ sessions: 5 });
  expect(() => resolve('{"sessions": "x"}')).toThrow(/^--limits\.sessions must be a number, but --limits is /);
  expect(() => resolve({ sessions: 1, sesions: 5 })).toThrow(/sesions/);
  expect(() => resolve("{sessions}")).toThrow(/--limits must be an object.*, but is "\{sessions\}"/);
});

test("names translate between code, command line and environment", () => {
  expect(flagName("attenuationLimitDb")).toBe("--attenuation-limit-db");
  expect(flagName("url")).toBe("--url");
  expect(variableName("aheadMs")).toBe("UNSAY_AHEAD_MS");
});

test("a setting that is more than on or off takes its value on the command line", async () => {
  for (const { name, load } of commands)
    for (const [key, { schema, value }] of Object.entries((await load()).settings))
      expect([name, key, value !== undefined]).toEqual([name, key, schema.safeParse("off").data !== false]);
});
