import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeBase64 } from "./base64.js";

test("base64 decodes with and without its padding", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 50 }), (bytes) => {
      const text = Buffer.from(bytes).toString("base64");
      for (const written of [text, text.replace(/=+$/, "")])
        expect(new Uint8Array(decodeBase64(written)!)).toEqual(bytes);
    }),
    { seed: 14 },
  );
});

test.each([
  "A",
  "=",
  "====",
  "A===",
  "AA=",
  "AAAAA",
  "AA==AAAA",
  "AA AA",
  "AA-_",
  "data:audio/basic;base64,AAAA",
  "\u4e2d",
])("%j is refused, of which Node.js would decode a part", (text) => {
  expect(decodeBase64(text)).toBeUndefined();
});
