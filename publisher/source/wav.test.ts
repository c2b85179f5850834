import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MediaError } from "../../base/index.js";
import { ByteReader } from "./byte-reader.js";
import { openWav } from "./wav.js";

interface Recipe {
  code?: number;
  channels?: number;
  rate?: number;
  bits?: number;
  align?: number;
  extensible?: boolean;
  data: Uint8Array;
  size?: number;
  before?: { id: string; body: Uint8Array }[];
}

function wav({
  code = 1,
  channels = 1,
  rate = 48_000,
  bits = 16,
  extensible = false,
  data,
  ...rest
}: Recipe): Uint8Array {
  const format = Buffer.alloc(extensible ? 40 : 16);
  format.writeUInt16LE(extensible ? 0xfffe : code, 0);
  format.writeUInt16LE(channels, 2);
  format.writeUInt32LE(rate, 4);
  format.writeUInt32LE((rate * channels * bits) / 8, 8);
  format.writeUInt16LE(rest.align ?? (channels * bits) / 8, 12);
  format.writeUInt16LE(bits, 14);
  if (extensible) {
    format.writeUInt16LE(22, 16);
    format.writeUInt16LE(code, 24);
    Buffer.from("000000001000800000aa00389b71", "hex").copy(format, 26);
  }
  const chunk = (id: string, body: Uint8Array, size = body.length) => {
    const head = Buffer.alloc(8);
    head.write(id, "latin1");
    head.writeUInt32LE(size, 4);
    return Buffer.concat([head, body, Buffer.alloc(id === "data" ? 0 : body.length % 2)]);
  };
  const chunks = (rest.before ?? []).map(({ id, body }) => chunk(id, body));
  return Buffer.concat([
    Buffer.from("RIFF\0\0\0\0WAVE", "latin1"),
    ...chunks,
    chunk("fmt ", format),
    chunk("data", data, rest.size ?? data.length),
  ]);
}

async function* cut(bytes: Uint8Array, sizes: number[] = [bytes.length]): AsyncGenerator<Uint8Array> {
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = Math.max(1, sizes[i % sizes.length]!);
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

async function open(bytes: Uint8Array, sizes?: number[]) {
  const wav = await openWav(new ByteReader(cut(bytes, sizes)), { name: "voice.wav" });
  if (wav.kind === "foreign") throw new MediaError("FOREIGN", `The file voice.wav ${wav.reason}.`);
  return wav;
}

async function decode(bytes: Uint8Array, sizes?: number[]): Promise<number[]> {
  const { samples } = await open(bytes, sizes);
  const all: number[] = [];
  for await (const chunk of samples) all.push(...chunk);
  return all;
}

describe("openWav", () => {
  test("openWav decodes every sample format to the same values", async () => {
    const s24 = Buffer.alloc(9);
    s24.writeIntLE(-8388608, 0, 3);
    s24.writeIntLE(4194304, 3, 3);
    s24.writeIntLE(1, 6, 3);
    const expected = [-1, 0.5];
    expect(await decode(wav({ bits: 8, data: Uint8Array.of(0, 192) }))).toEqual(expected);
    expect(await decode(wav({ data: new Uint8Array(Int16Array.of(-32768, 16384).buffer) }))).toEqual(expected);
    expect(await decode(wav({ bits: 24, data: s24 }))).toEqual([...expected, 1 / 8388608]);
    expect(await decode(wav({ bits: 32, data: new Uint8Array(Int32Array.of(-(2 ** 31), 2 ** 30).buffer) }))).toEqual(
      expected,
    );
    const floats = Float32Array.of(-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY);
    expect(await decode(wav({ code: 3, bits: 32, data: new Uint8Array(floats.buffer) }))).toEqual([...expected, 0, 0]);
    expect(await decode(wav({ extensible: true, bits: 24, data: s24 }))).toEqual([...expected, 1 / 8388608]);
  });

  test("openWav returns the same samples however the bytes are cut, past chunks it does not know", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: -32768, max: 32767 }), { minLength: 1, maxLength: 40 }),
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 }),
        fc.uint8Array({ maxLength: 5 }),
        async (values, sizes, junk) => {
          const data = new Uint8Array(Int16Array.from(values).buffer);
          const bytes = wav({ data, before: [{ id: "LIST", body: junk }] });
          expect(await decode(bytes, sizes)).toEqual(values.map((value) => value / 32768));
        },
      ),
      { seed: 7, numRuns: 200 },
    );
  });

  test("openWav reads to the end where a streaming writer left the length open", async () => {
    const data = new Uint8Array(Int16Array.of(1, 2).buffer);
    expect(await decode(wav({ data, size: 0xffffffff }))).toHaveLength(2);
  });

  test("openWav refuses a broken file with a sentence that names the file and the field", async () => {
    const data = new Uint8Array(4);
    const cases: [Uint8Array, RegExp][] = [
      [Buffer.from("RIFF"), /12-byte RIFF header/],
      [Buffer.from("not a wave file at all"), /does not start with "RIFF"/],
      [wav({ channels: 0, data }), /channel count of 0/],
      [wav({ rate: 0, data }), /sample rate of 0 Hz/],
      [wav({ data }).subarray(0, 30), /ends inside its "fmt " chunk/],
      [wav({ data }).subarray(0, 36), /has no "data" chunk/],
    ];
    for (const [bytes, message] of cases) {
      const failure = await decode(bytes).then(
        () => undefined,
        (error: unknown) => error,
      );
      expect(failure).toBeInstanceOf(MediaError);
      expect((failure as MediaError).code).toBe("WAV_INVALID");
      expect((failure as MediaError).message).toMatch(message);
      expect((failure as MediaError).message).toContain("voice.wav");
    }
  });

  test("openWav throws only its own error on hostile bytes", async () => {
    const base = wav({ data: new Uint8Array(64) });
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.nat(base.length - 1), fc.nat(255)), { maxLength: 8 }), async (edits) => {
        const bytes = Uint8Array.from(base);
        for (const [at, value] of edits) bytes[at] = value;
        const outcome = await decode(bytes).catch((error: unknown) => error);
        expect([Array, MediaError]).toContain((outcome as object).constructor);
      }),
      { seed: 11, numRuns: 500 },
    );
  });
});
