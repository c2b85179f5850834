import { InputError } from "../../base/index.js";
import type { Operation } from "../../flow/control/index.js";
import { type Model, readModel } from "../denoise/model.js";
import { ByteReader, fourCharacters } from "../source/byte-reader.js";
import { DownMix } from "../source/down-mix.js";
import { toFloat } from "../source/pcm.js";
import { Resampler, SAMPLE_RATE } from "../source/resample.js";
import { isWave, openWav } from "../source/wav.js";

/** Samples converted before other work runs: about a millisecond. */
const PIECE = 9600;
/** Seconds of a recording that are used, at a rate that makes at most twelve samples of one. */
const MAX_RECORDING_SECONDS = 30;
const MIN_RECORDING_RATE = 4000;

/**
 * Loads a model from a payload: the length of its sidecar in bytes (4 bytes, big-endian), the sidecar (JSON), and the
 * ONNX file.
 *
 * @throws InputError `INVALID_PAYLOAD`; ModelError as {@link loadModel}.
 */
export async function loadModelPayload(payload: Uint8Array): Promise<Model> {
  const length = payload.length < 4 ? -1 : new DataView(payload.buffer, payload.byteOffset).getUint32(0);
  if (length <= 0 || 4 + length >= payload.length) {
    throw new InputError(
      "INVALID_PAYLOAD",
      "The payload of a model must be the length of its sidecar (4 bytes, big-endian), the sidecar, and the ONNX file.",
    );
  }
  return readModel(
    { bytes: payload.slice(4 + length), path: "of the payload" },
    { bytes: payload.subarray(4, 4 + length), path: "of the payload" },
  );
}

/** Packs a model's files into a payload for {@link loadModelPayload}. */
export function modelPayload(sidecar: Uint8Array, onnx: Uint8Array): Uint8Array {
  const payload = new Uint8Array(4 + sidecar.length + onnx.length);
  new DataView(payload.buffer).setUint32(0, sidecar.length);
  payload.set(sidecar, 4);
  payload.set(onnx, 4 + sidecar.length);
  return payload;
}

/**
 * Reads the first 30 s of a recording in a payload as mono at 48 kHz: a WAV file, or 32-bit little-endian floats at
 * that rate.
 *
 * @throws InputError or MediaError when it is neither.
 */
export async function readRecording(payload: Uint8Array): Promise<Float32Array> {
  const isWav = isWave(payload) || fourCharacters(payload, 0) === "RIFF";
  if (!isWav) {
    if (payload.length % 4 !== 0) {
      throw new InputError("INVALID_PAYLOAD", "The recording must be a WAV file or whole 32-bit floats at 48 kHz.");
    }
    return toFloat(payload, "f32le");
  }
  const chunks = async function* () {
    yield payload;
  };
  const wav = await openWav(new ByteReader(chunks()), { name: "of the payload", size: payload.length });
  if (wav.kind === "foreign") throw new InputError("INVALID_PAYLOAD", `The WAV file of the payload ${wav.reason}.`);
  const { format, samples } = wav;
  if (format.sampleRate < MIN_RECORDING_RATE) {
    throw new InputError("INVALID_PAYLOAD", `The recording's sample rate must be ${MIN_RECORDING_RATE} Hz at least.`);
  }
  const downMix = new DownMix({ channels: format.channels, mask: format.channelMask }, 1);
  const parts: Float32Array[] = [];
  let left = MAX_RECORDING_SECONDS * format.sampleRate;
  for await (const part of samples) {
    parts.push(downMix.process(part.subarray(0, left * format.channels)));
    left -= part.length / format.channels;
    if (left <= 0) break;
  }
  return convert(join32(parts), format.sampleRate, 1);
}

/** Decodes the payload of a `write_audio`: interleaved samples at 48 kHz with `channels` channels. */
export async function decodeSplice(
  { format, sampleRateHz, channels: from }: Extract<Operation, { op: "write_audio" }>,
  payload: Uint8Array,
  channels: 1 | 2,
): Promise<Float32Array> {
  const samples = new DownMix({ channels: from }, channels).process(
    toFloat(payload, format === "s16" ? "s16le" : "f32le"),
  );
  return convert(samples, sampleRateHz, channels);
}

async function convert(samples: Float32Array, rate: number, channels: number): Promise<Float32Array> {
  if (rate === SAMPLE_RATE) return samples.slice();
  const resampler = new Resampler({ from: rate, channels });
  const parts: Float32Array[] = [];
  for (let at = 0; at < samples.length; at += PIECE * channels) {
    parts.push(resampler.process(samples.subarray(at, at + PIECE * channels)).slice());
    await new Promise((resolve) => setImmediate(resolve));
  }
  parts.push(resampler.flush());
  return join32(parts);
}

function join32(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
