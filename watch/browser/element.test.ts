import { expect, test } from "vitest";

test("a server that renders pages can import the element, which has no browser there", async () => {
  expect(globalThis.customElements).toBeUndefined();
  const { UnsayWatch } = await import("./element.js");
  expect(UnsayWatch.observedAttributes).toContain("url");
});
