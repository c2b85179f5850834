import { expect, test } from "vitest";
import { DEFAULT_FORMAT, realtimeFormat } from "./audio-format.js";

test("a session's format has its new and its old names, and is PCM at 24 kHz by default", () => {
  const pcm = { format: "s16le", sampleRate: 24_000, bytesPerMs: 48, silence: 0 };
  expect(realtimeFormat({ type: "audio/pcm", rate: 24_000 })).toEqual(pcm);
  expect(realtimeFormat("pcm16")).toEqual(pcm);
  expect(realtimeFormat({ type: "audio/pcm" })).toEqual(pcm);
  expect(realtimeFormat({ type: "audio/pcm", rate: null })).toEqual(pcm);
  expect(DEFAULT_FORMAT).toEqual(pcm);
  expect(realtimeFormat({ type: "audio/pcm", rate: 16_000 })).toMatchObject({ sampleRate: 16_000, bytesPerMs: 32 });
  for (const mulaw of [{ type: "audio/pcmu" }, "g711_ulaw"])
    expect(realtimeFormat(mulaw)).toEqual({ format: "mulaw", sampleRate: 8000, bytesPerMs: 8, silence: 0xff });
  for (const alaw of [{ type: "audio/pcma" }, "g711_alaw"])
    expect(realtimeFormat(alaw)).toEqual({ format: "alaw", sampleRate: 8000, bytesPerMs: 8, silence: 0xd5 });
});

test("an unknown format is not taken for another one", () => {
  for (const rate of [1e9, 4000, "16000", Number.NaN])
    expect(realtimeFormat({ type: "audio/pcm", rate })).toBeUndefined();
  for (const format of ["opus", { type: "audio/opus" }, { rate: 8000 }, {}, 5, null, undefined])
    expect(realtimeFormat(format)).toBeUndefined();
});
