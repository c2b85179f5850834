import { createRequire } from "node:module";
import { build } from "esbuild";
import { expect, test } from "vitest";
import { encodeCatalog, MAX_CATALOG_BYTES, parseCatalog, rewindField } from "./catalog.js";

const bytesOf = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const ours = {
  audio: {
    renditions: {
      audio: {
        codec: "opus",
        container: { kind: "legacy" },
        sampleRate: 48_000,
        numberOfChannels: 1,
        bitrate: 32_000,
        jitter: 20,
      },
    },
  },
  video: {
    renditions: { video: { codec: "vp8", container: { kind: "legacy" }, codedWidth: 320, codedHeight: 180 } },
    display: { width: 320, height: 180 },
    rotation: 0,
    flip: false,
  },
  unsay: { ...rewindField("group"), voice: "voice" },
};

test("a catalog survives a round trip, with unknown fields and the default container", () => {
  expect(parseCatalog(encodeCatalog(ours))).toEqual(ours);
  const foreign = {
    chat: { track: "chat" },
    audio: { extra: 1, renditions: { a: { codec: "opus", sampleRate: 48_000, numberOfChannels: 2, hint: [1] } } },
    unsay: { renege: "track", later: true },
  };
  expect(parseCatalog(bytesOf(foreign))).toEqual({
    ...foreign,
    audio: { extra: 1, renditions: { a: { ...foreign.audio.renditions.a, container: { kind: "legacy" } } } },
  });
  const future = {
    audio: { renditions: { a: { ...ours.audio.renditions.audio, container: { kind: "next", x: 1 } } } },
  };
  expect(parseCatalog(bytesOf(future))).toEqual(future);
  expect(parseCatalog(bytesOf({}))).toEqual({});
});

test("the stock player's own schema reads our catalog as we wrote it", async () => {
  const bundle = await build({
    stdin: { contents: 'export { RootSchema } from "@moq/hang/catalog";', resolveDir: import.meta.dirname },
    bundle: true,
    write: false,
    format: "cjs",
    platform: "neutral",
    mainFields: ["module", "main"],
    logLevel: "silent",
  });
  const module = { exports: {} as { RootSchema: { parse(value: unknown): unknown } } };
  new Function("module", "exports", "require", bundle.outputFiles[0]!.text)(
    module,
    module.exports,
    createRequire(import.meta.url),
  );
  const read = JSON.parse(new TextDecoder().decode(encodeCatalog(ours)));
  expect(module.exports.RootSchema.parse(read)).toEqual(ours);
});

test("a faulty catalog is refused in a sentence that names the field", () => {
  const rendition = ours.audio.renditions.audio;
  const wrong = (change: object) => bytesOf({ audio: { renditions: { main: { ...rendition, ...change } } } });
  for (const [bytes, message] of [
    [wrong({ sampleRate: 0 }), /^catalog\.audio\.renditions\.main\.sampleRate is not valid/],
    [wrong({ numberOfChannels: 1.5 }), /^catalog\.audio\.renditions\.main\.numberOfChannels is not valid/],
    [wrong({ codec: 7 }), /^catalog\.audio\.renditions\.main\.codec is not valid/],
    [wrong({ description: "0x12" }), /^catalog\.audio\.renditions\.main\.description is not valid/],
    [wrong({ container: { kind: "cmaf" } }), /^catalog\.audio\.renditions\.main\.container is not valid/],
    [bytesOf({ unsay: { renege: "maybe" } }), /^catalog\.unsay\.renege is not valid/],
    [bytesOf({ unsay: { renege: "rewind", voice: "" } }), /^catalog\.unsay\.voice is not valid/],
    [bytesOf([]), /^catalog is not valid/],
    [new TextEncoder().encode("{"), /^The catalog is not JSON/],
    [Uint8Array.of(0x22, 0xff, 0x22), /^The catalog is not JSON in UTF-8/],
    [bytesOf({ pad: "x".repeat(MAX_CATALOG_BYTES) }), /^A catalog must not be larger than 65536 bytes/],
  ] as const) {
    expect(() => parseCatalog(bytes)).toThrow(expect.objectContaining({ code: "INVALID_CATALOG" }));
    expect(() => parseCatalog(bytes)).toThrow(message);
  }
  expect(() => encodeCatalog({ pad: "x".repeat(MAX_CATALOG_BYTES) })).toThrow(/must not be larger/);
  const full = parseCatalog(bytesOf({ pad: "x".repeat(MAX_CATALOG_BYTES - '{"pad":""}'.length) }));
  expect(encodeCatalog(full).byteLength).toBe(MAX_CATALOG_BYTES);
});
