export { modelPayload } from "./control/control-payloads.js";
export type { RemoteControlCounters } from "./control/remote-control.js";
export { type DenoisedHop, Denoiser, type DenoiserOptions, type DenoiserState } from "./denoise/denoiser.js";
export { Bands, Stft, squareRootHann } from "./denoise/features.js";
export { isFftSize, type RealFft, realFft } from "./denoise/fft.js";
export { loadModel, Model, type ModelState } from "./denoise/model.js";
export {
  type BandContract,
  type ModelContract,
  modelContractSchema,
  parseModelContract,
  type WaveformContract,
} from "./denoise/model-contract.js";
export { analyseNoise, type NoiseProfile } from "./denoise/noise-profile.js";
export { OverloadGuard, type OverloadGuardOptions } from "./denoise/overload-guard.js";
export type { PublisherEvents, PublisherListeners, PublisherState } from "./loop.js";
export type { PublisherAblation, PublisherOptions } from "./options.js";
export { Publisher } from "./publisher.js";
export type { HeardListener } from "./send/listeners.js";
export type { SendQueueCounters } from "./send/send-queue.js";
export { ByteReader } from "./source/byte-reader.js";
export {
  type FileAudioOptions,
  type MemoryAudioOptions,
  type OpenAudioOptions,
  OpenedAudio,
  openAudio,
  type PushedAudioOptions,
  type StreamedAudioOptions,
} from "./source/open-audio.js";
export type { PcmFormat, SampleFormat } from "./source/pcm.js";
export type { PushFormat } from "./source/push-audio.js";
export { Resampler, SAMPLE_RATE } from "./source/resample.js";
export { type AudioSource, openSource, readSource, type SourceOptions } from "./source/source.js";
export { type ForeignWav, openWav, type WavFormat, type WavOptions, type WavStream } from "./source/wav.js";
export type { InterruptedSpeech, Interruption } from "./speech/interrupts.js";
export type { SayOptions, SpeechSource } from "./speech/renderer.js";
export type { Speech, SpeechEvents, SpeechPhase, SpeechPiece } from "./speech/speech.js";
export type { SpeechListener, SpeechOutcome, SpeechProgress, SpeechResult } from "./speech/speech-state.js";
export type { WordTiming } from "./speech/words/words.js";
export type { PublisherStats } from "./stats.js";
export { levelDb, SILENCE_DB } from "./tracks/level.js";
export { type Knobs, knobsSchema, Mixer } from "./tracks/mixer.js";
export { type AudioEncoder, OpusEncoder, type OpusOptions, opusOptionsSchema } from "./tracks/opus.js";
export type { VideoTrackCounters } from "./tracks/video-track.js";
export type { VoiceTrackCounters } from "./tracks/voice-track.js";
export { openVideo, type VideoOptions, type VideoSource, videoOptionsSchema } from "./video/video-source.js";
