/**
 * Live audio over Media over QUIC that you can take back.
 *
 * `Publisher` denoises and sends, `Relay` fans out, `Listener` plays. Each takes one options object and is ended by an
 * idempotent `close()`; every error thrown on purpose is an `UnsayError` with a stable `code`.
 *
 * @module
 */
import "../base/polyfills.js";

export {
  type BargeInOptions,
  Caller,
  type CallerChange,
  type CallerEvents,
  type CallerFrame,
  type CallerOptions,
  type CallerStats,
  type CallIds,
  Conversation,
  type ConversationEvents,
  type ConversationOptions,
  type FrameOptions,
  MediaStreamsCall,
  type MediaStreamsCallEvents,
  type MediaStreamsCallOptions,
  type MediaStreamsCallStats,
  RealtimeDoor,
  type RealtimeDoorEvents,
  type RealtimeDoorOptions,
} from "../agent/index.js";
export {
  InputError,
  MediaError,
  type Microseconds,
  ModelError,
  ProtocolError,
  StateError,
  TransportError,
  UnsayError,
} from "../base/index.js";
export {
  type AudioSource,
  type FileAudioOptions,
  type HeardListener,
  type InterruptedSpeech,
  type Interruption,
  type Knobs,
  loadModel,
  type MemoryAudioOptions,
  type Model,
  type OpenAudioOptions,
  type OpenedAudio,
  openAudio,
  Publisher,
  type PublisherEvents,
  type PublisherListeners,
  type PublisherOptions,
  type PublisherState,
  type PublisherStats,
  type PushedAudioOptions,
  type PushFormat,
  type SayOptions,
  type Speech,
  type SpeechEvents,
  type SpeechListener,
  type SpeechOutcome,
  type SpeechPhase,
  type SpeechProgress,
  type SpeechResult,
  type SpeechSource,
  type StreamedAudioOptions,
  type WordTiming,
} from "../publisher/index.js";
export { Relay, type RelayLimits, type RelayOptions, type RelayStats } from "../relay/index.js";
export {
  type Certificate,
  Certificates,
  type ConnectOptions,
  createCertificate,
  loadCertificate,
  loadOrCreateCertificate,
} from "../transport/index.js";
export {
  type AudioSink,
  Controller,
  type ControllerOperation,
  type ControllerOptions,
  type ControllerStats,
  Listener,
  type ListenerOptions,
  type ListenerRewind,
  type ListenerStats,
  type PlayedRun,
  WavSink,
} from "../watch/index.js";
export { shippedModel } from "./package.js";
