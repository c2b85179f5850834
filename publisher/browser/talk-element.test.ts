import { expect, test } from "vitest";

test("a server that renders pages can import the microphone's element, which has no browser there", async () => {
  expect(globalThis.customElements).toBeUndefined();
  const { UnsayTalk } = await import("./talk-element.js");
  expect(UnsayTalk.observedAttributes).toContain("device");
});
