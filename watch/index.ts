export {
  type AudioOutput,
  type AudioPacketDecoder,
  AudioPipeline,
  type AudioPipelineOptions,
  type Decoder,
  type DecoderEvents,
  type DeliverySource,
  type OpenDecoder,
  type PipelineCounters,
  type Ticket,
  TicketQueue,
} from "./audio/audio-pipeline.js";
export type { ClockRewind } from "./audio/generations.js";
export type { PlaybackClockOptions } from "./audio/jitter-target.js";
export {
  PlaybackClock,
  type PlaybackCounters,
} from "./audio/playback-clock.js";
export {
  type AppliedRewind,
  Playout,
  type PlayoutCounters,
  type PlayoutOptions,
  type PlayoutRewind,
} from "./audio/playout.js";
export {
  type Provenance,
  type RingCounters,
  type Run,
  SampleRing,
  type SampleRingOptions,
} from "./audio/sample-ring.js";
export { framesAt, framesIn, millisecondsIn, QUANTUM_FRAMES, SAMPLE_RATE, timestampAt } from "./audio/samples.js";
export { Controller } from "./control/controller.js";
export type {
  ControllerEvents,
  ControllerOperation,
  ControllerOptions,
  ControllerProgress,
  ControllerState,
  ControllerStats,
} from "./control/controller-options.js";
export { loadOpus, opusFrames } from "./decoders/opus.js";
export { Listener } from "./listener.js";
export type { ListenerEvents, ListenerOptions, ListenerStats } from "./listener-options.js";
export type { ListenerLanding, ListenerRewind, ListenerState } from "./options.js";
export { Declicker, fadeCurve } from "./output/declicker.js";
export { interleave, RawSink, type SampleFormat } from "./output/raw-sink.js";
export {
  type AudioSink,
  type PlayedRun,
  VirtualSpeaker,
  type VirtualSpeakerOptions,
} from "./output/virtual-speaker.js";
export { WavSink, type WavSinkOptions } from "./output/wav-sink.js";
export {
  type VideoCounters,
  type VideoImage,
  VideoPipeline,
  type VideoPipelineOptions,
} from "./video/video-pipeline.js";
