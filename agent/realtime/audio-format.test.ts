import { expect, test } from "vitest";
import { realtimeFormat } from "./audio-format.js";

test("a session's format has its new and its old names, and is PCM at 24 kHz by default", () => {
  const pcm = { format: "s16le", sampleRate: 24_000, bytesPerMs: 48, silence: 0 };
  expect(realtimeFormat({ type: "audio/pcm", rate: 24_000 })).toEqual(pcm);
  expect(realtimeFormat("pcm16")).toEqual(pcm);
  expect(realtimeFormat(undefined)).toEqual(pcm);
  expect(realtimeFormat(null)).toEqual(pcm);
  expect(realtimeFormat({ type: "audio/pcm", rate: 1e9 })).toEqual(pcm);
  expect(realtimeFormat({ type: "audio/pcm", rate: 16_000 })).toMatchObject({ sampleRate: 16_000, bytesPerMs: 32 });
  for (const mulaw of [{ type: "audio/pcmu" }, "g711_ulaw"])
    expect(realtimeFormat(mulaw)).toEqual({ format: "mulaw", sampleRate: 8000, bytesPerMs: 8, silence: 0xff });
  for (const alaw of [{ type: "audio/pcma" }, "g711_alaw"])
    expect(realtimeFormat(alaw)).toEqual({ format: "alaw", sampleRate: 8000, bytesPerMs: 8, silence: 0xd5 });
});
