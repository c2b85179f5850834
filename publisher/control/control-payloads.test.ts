import { expect, test } from "vitest";
import { readRecording } from "./control-payloads.js";

/** A WAV file of 8-bit silence at a rate. */
function recording(rate: number, seconds: number): Uint8Array {
  const file = Buffer.alloc(44 + rate * seconds, 128);
  file.write("RIFF\0\0\0\0WAVEfmt ", "latin1");
  file.writeUInt32LE(16, 16);
  file.writeUInt16LE(1, 20);
  file.writeUInt16LE(1, 22);
  file.writeUInt32LE(rate, 24);
  file.writeUInt32LE(rate, 28);
  file.writeUInt16LE(1, 32);
  file.writeUInt16LE(8, 34);
  file.write("data", 36, "latin1");
  file.writeUInt32LE(rate * seconds, 40);
  return new Uint8Array(file);
}

test("a recording from a controller makes 30 s of samples at most, however low its rate", async () => {
  expect(await readRecording(recording(8000, 2))).toHaveLength(2 * 48_000);
  expect(await readRecording(recording(4000, 40))).toHaveLength(30 * 48_000);
  await expect(readRecording(recording(3999, 1))).rejects.toMatchObject({ code: "INVALID_PAYLOAD" });
});
