export { modelPayload } from "./control/control-payloads.js";
export type { RemoteControlCounters } from "./control/remote-control.js";
export { Denoiser } from "./denoise/denoiser.js";
export { Stft } from "./denoise/features.js";
export { realFft } from "./denoise/fft.js";
export { loadModel, Model, type ModelState } from "./denoise/model.js";
export type { ModelContract } from "./denoise/model-contract.js";
export { analyseNoise, type NoiseProfile } from "./denoise/noise-profile.js";
export { OverloadGuard } from "./denoise/overload-guard.js";
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
export type { PushFormat } from "./source/push-audio.js";
export { Resampler } from "./source/resample.js";
export { type AudioSource, openSource, readSource, type SourceOptions } from "./source/source.js";
export { openWav, type WavStream } from "./source/wav.js";
export type { InterruptedSpeech, Interruption } from "./speech/interrupts.js";
export type { SayOptions, SpeechSource } from "./speech/renderer.js";
export type { Speech, SpeechEvents, SpeechPhase, SpeechPiece } from "./speech/speech.js";
export type { SpeechListener, SpeechOutcome, SpeechProgress, SpeechResult } from "./speech/speech-state.js";
export type { WordTiming } from "./speech/words/words.js";
export type { PublisherStats } from "./stats.js";
export { levelDb, SILENCE_DB } from "./tracks/level.js";
export { type Knobs, knobsSchema, Mixer } from "./tracks/mixer.js";
export { OpusEncoder, type OpusOptions } from "./tracks/opus.js";
export type { VideoTrackCounters } from "./tracks/video-track.js";
export type { VoiceTrackCounters } from "./tracks/voice-track.js";
export { openVideo, type VideoOptions, type VideoSource } from "./video/video-source.js";
