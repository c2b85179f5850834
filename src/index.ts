/**
 * Live audio over Media over QUIC that you can take back.
 *
 * `Publisher` denoises and sends, `Relay` fans out, `Listener` plays. Each takes one options object and ends with an
 * idempotent `close()`; every error thrown on purpose is an `UnsayError` with a stable `code`.
 *
 * @module
 */
import "../base/polyfills.js";

export {
  type AudioCallerOptions,
  type BargeInOptions,
  type BroadcastCallerOptions,
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
  type Clock,
  InputError,
  type Logger,
  MediaError,
  type Microseconds,
  ModelError,
  microseconds,
  ProtocolError,
  StateError,
  TransportError,
  UnsayError,
} from "../base/index.js";
export type { BulkSenderStats } from "../flow/bulk/index.js";
export type { SkipCounters } from "../flow/congestion/index.js";
export type { ControlEvent, Operation } from "../flow/control/index.js";
export type { Receipt } from "../flow/report/index.js";
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
  type ModelContract,
  type ModelState,
  modelPayload,
  type OpenAudioOptions,
  type OpenedAudio,
  type OpusOptions,
  openAudio,
  openVideo,
  Publisher,
  type PublisherEvents,
  type PublisherListeners,
  type PublisherOptions,
  type PublisherState,
  type PublisherStats,
  type PushedAudioOptions,
  type PushFormat,
  type RemoteControlCounters,
  type SayOptions,
  type SendQueueCounters,
  type Speech,
  type SpeechEvents,
  type SpeechListener,
  type SpeechOutcome,
  type SpeechPhase,
  type SpeechProgress,
  type SpeechResult,
  type SpeechSource,
  type StreamedAudioOptions,
  type VideoOptions,
  type VideoSource,
  type VideoTrackCounters,
  type VoiceTrackCounters,
  type WordTiming,
} from "../publisher/index.js";
export { Relay, type RelayLimits, type RelayOptions, type RelayStats } from "../relay/index.js";
export {
  type Backoff,
  type Certificate,
  Certificates,
  type ConnectOptions,
  createCertificate,
  type GivenCertificateOptions,
  loadCertificate,
  loadOrCreateCertificate,
  type NativeOptions,
  type OwnCertificateOptions,
} from "../transport/index.js";
export {
  type AudioSink,
  Controller,
  type ControllerEvents,
  type ControllerOperation,
  type ControllerOptions,
  type ControllerState,
  type ControllerStats,
  Listener,
  type ListenerEvents,
  type ListenerLanding,
  type ListenerOptions,
  type ListenerRewind,
  type ListenerState,
  type ListenerStats,
  type PlayedRun,
  WavSink,
  type WavSinkOptions,
} from "../watch/index.js";
export { shippedModel } from "./package.js";
