import { expect, test } from "vitest";
import { isLowerInCatalog, isLowRendition, lowRenditionOf } from "./renditions.js";

test("a lower rendition is named after its track, and counts as lower only beside it", () => {
  expect(lowRenditionOf("audio")).toBe("audio-low");
  expect([isLowRendition("audio-low"), isLowRendition("audio"), isLowRendition("low")]).toEqual([true, false, false]);
  const catalog = { audio: {}, "audio-low": {}, "voice-low": {} };
  expect(Object.keys(catalog).filter((name) => isLowerInCatalog(name, catalog))).toEqual(["audio-low"]);
  expect(isLowerInCatalog("toString-low", {})).toBe(false);
  expect(isLowerInCatalog("audio-low", undefined)).toBe(false);
});
