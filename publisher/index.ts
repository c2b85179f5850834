export type { HeardListener } from "./audience.js";
export { ByteReader } from "./byte-reader.js";
export { type DenoisedHop, Denoiser, type DenoiserOptions, type DenoiserState } from "./denoiser.js";
export { Bands, Stft, squareRootHann } from "./features.js";
export { isFftSize, type RealFft, realFft } from "./fft.js";
export { type Knobs, knobsSchema, Mixer } from "./mix.js";
export {
  loadModel,
  Model,
  type ModelContract,
  type ModelState,
  modelContractSchema,
  parseModelContract,
} from "./model.js";
export { analyseNoise, type NoiseProfile } from "./noise-profile.js";
export { type PublisherOptions, publisherOptionsSchema } from "./options.js";
export { type AudioEncoder, OpusEncoder, type OpusOptions, opusOptionsSchema } from "./opus.js";
export { OverloadGuard, type OverloadOptions } from "./overload.js";
export type { PcmFormat, SampleFormat } from "./pcm.js";
export type { Utterance } from "./playlist.js";
export { modelPayload } from "./preparations.js";
export { type Interruption, Publisher, type PublisherEvents, type PublisherState } from "./publisher.js";
export type { RemoteControlCounters } from "./remote-control.js";
export { Resampler, SAMPLE_RATE } from "./resample.js";
export { type AudioSource, openSource, type SourceOptions, sourceOptionsSchema } from "./source.js";
export type { PublisherStats } from "./stats.js";
export { openVideo, type VideoOptions, type VideoSource, videoOptionsSchema } from "./video-source.js";
export type { VideoTrackCounters } from "./video-track.js";
export type { VoiceTrackCounters } from "./voice-track.js";
export { type ForeignWav, openWav, type WavFormat, type WavOptions, type WavStream } from "./wav.js";
