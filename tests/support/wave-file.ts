/** How {@link waveFile} stores a sample in -1..1. */
export type Store = (value: number) => Buffer;

const number = (bytes: number, write: (buffer: Buffer) => void): Buffer => {
  const buffer = Buffer.alloc(bytes);
  write(buffer);
  return buffer;
};

/** Ways to store a sample, by name. */
export const store = {
  u8: (value) => Buffer.of(Math.round(value * 127) + 128),
  s16: (value) => number(2, (buffer) => buffer.writeInt16LE(Math.round(value * 32767))),
  s24: (value) => number(3, (buffer) => buffer.writeIntLE(Math.round(value * 8388607), 0, 3)),
  s24high: (value) => number(4, (buffer) => buffer.writeInt32LE(Math.round(value * 8388607) * 256)),
  s24low: (value) => number(4, (buffer) => buffer.writeInt32LE(Math.round(value * 8388607) | 1)),
  s32: (value) => number(4, (buffer) => buffer.writeInt32LE(Math.round(value * 2147483647))),
  f32: (value) => number(4, (buffer) => buffer.writeFloatLE(value)),
  f64: (value) => number(8, (buffer) => buffer.writeDoubleLE(value)),
  alaw: (value) => Buffer.of(nearest(value, alaw)),
  mulaw: (value) => Buffer.of(nearest(value, mulaw)),
} satisfies Record<string, Store>;

/** The tables of ITU-R G.711 as decoders of telephones have them, written down from its segments. */
function mulaw(code: number): number {
  const inverted = 255 - code;
  const segment = Math.floor(inverted / 16) % 8;
  const magnitude = (2 * (inverted % 16) + 33) * 2 ** segment - 33;
  return ((inverted >= 128 ? -1 : 1) * magnitude) / 8192;
}

function alaw(code: number): number {
  const inverted = code ^ 0x55;
  const segment = Math.floor(inverted / 16) % 8;
  const step = 2 * (inverted % 16) + 1;
  const magnitude = segment === 0 ? step : (step + 32) * 2 ** (segment - 1);
  return ((inverted >= 128 ? 1 : -1) * magnitude) / 4096;
}

function nearest(value: number, decode: (code: number) => number): number {
  let best = 0;
  for (let code = 1; code < 256; code++) {
    if (Math.abs(decode(code) - value) < Math.abs(decode(best) - value)) best = code;
  }
  return best;
}

/** One chunk of a RIFF file; `size` is what it claims, `pad` what follows it. */
export function chunk(id: string, body: Uint8Array, claims: { size?: number; pad?: boolean } = {}): Buffer {
  const head = Buffer.alloc(8);
  head.write(id, "latin1");
  head.writeUInt32LE(claims.size ?? body.length, 4);
  const padded = (claims.pad ?? true) && body.length % 2 === 1;
  return Buffer.concat([head, body, Buffer.alloc(padded ? 1 : 0)]);
}

/** Fields of {@link waveFile}; all others follow from these. */
export interface WaveFile {
  /** Channel by channel, in -1..1. */
  readonly channels: readonly Float32Array[];
  readonly store?: Store;
  readonly rate?: number;
  readonly code?: number;
  /** wBitsPerSample; default the bits of a stored sample. */
  readonly bits?: number;
  readonly blockAlign?: number;
  /** WAVE_FORMAT_EXTENSIBLE, with these fields. */
  readonly extensible?: { readonly mask?: number; readonly validBits?: number; readonly tail?: string };
  readonly formatBytes?: number;
  readonly head?: string;
  /** Length that the data chunk claims. */
  readonly size?: number;
  /** Chunks before the `fmt ` chunk, between it and the audio, and behind the audio. */
  readonly first?: Uint8Array;
  readonly between?: Uint8Array;
  readonly behind?: Uint8Array;
}

/** Bytes of a WAV file. */
export function waveFile(file: WaveFile): Buffer {
  const { channels, store: put = store.s16, rate = 48_000, code = 1, extensible } = file;
  const frames = channels[0]?.length ?? 0;
  const samples: Buffer[] = [];
  for (let frame = 0; frame < frames; frame++) for (const each of channels) samples.push(put(each[frame]!));
  const data = Buffer.concat(samples);
  const width = put(0).length;
  const bits = file.bits ?? width * 8;
  const format = Buffer.alloc(extensible ? 40 : 16);
  format.writeUInt16LE(extensible ? 0xfffe : code, 0);
  format.writeUInt16LE(channels.length, 2);
  format.writeUInt32LE(rate, 4);
  format.writeUInt32LE(rate * channels.length * width, 8);
  format.writeUInt16LE(file.blockAlign ?? channels.length * width, 12);
  format.writeUInt16LE(bits, 14);
  if (extensible) {
    format.writeUInt16LE(22, 16);
    format.writeUInt16LE(extensible.validBits ?? bits, 18);
    format.writeUInt32LE(extensible.mask ?? 0, 20);
    format.writeUInt16LE(code, 24);
    Buffer.from(extensible.tail ?? "000000001000800000aa00389b71", "hex").copy(format, 26);
  }
  const body = Buffer.concat([
    Buffer.from("WAVE"),
    file.first ?? Buffer.alloc(0),
    chunk("fmt ", file.formatBytes === undefined ? format : resized(format, file.formatBytes)),
    file.between ?? Buffer.alloc(0),
    chunk("data", data, { size: file.size ?? data.length, pad: file.behind !== undefined }),
    file.behind ?? Buffer.alloc(0),
  ]);
  const head = Buffer.alloc(8);
  head.write(file.head ?? "RIFF", "latin1");
  head.writeUInt32LE(file.head === "RF64" ? 0xffffffff : body.length, 4);
  return Buffer.concat([head, body]);
}

function resized(bytes: Buffer, length: number): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(length)]).subarray(0, length);
}
