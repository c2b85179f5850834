export {
  Controller,
  type ControllerOperation,
  type ControllerOptions,
  type ControllerStats,
  type SendOptions,
} from "./controller.js";
export { Declicker, fadeCurve } from "./fade.js";
export {
  Listener,
  type ListenerEvents,
  type ListenerLanding,
  type ListenerOptions,
  type ListenerRewind,
  type ListenerState,
  type ListenerStats,
} from "./listener.js";
export { loadOpus, opusFrames } from "./opus.js";
export {
  AudioPipeline,
  type AudioPipelineOptions,
  type Decoder,
  type DecoderEvents,
  type DeliverySource,
  type OpenDecoder,
  type PipelineCounters,
  type SoundDecoder,
  type SoundOutput,
  type Ticket,
  TicketQueue,
} from "./pipeline.js";
export {
  type ClockRewind,
  PlaybackClock,
  type PlaybackClockOptions,
  type PlaybackCounters,
} from "./playback.js";
export {
  type AppliedRewind,
  Playout,
  type PlayoutCounters,
  type PlayoutOptions,
  type PlayoutRewind,
} from "./playout.js";
export { type Provenance, type RingCounters, type Run, SampleRing, type SampleRingOptions } from "./ring.js";
export { framesAt, framesIn, millisecondsIn, QUANTUM_FRAMES, SAMPLE_RATE, timestampAt } from "./samples.js";
export { interleave, RawSink, type SampleFormat } from "./sink.js";
export { type PlayedRun, type SoundSink, VirtualSpeaker, type VirtualSpeakerOptions } from "./speaker.js";
export { type Picture, type VideoCounters, VideoPipeline, type VideoPipelineOptions } from "./video.js";
export { WavSink } from "./wav-sink.js";
