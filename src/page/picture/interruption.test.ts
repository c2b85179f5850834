import { expect, test } from "vitest";
import { Interruption } from "./interruption.js";

test("the silence after an interrupt is measured to the last sample, once none has come for a while", () => {
  const interruption = new Interruption(1000);
  expect(interruption.hear(1030, 1031)).toBe(false);
  interruption.rewound(1040);
  expect(interruption.hear(1047, 1060)).toBe(false);
  expect(interruption.hear(1047, 1130)).toBe(false);
  expect(interruption.silentMs).toBeUndefined();
  expect(interruption.hear(1047, 1140)).toBe(true);
  expect(interruption.silentMs).toBe(47);
  // Later audio is the next speech.
  expect(interruption.hear(2000, 2500)).toBe(false);
  expect(interruption.silentMs).toBe(47);
});

test("an interrupt in a pause of the speech is measured to its rewind", () => {
  const interruption = new Interruption(1000);
  interruption.rewound(1055);
  expect(interruption.hear(900, 1200)).toBe(true);
  expect(interruption.silentMs).toBe(55);
});
